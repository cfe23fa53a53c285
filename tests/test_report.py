"""The report: the folder's numbers and the app's colours in one file, in which nothing but its own scripts can run."""

import base64
import hashlib
import json
import re
import statistics
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from PIL import Image
from plotly.offline import get_plotlyjs

from dashboard import embeddings, report, tables, words
from dashboard.__main__ import main
from dashboard.figures import style
from dashboard.report import charts, content, images
from sslcore.analysis import pairs, stats
from sslcore.analysis.order import in_order
from sslcore.analysis.pairs import Pair
from sslcore.analysis.stats import over_seeds
from sslcore.analysis.summary import by_seed
from sslcore.datasets import SHEET_COLUMNS
from sslcore.experiment import Run, Spec, Store
from sslcore.files import write_json
from sslcore.plan import plan
from tests import synthetic

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}`|# %{x}"


@pytest.fixture(scope="module")
def experiment(tmp_path_factory, data_cache):
    """The default comparison, as a quick start leaves it: three methods, two seeds, every file that the screen shows."""
    experiment = synthetic.store(tmp_path_factory.mktemp("store"))
    synthetic.embed(experiment)
    for run in experiment.runs():
        synthetic.questions(run)
    with experiment.editing() as spec:
        spec.command = "python -m sslcore launch photos --name photos"
    return experiment


@pytest.fixture(scope="module")
def page(experiment):
    return report.html(experiment)


class Parsed(HTMLParser):
    """Elements with their attributes, the text outside of scripts, and the content of each script."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.words, self.scripts = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data):
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        elif self.cdata_elem is None:
            self.words.append(data)

    @property
    def tags(self) -> Counter:
        return Counter(tag for tag, _ in self.elements)

    @property
    def text(self) -> str:
        return "".join(self.words)


def figures(parsed: Parsed) -> dict[str, dict]:
    """The charts' JSON by their names."""
    names = [attributes["data-name"] for tag, attributes in parsed.elements if attributes.get("class") == "chart"]
    data = [
        script
        for script, (_, attributes) in zip(parsed.scripts, [e for e in parsed.elements if e[0] == "script"])
        if attributes.get("type") == "application/json"
    ]
    assert len(names) == len(data) == len(set(names))
    return {name: json.loads(text) for name, text in zip(names, data)}


def array(value) -> np.ndarray:
    return np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"]) if isinstance(value, dict) else np.array(value)


# -- What it says ------------------------------------------------------------------


def test_it_is_small_and_points_to_nothing_outside_itself(page):
    assert len(page.encode()) < 8_000_000
    for tag, attributes in Parsed(page).elements:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert attributes.get("src", "data:").startswith("data:"), tag
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "https:").startswith(("http", "mailto:", "#"))


def test_its_policy_names_its_own_scripts_and_no_address(page):
    parsed = Parsed(page)
    policy = next(
        attributes["content"] for tag, attributes in parsed.elements if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    executed = [
        script
        for script, (_, a) in zip(parsed.scripts, [e for e in parsed.elements if e[0] == "script"])
        if a.get("type") != "application/json"
    ]
    assert len(executed) == 2 and executed[0] == get_plotlyjs()
    allowed = {f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in executed}
    directives = {line.split()[0]: set(line.split()[1:]) for line in policy.split(";")}
    assert (
        directives["default-src"] == {"'none'"}
        and directives["script-src"] == allowed
        and directives["img-src"] == {"data:", "blob:"}
    )
    assert "http" not in policy and "unsafe-eval" not in policy


def test_its_curves_are_the_folders_metrics_in_the_apps_colours(experiment, page):
    drawn = figures(Parsed(page))
    for run in experiment.runs():
        logged = pd.DataFrame(run.metrics()).dropna(subset=["loss"])
        (trace,) = (t for t in drawn[f"loss-{run.config.method}"]["data"] if "series" in t.get("meta", {}))
        (part,) = (k for k, name in enumerate(trace["meta"]["series"]) if name.endswith(f", seed {run.config.seed}"))
        x, y = (np.split(array(trace[axis]), np.flatnonzero(np.isnan(array(trace["x"]))))[part] for axis in "xy")
        assert np.array_equal(x[~np.isnan(x)], logged["step"].to_numpy(np.float32))
        assert np.array_equal(y[~np.isnan(y)], logged["loss"].to_numpy(np.float32))
        assert trace["line"]["color"] == style.colour(run.config.method) and trace["line"]["dash"] == style.dash(
            run.config.method
        )


def test_its_table_says_what_the_folder_says(experiment, page):
    text = " ".join(Parsed(page).text.split())
    for row in by_seed(tables.summary(experiment.runs())):
        assert " ".join([row["label"], "2", words.share(row["linear"], row["linear_std"]).split(" %")[0]]) in text
        assert words.duration(row["seconds"]) in text
    compared, _ = pairs.compare(
        pairs.contestants(in_order(experiment.runs()), "method"),
        {m: style.title(m) for m in synthetic.QUALITY},
        [],
        "linear",
    )
    for pair in compared:
        assert pair.sentence in text
    assert experiment.spec().command in text and experiment.spec().question in text
    for part in ("linear", "knn"):
        assert experiment.runs()[0].results()[part]["protocol"] in text


def test_its_answer_has_an_interval_over_seeds_too(experiment, page):
    """Of the mean, as Evidence has it."""
    text, written = " ".join(Parsed(page).text.split()), report.markdown(experiment)
    rows = tables.summary(experiment.runs())
    for folded in by_seed(rows):
        mean = stats.aggregate([row["linear"] for row in rows if row["run"] in folded["runs"]], 0, 1)
        assert mean.n == 2
        assert f"{100 * mean.low:.1f} to {100 * mean.high:.1f} %" in text and stats.AGGREGATE in text
        assert f"| {100 * mean.low:.1f} – {words.percent(mean.high)} |" in written


def test_the_further_probes_are_drawn_tabled_and_their_protocols_told(experiment, page):
    drawn, parsed, written = figures(Parsed(page)), Parsed(page), report.markdown(experiment)
    assert {"label_efficiency", "fine_tuning", "heads", "forgets"} <= set(drawn)
    byol = [run.results() for run in experiment.runs() if run.config.method == "byol"]
    line = next(trace for trace in drawn["fine_tuning"]["data"] if trace["name"] == "BYOL")
    np.testing.assert_allclose(array(line["y"]), np.mean([[row["accuracy"] for row in of["fine_tuning"]] for of in byol], axis=0))
    assert "On other images" in parsed.text and parsed.text.count("digits") == 3 and parsed.text.count("90.0 ± 0.0 %") == 3
    assert written.count("| 90.0 ± 0.0 % | 88.0 ± 0.0 % | 80.0 ± 0.0 % | 70.0 ± 0.0 % | 85.0 % |") == 3, "pixels have no seed"
    means = [
        words.share(*(f([of["label_efficiency"][k]["accuracy"] for of in byol]) for f in (statistics.fmean, statistics.stdev)))
        for k in range(3)
    ]
    assert f"| BYOL | 2 | {' | '.join(means)} |" in written
    assert "## h against z" in written and "| which rotation, h |" in written.replace("\\", "") and "From scratch" in written
    for told in ("of each class that share", "the run's recipe", "both in eval mode", "resized"):
        assert told in parsed.text and told in written.replace("\\", "")


def test_every_label_has_its_embedding_and_the_images_are_there(experiment, page):
    parsed = Parsed(page)
    (sheet,) = (attributes for _, attributes in parsed.elements if attributes.get("class") == "sheet")
    places = json.loads(sheet["data-indices"])
    assert base64.b64decode(sheet["src"].split(",")[1]) == experiment.sample_sheet("photos").read_bytes()
    for method in ("moco", "simclr", "byol"):
        shown = [trace for trace in figures(parsed)[f"umap-{method}-bs256-s0"]["data"] if trace.get("meta")]
        indices = np.concatenate([array(trace["customdata"]) for trace in shown])
        assert sorted(indices.tolist()) == places and {trace["meta"]["dataset"] for trace in shown} == {sheet["data-dataset"]}
        assert {trace["type"] for trace in shown} == {"scatter"}  # WebGL would need eval, which the policy forbids


def test_runs_that_are_left_out_are_counted_by_why(experiment):
    with experiment.editing() as spec:
        spec.hidden = ["moco-bs256-s0", "moco-bs256-s1"]
    try:
        config = experiment.run("byol-bs256-s0").config_file.read_text()
        experiment.run("byol-bs256-s0").config_file.write_text("{")
        parsed = Parsed(report.html(experiment))
    finally:
        experiment.run("byol-bs256-s0").config_file.write_text(config)
        with experiment.editing() as spec:
            spec.hidden = []
    assert "MoCo" not in parsed.text and "loss-moco" not in figures(parsed)
    assert "3 finished, 3 more left out (2 hidden by hand, 1 that cannot be read)" in parsed.text


def test_an_ablation_is_drawn(tmp_path):
    spec = Spec(base={"dataset": "photos"}, axes={"method": ["moco", "byol"], "batch_size": [64, 256], "head.dim": [64, 128]})
    experiment = Store(tmp_path).create("grid", spec, plan(spec).configs)
    for run in experiment.runs()[1:]:
        synthetic.write_results(run)
    parsed = Parsed(report.html(experiment))
    drawn = figures(parsed)
    assert {
        "batch_size-linear",
        "batch_size-drop",
        "batch_size-knn",
        "batch_size-seconds",
        "head.dim-linear",
        "heat-0",
        "heat-1",
    } <= drawn.keys()
    runs = experiment.runs()
    assert f"Without results: {tables.labels(runs)[runs[0].name]}." in parsed.text


def test_settings_that_are_not_drawn_are_named(tmp_path):
    axes = {"batch_size": [64, 256], "learning_rate": [0.1, 0.2], "weight_decay": [0, 1e-4], "simclr.temperature": [0.1, 0.5]}
    spec = Spec(base={"dataset": "photos", "method": "simclr"}, axes=axes)
    name, config = next(iter(plan(spec).configs.items()))
    experiment = Store(tmp_path).create("grid", spec, {name: config})
    synthetic.write_results(experiment.run(name))
    parsed = Parsed(report.html(experiment))
    drawn = {name.rpartition("-")[0] for name in figures(parsed) if name.endswith("-linear")}
    assert drawn == {"batch_size", "learning_rate", "weight_decay"}
    assert "The dashboard also draws them against temperature, negatives per positive." in parsed.text


def test_of_two_data_sets_it_says_which_images_are_the_same_and_how_many_classes_there_are(tmp_path, data_cache):
    experiment = synthetic.store(
        tmp_path, methods=("byol",), seeds=(0,), axes={"dataset": ["photos", "digits"]}, steps=20, **{"evaluate.sample": 60}
    )
    synthetic.embed(experiment)
    for name, run in zip("ab", experiment.runs()):
        twenty = {f"{name}{k}": k / 20 for k in range(20)}
        write_json(run.results_file, run.results() | {"linear": run.results()["linear"] | {"per_class": twenty}})
    text = Parsed(report.html(experiment)).text
    assert "The same images in each panel of one data set" in text and "The 30 of 40 classes" in text


def test_differences_say_by_which_accuracy_they_are_and_over_how_many_settings(tmp_path):
    experiment = synthetic.store(tmp_path, methods=("moco", "byol"), seeds=(0, 1), axes={"batch_size": [64, 256]}, steps=20)
    said = (
        "What may be said by the linear probe on these test images, at equal settings (each seed's difference is the mean over 2 "
        "settings):"
    )
    assert said in Parsed(report.html(experiment)).text and said in report.markdown(experiment).replace("\\", "")


def test_a_number_of_fewer_seeds_than_its_line_says_of_how_many(tmp_path):
    experiment = synthetic.store(tmp_path, methods=("moco",), seeds=(0, 1, 2), steps=20)
    first, second, _ = experiment.runs()
    results = first.results()
    baselines = {"random_encoder": {"linear": 0.5}, "pixels": {"knn": 0.4}}
    write_json(first.results_file, {**results, "linear": None, "cost": {"seconds": 100.0}, "baselines": baselines})
    write_json(second.results_file, second.results() | {"cost": {}})
    line, untrained, pixels = rows(report.markdown(experiment))[2:]
    said = [re.findall(r"N = (\d)", cell) for cell in line]
    assert line[1] == "3" and said == [[], [], ["2"], [], [], ["2"], ["1"], ["1"]]
    assert (untrained[1], pixels[1]) == ("3", "") and "(N = 2)" in untrained[4] and not any("N =" in cell for cell in pixels)
    assert Parsed(report.html(experiment)).text.count("(N = ") == 5


def rows(markdown: str) -> list[list[str]]:
    """The cells of the first table's lines."""
    text = markdown.replace("\\", "")
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")][:5]


def test_markdown_says_what_the_charts_and_the_app_would(experiment):
    """All settings, of how many seeds a number is, what is told by chance, and what h and z are."""
    written = report.markdown(experiment).replace("\\", "")
    config = experiment.runs()[0].config
    for name in config.flat().keys() - {"method", "seed"}:
        assert f" {name} {words.setting(config.flat()[name])}" in written
    assert "## h against z\n\nh is what the encoder puts out, z what the head makes of it" in written
    assert "| Chance |  | – | – | 50.0 % | 50.0 % | 25.0 % | 25.0 % |" in written
    few = written[written.index("## Linear probe with few labels") :].splitlines()
    assert "training labels" in few[2] and few[4].startswith("|  | N | 1 % (40 images) |") and few[6].startswith("| MoCo | 2 | ")


def test_it_says_at_its_head_on_what_and_for_how_long_all_runs_were_trained(experiment, tmp_path):
    same = "The same in all runs: dataset photos, image_size 32, encoder small, epochs 20, batch_size 256"
    written = report.markdown(experiment).replace("\\", "")
    assert same in Parsed(report.html(experiment)).text and same in written
    assert "seed" not in written[written.index(same) :].partition("\n")[0], "which they differ in"
    other = synthetic.store(tmp_path, methods=("moco",), seeds=(0,), steps=20, axes={"batch_size": [64, 256]})
    assert "epochs 20\n" in Parsed(report.html(other)).text


def test_pictures_and_baselines_say_of_what_they_are(tmp_path, data_cache, monkeypatch):
    experiment = synthetic.store(tmp_path, methods=("moco", "byol"), seeds=(0,), steps=20, **{"evaluate.sample": 60})
    synthetic.embed(experiment)
    moco, byol = in_order(experiment.runs())
    byol.views_file.write_bytes(b"RIFF....WEBP")
    for run, side in ((moco, 32), (byol, 16)):
        baselines = run.results()["baselines"] | {"pixels": {"knn": 0.4, "side": side}}
        write_json(run.results_file, run.results() | {"baselines": baselines})
    monkeypatch.setattr(charts, "MAX_POINTS", 50)
    text = Parsed(html := report.html(experiment)).text
    assert "random views of each below it, as byol-bs256-s0 draws them" in text
    assert "of images 32 px wide (moco-bs256-s0)" in text and "of images 16 px wide (byol-bs256-s0)" in text
    assert html.count("trustworthiness 0.95, 50 of 60 images shown") == 2
    monkeypatch.undo()
    assert "images shown" not in report.html(experiment)


@pytest.mark.parametrize("checksums", [("a1", "a1"), ("a1", "b2")])
def test_a_layout_is_turned_to_agree_with_one_of_the_same_images_alone(tmp_path, data_cache, checksums):
    experiment = synthetic.store(tmp_path, methods=("moco", "byol"), seeds=(0,), steps=20, **{"evaluate.sample": 60})
    synthetic.embed(experiment)
    first, second = in_order(experiment.runs())
    for run, checksum in zip((first, second), checksums):
        write_json(run.environment_file, {"data": {"checksum": checksum}})
    layout = pd.read_parquet(second.umap_file)
    layout.assign(x=-3 * layout["y"], y=3 * layout["x"]).to_parquet(second.umap_file)
    (_, panel), which, _ = charts.layouts([first, second])
    assert which == "The same images in each panel" + " of one data set" * (checksums[0] != checksums[1])
    drawn = np.sort(np.concatenate([np.asarray(trace.x, float) for trace in panel.figure.data if trace.meta]))
    own = np.sort(list(embeddings.read(second).umap.values())[-1][:, 0])
    assert np.allclose(drawn, own, atol=1e-3) == (checksums[0] != checksums[1])


def test_of_samples_of_different_sizes_it_does_not_say_that_they_are_the_same_images(tmp_path, data_cache):
    axes = {"evaluate.sample": [40, 60]}
    experiment = synthetic.store(tmp_path, methods=("moco", "byol"), seeds=(0,), steps=20, axes=axes)
    synthetic.embed(experiment)
    few, many = (("moco", 40), ("byol", 60))
    chosen = [run for run in experiment.runs() if (run.config.method, run.config.evaluate.sample) in (few, many)]
    panels, which, _ = charts.layouts(chosen)
    assert len(panels) == 2 and which.endswith("not the same in each panel")


def test_of_many_settings_each_method_is_drawn_and_how_many_are_left_out_is_told(tmp_path, data_cache):
    experiment = synthetic.store(tmp_path, seeds=(0,), steps=20, axes={"batch_size": [64, 128, 256]}, **{"evaluate.sample": 60})
    synthetic.embed(experiment)
    runs = experiment.runs()
    for run in runs:
        results = run.results()
        results["linear"]["per_class"] = {f"class {k}": k / 100 for k in range(100)}
        write_json(run.results_file, results)
    parsed = Parsed(report.html(experiment))
    drawn = figures(parsed)
    for kind in ("umap", "confusion"):
        shown = [run.config.method for run in runs if f"{kind}-{run.name}" in drawn]
        assert len(shown) == charts.MAX_PANELS and set(shown) == {"moco", "simclr", "byol"}
    assert parsed.text.count("6 of 9 shown, one of each method first") == 2 and "30 of 100 classes" in parsed.text


def test_names_below_a_confusion_matrix_are_turned_as_far_as_their_number_needs(page):
    """By plotly, which sees how wide a column is; at an angle given beforehand the names of ten classes lay on each other."""
    drawn = figures(Parsed(page))
    matrices = [figure for name, figure in drawn.items() if name.startswith("confusion-")]
    assert matrices and all("tickangle" not in figure["layout"]["xaxis"] for figure in matrices)


def test_an_embedding_that_is_missing_is_said_to_be(tmp_path):
    experiment = synthetic.store(tmp_path, methods=("byol",), seeds=(0,))
    assert (
        "BYOL: embeddings.npz is missing; python -m sslcore evaluate photos/byol-bs256-s0 makes it again."
        in Parsed(report.html(experiment)).text
    )


@pytest.mark.parametrize("state", ["queued", "failed", "unlabelled", "empty", "torn"])
def test_whatever_there_is_has_a_report(tmp_path, state):
    experiment = synthetic.store(tmp_path, methods=("byol",), seeds=(0,))
    (run,) = experiment.runs()
    if state == "queued":
        run.results_file.unlink()
        run.metrics_file.unlink()
        run.write_status(synthetic.status(run, "queued"))
    elif state == "failed":
        synthetic.failed(run)
    elif state == "unlabelled":
        synthetic.write_results(run, labelled=False)
    elif state == "empty":
        run.config_file.unlink()
    else:
        run.results_file.write_text('{"linear": {"accuracy"')
        run.umap_file.write_bytes(b"PAR1")
        run.embeddings_file.write_bytes(b"PK")
        run.environment_file.write_text('{"packages": {"a": 1}, "packages.a": 2}')
    parsed = Parsed(report.html(experiment))
    assert experiment.spec().title in parsed.text and experiment.spec().title in report.markdown(experiment)
    assert ("No run has been probed yet" in parsed.text) == (state != "unlabelled")
    assert ("photos has no labels" in parsed.text) == (state == "unlabelled")
    assert "What a method learnt" not in parsed.text + report.markdown(experiment), "of probes, where there are none"


def test_it_is_made_anew_when_a_file_changes(tmp_path):
    experiment = synthetic.store(tmp_path, methods=("byol",), seeds=(0,), steps=50)
    first = report.kept_html(experiment)
    assert report.kept_html(experiment) is first
    synthetic.write_metrics(experiment.runs()[0], 60, first=50)
    assert report.kept_html(experiment) != first
    with experiment.editing() as spec:
        spec.title = "Another title"
    assert "<h1>Another title</h1>" in report.kept_html(experiment)


def test_it_is_made_anew_when_a_run_has_died_of_which_no_file_tells(tmp_path, monkeypatch):
    experiment = synthetic.store(tmp_path, methods=("byol",), seeds=(0, 1), steps=50)
    synthetic.running(experiment.runs()[0])
    assert "1 running" in report.kept_html(experiment)
    monkeypatch.setattr(Run, "alive", lambda run, status: False)
    assert "1 interrupted" in report.kept_html(experiment)


def test_code_in_notes_keeps_its_signs_in_markdown_and_no_tag_begins(tmp_path):
    experiment = synthetic.store(tmp_path, methods=("byol",), seeds=(0,), steps=50)
    with experiment.editing() as spec:
        spec.notes = "`lr < 0.1` <b>bold</b> <!-- gone -->"
    written = report.markdown(experiment)
    assert "`lr < 0.1`" in written and not re.search(r"<[A-Za-z/!?]", written)


# -- What it does not do -----------------------------------------------------------


def spoilt(root, text: str):
    """An experiment whose every text is `text`."""
    experiment = synthetic.store(root, methods=("byol", "moco"), seeds=(0,))
    with experiment.editing() as spec:
        spec.title = spec.question = spec.command = text
        spec.tags = [text]
    for run in experiment.runs():
        results = run.results()
        linear = results["linear"]
        linear["classes"] = [text, *linear["classes"][1:]]
        linear["per_class"] = dict(zip(linear["classes"], linear["per_class"].values()))
        for part in ("linear", "knn"):
            results[part]["protocol"] = text
        results["cost"]["device"] = text
        results |= {"label_efficiency_protocol": text, "heads": {"protocol": text}, "transfer": {"digits": {"protocol": text}}}
        write_json(run.results_file, results)
        write_json(run.environment_file, {"device": text, "packages": {text: text}})
        run.update_status(warnings=[text])
    return experiment


def test_texts_of_a_folder_stay_text(tmp_path):
    hostile, harmless = (spoilt(tmp_path / str(k), text) for k, text in enumerate((HOSTILE, "harmless")))
    seen, expected = Parsed(report.html(hostile)), Parsed(report.html(harmless))
    assert seen.tags == expected.tags
    assert [sorted(attributes) for _, attributes in seen.elements] == [sorted(attributes) for _, attributes in expected.elements]
    assert seen.text.count(HOSTILE) == expected.text.count("harmless") > 5
    for name, figure in figures(seen).items():
        assert "<script" not in json.dumps(figure), name  # plotly knows some tags of its own

    written = MarkdownIt("gfm-like", {"linkify": False}).parse(report.markdown(hostile))
    inside = [child for token in written for child in token.children or ()]
    assert not [token for token in [*written, *inside] if token.type.startswith("html")]
    assert "".join(token.content for token in inside).count(HOSTILE) > 3


SAFE_TAGS = set("h1 h2 h3 h4 h5 h6 p a em strong s code pre ul ol li blockquote hr br table thead tbody tr th td".split())


def harmless(notes: str) -> None:
    for tag, attributes in Parsed(report.MARKDOWN.render(notes)).elements:
        assert tag in SAFE_TAGS, tag
        assert set(attributes) <= {"href", "title", "start", "class", "style"}, attributes
        assert re.fullmatch(r"(text-align:(left|right|center))?", attributes.get("style", ""))
        assert not re.match(
            r"[\s\x00-\x20]*(javascript|vbscript|data|file)[\s\x00-\x20]*:", attributes.get("href", ""), re.IGNORECASE
        )


@pytest.mark.parametrize(
    "notes",
    [
        HOSTILE,
        "<b>bold</b>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](java\tscript:alert(1))",
        "[x](\x01javascript:alert(1))",
        "<javascript:alert(1)>",
        "[x]: javascript:alert(1)\n[x]",
        "![x](https://elsewhere/pixel.png)",
        "![x](data:image/svg+xml,<svg onload=alert(1)>)",
        '[x](http://a "onmouseover=alert(1)")',
        "[x](data:text/html,<script>alert(1)</script>)",
        "```html onload=alert(1)\n<script>\n```",
        "| <img src=x> |\n|--|\n| <svg/onload=alert(1)> |",
        "[" * 5000 + "](" * 5000,
        ">" * 5000,
    ],
)
def test_notes_become_no_more_than_words_lists_tables_and_links(notes):
    harmless(notes)


@given(st.text("<>[]()!`'\"\\#-*_|:&;/= \n\tabcjvsriptonl", max_size=120))
@settings(max_examples=300, deadline=None)
def test_no_notes_at_all_become_more(notes):
    harmless(notes)


