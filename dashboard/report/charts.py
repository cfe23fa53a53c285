"""The charts of a report: the pages' figures, with their heights, captions and words for who cannot see them."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup

from dashboard import embeddings, tables, words
from dashboard.figures import axes, curves, embedding, heat, labels, probe, style
from dashboard.figures.ablation import against, label
from dashboard.unlike import unlike_samples
from sslcore.analysis import ablation
from sslcore.analysis.images import data_sets
from sslcore.experiment import Experiment, Run
from sslcore.results import number, part

MAX_PANELS = 6  # embeddings and confusion matrices: one a label
MAX_AXES = 3  # along which ablations are drawn
MAX_POINTS = 2000  # an embedding
WIDE = 480  # pixels: about the width of a chart, where two stand side by side


@dataclass(frozen=True)
class Chart:
    """A figure and what is said of it."""

    figure: go.Figure
    name: str  # of a downloaded picture
    alt: str
    height: int = 340
    caption: str = ""

    def json(self) -> Markup:
        """The figure for a <script> element, from which no text can break out. Points are drawn as SVG: WebGL needs eval."""
        drawn = self.figure.to_plotly_json()
        text = go.Figure(
            {**drawn, "data": [{**trace, "type": trace["type"].removesuffix("gl")} for trace in drawn["data"]]}
        ).to_json(validate=False)
        return Markup(text.replace("<", "\\u003c"))


def sections(runs: Sequence[Run], measured: labels.Rows, probed: labels.Rows, results: labels.Results) -> dict[str, list[Chart]]:
    """The report's charts, by section. `measured`: rows of the runs that have results; `probed`: of those with accuracies."""
    logged = tables.curves(runs)
    return {
        "accuracy": _accuracy(probed),
        "losses": [
            _loss(tuple(curve for curve in logged if curve.method == method), method)
            for method in dict.fromkeys(curve.method for curve in logged)
        ],
        "metrics": [_metric(logged, name) for name in curves.METRICS if any(curve.has(name) for curve in logged)],
        "classes": _classes(probed, results),
        "few_labels": _few_labels(probed, results),
        "heads": _heads(measured, results, unlike_samples((run.config for run in runs), "this is")),
    }


def _accuracy(rows: labels.Rows) -> list[Chart]:
    if not rows:
        return []
    height = probe.accuracy_height(len(probe.by_label(rows)))
    return [Chart(probe.accuracy(rows), "accuracy", probe.ALT["accuracy"], height, probe.BARS)]


def _loss(logged: tuple[tables.Curve, ...], method: str) -> Chart:
    return Chart(
        curves.loss(logged),
        f"loss-{method}",
        f"Training loss of {style.title(method)} by optimizer step, with its chance level",
        340 + style.legend_room([curve.label for curve in logged], 310),
        curves.going_on_alone(logged),
    )


def _metric(logged: tuple[tables.Curve, ...], name: str) -> Chart:
    return Chart(
        curves.metric(logged, name),
        name,
        f"{curves.METRICS[name][0]} by optimizer step, all runs overlaid",
        320 + style.legend_room([curve.label for curve in logged], WIDE),
    )


def _classes(rows: labels.Rows, results: labels.Results) -> list[Chart]:
    per_class = {name: own for name, result in results.items() if (own := part(result, "linear").get("per_class"))}
    if not per_class:
        return []
    n = len(probe.classes_of(per_class))
    height = max(360, probe.per_class_height(n))
    return [Chart(probe.per_class(rows, per_class), "per-class", probe.ALT["per_class"], height, probe.which_classes(rows, n))]


def confusions(rows: labels.Rows, results: labels.Results) -> tuple[list[Chart], str]:
    """(those of the first run of each label, MAX_PANELS at most; how many are left out)."""
    linear = {name: part(result, "linear") for name, result in results.items()}
    first: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if linear[row["run"]].get("confusion"):
            first.setdefault(row["label"], row)
    methods = {row["run"]: [row["method"]] for row in first.values()}
    charts = []
    for name in tables.one_of_each(methods, MAX_PANELS):
        figure = probe.confusion(linear[name]["confusion"], linear[name]["classes"], f"What {name} confuses")
        figure.update_traces(showscale=False)
        figure.update_layout(title_subtitle_text="colour: share of the true class")
        charts.append(Chart(figure, f"confusion-{name}", f"Confusion matrix of the linear probe of {name}", 380))
    return charts, _left_out(len(methods))


def _left_out(n: int) -> str:
    return f"{MAX_PANELS} of {n} shown, one of each method first; the dashboard has the others." if n > MAX_PANELS else ""


def _few_labels(rows: labels.Rows, results: labels.Results) -> list[Chart]:
    return [
        Chart(labels.few_labels(rows, results, name), name, labels.ALT[name], 380)
        for name in labels.FEW
        if labels.has(results, name)
    ]


def _heads(rows: labels.Rows, results: labels.Results, samples: str) -> list[Chart]:
    charts, n_labels = [], len(probe.by_label(rows))
    if labels.has(results, "heads", "linear"):
        charts.append(Chart(labels.heads(rows, results), "heads", labels.ALT["heads"], labels.heads_height(n_labels)))
    if labels.forgotten(results):
        height = labels.forgets_height(n_labels)
        charts.append(Chart(labels.forgets(rows, results), "forgets", labels.ALT["forgets"], height, samples))
    return charts


