"""Embeddings: the same images as each encoder places them, picked in one panel and lit up in all; nearest neighbours in h."""

from html import escape

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import embeddings, link, pictures, tables, words
from dashboard.figures import embedding as figure
from dashboard.plot import picked, plot
from sslcore.analysis.neighbours import nearest
from sslcore.experiment import ACTIVE

SHOWN_AT_FIRST, AT_MOST = 4, 5  # panels; each takes three of the 16 WebGL contexts that browsers allow
HEIGHT = {1: 640, 2: 500, 3: 430}  # pixels, by the number of columns
LINKED = 300  # images of a selection that still fit into a link
STRIP, NEIGHBOURS = 48, 8  # pictures
BY = {"class": "class", "split": "train or test", "probe": "right or wrong", "predicted": "class predicted by"}
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

_, runs = link.header("Embeddings", points=True)
named = tables.named(runs)
called = tables.labels(runs)

# -- What there is to see ------------------------------------------------------------------

found, lacking = {}, {}  # name -> embedding, or what is wrong
for name, run in named.items():
    if run.status().state in ACTIVE:
        lacking[name] = "not finished yet"
        continue
    try:
        found[name] = embeddings.read(run)
    except ValueError as error:
        lacking[name] = str(error)
if lacking:
    with st.expander(
        f"{words.count(len(lacking), 'run')} of {len(named)} cannot be shown here", key="embeddings_lacking", bind="query-params"
    ):
        for name, why in lacking.items():
            st.text(f"{name}: {why.replace('`', '')}")
if not found:
    st.info(
        "No run has an embedding yet. It is made when a run ends; Watch shows how far it is.", icon=":material/hourglass_empty:"
    )
    link.page_link("watch", "Watch")
    st.stop()

# -- What the reader chooses ---------------------------------------------------------------

with st.container(border=True):
    datasets = list(dict.fromkeys(named[name].config.dataset for name in found))
    dataset = datasets[0]
    if len(datasets) > 1:
        dataset = st.selectbox(
            "Data set",
            datasets,
            key="embeddings_dataset",
            bind="query-params",
            help="Panels of different data sets show different images, so one data set at a time.",
        )
    found = {name: e for name, e in found.items() if named[name].config.dataset == dataset}
    chosen = st.multiselect(
        "Runs",
        list(found),
        max_selections=AT_MOST,
        key="embeddings_runs",
        bind="query-params",
        placeholder=f"one of each method, then others, four at most; choose up to {AT_MOST}",
    )
    first_seeds = list({called[name]: name for name in reversed(found)}.values())[::-1]
    at_first = tables.one_of_each({name: named[name].config.method for name in first_seeds}, SHOWN_AT_FIRST)
    shown = [name for name in found if name in (chosen or at_first)]
    alike = [called[name] for name in shown]
    titles = {
        name: called[name] + (f" · seed {named[name].config.seed}" if alike.count(called[name]) > 1 else "") for name in shown
    }
    names = next(filter(None, (embeddings.classes(named[name]) for name in shown)), [])
    labelled = any((found[name].label >= 0).any() for name in shown)
    epochs = sorted({epoch for name in shown for epoch in list(found[name].umap)[:-1]})

    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        layout = st.segmented_control(
            "Layout", ["UMAP", "PCA"], default="UMAP", required=True, key="embeddings_layout", bind="query-params"
        )
        by = st.selectbox("Colour", BY, format_func=BY.get, key="embeddings_colour", bind="query-params", width=200)
        oracle = None
        if by == "predicted":
            oracle = st.selectbox(
                "Run",
                list(found),
                key="embeddings_oracle_run",
                bind="query-params",
                width=260,
                help="Each image has the class that this run's linear probe takes it for, in all panels.",
            )
        highlight = []
        if by in ("class", "predicted") and names:
            highlight = st.multiselect(
                "Only these classes in colour",
                names,
                key="embeddings_highlight",
                bind="query-params",
                placeholder="all classes",
                width=320,
            )
        epoch = None
        if epochs and layout == "UMAP":
            at = st.select_slider(
                "Epoch", [*map(str, epochs), "last"], value="last", key="embeddings_epoch", bind="query-params", width=260
            )
            epoch = None if at == "last" else int(at)
if not labelled and by != "split":
    st.caption("These images have no labels, so they are coloured by train or test.")
    by = "split"

# -- The selection, the same in all panels --------------------------------------------------


def linked() -> list[int]:
    """The selection that the URL names."""
    return sorted(
        {int(part) for part in st.query_params.get("embeddings_pick", "").split(",") if part.isdecimal() and len(part) < 10}
    )


