"""The Probe page's further probes: what is drawn is what was measured, and what is missing says how to get it."""

import json
import os

import numpy as np
import pytest

from dashboard import questions, report, tables
from dashboard.figures import labels, probe, style
from sslcore.analysis import pairs
from sslcore.config import nest
from sslcore.experiment import Store
from sslcore.files import write_json
from sslcore.launch import transfer
from sslcore.locks import take
from tests import synthetic
from tests.pages.driving import clean, open_page, printed, texts


@pytest.fixture
def experiment():
    experiment = synthetic.store(Store().root, seeds=(0, 1), steps=100)
    for run in experiment.runs():
        synthetic.questions(run)
    return experiment


def drawn(experiment):
    runs = tables.named(experiment.runs())
    return tables.summary(runs.values()), {name: run.results() for name, run in runs.items()}


def test_few_labels_are_means_over_seeds_with_the_untrained_encoder_in_grey(experiment):
    rows, results = drawn(experiment)
    figure = labels.few_labels(rows, results, "label_efficiency")
    reference, *lines = figure.data
    assert reference.line.color == style.NEUTRAL and [line.name for line in lines] == ["MoCo", "SimCLR", "BYOL"]
    byol = [result["label_efficiency"] for name, result in results.items() if name.startswith("byol")]
    expected = [[row["accuracy"] for row in of_run] for of_run in byol]
    np.testing.assert_allclose(lines[2].y, np.mean(expected, axis=0))
    np.testing.assert_allclose(lines[2].error_y.array, np.std(expected, axis=0, ddof=1))


def test_few_labels_of_a_single_run_have_the_spread_over_its_draws(experiment):
    rows, results = drawn(experiment)
    alone = [row for row in rows if row["seed"] == 0]
    *_, byol = labels.few_labels(alone, results, "label_efficiency").data
    assert list(byol.x) == [0.01, 0.1, 1] and list(byol.error_y.array) == [0.03, 0.01, None]
    told = [(0.03, 1, 40), (0.01, 1, 400), (None, 1, 4000)]
    assert list(map(tuple, byol.customdata)) == told, "of all labels there is one draw, and so no spread"
    assert byol.meta["columns"] == ["std", "N", "labelled images"]
    assert [text.partition(" with")[0] for text in byol.text] == [" ± 3.0 %", " ± 1.0 %", ""]


def test_how_many_images_a_share_is_stands_beside_it_where_all_runs_had_as_many(experiment):
    rows, results = drawn(experiment)

    def told():
        return [text.partition(" with ")[2] for text in labels.few_labels(rows, results, "label_efficiency").data[-1].text]

    assert told() == ["1% of the labels (40 images)", "10% of the labels (400 images)", "100% of the labels (4,000 images)"]
    next(result for name, result in results.items() if name.startswith("byol"))["label_efficiency"][0]["n"] = 12
    assert told()[:2] == ["1% of the labels", "10% of the labels (400 images)"]


def test_shares_go_from_few_labels_to_all_and_none_is_no_share(experiment):
    rows, _ = drawn(experiment)
    told = {"label_efficiency": [{"fraction": share, "accuracy": 0.5} for share in (1.0, 0.0, 0.1)]}
    shares = labels.by_share(rows, {row["run"]: told for row in rows}, "label_efficiency", "accuracy")
    assert list(shares) == [0.1, 1.0]


def test_an_untrained_encoder_is_compared_on_its_own_images_and_each_seed_counts_once(experiment):
    rows, results = drawn(experiment)
    worth = {row["run"]: 0.2 + 0.1 * row["seed"] for row in rows}
    results = {
        run: result | {"label_efficiency": [{"fraction": 0.1, "accuracy": 0.5, "random_encoder": worth[run]}]}
        for run, result in results.items()
    }
    (line,) = labels.references(rows[:-1], results, "label_efficiency").values()
    assert line == {0.1: pytest.approx([0.2, 0.3])}, "a seed's runs are one draw, however many have finished"
    rows[0] |= {"dataset": "digits"}
    assert labels.references(rows, results, "label_efficiency").keys() == {
        "untrained encoder on digits",
        "untrained encoder on photos",
    }
    names = [trace.name for trace in labels.few_labels(rows, results, "label_efficiency").data]
    assert "untrained encoder on digits" in names and len(set(names)) == len(names)
    rows[1] |= {"encoder": "another"}
    assert set(labels.references(rows[1:], results, "label_efficiency")) == {
        "untrained encoder another",
        f"untrained encoder {rows[2]['encoder']}",
    }


