"""Probes that answer a question: few labels, h against z, what is forgotten, other data sets.

`rows` are those of `tables.summary`, in the order in which they are shown; `results` are the runs' results.json, {run: results}.
"""

import itertools
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard import words
from dashboard.figures import style
from dashboard.figures.probe import by_label, of_seeds, over_seeds, tones
from sslcore.analysis.stats import aggregate, of_each_seed
from sslcore.analysis.summary import kind
from sslcore.grouping import grouped
from sslcore.naming import told_apart
from sslcore.results import dig, number, part

TASKS = {"grayscale": "grey or not", "colour": "which colours", "rotation": "which rotation", "flip": "mirrored or not"}
FEW = {"label_efficiency": "Linear probe with few labels", "fine_tuning": "Fine-tuning with few labels"}
ALT = {  # of each chart, in words for who cannot see it
    **{name: f"{title}: accuracy at 1, 10 and 100 % of the training labels, for each method" for name, title in FEW.items()},
    "heads": "Accuracy of the linear probe of h and of z, for each method",
    "forgets": (
        "How well h and z tell grey images, other colours, rotations and mirror images apart, with chance, for each method"
    ),
}
BESIDE = {  # what else a chart's subtitle says
    "label_efficiency": ", of a single run over draws of the labels",
    "fine_tuning": "; from scratch: mean over recipes",
}
SHARES = [0.01, 0.1, 1.0]  # of the labels
DASHES = ("longdashdot", "dash", "dashdot", "longdash")  # of what several data sets are compared with; no method's
REFERENCE = {"label_efficiency": ("random_encoder", "untrained encoder"), "fine_tuning": ("from_scratch", "from scratch")}

Rows = Sequence[Mapping[str, Any]]
Results = Mapping[str, Mapping[str, Any]]


def few_labels(rows: Rows, results: Results, name: str) -> go.Figure:
    """Test accuracy against the share of labels, a line a label, mean over seeds. `name`: one of FEW."""
    rows = by_tuning(rows, results, name)
    in_all = labelled(rows, results, name)
    traces, colours = [], tones(rows)
    for (said, reference), dash in zip(references(rows, results, name).items(), itertools.cycle(DASHES)):
        made = [aggregate(values) for values in reference.values()]
        traces.append(
            style.scatter(
                x=list(reference),
                y=[one.mean for one in made],
                mode="lines+markers",
                name=style.plain(said),
                line={"color": style.NEUTRAL, "dash": dash, "width": 2},
                marker={"size": 7, "symbol": "line-ew-open", "color": style.NEUTRAL},
                customdata=[[one.std, one.n] for one in made],
                meta={"columns": ["std", "N"]},
                hovertemplate=[
                    f"%{{y:.1%}}{over_seeds(one)} with %{{x:.0%}} of the labels<extra>{style.plain(said)}</extra>" for one in made
                ],
            )
        )
    for label, group in by_label(rows).items():
        shares = by_share(group, results, name, "accuracy")
        if not shares:
            continue
        colour, method = colours[label], group[0]["method"]
        of_draws = by_share(group, results, name, "std")
        images = labelled(group, results, name)
        made = {share: aggregate(values) for share, values in shares.items()}
        spread = [next(iter(of_draws.get(share, ())), None) if one.std is None else one.std for share, one in made.items()]
        traces.append(
            style.scatter(
                x=list(shares),
                y=[one.mean for one in made.values()],
                mode="lines+markers",
                name=style.plain(label),
                line={"color": colour, "dash": style.dash(method), "width": 2},
                marker={"size": 8, "symbol": style.symbol(method), "color": colour},
                error_y={"type": "data", "array": spread, "color": colour, "thickness": 1.5, "width": 4},
                text=[
                    f"{'' if deviation is None else f' ± {words.tenths(100 * deviation)} %'} with {share:.0%} of the labels"
                    f"{how_many(images.get(share))}"
                    for deviation, share in zip(spread, shares)
                ],
                customdata=[[deviation, one.n, images.get(share)] for deviation, (share, one) in zip(spread, made.items())],
                meta={"columns": ["std", "N", "labelled images"]},
                hovertemplate=f"%{{y:.1%}}%{{text}}, N = %{{customdata[1]}}<extra>{style.plain(label)}</extra>",
            )
        )
    return style.figure(
        traces,
        title=style.titled(FEW[name], f"bars: ± one standard deviation over seeds{BESIDE[name]}"),
        xaxis={
            "title": {"text": "share of the training labels"},
            "type": "log",
            "tickvals": SHARES,
            "ticktext": [f"{share:.0%}{how_many(in_all.get(share) if share < 1 else None, '<br>')}" for share in SHARES],
        },
        yaxis=style.SHARE,
        uirevision=name,
    )


