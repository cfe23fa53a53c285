"""A page's run that has succeeded reaches the browser whole, whatever begins before it has left."""

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

from dashboard.message_queue import keep_pages_whole


def element(place: int, fragment: str = "") -> ForwardMsg:
    message = ForwardMsg()
    message.metadata.delta_path.extend([0, place])
    message.delta.new_element.text.body = f"element {place}"
    message.delta.fragment_id = fragment
    return message


def finished(how: int) -> ForwardMsg:
    message = ForwardMsg()
    message.script_finished = how
    return message


def places(messages: list[ForwardMsg]) -> list[int]:
    return [message.metadata.delta_path[1] for message in messages if message.HasField("delta")]


def queue_of(*messages: ForwardMsg) -> ForwardMsgQueue:
    keep_pages_whole()
    keep_pages_whole()  # the app may be made ready more than once
    queue = ForwardMsgQueue()
    for message in messages:
        queue.enqueue(message)
    return queue


def test_a_tick_takes_nothing_from_a_page_that_is_complete():
    page = [element(0), element(1, "curves"), element(2)]
    queue = queue_of(*page, finished(ForwardMsg.FINISHED_SUCCESSFULLY))
    queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=["curves"])
    queue.enqueue(element(1, "curves"))
    sent = queue.flush()
    assert places(sent) == [0, 1, 2, 1]  # the tick comes after the page, and beside it
    assert sent[3].script_finished == ForwardMsg.FINISHED_SUCCESSFULLY
    assert queue.is_empty()


def test_what_a_tick_has_not_sent_gives_way_to_the_next():
    queue = queue_of(element(0), finished(ForwardMsg.FINISHED_SUCCESSFULLY), element(1, "curves"), element(2, "log"))
    queue.clear(retain_lifecycle_msgs=True, fragment_ids_this_run=["curves"])
    assert places(queue.flush()) == [0, 2]


def test_a_run_of_the_whole_page_drops_what_is_unsent_of_the_one_before():
    queue = queue_of(element(0), element(1, "curves"), finished(ForwardMsg.FINISHED_SUCCESSFULLY))
    queue.clear(retain_lifecycle_msgs=True)
    (left,) = queue.flush()
    assert left.script_finished == ForwardMsg.FINISHED_EARLY_FOR_RERUN