def test_h_is_filled_z_is_open_and_chance_is_a_line(experiment):
    rows, results = drawn(experiment)
    pair = labels.heads(rows, results).data[0]
    moco = [result["heads"]["linear"] for name, result in results.items() if name.startswith("moco")]
    np.testing.assert_allclose(pair.x, [np.mean([m["z"] for m in moco]), np.mean([m["h"] for m in moco])])
    assert list(pair.marker.symbol) == ["circle-open", "circle"]
    assert [told[0] for told in pair.text] == ["z", "h"]
    assert labels.heads(rows, results).layout.yaxis.range == (2.5, -0.5), "the first label is on top"
    forgets = labels.forgets(rows, results)
    assert sorted(shape.x0 for shape in forgets.layout.shapes) == [0.25, 0.25, 0.5, 0.5]
    assert [trace.name for trace in forgets.data[:2]] == ["MoCo, grey or not", "SimCLR, grey or not"], "so are their data as CSV"
    assert forgets.data[0].meta["x"] == "accuracy", "for there the axes of its panels have no titles"
    assert all(axis.tickangle == 0 for axis in forgets.select_xaxes()), "numbers on end reach into the panel below"


def test_h_stands_alone_where_z_is_unknown(experiment):
    rows, results = drawn(experiment)
    for result in results.values():
        del result["heads"]["linear"]["z"]
    alone = labels.heads(rows, results).data[0]
    assert len(alone.x) == 1 and alone.text[0][0] == "h" and alone.marker.symbol == ("circle",)
    for result in results.values():
        del result["heads"]["linear"]
    assert [trace.x[0] for trace in labels.heads(rows, results).data] == [None, None], "nothing but the legend's keys"


def test_what_z_forgets_has_as_much_room_between_its_panels_however_many_rows_they_have(experiment):
    rows, results = drawn(experiment)
    many = [{**row, "label": f"{row['label']} {row['seed']}"} for row in rows]
    for of, n in ((rows, 3), (many, 6)):
        layout = labels.forgets(of, results).layout
        gap = layout.yaxis.domain[0] - layout.yaxis3.domain[1]
        assert gap * (106 + 70 * n) == pytest.approx(64), "pixels, of what titles and legend leave of the height"


def test_chance_is_the_mean_over_runs_and_lies_within_its_panel(experiment):
    rows, results = drawn(experiment)
    for k, result in enumerate(results.values()):
        result["heads"]["forgets"] = {"rotation": {"h": 0.9, "z": 0.8, "chance": 0.2 + 0.1 * (k % 2)}}
    figure = labels.forgets(rows, results)
    (chance,), (low, high) = (shape.x0 for shape in figure.layout.shapes), figure.layout.xaxis.range
    assert labels.forgotten({"of another": {"heads": {"forgets": {"flip": {"h": "x", "chance": 0.5}}}}}) == []
    assert chance == pytest.approx(0.25) and low < chance and high > 0.9


def test_a_seed_whose_run_is_there_twice_counts_once(experiment):
    rows, results = drawn(experiment)
    twice = [*rows, *({**row, "run": f"{row['run']} again", "linear_low": None} for row in rows if row["seed"] == 0)]
    both = results | {row["run"]: results[row["run"].removesuffix(" again")] for row in twice}
    per_class = {run: result["linear"]["per_class"] for run, result in both.items()}
    assert probe.accuracy(twice) == probe.accuracy(rows)
    assert probe.per_class(twice, per_class) == probe.per_class(rows, per_class)
    assert labels.heads(twice, both) == labels.heads(rows, results)
    assert questions.all_of(twice, both) == questions.all_of(rows, results)


def test_of_a_method_that_was_not_asked_a_table_has_no_row(experiment):
    rows, results = drawn(experiment)
    for run in (row["run"] for row in rows if row["method"] == "byol"):
        results[run] = {"linear": results[run]["linear"]}
    found = questions.all_of(rows, results)
    assert len(found) == 4
    for title, table in found.items():
        assert {line.get("", line.get("Encoder")) for line in table} >= {"MoCo", "SimCLR"}, title
        assert not any("BYOL" in line.values() for line in table), title


def test_fine_tunings_of_different_length_are_not_averaged_and_nothing_else_is_kept_apart(experiment):
    for run in experiment.runs():
        longer = run.config.seed == 1
        write_json(run.config_file, nest(run.config.flat() | {"evaluate.finetune_epochs": 8 if longer else 5}))
        tuned = [
            row | {"epochs": round(8 / row["fraction"]), "accuracy": 0.9, "from_scratch": 0.8}
            for row in run.results()["fine_tuning"]
        ]
        if longer:
            write_json(run.results_file, run.results() | {"fine_tuning": tuned})
    rows, results = drawn(experiment)
    table = questions.few_labels(rows, results, "fine_tuning")
    assert [line[""] for line in table[::2]] == [
        "MoCo · 5 epochs",
        "SimCLR · 5 epochs",
        "BYOL · 5 epochs",
        "From scratch · 5 epochs",
    ]
    assert table[1][""] == "MoCo · 8 epochs", "of all labels; of fewer there are more"
    assert "MoCo · 8 epochs" in [trace.name for trace in labels.few_labels(rows, results, "fine_tuning").data]
    assert all(
        line["100 % (4,000 images)"] == (pytest.approx(0.8 if "scratch" in line[""] else 0.9), None) for line in table[1::2]
    )
    assert [line[""] for line in questions.few_labels(rows, results, "label_efficiency")][:3] == ["MoCo", "SimCLR", "BYOL"]
    compared, apart = pairs.of_methods(experiment.runs())
    assert not apart and {len(pair.matches) for pair in compared} == {2}


