"""The Ablations page as a reader drives it, without a browser."""

import shutil

import pytest

from dashboard import words
from sslcore import plan
from sslcore.experiment import Store
from sslcore.files import write_json
from tests import synthetic
from tests.pages.driving import clean, open_page, texts


@pytest.fixture
def experiment():
    return synthetic.store(
        Store().root, methods=("moco", "byol"), seeds=(0, 1), axes={"batch_size": [16, 64]}, steps=20, name="sizes"
    )


def tables(app) -> str:
    return "\n".join(table.proto.body for table in app.get("html"))


def test_where_nothing_varies_ready_made_ablations_are_offered():
    synthetic.store(Store().root, methods=("byol",), seeds=(0, 1), steps=20)
    app = open_page("ablations", experiment="photos")
    shown = texts(app)
    assert "Nothing that decides a result varies" in shown and plan.read("batch-size").title in shown.replace("\\", "")
    for name in (
        "batch-size",
        "negatives",
        "temperature",
        "momentum",
        "heads",
        "augmentations",
        "augmentation-pairs",
        "averaged-gradients",
        "optimizer",
    ):
        assert plan.read(name).question in shown


def test_a_complete_grid_says_so_and_offers_no_runs(experiment):
    app = open_page("ablations", experiment="sizes")
    assert "8 of 8 runs" in texts(app) and "Every run of the grid has a result" in texts(app)
    assert "ablations_run" not in [button.key for button in app.button]
    assert "±" in tables(app)


def test_runs_without_labels_are_shown_by_what_they_have_and_say_why_they_have_no_accuracy(experiment):
    for run in experiment.runs():
        synthetic.write_results(run, labelled=False)
    app = open_page("ablations", experiment="sizes")
    assert app.selectbox(key="ablations_measure").proto.placeholder == "Effective rank" and "8 of 8 runs" in texts(app)
    app.selectbox(key="ablations_measure").set_value("linear").run()
    assert "0 of 8 runs of the grid have this number · photos has no labels, so nothing can be probed" in texts(clean(app))
    assert "no number (seed 0, 1)" in tables(app) and "finished" not in tables(app)


def test_what_is_hidden_or_unreadable_is_not_said_to_be_complete(experiment):
    with experiment.editing() as spec:
        spec.hidden = ["moco-bs16-s0"]
    experiment.run("byol-bs16-s0").config_file.write_text("{")
    shown = texts(open_page("ablations", experiment="sizes")).replace("\\", "")
    assert "Every run shown has a result; 2 others of the grid: hidden, or their config cannot be read" in shown
    assert "config.json cannot be read: byol-bs16-s0" in shown and f"complete sizes --root {Store().root} writes it anew" in shown


def test_a_run_is_missing_only_where_it_has_no_result_and_what_cannot_be_read_is_told(experiment):
    experiment.run("moco-bs16-s0").status_file.write_text("{")
    experiment.run("moco-bs16-s1").results_file.write_text("null")
    app = open_page("ablations", experiment="sizes")
    assert "7 of 8 runs" in texts(app) and "ablations_run" not in [button.key for button in app.button]
    assert "results.json is missing or cannot be read: moco-bs16-s1" in texts(app).replace(
        "\\", ""
    ) and "unreadable (seed 1)" in tables(app)
    assert "cannot be read: moco-bs16-s1" in texts(open_page("evidence", experiment="sizes")).replace("\\", "")


def test_what_is_missing_is_told_with_its_cost_and_one_button_runs_it(experiment, launched):
    shutil.rmtree(experiment.run("byol-bs16-s1").path)
    synthetic.failed(experiment.run("moco-bs64-s0"), error="out of memory")
    app = open_page("ablations", experiment="sizes")
    assert "6 of 8 runs" in texts(app) and "of training, one run after another" in texts(app)
    assert "failed: out of memory" in tables(app) and "not run (seed 1)" in tables(app)
    app.button(key="ablations_run").click().run()
    clean(app)
    states = {run.name: run.status().state for run in experiment.runs()}
    assert states == dict.fromkeys(plan.plan(experiment.spec()).configs, "finished") | {
        "byol-bs16-s1": "queued",
        "moco-bs64-s0": "queued",
    }
    assert launched and "2 queued" in texts(app)


