"""Deleting: asks once, refuses while something runs, and moves to the store's trash.

From there it can be put back for a week, or be deleted for good at once, which is what gives room on a disk.

Jobs that wait in Slurm are cancelled; where that fails it is said, and the thing is in the trash all the same.
"""

import shutil
from pathlib import Path

import streamlit as st

from dashboard import access, change, link, words
from sslcore import trash
from sslcore.experiment import Experiment, Run, Store
from sslcore.wording import in_bytes

ASKED = "_dialog_delete"  # in the session: (experiment, run or "") that the reader asked to delete


def ask(thing: Experiment | Run) -> None:
    """Have the question stand on the page; `answer` draws it."""
    st.session_state[ASKED] = (thing.path.parent.name, thing.name) if isinstance(thing, Run) else (thing.name, "")
    st.rerun()


def answer(store: Store) -> None:
    """Draw the question, if one was asked. Call it at the end of a page, outside of live parts."""
    if ASKED not in st.session_state:
        return
    experiment, run = st.session_state[ASKED]
    thing = store.experiment(experiment).run(run) if run else store.experiment(experiment)
    if thing.exists():
        _question(store, thing)
    else:
        link.drop_dialog()


def _titled(experiment: Experiment) -> str:
    title = experiment.spec().title
    called = f" “{title}”," if title not in ("", experiment.name) else ""
    return f"The experiment{called} {experiment.name}"


@st.dialog("Delete?", on_dismiss=link.drop_dialog)
def _question(store: Store, thing: Experiment | Run) -> None:
    runs = [thing] if isinstance(thing, Run) else thing.runs()
    what = f"The run {thing.id}" if isinstance(thing, Run) else f"{_titled(thing)} with {words.count(len(runs), 'run')}"
    st.text(f"{what} goes to the trash. For a week it can be put back, at the foot of the Experiments page; then it is gone.")
    if waiting := sum(
        status.engine == "slurm" and status.state == "queued" for status in (run.recorded_status() for run in runs)
    ):
        st.text(
            f"{words.count(waiting, 'job')} of it that {'waits' if waiting == 1 else 'wait'} in Slurm "
            f"{'is' if waiting == 1 else 'are'} cancelled."
        )
    buttons = st.empty()
    with buttons.container(horizontal=True):
        delete = st.button("Delete", type="primary", icon=":material/delete:", key="trash_delete", **access.lock())
        keep = st.button("Keep", key="trash_keep")
    if keep:
        link.drop_dialog()
        st.rerun()
    if delete:
        running = [run.name for run in runs if run.status().state == "running"]
        if running:
            st.error(words.plain(f"{running[0]} is running: stop it first, on the Watch page."))
            return
        try:
            dropped = change.discard(store, thing)
        except BlockingIOError as error:
            st.error(words.plain(f"{error}: stop it first, on the Watch page."))
            return
        except OSError as error:
            if thing.exists():
                st.error(words.plain(f"It could not be moved: {error}"))
                return
            link.drop_dialog()
            st.toast(f"{words.plain(thing.name)} was deleted meanwhile.")
            st.rerun()
        said = f"{words.plain(thing.name)} is in the trash, at the foot of the Experiments page."
        if dropped.problem:
            buttons.empty()
            st.warning(f"{said} {words.plain(dropped.problem)}.")
            return  # the dialog stands until this has been read, and is closed
        link.drop_dialog()
        st.toast(f"{said} {words.count(dropped.cancelled, 'job')} in Slurm cancelled." if dropped.cancelled else said)
        st.rerun()


@st.cache_resource(ttl="1h", show_spinner=False)
def empty_old(root: Path) -> None:
    """Delete for good what has lain in the trash for a week; looks once an hour."""
    change.empty_trash(Store(root))


def contents(store: Store) -> None:
    """What lies in the trash, each with a button that puts it back; nothing where the trash is empty."""
    lost = trash.contents(store)
    if not lost:
        return
    with st.expander(
        f"Trash: {words.count(len(lost), 'thing')} deleted within the last week", icon=":material/delete:", key="trash_contents"
    ):
        for discarded in lost:
            with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
                kind = "experiment" if isinstance(discarded.thing, Experiment) else "run"
                st.text(f"{discarded.id}, {kind}, deleted {words.date(discarded.when)}", width="content")
                if st.button(
                    "Put back",
                    icon=":material/restore_from_trash:",
                    key=f"trash_restore_{discarded.thing.path.relative_to(store.root)}",
                    **access.lock(),
                ):
                    _put_back(store, discarded)
        with st.popover("Empty the trash", icon=":material/delete_forever:", key="trash_empty"):
            st.text(f"{words.count(len(lost), 'thing')} would be gone now, not after a week, and could not be put back.")
            if st.button("Delete for good", type="primary", key="trash_empty_now", **access.lock()):
                _empty(store)


def _empty(store: Store) -> None:
    try:
        change.empty_trash(store, kept_seconds=-1)
    except OSError as error:
        st.error(words.plain(f"It could not be emptied: {error}"))
        return
    if left := trash.contents(store):
        st.error(words.plain(f"{left[0].id} could not be deleted: {left[0].thing.path} may be another user's."))
        return
    st.toast(f"The trash is empty; {in_bytes(shutil.disk_usage(store.root).free)} are free.")
    st.rerun()


def _put_back(store: Store, discarded: trash.Discarded) -> None:
    try:
        back = change.restore(store, discarded)
    except (OSError, ValueError) as error:
        st.error(words.plain(f"It could not be put back: {error}"))
        return
    st.toast(f"{words.plain(back.id if isinstance(back, Run) else back.name)} is back.")
    st.rerun()
