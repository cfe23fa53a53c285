"""One experiment as a single HTML file that opens anywhere, offline; and the same in Markdown, for a wiki.

Figures, colours and chart code are the app's own. What comes from the folder is text to the template, and notes are
Markdown without HTML; should something slip through all the same, the file's content security policy lets none but
its own two scripts run, and nothing be fetched.
"""

import base64
import hashlib
import io
import json
import re
import time
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup
from PIL import Image
from plotly.offline import get_plotlyjs

from dashboard import embeddings, questions, tables, words
from dashboard.figures import ablation as ablations
from dashboard.figures import curves, embedding, labels, probe, style
from sslcore.analysis import ablation, pairs, stats
from sslcore.analysis.pairs import Pair
from sslcore.analysis.summary import by_seed, kind, number, untrained, warned
from sslcore.config import flatten
from sslcore.datasets import SHEET_COLUMNS
from sslcore.experiment import Experiment, Run
from sslcore.files import stamp

HERE = Path(__file__).parent
THEME = HERE.parent / ".streamlit" / "config.toml"
MAX_PANELS = 6  # embeddings and confusion matrices: one a label
MAX_AXES = 3  # along which ablations are drawn
MAX_POINTS = 2000  # an embedding
LEGEND = 20  # pixels of a line in a legend
MAX_SHEET = 1_200_000  # bytes of a sample sheet; larger ones are drawn smaller

PROTOCOLS = {  # of the further probes: title, and where a run's results say it
    "Few labels": lambda result: [labels.text(result, "label_efficiency_protocol")],
    "Fine-tuning": lambda result: [labels.text(result, "fine_tuning_protocol")],
    "h against z": lambda result: [labels.text(result, "heads", "protocol")],
    "On other images": lambda result: [labels.text(entry, "protocol") for entry in labels.part(result, "transfer").values()],
}