def test_some_of_what_is_missing_can_be_run_alone(experiment):
    for name in ("byol-bs16-s1", "moco-bs64-s0"):
        shutil.rmtree(experiment.run(name).path)
    app = open_page("ablations", experiment="sizes")
    app.multiselect(key="ablations_only").set_value(["byol-bs16-s1"]).run()
    app.button(key="ablations_run").click().run()
    clean(app)
    assert experiment.run("byol-bs16-s1").exists() and not experiment.run("moco-bs64-s0").exists()


def test_values_added_to_an_axis_appear_as_missing_and_bad_ones_are_refused(experiment):
    app = open_page("ablations", experiment="sizes")
    before = experiment.spec()
    for typed, says in (("100000", "larger than the data set"), ("16", "already"), ("", "already"), ("many", "many")):
        app.text_input(key="ablations_grow_values").set_value(typed)
        app.selectbox(key="ablations_grow_axis").set_value("batch_size")
        app.button(key="ablations_grow_add").click().run()
        assert any(says in error.value for error in clean(app).error)
        assert experiment.spec() == before
    app.text_input(key="ablations_grow_values").set_value("32, 128")
    app.selectbox(key="ablations_grow_axis").set_value("batch_size")
    app.button(key="ablations_grow_add").click().run()
    assert experiment.spec().axes["batch_size"] == [16, 64, 32, 128] and len(experiment.runs()) == 8
    assert "8 of 16 runs" in texts(clean(app)) and "not run (seed 0, 1)" in tables(app)


def test_who_presses_add_again_adds_nothing_to_another_axis(experiment):
    app = open_page("ablations", experiment="sizes")
    app.selectbox(key="ablations_grow_axis").set_value("seed")
    app.text_input(key="ablations_grow_values").set_value("7")
    app.button(key="ablations_grow_add").click().run()
    grown = experiment.spec().axes
    assert grown["seed"][-1] == 7 and "Added to Seed: 7. The grid has " in texts(clean(app)).replace("\\", "")
    assert app.selectbox(key="ablations_grow_axis").value == "seed" and app.text_input(key="ablations_grow_values").value == ""
    app.button(key="ablations_grow_add").click().run()
    assert experiment.spec().axes == grown and "already" in clean(app).error[0].value


def test_values_that_were_added_can_be_taken_out_again_until_runs_of_theirs_are_made(experiment):
    app, before = open_page("ablations", experiment="sizes"), experiment.spec()
    assert "ablations_take_back" not in {button.key for button in app.button}
    app.text_input(key="ablations_grow_values").set_value("32, 6")
    app.selectbox(key="ablations_grow_axis").set_value("batch_size")
    app.button(key="ablations_grow_add").click().run()
    app.button(key="ablations_take_back").click().run()
    assert experiment.spec() == before and "ablations_take_back" not in {button.key for button in clean(app).button}
    app.text_input(key="ablations_grow_values").set_value("32")
    app.button(key="ablations_grow_add").click().run()
    experiment.add({"moco-bs32-s0": experiment.run("moco-bs16-s0").config.model_copy(update={"batch_size": 32})})
    app.button(key="ablations_take_back").click().run()
    assert "ablations_take_back" not in {button.key for button in clean(app).button}
    assert experiment.spec().axes["batch_size"] == [16, 64, 32]


def test_values_for_an_experiment_that_cannot_be_read_are_refused(experiment):
    app = open_page("ablations", experiment="sizes")
    experiment.spec_file.write_text("{")
    app.text_input(key="ablations_grow_values").set_value("32")
    app.button(key="ablations_grow_add").click().run()
    assert "experiment.json cannot be read" in clean(app).error[0].value.replace("\\", "")


def test_of_an_experiment_whose_axes_cannot_be_read_nothing_is_said_to_be_missing(experiment):
    experiment.spec_file.write_text('{"title": "W')
    shown = texts(app := open_page("ablations", experiment="sizes")).replace("\\", "")
    _, _, why = shown.partition("What its grid lacks is not known: ")
    assert "experiment.json cannot be read" in why and "not run" not in tables(app)
    assert all(button.key != "ablations_run" for button in app.button)