def labelled(rows: Rows, results: Results, name: str) -> dict[float, float]:
    """Share of the labels -> how many images that is, where it is as many in all runs."""
    return {share: of[0] for share, of in by_share(rows, results, name, "n").items() if len(set(of)) == 1}


def how_many(images: float | None, after: str = " ") -> str:
    """How many labelled images a share is: 1 % of a small set may be one of each class, and so more."""
    return "" if images is None else f"{after}({words.count(round(images), 'image')})"


def heads_height(labels: int) -> int:
    return 180 + 46 * labels


def forgets_height(labels: int) -> int:
    return 240 + 70 * labels


def heads(rows: Rows, results: Results) -> go.Figure:
    """The linear probe of h and of z, a line a label."""
    linear = {run: part(result, "heads", "linear") for run, result in results.items()}
    return style.figure(
        [*_pairs(rows, linear), *_keys()],
        title=style.titled("The classes, read from h and from z", f"linear probe of the classes{of_seeds(rows)}"),
        xaxis=style.SHARE | {"showgrid": True},
        margin=style.ROOM,
        yaxis=style.named_rows(by_label(rows)),
        uirevision="heads",
    )


def forgets(rows: Rows, results: Results) -> go.Figure:
    """What h and z can tell of how an image was changed: a panel a task, with chance as a dashed line."""
    tasks = forgotten(results)
    told = {task: {run: part(result, "heads", "forgets", task) for run, result in results.items()} for task in tasks}
    figure = make_subplots(
        rows=-(-len(tasks) // 2),
        cols=min(2, len(tasks)),
        shared_yaxes=True,
        subplot_titles=[TASKS[task] for task in tasks],
        horizontal_spacing=0.08,
        vertical_spacing=64 / (forgets_height(len(by_label(rows))) - 134),  # pixels, of those that margins leave to its panels
        figure=style.figure(
            title=style.titled(
                "What z forgets",
                f"accuracy at telling how an image was changed{_of_tested(told)}{of_seeds(rows)}; dashed: chance",
            ),
            uirevision="forgets",
        ),
    )
    traces = []
    for k, task in enumerate(tasks):
        place = {"row": k // 2 + 1, "col": k % 2 + 1}
        own = str(k + 1) if k else ""  # of the panel's axes, as plotly counts them
        traces += _pairs(rows, told[task], f", {TASKS[task]}", xaxis=f"x{own}", yaxis=f"y{own}")
        chances = [value for answer in told[task].values() if (value := number(answer, "chance")) is not None]
        if chances:
            line = {"color": style.NEUTRAL, "dash": "dash", "width": 1.5}
            figure.add_vline(x=fmean(chances), line=line, exclude_empty_subplots=False, **place)
        middle = fmean(chances or [0.5])
        said = [value for answer in told[task].values() for side in "hz" if (value := number(answer, side)) is not None]
        # Wide enough that noise looks like noise.
        low, high = min([*said, middle - 0.1]) - 0.05, max([*said, middle + 0.1]) + 0.05
        # As many numbers as lie side by side where long names leave a panel little: on end they reach into the panel below.
        ticks = {"tickformat": ".4~p", "nticks": 3, "tickangle": 0}
        figure.update_xaxes(showgrid=True, range=[max(0, low), min(1.02, high)], **ticks, **place)
        figure.update_yaxes(**style.named_rows(by_label(rows)), **place)
    figure.update_annotations(font_size=13)
    figure.update_layout(margin_t=84)
    return go.Figure([*traces, *_keys()], layout=figure.layout, _validate=False)


def _of_tested(told: Mapping[str, Results]) -> str:
    """On how many images it was tested, in words; "" where that is not known."""
    n = {value for of in told.values() for answer in of.values() if (value := number(answer, "n_test")) is not None}
    return f", of {min(n):,.0f}{f' to {max(n):,.0f}' if len(n) > 1 else ''} test images" if n else ""


def has(results: Results, *keys: str) -> bool:
    """Whether any run's results have this part."""
    return any(dig(result, *keys) for result in results.values())


def forgotten(results: Results) -> list[str]:
    """The TASKS of which any run says how well h and z can tell them."""
    answers = {task: [part(result, "heads", "forgets", task) for result in results.values()] for task in TASKS}
    return [task for task, of in answers.items() if any(number(one, side) is not None for one in of for side in "hz")]


def _pairs(rows: Rows, answers: Mapping[str, Mapping[str, Any]], what: str = "", **axes: str) -> list[dict]:
    """h filled, z open, joined by a line; each the mean over a label's seeds. `what` they tell, for the chart's data as CSV.

    Either stands alone where nothing is known of the other.
    """
    traces, colours = [], tones(rows)
    for k, (label, group) in enumerate(by_label(rows).items()):
        means = {
            side: aggregate(of_each_seed((row["seed"], number(answers[row["run"]], side)) for row in group)) for side in "zh"
        }
        means = {side: mean for side, mean in means.items() if mean}
        if not means:
            continue
        colour, symbol = colours[label], style.symbol(group[0]["method"])
        traces.append(
            style.scatter(
                x=[mean.mean for mean in means.values()],
                y=[k] * len(means),
                name=style.plain(f"{label}{what}"),
                mode="lines+markers",
                showlegend=False,
                line={"color": colour, "width": 2},
                marker={
                    "size": 11,
                    "symbol": [symbol if side == "h" else f"{symbol}-open" for side in means],
                    "color": colour,
                    "line": {"width": 2, "color": colour},
                },
                text=[f"{side}{over_seeds(mean)}" for side, mean in means.items()],
                customdata=[[side, mean.std, mean.n] for side, mean in means.items()],
                meta={"x": "accuracy", "columns": ["from", "std", "N"]},
                hovertemplate="%{x:.1%} from %{text}<extra>" + style.plain(label) + "</extra>",
                **axes,
            )
        )
    return traces


def _keys() -> list[dict]:
    return [style.key("h, the encoder's output", "circle"), style.key("z, the head's", "circle-open")]


def by_tuning(rows: Rows, results: Results, name: str) -> Rows:
    """The rows with the epochs of fine-tuning in their labels, where these differ: nothing but FEW[name] depends on them."""
    tuned = _tuned(rows, results, name)
    return [{**row, "label": row["label"] + tuned[row["run"]]} for row in rows]


def _tuned(rows: Rows, results: Results, name: str) -> dict[str, str]:
    """Run -> for how long it was fine-tuned, " · 8 epochs"; "" where it was not, and where that is the same in all."""
    epochs = {row["run"]: number(results[row["run"]], f"{name}.epochs", {"fraction": 1}) for row in rows}
    several = len(set(epochs.values()) - {None}) > 1
    return {run: f" · {words.count(n, 'epoch')}" if several and n is not None else "" for run, n in epochs.items()}


def references(rows: Rows, results: Results, name: str) -> dict[str, dict[float, list[float]]]:
    """What FEW[name] is compared with, by its words: `by_share` of each kind of images and encoder, and length of fine-tuning.

    From scratch each run trains by its own recipe: a seed's number is the mean over these.
    """
    key, said = REFERENCE[name]
    told, tuned = kinds(rows), _tuned(rows, results, name)
    groups = grouped(rows, lambda row: "".join([said, *told[kind(row)], tuned[row["run"]]]))
    found = {called: by_share(group, results, name, key) for called, group in groups.items()}
    return {called: line for called, line in found.items() if line}


def kinds(rows: Rows) -> dict[tuple, tuple[str, str]]:
    """Each kind of the rows -> what tells it from the others, in words: its encoder, and the images (" on digits at 32 px")."""
    sets = told_apart(row["dataset"] for row in rows)
    encoders = {row["encoder"] for row in rows}
    found = dict.fromkeys(map(kind, rows))
    sizes = {name: {size for dataset, _, size in found if dataset == name} for name in sets}
    return {
        (dataset, encoder, size): (
            f" {encoder}" if len(encoders) > 1 else "",
            (f" on {sets[dataset]}" if len(sets) > 1 else "") + (f" at {size} px" if len(sizes[dataset]) > 1 else ""),
        )
        for dataset, encoder, size in found
    }


def by_share(rows: Rows, results: Results, name: str, key: str) -> dict[float, list[float]]:
    """Share of the labels -> what `key` says, a number a seed: the mean of its runs that say it."""
    values: dict[float, list[tuple[Any, float]]] = {}
    for row in rows:
        entries = results[row["run"]].get(name)
        for entry in entries if isinstance(entries, list) else []:
            share, value = number(entry, "fraction"), number(entry, key)
            if share is not None and share > 0 and value is not None:
                values.setdefault(share, []).append((row["seed"], value))
    return {share: of_each_seed(of_share) for share, of_share in sorted(values.items())}
