"""An image's nearest neighbours in h: what a representation is."""

from html import escape

import numpy as np
import streamlit as st

from dashboard import pictures, words
from dashboard.sections.embeddings.asked import Asked
from sslcore.analysis.neighbours import nearest

NEIGHBOURS = 8


def show(asked: Asked) -> None:
    st.header("Nearest neighbours")
    st.caption(
        "What a representation is: the images that it holds for similar. Click a point in any panel, or give an image's number."
    )
    image = st.number_input(
        "Image", min_value=0, value=None, step=1, key="embeddings_image", bind="query-params", width=160, placeholder="number"
    )
    if image is None:
        return
    if image not in asked.labels:
        some = np.array(sorted(asked.labels))
        st.info(
            f"Image {image} is not in the sample of these runs; the next one that is has the number "
            f"{some[min(np.searchsorted(some, image), len(some) - 1)]}.",
            icon=":material/image_search:",
        )
        return
    label = asked.labels[image]
    said = [f'<b>{escape(label) or "image"}</b> <span class="aside">{image}</span>']
    own = pictures.picture(asked.seen, image, f"image {image}, {label or 'no label'}", said)
    st.html(pictures.row([own], "The image"))
    for name in asked.titles:
        _show_nearest(asked, name, image)
    sizes = sorted({len(own.index) for own in asked.shown.values()})
    every = ", ".join(f"{n:,}" for n in sizes)
    among = "the sample" if len(sizes) == 1 else "each run's own sample; among more, nearer ones are found"
    st.caption(
        f"By cosine in h, the encoder's output after the last epoch, among the {every} images of {among}. The number below "
        "each is the image's, then its cosine."
    )


def _show_nearest(asked: Asked, name: str, image: int) -> None:
    """Those of one run; nothing where the image is not in its sample."""
    own, label = asked.shown[name], asked.labels[image]
    place = own.rows_of([image])
    if not len(place):
        return
    rows, cosines = nearest(own.h, int(place[0]), NEIGHBOURS)
    near = [(int(own.index[row]), asked.labels[int(own.index[row])], cosine) for row, cosine in zip(rows, cosines)]
    same = sum(other == label for _, other, _ in near)
    st.markdown(f"**{words.plain(asked.titles[name])}**" + (f": {same} of {len(near)} share its label" if label else ""))
    cards = [
        pictures.picture(
            asked.seen,
            index,
            f"image {index}, {other or 'no label'}, cosine {cosine:.2f}",
            [pictures.same(label, other), f'<span class="aside">{index} · {cosine:.2f}</span>'],
        )
        for index, other, cosine in near
    ]
    st.html(pictures.row(cards, f"The images nearest to image {image} in h of {asked.titles[name]}", small=True))
