"""An experiment's title, question, tags and notes: to read and to edit."""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard import access, change, link, words
from sslcore.experiment import Experiment, Spec, Store
from sslcore.wording import series

LETTERS = {"title": 120, "question": 1000}  # that one may write; what is longer, from a file or a teammate, stays
ASKED = "_dialog_details"  # in the session: (experiment, what its fields said when the reader opened them)
SEEN = "_dialog_details_seen"  # in the session: what they said when the reader was last told of them


def ask(experiment: Experiment) -> None:
    """Have the dialog stand on the page; `answer` draws it."""
    for key in ("details_title", "details_question", "details_tags", "details_notes"):
        st.session_state.pop(key, None)
    st.session_state[ASKED] = (experiment.name, experiment.spec())
    st.session_state[SEEN] = experiment.spec()
    st.rerun()


def answer(store: Store) -> None:
    """Draw the dialog, if it was asked for. Call it at the end of a page, outside of live parts."""
    if ASKED not in st.session_state:
        return
    name, opened = st.session_state[ASKED]
    if store.experiment(name).exists():
        _dialog(store.experiment(name), opened, sorted({tag for e in store.experiments() for tag in e.spec().tags}))
    else:
        link.drop_dialog()


def problems_of(said: Mapping[str, Any]) -> dict[str, str]:
    """What is wrong with a title and a question as they were typed.

    Not left to the fields: one of limited length drops what is pasted into it, and says nothing.
    """
    found = {}
    for name, most in LETTERS.items():
        if (length := len(said.get(name, "").strip())) > most:
            found[name] = f"the {name} has {length:,} letters, and {most:,} are possible"
    if not said.get("title", "-").strip():
        found["title"] = "give the experiment a title"
    return found


@st.dialog("Details", width="large", on_dismiss=link.drop_dialog)
def _dialog(experiment: Experiment, opened: Spec, known_tags: list[str]) -> None:
    said = {
        "title": st.text_input(
            "Title",
            opened.title,
            key="details_title",
            **access.lock(help=words.plain(f"The folder keeps its name, {experiment.name}, and so do links to it.")),
        ),
        "question": st.text_area(
            "Question",
            opened.question,
            height=80,
            key="details_question",
            **access.lock(),
        ),
        "tags": st.multiselect(
            "Tags",
            [*known_tags, *(tag for tag in opened.tags if tag not in known_tags)],
            opened.tags,
            accept_new_options=True,
            select_all=False,
            key="details_tags",
            placeholder="Type a word, or choose one",
            **access.lock(help="The Experiments page finds experiments by their tags."),
        ),
    }
    write, read = st.tabs(["Write notes", "Read notes"], default="Read notes" if opened.notes else "Write notes")
    with write:
        said["notes"] = st.text_area(
            "Notes",
            opened.notes,
            height=260,
            key="details_notes",
            label_visibility="collapsed",
            placeholder="What was found, what to try next. Markdown.",
            **access.lock(),
        )
    with read, st.container(height=260):
        st.markdown(words.notes(said["notes"]) if said["notes"].strip() else "*No notes yet.*")
    if "![" in said["notes"]:
        st.caption("Pictures in notes are shown as links, so that opening them fetches nothing from elsewhere.")
    changed = {name: value for name, value in said.items() if value != getattr(opened, name)}
    with st.container(horizontal=True):
        save = st.button("Save", type="primary", key="details_save", **access.lock())
        cancel = st.button("Cancel", key="details_cancel")
    if save and (refused := _save(experiment, changed)):
        st.error(words.plain(refused))
    elif save or cancel:
        link.drop_dialog()
        st.rerun()


def _save(experiment: Experiment, changed: dict) -> str:
    """Write what was changed, and nothing else: others may have changed the rest meanwhile. Returns why it was not saved.

    What others wrote into the same field is told once, before it is replaced.
    """
    if problems := problems_of(changed):
        return f"It was not saved: {'; '.join(problems.values())}."
    if not experiment.exists():
        return f"{experiment.name} was deleted meanwhile: put it back from the trash, on the Experiments page, then save."
    clean = {name: value.strip() if isinstance(value, str) else _tags(value) for name, value in changed.items()}
    try:
        with change.editing(experiment) as spec:
            seen, st.session_state[SEEN] = st.session_state[SEEN], spec.model_copy(deep=True)
            told = [
                f"the {name}, now “{', '.join(now) if name == 'tags' else now}”"
                for name, value in clean.items()
                if (now := getattr(spec, name)) not in (getattr(seen, name), value)
            ]
            if told:
                return f"Not saved, as somebody else changed {series(told)}. Save again to replace that."
            for name, value in clean.items():
                setattr(spec, name, value)
    except (OSError, ValueError) as error:
        return f"It could not be saved: {error}"
    return ""


def _tags(said: list[str]) -> list[str]:
    return [tag.strip() for tag in said if tag.strip()]