MARKDOWN = MarkdownIt("js-default", {"html": False}).disable("image")  # nothing is fetched; links are links, and only to the web
TEMPLATES = Environment(
    loader=FileSystemLoader(HERE),
    autoescape=lambda name: ".html" in name,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters |= {name: getattr(words, name) for name in ("percent", "duration", "size", "rate", "plain", "count")} | {
    "share": tables.share
}
TEMPLATES.globals["colour"] = style.colour


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


@dataclass(frozen=True)
class Sheet:
    """Thumbnails of a data set's evaluation sample, as one image."""

    dataset: str
    address: str  # a data: URI
    indices: str  # JSON: the data set index of each tile, in order
    columns: int = SHEET_COLUMNS


# -- The file -----------------------------------------------------------------------------------


def html(experiment: Experiment) -> str:
    """The report of the experiment's runs, those that are not hidden, as one HTML file."""
    content = _content(experiment)
    shown = content["runs"]
    return TEMPLATES.get_template("report.html.jinja").render(
        content,
        notes=Markup(MARKDOWN.render(content["spec"].notes)),
        css=Markup(
            "\n".join(
                [_colours(), (HERE / "chart.css").read_text(encoding="utf-8"), (HERE / "report.css").read_text(encoding="utf-8")]
            )
        ),
        policy=policy(),
        plotly=Markup(get_plotlyjs()),
        script=Markup(_script()),
        sections=_sections(shown, content["probed"], content["results"]),
        confusions=_confusions(content["probed"], content["results"]),
        ablations=_ablations(experiment, shown),
        embeddings=_embeddings(shown),
        sheets=_sheets(shown),
        views=next((_uri(run.views_file.read_bytes(), "webp") for run in shown if run.views_file.is_file()), None),
    )


def kept_html(experiment: Experiment) -> str:
    """`html`, made anew only where a file of the experiment, or the state of a run, has changed."""
    runs = experiment.runs()
    files = [*experiment.files(), *(file for run in runs for file in run.files())]
    states = [run.status().state for run in runs]  # of a run that was killed, no file says it
    return _kept(experiment.path, (*((file.name, *stamp(file)) for file in files), *states))


@lru_cache(maxsize=4)  # some MB each
def _kept(folder: Path, stamps: tuple) -> str:
    return html(Experiment(folder))


def markdown(experiment: Experiment) -> str:
    """Question, answer, notes, settings and how to do it again, as Markdown; figures are in the HTML alone."""
    content = _content(experiment)
    notes = re.sub(r"<(?=[A-Za-z/!?])", "<\N{WORD JOINER}", words.notes(content["spec"].notes))  # no tag begins so
    return TEMPLATES.get_template("report.md.jinja").render(content, notes=notes)


def _content(experiment: Experiment) -> dict[str, Any]:
    """What both forms say."""
    spec = experiment.spec()
    own = experiment.runs()
    chosen = tables.in_order(run for run in own if run.name not in spec.hidden)
    compared, apart = pairs.of_methods(chosen)
    rows = tables.summary(chosen)
    folded = by_seed(rows)
    results = {name: result for name, run in tables.named(chosen).items() if (result := run.results())}
    probed = [row for row in rows if row["linear"] is not None and row["run"] in results]
    settings, labels = _settings(chosen)
    return {
        "experiment": experiment,
        "spec": spec,
        "command": "\n".join((spec.command or "").splitlines()),
        "title": spec.title or experiment.name,
        "runs": chosen,
        "n_runs": words.count(len(chosen), "run"),
        "hidden": len(own) - len(chosen),
        "states": words_of_states(rows),
        "made": _day(time.time()),
        "begun": _day(spec.created) if spec.created else "",
        "results": results,
        "probed": probed,
        "answer": [one | {"n": n} for one in folded if (n := _n(one))],
        "waiting": [one["label"] for one in folded if not _n(one)],
        "warnings": warned({name: run.status() for name, run in tables.named(chosen).items()}),
        "unprobed": sorted({str(result["note"]) for result in results.values() if result.get("note")}),
        "differences": [*(pair.sentence for pair in compared), *apart],
        "baselines": _baselines(rows),
        "protocol": _protocol(results.values()) + _tests(compared),
        "questions": questions.all_of(probed, results),
        "settings": settings,
        "labels": labels,
        "environments": _environments(chosen),
    }


def _n(folded: Mapping[str, Any]) -> int:
    """How many of the folded runs' seeds have results."""
    return max(folded["linear_n"], folded["knn_n"], folded["seconds_n"])


def _tests(compared: Sequence[Pair]) -> list[tuple[str, str]]:
    """How the differences were tested, and on which runs not."""
    used = {pair.difference.test for pair in compared}
    told = [("Differences over seeds", stats.OVER_SEEDS)] * ("seeds" in used) + [
        ("Differences over images", stats.OVER_IMAGES)
    ] * ("images" in used)
    told += [
        (f"{style.title(pair.a)} − {style.title(pair.b)}", f"left out {pair.left_out}") for pair in compared if pair.left_out
    ]
    return told + [("Several differences", stats.HOLM)] * (len(compared) > 1 and bool(told))


def _day(seconds: float) -> str:
    return time.strftime("%-d %B %Y", time.localtime(seconds))


def words_of_states(rows: Sequence[Mapping[str, Any]]) -> str:
    """6 runs: 5 finished, 1 failed."""
    states = Counter(row["state"] for row in rows)
    parts = [f"{states[state]} {word}" for state, (word, _, _) in words.STATES.items() if states[state]]
    return f"{words.count(len(rows), 'run')}{': ' if parts else ''}{', '.join(parts)}"


def _baselines(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What needs no training, a line for each kind of images and encoder: label, n seeds, linear and knn with their spread."""
    lines: dict[str, dict[str, Any]] = {}
    kinds = labels.kinds(rows)
    for one in untrained(rows):
        encoder, on = kinds[kind(one)]
        label = f"Untrained encoder{encoder}{on}"
        n = max(one["random_linear_n"], one["random_knn_n"])
        accuracies = {f"{name}{of}": one[f"random_{name}{of}"] for name in ("linear", "knn") for of in ("", "_std")}
        lines |= {label: {"label": label, "n": n, **accuracies}} if n else {}
        label = f"Raw pixels{on}"
        if one["pixels_knn_n"]:  # the same in every run
            lines[label] = dict.fromkeys(accuracies) | {"label": label, "n": "", "knn": one["pixels_knn"]}
    return list(lines.values())


def _protocol(results: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(what, how it was obtained) in the words of the runs that measured it; each wording once."""
    told: dict[tuple[str, str], None] = {}
    for result in results:
        for title, name in (
            ("Linear probe", "linear"),
            ("kNN", "knn"),
            ("Untrained encoder", "baselines"),
            ("Time, speed, memory", "cost"),
            ("UMAP", "umap"),
        ):
            if said := words.protocol(result.get(name)):
                told[title, said] = None
        for title, told_by in PROTOCOLS.items():
            told |= {(title, said): None for said in told_by(result) if said}
    return sorted(told, key=lambda pair: [title for title, _ in told].index(pair[0]))


def _settings(runs: Sequence[Run]) -> tuple[list[dict[str, Any]], list[str]]:
    """(options with their value for each label, in the model's order, and whether they differ; the labels).

    Runs of one label differ in their seed alone.
    """
    called = list(tables.labels(runs).values())
    configs = [run.config.flat() for run in runs]
    labels = list(dict.fromkeys(called))
    lines = []
    for name in configs[0] if configs else ():
        values = {
            label: list(dict.fromkeys(words.setting(config[name]) for config, own in zip(configs, called) if own == label))
            for label in labels
        }
        said = [", ".join(values[label]) for label in labels]
        lines.append({"name": name, "values": said, "differs": len(set(said)) > 1})
    return lines, labels


def _environments(runs: Iterable[Run]) -> list[tuple[str, dict[str, str]]]:
    """(the runs that share it, name -> value) of each environment in which runs were trained."""
    found: dict[str, tuple[list[str], dict[str, str]]] = {}
    for run in runs:
        if said := run.environment():
            flat = {
                name.removeprefix("packages."): words.setting(value)
                for name, value in flatten(said).items()
                if name not in ("command", "parameters", "peak_learning_rate") and ".data." not in f".{name}"
            }
            found.setdefault(json.dumps(flat), ([], flat))[0].append(run.name)
    return [(", ".join(names) if len(found) > 1 else "", flat) for names, flat in found.values()]


# -- Figures ------------------------------------------------------------------------------------


def _sections(runs: Sequence[Run], probed: labels.Rows, results: labels.Results) -> dict[str, list[Chart]]:
    """The report's charts, by section. `probed` are the rows of the runs that were."""
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
        "heads": _heads(probed, results),
    }


def _accuracy(rows: labels.Rows) -> list[Chart]:
    if not rows:
        return []
    n_labels = len({row["label"] for row in rows})
    caption = (
        "Bars: the 95 % interval of a single run, or ± one standard deviation over seeds, each of which is a small dot. Ticks: "
        "what needs no training."
    )
    alt = (
        "Accuracy of the linear probe and of kNN for each method, with the accuracies of the untrained encoder and of raw pixels"
    )
    return [Chart(probe.accuracy(rows), "accuracy", alt, 190 + 62 * n_labels, caption)]


def _loss(logged: tuple[tables.Curve, ...], method: str) -> Chart:
    height = 340 + LEGEND * (_n_labels(logged) - 1)
    return Chart(
        curves.loss(logged),
        f"loss-{method}",
        f"Training loss of {style.title(method)} by optimizer step, with its chance level",
        height,
    )


def _metric(logged: tuple[tables.Curve, ...], name: str) -> Chart:
    return Chart(
        curves.metric(logged, name),
        name,
        f"{curves.METRICS[name][0]} by optimizer step, all runs overlaid",
        320 + LEGEND * max(0, _n_labels(logged) - 3),
    )


def _n_labels(logged: tuple[tables.Curve, ...]) -> int:
    return len({curve.label for curve in logged})


def _classes(rows: labels.Rows, results: labels.Results) -> list[Chart]:
    per_class = {name: own for name, result in results.items() if (own := labels.part(result, "linear").get("per_class"))}
    if not per_class:
        return []
    n = max(map(len, per_class.values()))
    height = max(360, 150 + 26 * min(n, probe.MAX_CLASSES))
    return [
        Chart(
            probe.per_class(rows, per_class),
            "per-class",
            "Accuracy of the linear probe on each class, for each method",
            height,
            probe.which_classes(rows, n),
        )
    ]


def _confusions(rows: labels.Rows, results: labels.Results) -> tuple[list[Chart], str]:
    """(those of the first run of each label, MAX_PANELS at most; how many are left out)."""
    linear = {name: labels.part(result, "linear") for name, result in results.items()}
    first: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        if linear[row["run"]].get("confusion"):
            first.setdefault(row["label"], row)
    methods = {row["run"]: row["method"] for row in first.values()}
    charts = []
    for name in tables.one_of_each(methods, MAX_PANELS):
        figure = probe.confusion(linear[name]["confusion"], linear[name]["classes"], f"What {name} confuses")
        figure.update_traces(showscale=False).update_xaxes(tickangle=-45)
        figure.update_layout(title_subtitle_text="colour: share of the true class")
        charts.append(Chart(figure, f"confusion-{name}", f"Confusion matrix of the linear probe of {name}", 380))
    return charts, _left_out(len(methods))


def _left_out(n: int) -> str:
    return f"{MAX_PANELS} of {n} shown, one of each method first; the dashboard has the others." if n > MAX_PANELS else ""


def _few_labels(rows: labels.Rows, results: labels.Results) -> list[Chart]:
    return [
        Chart(
            labels.few_labels(rows, results, name),
            name,
            f"{title}: accuracy at 1, 10 and 100 % of the training labels, for each method",
            380,
        )
        for name, title in labels.FEW.items()
        if labels.has(results, name)
    ]


def _heads(rows: labels.Rows, results: labels.Results) -> list[Chart]:
    charts, n_labels = [], len(probe.by_label(rows))
    if labels.has(results, "heads", "linear"):
        charts.append(
            Chart(
                labels.heads(rows, results),
                "heads",
                "Accuracy of the linear probe of h and of z, for each method",
                180 + 46 * n_labels,
            )
        )
    if labels.has(results, "heads", "forgets"):
        alt = "How well h and z tell grey images, other colours, rotations and mirror images apart, with chance, for each method"
        charts.append(Chart(labels.forgets(rows, results), "forgets", alt, 240 + 70 * n_labels))
    return charts


def _ablations(experiment: Experiment, runs: Sequence[Run]) -> list[tuple[str, list[Chart]]]:
    """(title, charts) of what varies beside the method and the seed: MAX_AXES settings, and the first two of them together."""
    entries = ablation.entries(experiment, runs)
    axes = ablation.axes(entries)[:MAX_AXES]
    rule = ablation.learning_rate_rule(entries)
    found = []
    for axis in axes:
        cells = ablation.cells(entries, [axis])
        named = f"against {ablations.title(axis)}, a line a method with its spread over seeds"
        drop = ablations.against(cells, axis, "linear", drop=True).update_layout(title_text="Linear probe, as drop from the best")
        height = 360 + LEGEND * (len(ablation.lines(cells)) - 1) + 16 * len(rule)
        charts = [
            Chart(ablations.against(cells, axis, "linear", notes=rule), f"{axis}-linear", f"Linear probe {named}", height),
            Chart(drop, f"{axis}-drop", f"Drop of the linear probe from its best {named}", height),
            Chart(ablations.against(cells, axis, "knn"), f"{axis}-knn", f"kNN {named}", height),
            Chart(ablations.against(cells, axis, "seconds"), f"{axis}-seconds", f"Training time {named}", 320),
        ]
        found.append((f"Against {ablations.title(axis)}", charts))
    two = [axis for axis in axes if axis != ablation.NEGATIVES][:2]  # negatives follow other settings
    if len(two) == 2:
        cells = [cell for cell in ablation.cells(entries, two) if None not in cell.at]
        ends = ablations.ends(cells, "linear", False)
        title = " and ".join(map(ablations.title, two))
        charts = [
            Chart(
                ablations.heat(own, two, "linear", ends),
                f"heat-{k}",
                f"Heat map of the linear probe over {title} for {ablations.label(own[0])}",
                340,
            )
            for k, own in enumerate(ablation.lines(cells).values())
        ]
        found.append((f"Linear probe: {title}", charts))
    return found


def _embeddings(runs: Sequence[Run]) -> tuple[list[Chart], list[str]]:
    """(the last layout of each label's first run, laid over the first one, MAX_PANELS at most; what is left out or missing)."""
    named, called = tables.named(runs), tables.labels(runs)
    found: dict[str, str] = {}  # label -> its first run that has a layout
    missing: dict[str, str] = {}
    for name, run in named.items():
        if called[name] in found or run.status().state != "finished":
            continue
        try:
            if embeddings.read(run).umap:
                found[called[name]] = name
        except ValueError as error:
            missing.setdefault(called[name], str(error))
    shown = tables.one_of_each({name: named[name].config.method for name in found.values()}, MAX_PANELS)
    charts = []
    for name in shown:
        run, label = named[name], called[name]
        own, reference = embeddings.read(run), embeddings.read(named[shown[0]])
        names = next(
            filter(None, (embeddings.classes(other) for other in [run, *runs] if other.config.dataset == run.config.dataset)), []
        )
        _, layout = embeddings.at_epoch(own.umap, None)
        points = embeddings.points(own, embeddings.laid_over(own, layout, reference), names)
        points = points.sample(min(MAX_POINTS, len(points)), random_state=0).sort_index()
        title = label if len(runs) == len(found) else f"{label} · seed {run.config.seed}"
        figure = embedding.panel(
            points,
            classes=names or sorted(set(points["class"])),
            dataset=run.config.dataset,
            title=title,
            subtitle=_faithful(run),
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
    said = [f"{label}: {why}." for label, why in missing.items() if label not in found]
    return charts, [*filter(None, [_left_out(len(found))]), *said]


def _faithful(run: Run) -> str:
    """How far the layout can be believed."""
    value = number(run.results(), "umap.trustworthiness")
    return "" if value is None else f"trustworthiness {value:.2f}"


# -- Images -------------------------------------------------------------------------------------


def _uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _sheets(runs: Sequence[Run]) -> list[Sheet]:
    """The sample sheets of the runs' data sets, where their tiles can be told by the sample of a run."""
    sheets: dict[str, Sheet] = {}
    for run in runs:
        dataset, file = run.config.dataset, run.experiment.sample_sheet(run.config.dataset)
        samples = {
            (other.config.dataset, other.config.evaluate.sample)
            for other in runs
            if other.experiment.sample_sheet(other.config.dataset) == file
        }
        if dataset in sheets or len(samples) > 1:  # the sheet is of one of them, and it is not known of which
            continue
        with suppress(ValueError, OSError, ZeroDivisionError):
            indices = sorted(embeddings.read(run).index.tolist())
            with Image.open(file, formats=["WEBP"]) as image:
                side = image.width // SHEET_COLUMNS
                if -(-len(indices) // SHEET_COLUMNS) == image.height // side:  # else it is of another sample
                    sheets[dataset] = Sheet(dataset, _uri(_small(file, image, side), "webp"), json.dumps(indices))
    return list(sheets.values())


def _small(file: Path, image: Image.Image, side: int) -> bytes:
    """The sheet as it is; with smaller tiles where it is larger than MAX_SHEET."""
    content = file.read_bytes()
    while len(content) > MAX_SHEET and side > 8:
        side = side * 3 // 4
        rows = image.height * SHEET_COLUMNS // image.width
        packed = io.BytesIO()
        image.convert("RGB").resize((SHEET_COLUMNS * side, rows * side), Image.Resampling.BICUBIC).save(
            packed, "WEBP", quality=75
        )
        content = packed.getvalue()
    return content


# -- Theme and scripts --------------------------------------------------------------------------


@cache
def _colours() -> str:
    """The app's colours, light and dark, as the variables that chart.js and the stylesheets use."""
    theme = tomllib.loads(THEME.read_text(encoding="utf-8"))["theme"]
    light, dark = (_variables({**theme[name], "font": theme["font"]}) for name in ("light", "dark"))
    return f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}"


def _variables(theme: Mapping[str, str]) -> str:
    text, paper, border = theme["textColor"], theme["backgroundColor"], theme["borderColor"]
    values = {
        "text-color": text,
        "gray-text-color": _mixed(text, paper, 0.65),
        "background-color": paper,
        "secondary-background-color": theme["secondaryBackgroundColor"],
        "border-color": border,
        "border-color-light": _mixed(border, paper, 0.6),
        "primary-color": theme["primaryColor"],
        "font": theme["font"],
    }
    return " ".join(f"--st-{name}: {value};" for name, value in values.items())


def _mixed(colour: str, paper: str, share: float) -> str:
    pairs = ((int(colour[i : i + 2], 16), int(paper[i : i + 2], 16)) for i in (1, 3, 5))
    return "#" + "".join(f"{round(share * a + (1 - share) * b):02x}" for a, b in pairs)


@cache
def _script() -> str:
    return (HERE / "chart.js").read_text(encoding="utf-8") + (HERE / "report.js").read_text(encoding="utf-8")


@cache
def policy() -> str:
    """The content security policy of the file: its two scripts, inline styles and images, and no address outside the file."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in (get_plotlyjs(), _script())]
    scripts = " ".join(f"'sha256-{one}'" for one in hashes)
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; form-action "
        "'none'"
    )