def varied(experiment: Experiment, runs: Sequence[Run]) -> tuple[list[tuple[str, list[Chart]]], str]:
    """What varies beside the method and the seed: (title, charts) of MAX_AXES settings, and of the first two together; what is
    left out.
    """
    entries = ablation.entries(experiment, runs)
    every = ablation.axes(entries)
    varying, undrawn = every[:MAX_AXES], every[MAX_AXES:]
    rule = ablation.learning_rate_rule(entries)
    found = []
    for axis in varying:
        notes = [*rule, *ablation.batch_as_negatives(entries, axis)]
        cells = ablation.cells(entries, [axis])
        named = f"against {axes.title(axis)}, a line a method with its spread over seeds"
        drop = against(cells, axis, "linear", drop=True).update_layout(title_text="Linear probe, as drop from the best")
        lines = [label(own[0]) for own in ablation.lines(cells).values()]
        height = 360 + style.legend_room(lines, WIDE) + 16 * len(notes)
        charts = [
            Chart(against(cells, axis, "linear", notes=notes), f"{axis}-linear", f"Linear probe {named}", height),
            Chart(drop, f"{axis}-drop", f"Drop of the linear probe from its best {named}", height),
            Chart(against(cells, axis, "knn"), f"{axis}-knn", f"kNN {named}", height),
            Chart(against(cells, axis, "seconds"), f"{axis}-seconds", f"Training time {named}", 320),
        ]
        found.append((f"Against {axes.title(axis)}", charts))
    two = [axis for axis in varying if axis != ablation.NEGATIVES][:2]  # negatives follow other settings
    cells = [cell for cell in ablation.cells(entries, two) if None not in cell.at] if len(two) == 2 else []
    if cells:  # none where each belongs to another method
        ends = heat.ends(cells, "linear", False)
        title = " and ".join(map(axes.title, two))
        charts = [
            Chart(
                heat.heat(own, two, "linear", ends),
                f"heat-{k}",
                f"Heat map of the linear probe over {title} for {label(own[0])}",
                340,
            )
            for k, own in enumerate(ablation.lines(cells).values())
        ]
        found.append((f"Linear probe: {title}", charts))
    left_out = f"The dashboard also draws them against {', '.join(map(axes.title, undrawn))}." if undrawn else ""
    return found, left_out


def layouts(runs: Sequence[Run]) -> tuple[list[Chart], str, list[str]]:
    """(the last layout of each label's first run, MAX_PANELS at most, laid over the first one of its data set; which images
    they show; what is left out or missing).
    """
    named, called, sets = tables.named(runs), tables.labels(runs), data_sets(runs)
    found: dict[str, str] = {}  # label -> its first run that has a layout
    missing: dict[str, str] = {}
    for name, run in named.items():
        if called[name] in found or run.status().state != "finished":
            continue
        try:
            if embeddings.read(run).umap:
                found[called[name]] = name
            else:
                again = f"python -m sslcore evaluate {shlex.quote(run.id)} makes it again"
                missing.setdefault(called[name], f"umap.parquet is missing or does not fit; {again}")
        except ValueError as error:
            missing.setdefault(called[name], str(error))
    shown = tables.one_of_each({name: [named[name].config.method] for name in found.values()}, MAX_PANELS)
    charts, alike = [], True
    for name in shown:
        run, label = named[name], called[name]
        first = next(other for other in shown if sets[named[other]] == sets[run])
        own, reference = embeddings.read(run), embeddings.read(named[first])
        alike &= np.array_equal(own.index, reference.index)
        names = next(filter(None, (embeddings.classes(other) for other in [run, *runs] if sets[other] == sets[run])), [])
        _, layout = embeddings.at_epoch(own.umap, None)
        points = embeddings.points(own, embeddings.laid_over(own, layout, reference), names)
        points = points.sample(min(MAX_POINTS, len(points)), random_state=0).sort_index()
        title = label if len(runs) == len(found) else f"{label} · seed {run.config.seed}"
        figure = embedding.panel(
            points,
            classes=names or sorted(set(points["class"])),
            seen=tables.identity(run),
            title=title,
            subtitle=_faithful(run, len(points), len(own.index)),
        )
        figure.update_layout(dragmode="zoom")
        charts.append(
            Chart(
                figure,
                f"umap-{run.name}",
                f"UMAP of {words.count(len(points), 'image')} as {title} places them, coloured by class",
                380,
            )
        )
    which = "The same images in each panel" if alike else "Of each run the images of its own sample, not the same in each panel"
    which += " of one data set" if len({sets[named[name]] for name in shown}) > 1 else ""
    said = [f"{label}: {why}." for label, why in missing.items() if label not in found]
    return charts, which, [*filter(None, [_left_out(len(found))]), *said]


def _faithful(run: Run, shown: int, n: int) -> str:
    """How far the layout of n images can be believed, and how many of them are shown where that is not all."""
    value = number(run.results(), "umap.trustworthiness")
    told = [f"trustworthiness {value:.2f}"] if value is not None else []
    return ", ".join([*told, f"{shown:,} of {n:,} images shown"] if shown < n else told)