@pytest.mark.parametrize("measure", ["Linear probe", "kNN", "Alignment"])
def test_every_choice_is_in_the_link(experiment, measure):
    synthetic.store(
        Store().root,
        methods=("moco", "byol"),
        seeds=(0,),
        axes={"batch_size": [16, 64], "head.kind": ["none", "mlp"]},
        steps=20,
        name="two",
    )
    link = {
        "ablations_axis": "Head kind",
        "ablations_measure": measure,
        "ablations_reading": "drop from the best",
        "ablations_second": "Batch size",
    }
    app = open_page("ablations", experiment="two", **link)
    assert (
        app.selectbox(key="ablations_axis").value == "head.kind" and app.selectbox(key="ablations_second").value == "batch_size"
    )
    assert (
        app.selectbox(key="ablations_measure").value
        == {"Linear probe": "linear", "kNN": "knn", "Alignment": "alignment"}[measure]
    )
    assert app.header[0].value == f"{measure}: head kind and batch size"
    assert ("0 is the highest mean" in texts(app)) == (measure != "Alignment"), "only accuracies can be read as drops"


@pytest.mark.parametrize("axis", ["Momentum", "Negatives a positive"])  # the latter is what an axis was once called
def test_a_link_to_an_axis_that_is_not_here_shows_one_that_is(experiment, axis):
    app = open_page("ablations", experiment="sizes", ablations_axis=axis, ablations_second=axis)
    assert "8 of 8 runs" in texts(app)


def test_what_a_level_line_lacks_is_no_hollow_mark():
    experiment = synthetic.store(
        Store().root, methods=("moco", "byol"), seeds=(0, 1), axes={"moco.queue_size": [16, 64]}, steps=20
    )
    one, other, *_, byol = sorted(experiment.runs(), key=lambda run: run.config.method == "byol")
    synthetic.failed(byol)
    said = "without a mark: 1 run of BYOL, to which the axis does not apply"
    shown = texts(open_page("ablations", experiment="photos")).replace("\\", "")
    assert said in shown and "hollow" not in shown
    synthetic.failed(one)
    synthetic.failed(other)
    shown = texts(open_page("ablations", experiment="photos")).replace("\\", "")
    assert said in shown and "hollow marks at the bottom edge: 2 runs" in shown


@pytest.mark.parametrize("measured", [True, False])
def test_a_level_line_is_told_of_methods_that_have_one(measured):
    experiment = synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0,), axes={"moco.queue_size": [16, 64]}, steps=20)
    if not measured:
        synthetic.failed(next(run for run in experiment.runs() if run.config.method == "byol"))
    said = "does not apply to BYOL: a level line is the mean over the seeds of one setting"
    assert (said in texts(open_page("ablations", experiment="photos")).replace("\\", "")) == measured


def test_text_from_a_folder_is_shown_as_it_is(experiment):
    synthetic.failed(experiment.run("moco-bs64-s0"), error="![x](http://example.org/x.png) <b>b</b>")
    shown = tables(open_page("ablations", experiment="sizes"))
    assert "&lt;b&gt;b" in shown and "<b>b" not in shown


@pytest.mark.parametrize("preset", ["augmentations", "negatives"])
def test_the_form_launches_a_ready_made_ablation_whole(preset):
    app = open_page("new", new_preset=preset)
    app.button(key="new_launch").click().run()
    clean(app)
    (experiment,) = Store().experiments()
    assert {run.name: run.config for run in experiment.runs()} == plan.plan(plan.read(preset)).configs


def test_of_runs_on_the_way_the_page_says_how_many_and_offers_them_to_nobody(experiment):
    one, two, three, *_ = experiment.runs()
    synthetic.running(one)
    for run in (two, three):
        run.results_file.unlink()
        run.update_status(state="queued")
    app = open_page("ablations", experiment="sizes")
    shown = texts(app)
    assert "On the way: 1 running, 2 queued; this page follows." in shown and "Nothing else." in shown
    assert "ablations_run" not in [button.key for button in app.button]