def test_it_needs_neither_streamlit_nor_torch():
    code = "import sys; from dashboard import report; print(*[name for name in ('streamlit', 'torch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout.strip() == "", done.stderr


# -- The command line --------------------------------------------------------------


def test_the_command_line(experiment, page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    root = ["--root", str(experiment.path.parent)]
    assert main(["report", "photos", *root]) == 0
    assert (tmp_path / "photos.html").read_text() == page
    assert main(["report", "photos", *root, "--format", "md"]) == 0
    assert main(["report", "photos", *root, "--out", "wiki.md"]) == 0
    assert (tmp_path / "photos.md").read_text() == (tmp_path / "wiki.md").read_text() == report.markdown(experiment)
    kept = sorted(path.name for path in tmp_path.iterdir())
    capsys.readouterr()
    for words_given, says in [
        (["nothing"], "no such experiment"),
        (["../photos"], "no such experiment"),
        ([experiment.runs()[0].id], "a report is of a whole experiment"),
        (["photos", "--out", "no/where.html"], "--out no/where.html: there is no folder"),
        (["photos", "--out", str(tmp_path)], "this is a folder; name a file"),
        (["photos", "--out", "x.pdf"], "--out x.pdf: name a file that ends in .html, .htm, .md"),
    ]:
        assert main(["report", *words_given, *root]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("python -m dashboard: error: ") and says in line
    assert sorted(path.name for path in tmp_path.iterdir()) == kept


def test_a_run_whose_layout_cannot_be_read_is_named(tmp_path, data_cache):
    experiment = synthetic.store(tmp_path, methods=("moco", "byol"), seeds=(0,), steps=20, **{"evaluate.sample": 60})
    synthetic.embed(experiment)
    experiment.run("byol-bs256-s0").umap_file.unlink()
    panels, _, told = charts.layouts(in_order(experiment.runs()))
    assert len(panels) == 1 and len(told) == 1
    assert told[0].startswith("BYOL: umap.parquet") and "evaluate photos/byol-bs256-s0" in told[0]


def test_two_settings_of_two_methods_have_no_heading_without_a_chart(tmp_path):
    axes = {"moco.symmetric": [False, True], "byol.predictor_hidden": [64, 128]}
    experiment = synthetic.store(tmp_path, methods=("moco", "byol"), seeds=(0,), steps=20, axes=axes)
    sections, _ = charts.varied(experiment, experiment.runs())
    assert sections and all(drawn for _, drawn in sections)


def test_what_z_forgets_is_told_of_runs_without_labels_too(tmp_path):
    experiment = synthetic.store(tmp_path, methods=("byol",), seeds=(0,), steps=50)
    (run,) = experiment.runs()
    synthetic.write_results(run, labelled=False)
    told = {"flip": {"h": 0.571, "z": 0.5, "chance": 0.5}}
    write_json(run.results_file, run.results() | {"heads": {"linear": None, "forgets": told, "protocol": "both in eval mode"}})
    assert "57.1" in report.markdown(experiment) and "What z forgets" in report.html(experiment)


def test_a_run_without_labels_is_not_among_those_with_accuracies(tmp_path):
    experiment = synthetic.store(tmp_path, methods=("moco", "byol"), seeds=(0,), steps=20)
    unlabelled = next(run for run in experiment.runs() if run.config.method == "moco")
    synthetic.write_results(unlabelled, labelled=False)
    gathered = content.gather(experiment)
    assert [row["method"] for row in gathered["probed"]] == ["byol"] and len(gathered["measured"]) == 2
    drawn = figures(Parsed(report.html(experiment)))
    of_methods = [trace["name"] for name, figure in drawn.items() if name.startswith("accuracy") for trace in figure["data"]]
    assert of_methods and not any("MoCo" in str(name) for name in of_methods)


def test_seeds_are_told_among_the_settings_in_which_runs_differ(tmp_path):
    lines, _ = content._settings(synthetic.store(tmp_path, methods=("moco", "byol"), seeds=(0, 1), steps=10).runs())
    differing = {line["name"]: line["values"] for line in lines if line["differs"]}
    assert differing == {"method": ["moco", "byol"], "seed": ["0, 1", "0, 1"]}


def test_a_hidden_run_that_cannot_be_read_is_left_out_once(tmp_path):
    one, other = synthetic.store(tmp_path, methods=("byol",), seeds=(0, 1), steps=10).runs()
    one.config_file.write_text("{")
    assert content._left_out([Run(one.path), other], [one.name], 0) == "1 more left out (1 hidden by hand)"


def test_a_report_is_made_anew_where_a_runs_folder_has_another_name(tmp_path):
    experiment = synthetic.store(tmp_path, methods=("byol",), seeds=(0,), steps=10)
    report.kept_html(experiment)
    (run,) = experiment.runs()
    run.path.rename(run.path.with_name("my-best-run"))
    assert "my-best-run" in report.kept_html(experiment)


def test_a_large_sheet_is_drawn_smaller(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 32 * SHEET_COLUMNS, 3), np.uint8)
    file = tmp_path / "sheet.webp"
    Image.fromarray(pixels).save(file, quality=85)
    assert images._small(file, Image.open(file)) == file.read_bytes()
    monkeypatch.setattr(images, "MAX_SHEET", file.stat().st_size // 2)
    assert len(images._small(file, Image.open(file))) <= images.MAX_SHEET


def test_a_single_difference_is_not_said_to_be_adjusted():
    pair = Pair("byol", "moco", over_seeds([0.01, 0.02]), 0.2, "", {0: [], 1: []}, "")
    assert [title for title, _ in content._tests([pair])] == ["Differences over seeds"]
    assert "Several differences" in dict(content._tests([pair, pair]))
