"""The panels: the same images as each encoder places them, with what is measured of each."""

from collections.abc import Sequence

import streamlit as st

from dashboard import embeddings, tables, words
from dashboard.figures import embedding as figure
from dashboard.plot import plot
from dashboard.sections.embeddings.asked import BY, Asked
from sslcore.results import number, part

HEIGHT = {1: 640, 2: 500, 3: 430}  # pixels, by the number of columns
MEASURES = {  # key of results.json: what a caption calls it
    "trustworthiness": "trustworthiness",
    "neighbourhood_preservation": "neighbourhood preservation",
    "silhouette": "silhouette here",
    "silhouette_h": "in h",
}
UMAP_WORDS = (
    "UMAP shows who is near whom. How far apart two clusters lie, how large or dense one is, and the axes mean nothing: it "
    "spreads out what h holds close. "
    "Panels are turned, mirrored and scaled as a whole so that they agree as far as they can; who is near whom within a panel "
    "stays as it was."
)
PCA_WORDS = (
    "PCA is a straight projection of h, scaled to unit length: nothing is bent, so distances can be trusted as far as the two "
    "components hold the variance; what lies in the others is not seen. "
    "Panels are not turned; a component's sign is arbitrary."
)


def key(name: str) -> str:
    """The panel of a run, for Streamlit."""
    return f"embeddings_panel_{name}"


def show(asked: Asked, selected: Sequence[int]) -> None:
    n_columns = {1: 1, 2: 2, 4: 2}.get(len(asked.titles), 3)
    with st.grid(n_columns, min_column_width=300, gap="medium"):
        for name in asked.titles:
            with st.container():
                _panel(asked, name, selected, HEIGHT[n_columns])
    st.caption(UMAP_WORDS if asked.layout == "UMAP" else PCA_WORDS)
    if asked.by in ("class", "predicted") and len(asked.highlight or asked.classes) > figure.AT_MOST:
        st.caption(
            f"{len(asked.classes)} classes are more than colours can tell apart: "
            f"{len(figure.looks(asked.classes, asked.highlight))} of them stand out. Choose others above."
        )
    if asked.by == "predicted":
        st.caption(
            "A point's colour is the class that the linear probe takes the image for. Names stand where the images of a class "
            "are, in the colour of that class."
        )
    if asked.by == "probe":
        st.caption(
            "Right or wrong: of the linear probe. It was fitted on all training images, so only its errors on test images say "
            "how well it generalises."
        )
    _show_how(asked)


def _panel(asked: Asked, name: str, selected: Sequence[int], height: int) -> None:
    """One run's figure, with what is measured of it below."""
    run, own = asked.runs[name], asked.shown[name]
    result = part(run.results(), asked.layout.lower())
    axes, said = ("", ""), words.count(len(own.index), "image")
    if asked.layout == "PCA":
        where, explained = embeddings.pca(run)
        axes = tuple(f"component {k + 1}: {words.percent(share)} of the variance" for k, share in enumerate(explained))
    elif own.umap:
        kept, where = embeddings.at_epoch(own.umap, asked.epoch)
        where = embeddings.laid_over(own, where, next(iter(asked.shown.values())))
        said += f", epoch {kept}" if kept else ", before training"
        result = result if kept == list(own.umap)[-1] else {}
    else:
        st.warning(
            f"{words.plain(asked.titles[name])}: umap.parquet is missing or does not fit; PCA needs none.",
            icon=":material/draft:",
        )
        return
    points = embeddings.points(own, where, asked.classes)
    column = asked.by
    of_whom = ""
    if asked.oracle is not None:
        of_whom, other = asked.oracle
        taken = dict(zip(other.index.tolist(), embeddings.called(other.prediction, asked.classes)))
        points, column = points.assign(oracle=[taken.get(i, "") for i in own.index.tolist()]), "oracle"
    drawn = figure.panel(
        points,
        column,
        classes=asked.classes,
        highlight=asked.highlight,
        seen=tables.identity(asked.runs[name]),
        title=asked.titles[name],
        subtitle=said,
        axes=axes,
        selected=selected,
    )
    plot(
        drawn,
        key=key(name),
        height=height,
        select=True,
        alt=f"{asked.layout} of {said} as {asked.titles[name]} places them, coloured by {BY[asked.by]} {of_whom}".strip(),
    )
    numbers = [
        f"{what}\N{NO-BREAK SPACE}**{value:z.2f}**".replace("-", "−")
        for measure, what in MEASURES.items()
        if (value := number(result, measure)) is not None and abs(value) <= 1
    ]
    if numbers:
        st.caption(" · ".join(numbers))
    elif "trustworthiness" in result:
        st.caption("All images have the same h: there is nothing to be faithful to.")
    elif asked.epoch is not None and asked.layout == "UMAP":
        st.caption("Measured at the last epoch only.")
    else:
        st.caption("No results.json that can be read says how faithful it is; `python -m sslcore evaluate` measures it.")


def _show_how(asked: Asked) -> None:
    with st.expander("How these numbers are obtained", key="embeddings_how", bind="query-params"):
        layout = asked.layout.lower()
        measured = {title: part(asked.runs[name].results(), layout) for name, title in asked.titles.items()}
        for protocol in words.protocols(measured.items()):
            st.text(f"{protocol}.")
        if not any(own.get("protocol") for own in measured.values()):
            st.text("The rest was not recorded by the version that made these runs.")
        st.text(
            "Trustworthiness: 1 where all who are near in the picture are near in h. Neighbourhood preservation: 1 where all "
            "who are near in h are near in the picture."
        )
        st.text(
            "Silhouette: 1 where classes lie apart, 0 where they touch, negative where they mix. Trust the one in h: the "
            "picture's is the layout's doing as well."
        )