def test_the_page_shows_what_there_is(experiment):
    app = open_page("probe", experiment=experiment.name)
    words = texts(app)
    assert "Of each class that share" in words and "The run's recipe" in words.replace("\\", "")
    assert "Both in eval mode" in words
    moved = printed(app)[-1]
    assert set(moved["On"]) == {"digits"} and moved["N"].tolist() == ["2"] * 3
    assert set(moved["Test images"]) == {"1,360"}, "a share of few images says little"


def test_a_number_of_fewer_seeds_than_the_linear_probe_says_of_how_many(experiment):
    run = experiment.runs()[0]
    write_json(run.results_file, run.results() | {"knn": None, "cost": {}})
    _, simclr, byol = printed(open_page("probe", experiment=experiment.name))[0].to_dict("records")
    told = ["kNN", "Training", "Images/s", "Memory"]
    assert byol["N"] == "2" and all(byol[column].endswith(" (N = 1)") for column in told)
    assert not any("N =" in cell for cell in simclr.values()) and "N =" not in byol["Linear probe"]


def test_of_uneven_classes_it_is_said_how_accurate_a_guess_is():
    """20 of 25 test images are of one class: 80 % are right without a look at any."""
    experiment = synthetic.store(Store().root, methods=("moco",), seeds=(0,), steps=20)
    (run,) = experiment.runs()
    results = run.results()
    results["linear"] |= {"classes": ["few", "many"], "confusion": [[1, 4], [3, 17]]}
    write_json(run.results_file, results)
    for said in (texts(open_page("probe", experiment="photos")), report.html(experiment), report.markdown(experiment)):
        assert "by the commonest class, without a look at it, would be right for 80.0" in said


def test_runs_without_them_say_how_to_measure_them():
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0,), steps=100)
    words = texts(open_page("probe", experiment=experiment.name)).replace("\\", "")
    assert "sslcore evaluate" in words and "Finetune epochs above 0" in words


def test_where_the_weights_are_is_told_in_place_of_a_command_that_needs_them():
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0,), steps=100)
    (run,) = experiment.runs()
    words = texts(open_page("probe", experiment=experiment.name)).replace("\\", "")
    assert transfer.NO_WEIGHTS in words and "sslcore transfer" not in words
    run.encoder_file.touch()
    words = texts(open_page("probe", experiment=experiment.name)).replace("\\", "")
    assert transfer.NO_WEIGHTS not in words and f"sslcore transfer {experiment.name} --to" in words


@pytest.mark.parametrize("part", ["label_efficiency", "fine_tuning", "heads", "transfer"])
@pytest.mark.parametrize(
    "odd",
    [
        7,
        "words",
        [1, None],
        {"linear": 3, "forgets": {"flip": [], "colour": {"h": "x"}}, "digits": 5},
        {"forgets": {"another task": {"h": 0.4, "z": 0.3}}},
        {"linear": {"h": 0.4}, "forgets": {"flip": {"h": 0.4}}},
        {"forgets": [1]},
    ],
)
def test_foreign_results_do_not_break_the_page(part, odd):
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0,), steps=50)
    (run,) = experiment.runs()
    write_json(run.results_file, run.results() | {part: odd})
    open_page("probe", experiment=experiment.name)
    assert "BYOL" in report.html(experiment)


def test_the_page_starts_a_transfer_follows_it_and_says_what_went_wrong(experiment):
    assert "probe_transfer" not in [button.key for button in open_page("probe", experiment=experiment.name).button], (
        "no encoder is here"
    )
    for run in experiment.runs():
        run.encoder_file.touch()
    app = open_page("probe", experiment=experiment.name)
    app.selectbox(key="probe_dataset").set_value("own images").run()
    app.text_input(key="probe_path").set_value("file:///nowhere/of%20all").run()
    assert "--to '/nowhere/of all'" in texts(app).replace("\\", ""), "as a file manager copies a path"
    app.text_input(key="probe_path").set_value("/nowhere/at/all").run()
    assert "--to /nowhere/at/all" in texts(app).replace("\\", ""), "the shell is told to do what the button does"
    app.button(key="probe_transfer").click().run()
    assert "can be opened" in clean(app).error[0].value and not (experiment.path / transfer.LOG).exists()

    log = take(experiment.path / transfer.LOG)  # as the process holds it
    names = [run.id for run in experiment.runs()]
    (experiment.path / transfer.LOG).write_text(
        json.dumps({"dataset": "digits", "runs": names}) + f"\n{names[0]}: linear 81.2%\n"
    )
    app.run()
    assert names[0] in texts(app).replace("\\", "") and "probe_transfer" not in [button.key for button in app.button]
    assert "--to digits" in texts(app).replace("\\", "")
    os.close(log)
    assert app.run().text_input(key="probe_path").value == "/nowhere/at/all", "it need not be typed again"
    assert "Not every encoder" in open_page("probe", experiment=experiment.name).error[0].value
    (experiment.path / transfer.LOG).write_text(json.dumps({"dataset": "/b/digits", "runs": names}) + "\nhalf\n")
    assert "probed on b/digits" in open_page("probe", experiment=experiment.name).error[0].value.replace("\\", "")