def select(indices: list[int]) -> None:
    """Let these images be selected, here and in the URL."""
    fits = len(indices) <= LINKED
    link.keep({"embeddings_pick": [",".join(map(str, indices))] if indices and fits else []})
    st.session_state["embeddings_selected"] = (linked(), indices)


def selection() -> list[int]:
    return st.session_state["embeddings_selected"][1]


if linked() != st.session_state.setdefault("embeddings_selected", ([], []))[0]:  # the link was opened, or changed by hand
    select(linked())
keys = {name: f"embeddings_panel_{name}" for name in shown}
seen = st.session_state.setdefault("embeddings_seen", {})  # key of each drawn panel -> what was picked in it at the last run
for key in keys.values():
    now, before = picked(key), seen.pop(key, None) if key in st.session_state else None
    if before is not None and now.moment != before.moment:
        if now.clicked is not None and now.indices == selection():  # a click, which tells what is selected as well
            st.session_state["embeddings_image"] = now.clicked
        select(now.indices)
    seen[key] = now
selected = selection()

# -- The panels ----------------------------------------------------------------------------

reference = found[shown[0]]
n_columns = {1: 1, 2: 2, 4: 2}.get(len(shown), 3)


def panel(name: str) -> None:
    """One run's figure, with what is measured of it below."""
    run, own = named[name], found[name]
    result = embeddings.measured(run, layout.lower())
    axes, said = ("", ""), words.count(len(own.index), "image")
    if layout == "PCA":
        where, explained = embeddings.pca(run)
        axes = tuple(f"component {k + 1}: {words.percent(share)} of the variance" for k, share in enumerate(explained))
    elif own.umap:
        kept, where = embeddings.at_epoch(own.umap, epoch)
        where = embeddings.laid_over(own, where, reference)
        said += f", epoch {kept}" if kept else ", before training"
        result = result if kept == list(own.umap)[-1] else {}
    else:
        st.warning(
            f"{words.plain(titles[name])}: umap.parquet is missing or does not fit; PCA needs none.", icon=":material/draft:"
        )
        return
    points = embeddings.points(own, where, names)
    column = by
    if oracle is not None:
        other = found[oracle]
        taken = dict(zip(other.index.tolist(), embeddings.called(other.prediction, names)))
        points, column = points.assign(oracle=[taken.get(i, "") for i in own.index.tolist()]), "oracle"
    drawn = figure.panel(
        points,
        column,
        classes=names,
        highlight=highlight,
        dataset=dataset,
        title=titles[name],
        subtitle=said,
        axes=axes,
        selected=selected,
    )
    plot(
        drawn,
        key=keys[name],
        height=HEIGHT[n_columns],
        select=True,
        alt=f"{layout} of {said} as {titles[name]} places them, coloured by {BY[by]}" + (f" {oracle}" if oracle else ""),
    )
    numbers = [
        f"{what} **{round(result[key], 2) + 0.0:.2f}**"
        for key, what in MEASURES.items()
        if isinstance(result.get(key), (int, float))
    ]
    if numbers:
        st.caption(" · ".join(numbers))
    elif epoch is not None and layout == "UMAP":
        st.caption("Measured at the last epoch only.")
    else:
        st.caption("Not measured: an older version made this layout. `python -m sslcore evaluate` measures it.")


with st.grid(n_columns, min_column_width=300, gap="medium"):
    for name in shown:
        with st.container():
            panel(name)
st.caption(UMAP_WORDS if layout == "UMAP" else PCA_WORDS)
if by in ("class", "predicted") and len(highlight or names) > figure.AT_MOST:
    st.caption(
        f"{len(names)} classes are more than colours can tell apart: {len(figure.looks(names, highlight))} of them stand out. "
        "Choose others above."
    )
if by == "probe":
    st.caption(
        "Right or wrong: of the linear probe. It was fitted on all training images, so only its errors on test images say how "
        "well it generalises."
    )
with st.expander("How these numbers are obtained", key="embeddings_how", bind="query-params"):
    result = next(filter(None, (embeddings.measured(named[name], layout.lower()) for name in shown)), {})
    st.text(
        f"k = {result.get('k', '?')} neighbours; {result.get('protocol', 'not recorded by the version that made these runs')}."
    )
    st.text(
        "Trustworthiness: 1 where all who are near in the picture are near in h. Neighbourhood preservation: 1 where all who are "
        "near in h are near in the picture."
    )
    st.text(
        "Silhouette: 1 where classes lie apart, 0 where they touch, negative where they mix. Trust the one in h: the picture's "
        "is the layout's doing as well."
    )

