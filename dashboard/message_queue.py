"""Streamlit's queue of messages to a browser: a page arrives whole."""

from functools import wraps

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.forward_msg_queue import ForwardMsgQueue

SUCCESS = ForwardMsg.FINISHED_SUCCESSFULLY


def keep_pages_whole() -> None:
    """Have all be sent of a page's run that has succeeded, also where a fragment's tick begins before it has left.

    Streamlit (1.67) takes what is unsent of that fragment off the queue, since it is about to come anew, but leaves the
    word that the page is complete. The browser then takes the fragment's place away; all that follows moves up by one,
    the next ticks are drawn where they do not belong, and the page goes blank with "'setIn' cannot be called on an
    ElementNode". It takes a click that reruns the page while ticks are on their way.
    """
    clear = ForwardMsgQueue.clear
    if hasattr(clear, "__wrapped__"):
        return  # done already

    @wraps(clear)
    def clear_what_follows_success(queue, *args, fragment_ids_this_run=None, **options):
        complete = _until_success(queue._queue) if fragment_ids_this_run else []
        queue._queue = queue._queue[len(complete) :]
        clear(queue, *args, fragment_ids_this_run=fragment_ids_this_run, **options)
        queue._queue = complete + queue._queue

    ForwardMsgQueue.clear = clear_what_follows_success


def _until_success(messages: list[ForwardMsg]) -> list[ForwardMsg]:
    """The messages up to the last that says that a run of the whole page has succeeded; none where none does."""
    ends = [
        n for n, message in enumerate(messages, 1) if message.HasField("script_finished") and message.script_finished == SUCCESS
    ]
    return messages[: ends[-1]] if ends else []
