"""The selected images, with what each run's linear probe takes them for."""

from collections.abc import Sequence
from html import escape

import streamlit as st

from dashboard import pictures, words
from dashboard.sections.embeddings.asked import Asked
from dashboard.sections.embeddings.selection import LINKED, numbers, select

STRIP = 48  # pictures at first
FEW = 10  # numbers of images in a sentence


def show(asked: Asked, selected: Sequence[int]) -> None:
    st.header("Selected images")
    strange = st.text_input(
        "By number",
        key="embeddings_numbers",
        placeholder="such as 12, 40, 41",
        on_change=_select_by_number,
        width=260,
        help="In place of a loop, with commas between. An image's number stands below its picture.",
    )
    if strange:  # the numbers have been taken out
        st.caption(words.plain(f"No number of an image: {strange}"))
    inside = [image for image in selected if image in asked.labels]
    if not selected:
        st.caption(
            "Draw a loop around points in any panel: the same images light up in all, and are listed here with what each run "
            "takes them for."
        )
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Clear", icon=":material/deselect:", on_click=select, args=([],))
        if not inside:
            few = ", ".join(map(str, selected[:FEW])) + (", ..." if len(selected) > FEW else "")
            st.caption(f"None of the selected images ({few}) is in the sample of these runs.")
            return
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
    found, others = numbers(st.session_state["embeddings_numbers"])
    if found:
        select(found)
        st.session_state["embeddings_numbers"] = ", ".join(others)


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
