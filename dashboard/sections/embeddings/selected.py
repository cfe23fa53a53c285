"""The selected images, with what each run's linear probe takes them for."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from dashboard import pictures, words
from dashboard.sections.embeddings.asked import Asked
from dashboard.sections.embeddings.selection import LINKED, numbers, select

STRIP = 48  # pictures at first


def show(asked: Asked, selected: Sequence[int]) -> None:
    st.header("Selected images")
    st.text_input(
        "By number",
        key="embeddings_numbers",
        placeholder="such as 12, 40, 41",
        on_change=_select_by_number,
        width=260,
        help="In place of a loop, with commas between. An image's number stands below its picture.",
    )
    inside = [image for image in selected if image in asked.labels]
    if not inside:
        st.caption(
            "None of the selected images is in the sample of these runs."
            if selected
            else "Draw a loop around points in any panel: the same images light up in all, and are listed here with what each "
            "run takes them for."
        )
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Clear", icon=":material/deselect:", on_click=select, args=([],))
        everything = len(inside) <= STRIP or st.toggle(
            f"Show all {len(inside)}, not only {STRIP}", key="embeddings_all", bind="query-params"
        )
    outside = f" (not in the sample of these runs: {len(selected) - len(inside)} more)" if len(inside) < len(selected) else ""
    st.caption(
        f"{words.count(len(inside), 'image')}{outside}, those first on which the runs disagree, then those that most take for "
        f"something else. {pictures.RIGHT} the linear probe is right, {pictures.WRONG} it is wrong, with what it says. It was "
        "fitted on images marked train, so only what it says of the others counts."
    )
    if len(selected) > LINKED:
        st.caption(f"{len(selected)} images are too many for a link ({LINKED} at most): it will open without them.")
    in_order = sorted(inside, key=lambda image: _agreement(asked, image))
    st.html(pictures.row([_card(asked, image) for image in in_order[: None if everything else STRIP]], "Selected images"))


def _select_by_number() -> None:
    if found := numbers(st.session_state["embeddings_numbers"]):
        select(found)
        st.session_state["embeddings_numbers"] = ""


def _agreement(asked: Asked, image: int) -> tuple[int, int, int]:
    """Smaller, the more different things the runs take it for, and the more of them for something that it is not."""
    taken = [of_run.get(image, "") for of_run in asked.predictions.values()]
    wrong = sum(bool(guess) and guess != asked.labels[image] for guess in taken)
    return -len(set(taken)), -wrong, image


def _card(asked: Asked, image: int) -> str:
    label = asked.labels[image]
    side = "train" if image in asked.trained_on else "test"
    return pictures.picture(
        asked.seen,
        image,
        f"image {image}, {label or 'no label'}",
        [
            f'<b>{escape(label) or "image"}</b> <span class="aside">{image} · {side}</span>',
            *(pictures.verdict(title, label, asked.predictions[name].get(image, "")) for name, title in asked.titles.items()),
        ],
    )