def test_runs_that_are_not_probed_yet_are_counted_with_what_becomes_of_them():
    done, failed, going = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1, 2), steps=50).runs()
    assert "probed so far" not in texts(open_page("probe", experiment="photos"))
    synthetic.failed(failed)
    synthetic.running(going, 50)
    app = open_page("probe", experiment="photos")
    assert "1 of 3 runs probed so far · 1 still to finish · 1 failed" in texts(app)
    assert printed(app)[0].loc["BYOL", "N"] == "1" and done.results()


def test_each_number_of_the_table_is_that_of_its_column():
    (run,) = synthetic.store(Store().root, methods=("byol",), seeds=(0,), steps=50).runs()
    results = run.results()
    results["linear"] |= {"accuracy": 0.7, "ci95": [0.65, 0.75]}
    results["knn"] |= {"accuracy": 0.6}
    results["baselines"] = {"random_encoder": {"linear": 0.5, "knn": 0.4}, "pixels": {"knn": 0.3}}
    write_json(run.results_file, results)
    app = open_page("probe", experiment="photos")
    row = printed(app)[0].loc["BYOL"]
    assert row["95 % interval"] == "65.0 – 75.0 %"
    columns = ("Linear probe", "kNN", "Untrained: linear", "Untrained: kNN", "Pixels: kNN")
    assert [row[column] for column in columns] == ["70.0 %", "60.0 %", "50.0 %", "40.0 %", "30.0 %"]
    told = texts(app)
    assert "Linear probe: logistic regression" in told and "kNN: weighted vote" in told


def test_a_run_without_its_weights_is_left_out_of_a_transfer_and_the_shell_is_told_of_the_same_images():
    one, other = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1), steps=50).runs()
    one.encoder_file.touch()
    app = open_page("probe", experiment="photos")
    app.selectbox(key="probe_dataset").set_value("digits").run()
    told = texts(app).replace("\\", "")
    assert f"Left out, without encoder.safetensors: {other.name}." in told
    assert f"In a shell: python -m sslcore transfer photos --to digits --root {Store().root}" in told
    other.encoder_file.touch()
    assert "Left out, without" not in texts(open_page("probe", experiment="photos"))


def test_of_fine_tuning_and_few_labels_what_was_not_measured_is_said_and_nothing_else(experiment):
    few, tuned = "These runs were not probed with a share of the labels.", "Fine-tuning with few labels, against training"
    shown = texts(open_page("probe", experiment=experiment.name))
    assert few not in shown and tuned not in shown
    for lost, said, there in (("label_efficiency", few, tuned), ("fine_tuning", tuned, few)):
        for run in experiment.runs():
            synthetic.questions(run)
            write_json(run.results_file, {name: value for name, value in run.results().items() if name != lost})
        shown = texts(open_page("probe", experiment=experiment.name))
        assert said in shown and there not in shown


def test_a_probing_elsewhere_that_is_refused_says_why(monkeypatch):
    (run,) = synthetic.store(Store().root, methods=("byol",), seeds=(0,), steps=50).runs()
    run.encoder_file.touch()

    def refuse(*_):
        raise ValueError("one at a time")

    monkeypatch.setattr("dashboard.change.probe_elsewhere", refuse)
    app = open_page("probe", experiment="photos")
    assert [error.value for error in app.button(key="probe_transfer").click().run().error] == ["one at a time"]


def test_before_any_run_is_probed_it_is_said_whether_one_will_be():
    one, other = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1), steps=50).runs()
    for run, state in ((one, "failed"), (other, "queued")):
        run.results_file.unlink()
        run.update_status(state=state)
    assert "No run has finished yet. A run is probed when its training ends" in texts(open_page("probe", experiment="photos"))
    other.update_status(state="stopped")
    shown = texts(open_page("probe", experiment="photos"))
    assert "No run of this experiment got as far as being probed." in shown and "finished yet" not in shown