def test_what_missing_runs_cost_is_not_guessed_and_a_checkpoint_is_counted_on(experiment):
    failed = experiment.run("moco-bs64-s0")
    synthetic.failed(failed)
    assert "Those that have a checkpoint go on from it." in texts(open_page("ablations", experiment="sizes"))
    for run in experiment.runs():
        run.results_file.unlink(missing_ok=True)
        run.update_status(state="failed")
    assert "What they would cost is not known: no run" in texts(open_page("ablations", experiment="sizes"))


def test_a_refused_start_of_missing_runs_says_why(experiment, monkeypatch):
    shutil.rmtree(experiment.run("byol-bs16-s1").path)

    def refuse(*_):
        raise RuntimeError("no agent came up")

    monkeypatch.setattr("dashboard.change.complete", refuse)
    app = open_page("ablations", experiment="sizes")
    assert "go on from it" not in texts(app), "the one run was never begun"
    assert [error.value for error in app.button(key="ablations_run").click().run().error] == ["no agent came up"]


def test_published_curves_are_offered_under_drops_along_their_own_axis_alone(experiment):
    drops = {"ablations_reading": "drop from the best"}
    explained = words.plain("published drops of a linear probe, ImageNet with ResNet-50")
    app = open_page("ablations", experiment="sizes", ablations_published="true")
    assert app.toggle(key="ablations_published").disabled and explained not in texts(app)
    app = open_page("ablations", experiment="sizes", **drops)
    assert not app.toggle(key="ablations_published").disabled and explained not in texts(app)
    assert explained in texts(clean(app.toggle(key="ablations_published").set_value(True).run()))
    synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0,), axes={"image_size": [32, 48]}, steps=20, name="px")
    app = open_page("ablations", experiment="px", ablations_published="true", **drops)
    assert app.toggle(key="ablations_published").disabled and explained not in texts(app)


def test_a_heat_map_says_to_which_methods_one_of_its_axes_does_not_apply_and_the_table_has_both():
    axes = {"batch_size": [16, 64], "moco.symmetric": [False, True]}
    synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0,), axes=axes, steps=20, name="two")
    app = open_page("ablations", experiment="two", ablations_axis="Batch size", ablations_second="Symmetric")
    assert "One of the two does not apply to BYOL" in texts(app)
    assert "batch size" in tables(app) and "symmetric</th>" in tables(app)
    assert app.selectbox(key="ablations_grow_axis").value == "batch_size"


def test_what_is_chosen_to_be_run_is_forgotten_once_it_is_there(experiment):
    for name in ("byol-bs16-s1", "moco-bs64-s0"):
        shutil.rmtree(experiment.run(name).path)
    app = open_page("ablations", experiment="sizes")
    app.multiselect(key="ablations_only").set_value(["byol-bs16-s1"]).run()
    assert "moco-bs64-s0" not in tables(app) and [b.label for b in app.button if b.key == "ablations_run"] == [
        "Run 1 missing run"
    ]
    app.button(key="ablations_run").click().run()
    assert clean(app).multiselect(key="ablations_only").value == [] and "moco-bs64-s0" in tables(app)


def test_a_cell_in_which_fewer_seeds_have_a_number_says_of_how_many_it_is(experiment):
    run = experiment.run("moco-bs64-s0")
    results = run.results()
    write_json(run.results_file, results | {"knn": None, "cost": results["cost"] | {"seconds": None}})
    assert tables(open_page("ablations", experiment="sizes")).count("(N = 1)") == 2
    shown = tables(open_page("ablations", experiment="sizes", ablations_measure="kNN"))
    assert "(N = 1)" not in shown and "no number (seed 0)" in shown


def test_beside_another_experiment_the_axis_is_at_first_one_of_its_own(experiment):
    synthetic.store(Store().root, methods=("moco",), seeds=(0,), axes={"epochs": [10, 20]}, steps=20, name="long")
    for own, other, axis in (("sizes", "long", "Batch size"), ("long", "sizes", "Epochs")):
        app = open_page("ablations", experiment=own, also=other)
        assert app.selectbox(key="ablations_axis").proto.placeholder == axis
        assert f"What is missing of {own}" in [header.value for header in app.header]
        assert "runs shown have this number" in texts(app)