# -- The selected images ---------------------------------------------------------------------

predictions = {name: dict(zip(found[name].index.tolist(), embeddings.called(found[name].prediction, names))) for name in shown}
labels = {
    index: label
    for name in shown
    for index, label in zip(found[name].index.tolist(), embeddings.called(found[name].label, names))
}
fitted_on = {index for name in shown for index in found[name].index[found[name].train].tolist()}


def facts(indices: list[int]) -> pd.DataFrame:
    """One row an image: its label, how many runs take it for something else, and for how many different things."""
    taken = [[predictions[name].get(index, "") for name in shown] for index in indices]
    wrong = [sum(bool(guess) and guess != labels[index] for guess in guesses) for index, guesses in zip(indices, taken)]
    return pd.DataFrame({"index": indices, "wrong": wrong, "kinds": [len(set(guesses)) for guesses in taken]})


st.subheader("Selected images")
inside = [index for index in selected if index in labels]
if not inside:
    st.caption(
        "Draw a loop around points in any panel: the same images light up in all, and are listed here with what each run takes "
        "them for."
        if not selected
        else "None of the selected images is in the sample of these runs."
    )
else:
    counted = facts(inside).sort_values(["kinds", "wrong", "index"], ascending=[False, False, True])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Clear", icon=":material/deselect:", on_click=select, args=([],))
        everything = len(inside) <= STRIP or st.toggle(
            f"Show all {len(inside)}, not only {STRIP}", key="embeddings_all", bind="query-params"
        )
    st.caption(
        f"{words.count(len(inside), 'image')}, those first on which the runs disagree, then those that most take for something "
        f"else. {pictures.RIGHT} the linear probe is right, {pictures.WRONG} it is wrong, with what it says. It was fitted on "
        "images marked train, so only what it says of the others counts."
    )
    if len(selected) > LINKED:
        st.caption(f"{len(selected)} images are too many for a link ({LINKED} at most): it will open without them.")
    cards = [
        pictures.picture(
            dataset,
            index,
            f"image {index}, {labels[index] or 'no label'}",
            [
                f"<b>{escape(labels[index]) or 'image'}</b> "
                f'<span class="aside">{index} · {"train" if index in fitted_on else "test"}</span>',
                *(pictures.verdict(titles[name], labels[index], predictions[name].get(index, "")) for name in shown),
            ],
        )
        for index in counted["index"].tolist()[: None if everything else STRIP]
    ]
    st.html(pictures.row(cards, "Selected images"))

# -- Nearest neighbours ----------------------------------------------------------------------

st.subheader("Nearest neighbours")
st.caption(
    "What a representation is: the images that it holds for similar. Click a point in any panel, or give an image's number."
)
image = st.number_input(
    "Image", min_value=0, value=None, step=1, key="embeddings_image", bind="query-params", width=160, placeholder="number"
)
if image is not None and image not in labels:
    some = np.array(sorted(labels))
    st.info(
        f"Image {image} is not in the sample of these runs; the next one that is has the number "
        f"{some[min(np.searchsorted(some, image), len(some) - 1)]}.",
        icon=":material/image_search:",
    )
elif image is not None:
    label = labels[image]
    st.html(
        pictures.row(
            [
                pictures.picture(
                    dataset,
                    image,
                    f"image {image}, {label or 'no label'}",
                    [f'<b>{escape(label) or "image"}</b> <span class="aside">{image}</span>'],
                )
            ],
            "The image",
        )
    )
    for name in shown:
        own = found[name]
        place = own.rows_of([image])
        if not len(place):
            continue
        rows, cosines = nearest(own.h, int(place[0]), NEIGHBOURS)
        near = [(int(own.index[row]), labels[int(own.index[row])], cosine) for row, cosine in zip(rows, cosines)]
        same = sum(other == label for _, other, _ in near)
        st.markdown(f"**{words.plain(titles[name])}**" + (f": {same} of {len(near)} share its label" if label else ""))
        st.html(
            pictures.row(
                [
                    pictures.picture(
                        dataset,
                        index,
                        f"image {index}, {other or 'no label'}, cosine {cosine:.2f}",
                        [pictures.same(label, other), f'<span class="aside">{index} · {cosine:.2f}</span>'],
                    )
                    for index, other, cosine in near
                ],
                f"The images nearest to image {image} in h of {titles[name]}",
                small=True,
            )
        )
    st.caption(
        f"By cosine in h, the encoder's output after the last epoch, among the {len(labels)} images of the sample; the number "
        "below each is the image's, then its cosine."
    )
