"""The page New experiment: the form, its links and its copies."""

import re

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from dashboard import draft, machine, words
from sslcore import plan
from sslcore.archive import as_imported
from sslcore.experiment import Store
from sslcore.launch import slots
from sslcore.launch.slurm import client
from sslcore.results import number
from tests import synthetic
from tests.pages.driving import clean, open_page, texts


def test_the_form_launches_what_the_preset_says(launched):
    app = open_page("new")
    shown = texts(app)
    app.button(key="new_launch").click().run()
    clean(app)
    (experiment,) = Store().experiments()
    wanted = plan.plan(plan.read("photos")).configs
    assert {run.name: run.config for run in experiment.runs()} == wanted
    assert experiment.spec().question == plan.read("photos").question
    assert experiment.spec().command.startswith("python -m sslcore launch photos")
    assert "--root" in shown and "--root" not in experiment.spec().command, "only who reads the page has this store"
    assert launched


def test_what_is_queued_where_no_agent_comes_up_is_told_on_watch_and_not_as_if_nothing_were_there(monkeypatch):
    def refused(store):
        raise RuntimeError("the agent did not start")

    monkeypatch.setattr("sslcore.launch.start", refused)
    for page, button in (("experiments", "experiments_first"), ("new", "new_launch")):
        app = open_page(page)
        clean(app.button(key=button).click().run())
        assert app.title[0].value == "Watch" and "the agent did not start" in app.error[0].value
        assert [button.label for button in app.button if button.label == "Start the queue"]
    assert len(Store().experiments()) == 2


def test_changes_end_in_the_configs():
    app = open_page("new", new_preset="quick")
    app.number_input(key="new_set_epochs").set_value(7)
    app.number_input(key="new_set_moco.temperature").set_value(0.3)
    app.number_input(key="new_seeds").set_value(2)
    app.multiselect(key="new_vary").set_value(["batch_size"])
    app.run()
    assert app.button(key="new_launch").disabled  # nothing typed for the batch size yet
    app.text_input(key="new_values_batch_size").set_value("32, 64").run()
    app.text_input(key="new_title").set_value("My title").run()
    app.button(key="new_launch").click().run()
    clean(app)
    runs = Store().experiment("my-title").runs()
    assert len(runs) == 3 * 2 * 2
    assert {run.config.epochs for run in runs} == {7}
    assert {run.config.moco.temperature for run in runs} == {0.3}
    assert {(run.config.batch_size, run.config.seed) for run in runs} == {(32, 0), (32, 1), (64, 0), (64, 1)}


def test_the_form_tells_what_training_would_take_where_like_runs_have_finished():
    experiment = synthetic.store(Store().root, methods=("moco", "simclr"), seeds=(0,), steps=20, epochs=8)
    speed = number(experiment.runs()[0].results(), "cost.images_per_second")
    wanted = plan.plan(plan.read("photos")).configs
    assert draft.expected_seconds(Store(), wanted) == pytest.approx(3 * 8 * 2560 / speed), "BYOL's as the others'"
    assert f"About {words.duration(3 * 8 * 2560 / speed)} of training, one run after another" in texts(open_page("new"))
    large = {name: config.model_copy(update={"encoder": "resnet18"}) for name, config in wanted.items()}
    assert draft.expected_seconds(Store(), large) is None, "no run with this encoder"
    for run in experiment.runs():
        run.write_status(as_imported(run.status()))
    assert draft.expected_seconds(Store(), wanted) is None, "no run of this machine"


def test_the_form_tells_what_memory_the_runs_would_take_and_where_it_is_too_much(monkeypatch):
    app = open_page("new", new_preset="quick")
    assert "memory" not in app.dataframe[0].value
    app.toggle(key="new_memory").set_value(True).run()
    told = clean(app).dataframe[0].value.set_index("run")["memory"]
    assert len(told) == 3 and all(re.fullmatch(r"\d+ MB", text) for text in told)
    assert plan.MEMORY[1:] in texts(app) and "takes about" not in texts(app)
    small = machine.Load(cpu=0.0, cores=2, memory_used=0.0, memory_total=1e6, gpus=())
    monkeypatch.setattr(machine, "load", lambda: small)
    assert re.search(
        rf"takes about {max(told, key=lambda text: int(text.split()[0]))}, and this machine has 1 MB", texts(app.run())
    )
    monkeypatch.setattr(client, "missing", lambda: None)
    app.run().selectbox(key="new_engine").set_value("slurm").run()
    assert "takes about" not in texts(clean(app)), "a cluster has other machines"
    app.multiselect(key="new_vary").set_value(["batch_size"]).run()
    assert "counted from the shapes" not in texts(clean(app)), "not while a value is missing"


def test_processes_on_a_cpu_share_its_memory(monkeypatch):
    app = open_page("new", new_preset="quick", set=["device=cpu", "devices=4"])
    app.toggle(key="new_memory").set_value(True).run()
    told = clean(app).dataframe[0].value.set_index("run")["memory"]
    most = max(int(text.split()[0]) for text in told)
    for room, warned in ((3 * most * 1e6, True), (5 * most * 1e6, False)):
        now = machine.Load(cpu=0.0, cores=2, memory_used=0.0, memory_total=room, gpus=())
        monkeypatch.setattr(machine, "load", lambda now=now: now)
        assert ("takes about" in texts(clean(app.run()))) == warned


def test_runs_of_few_threads_are_said_to_train_at_a_time_and_share_the_memory(monkeypatch):
    monkeypatch.setattr(slots, "gpus", lambda: ())
    monkeypatch.setattr(slots, "cores", lambda: 4)
    monkeypatch.setattr(slots, "memory", lambda: 2**40)
    assert "at a time" not in texts(open_page("new", new_preset="quick"))
    app = open_page("new", new_preset="quick", set=["threads=2"])
    assert "has room, 2 at a time" in texts(app)
    app.toggle(key="new_memory").set_value(True).run()
    most = max(int(text.split()[0]) for text in clean(app).dataframe[0].value["memory"])
    for room, warned in ((1.5 * most * 1e6, True), (2.5 * most * 1e6, False)):
        now = machine.Load(cpu=0.0, cores=4, memory_used=0.0, memory_total=room, gpus=())
        monkeypatch.setattr(machine, "load", lambda now=now: now)
        assert (", with what trains beside it, takes about" in texts(clean(app.run()))) == warned


def test_a_field_is_empty_where_methods_differ_and_can_be_emptied_where_nothing_is_a_value():
    app = open_page("new", new_preset="cifar10-small")
    rate = app.number_input(key="new_set_learning_rate")
    assert (rate.value, rate.placeholder) == (None, "MoCo 0.002 · SimCLR 0.002 · BYOL 0.2")
    assert app.selectbox(key="new_set_moco.symmetric").options == ["yes", "no"]
    synthetic.store(Store().root, methods=("simclr",), seeds=(0,), steps=20, **{"simclr.negatives": 16})
    app = open_page("new", clone="photos")
    assert app.number_input(key="new_set_simclr.negatives").value == 16
    app.number_input(key="new_set_simclr.negatives").set_value(None).run()
    assert clean(app).query_params["set"] == "simclr.negatives=null"


def test_a_setting_that_varies_is_not_one_of_all_runs():
    app = open_page("new", new_preset="quick", set="epochs=7", vary="epochs=3,4")
    assert {row["epochs"] for row in plan_of(app)} == {"3", "4"} and app.number_input(key="new_set_epochs").disabled


def test_one_method_can_have_a_setting_for_itself():
    app = open_page("new", new_preset="quick")
    app.multiselect(key="new_own_byol").set_value(["learning_rate"]).run()
    app.number_input(key="new_set_byol_learning_rate").set_value(0.5).run()
    app.button(key="new_launch").click().run()
    clean(app)
    rates = {run.config.method: run.config.learning_rate for run in Store().runs()}
    usual = {config.method: config.learning_rate for config in plan.plan(plan.read("quick")).configs.values()}
    assert rates == usual | {"byol": 0.5}


def test_problems_stand_beside_their_field_and_nothing_can_start():
    app = open_page("new")
    app.number_input(key="new_set_batch_size").set_value(100_000).run()
    assert any("larger than the data set" in error.value for error in app.error)
    assert app.button(key="new_launch").disabled
    app.number_input(key="new_set_batch_size").set_value(64).run()
    assert not app.error and not app.button(key="new_launch").disabled
    app.multiselect(key="new_own_byol").set_value(["weight_decay"])
    for key, wrong, says in (("new_set_learning_rate", -1.0, "greater than 0"), ("new_seeds", 0, "1 to 20")):
        app.number_input(key=key).set_value(wrong).run()
        assert any(says in error.value for error in app.error) and app.button(key="new_launch").disabled
        assert not clean(app).warning and not {"set", "seeds"} & app.query_params.keys()
        app.number_input(key=key).set_value(None).run()
        assert not app.error and not app.button(key="new_launch").disabled
    app.number_input(key="new_set_image_size").set_value(4)
    app.number_input(key="new_seeds").set_value(21).run()
    assert len(app.error) == 2 and not clean(app).warning, "all that is wrong is said at once"


@pytest.mark.parametrize("typed, says", [(1e30, "less than or equal to"), (2.5, "a whole number")])
def test_whatever_number_is_typed_is_refused_and_not_turned_into_another(typed, says):
    app = open_page("new")
    app.number_input(key="new_set_epochs").set_value(typed)
    app.number_input(key="new_seeds").set_value(typed).run()
    assert any(says in error.value for error in clean(app).error) and any("from 1 to 20" in error.value for error in app.error)
    assert app.button(key="new_launch").disabled and "set" not in app.query_params


def test_a_methods_own_value_is_refused_beside_its_own_field():
    app = open_page("new")
    app.multiselect(key="new_own_byol").set_value(["epochs"]).run()
    app.number_input(key="new_set_byol_epochs").set_value(0).run()
    assert [error.value for error in clean(app).error] == ["must be greater than or equal to 1, not 0"]
    assert "BYOL's Epochs: must be" in texts(app) and app.button(key="new_launch").disabled
    (box,) = [expander for expander in app.expander if expander.label == "BYOL only"]
    assert len(box.error) == 1


@pytest.mark.parametrize("path, says", [("", "path"), ("/no/such/folder", "can be opened")])
def test_own_images_need_a_path_that_is_there(path, says):
    app = open_page("new", new_dataset="own images", new_path=path)
    app.text_input(key="new_path").set_value(path).run()
    assert any(says in said.value for said in (app.error if path else app.info))
    assert app.button(key="new_launch").disabled


def test_own_images_are_found(shapes):
    app = open_page("new")
    app.selectbox(key="new_dataset").set_value("own images").run()
    app.text_input(key="new_path").set_value(shapes).run()
    assert "96 training and 48 test images" in texts(app) and "3 classes" in texts(app)
    app.number_input(key="new_set_batch_size").set_value(100).run()
    assert any("larger than the data set" in error.value for error in app.error)
    app.number_input(key="new_set_batch_size").set_value(32).run()
    assert not app.button(key="new_launch").disabled


def test_images_without_labels_are_said_to_have_none_and_a_copy_has_the_path(tmp_path):
    np.savez(tmp_path / "bare.npz", x_train=np.zeros((80, 16, 16, 3), np.uint8))
    synthetic.store(Store().root, methods=("byol",), seeds=(5, 6), steps=20, dataset=str(tmp_path / "bare.npz"), batch_size=32)
    app = open_page("new", clone="photos")
    assert app.selectbox(key="new_dataset").value == "own images"
    assert app.text_input(key="new_path").value == str(tmp_path / "bare.npz")
    assert "64 training and 16 test images, 16 × 16 px, no labels." in texts(app)
    app.number_input(key="new_seeds").set_value(3).run()
    assert [row["seed"] for row in plan_of(app)] == ["5", "6", "7"]


def test_images_that_belong_together_are_counted_in_groups(tmp_path):
    np.savez(tmp_path / "films.npz", x_train=np.zeros((80, 16, 16, 3), np.uint8), group_train=np.arange(80) // 4)
    app = open_page("new")
    app.selectbox(key="new_dataset").set_value("own images").run()
    app.text_input(key="new_path").set_value(str(tmp_path / "films.npz")).run()
    assert "64 training and 16 test images, 16 × 16 px, in 20 groups, no labels." in texts(app)


def test_a_method_can_join_those_of_the_start_and_the_table_has_its_learning_rate_as_scaled():
    app = open_page("new", new_preset="cifar10-small", new_methods=["MoCo", "SimCLR", "BYOL", "Supervised"])
    rates = {row["method"]: row["peak learning rate"] for row in plan_of(app)}
    assert len(rates) == 4 and rates["byol"] == "0.025"
    own = app.multiselect(key="new_own_byol")
    assert "Batch size (batch_size)" in own.options and not {"Seed (seed)", "Data set (dataset)"} & set(own.options)
    own.set_value(["learning_rate"]).run()
    assert clean(app).number_input(key="new_set_byol_learning_rate").value == 0.2, "what it has until it is changed"


def test_an_axis_that_a_link_leaves_empty_waits_for_values():
    app = open_page("new", vary="batch_size=")
    assert app.text_input(key="new_values_batch_size").value == "" and not app.error
    assert "Type at least one value" in [info.value for info in app.info], "nothing is wrong yet"


def test_what_varies_no_more_stands_in_its_field_as_it_is_trained():
    app = open_page("new", new_preset="batch-size")
    app.multiselect(key="new_vary").set_value([]).run()
    assert app.number_input(key="new_set_batch_size").value == 16
    assert all("-bs16-" in row["run"] for row in plan_of(app))
    app.number_input(key="new_set_batch_size").set_value(256).run()
    assert all("-bs256-" in row["run"] for row in plan_of(app))


def test_settings_that_vary_together_are_named_and_can_be_left_out():
    app = open_page("new", new_preset="augmentations")
    assert app.multiselect(key="new_vary").value == ["augment"]
    together = app.multiselect(key="new_values_augment").value
    assert together == ["as is", "no flip", "no crop", "no grayscale", "no jitter, no hue", "no jitter, no hue, no grayscale"]
    assert len(plan_of(app)) == 3 * 6 and "vary" not in app.query_params

    app.number_input(key="new_set_augment.flip").set_value(0.0).run()  # "as is" and "no flip" are then the same
    assert not app.error and len(plan_of(app)) == 3 * 5 and "are the same on photos, and trained once" in texts(app)
    fewer = ["as is", "no jitter, no hue"]
    app.multiselect(key="new_values_augment").set_value(fewer).run()
    assert not app.error and {row["augment.jitter"] for row in plan_of(app)} == {"0.4", "0"}
    again = open_page("new", **app.query_params)
    assert again.multiselect(key="new_values_augment").value == fewer and plan_of(again) == plan_of(app)
    assert again.multiselect(key="new_values_augment").options == together, "what was left out can be taken back"

    app.multiselect(key="new_values_augment").set_value([]).run()
    assert "choose at least one value" in texts(app) and app.button(key="new_launch").disabled
    app.multiselect(key="new_vary").set_value([]).run()
    assert len(plan_of(app)) == 3 and app.query_params["vary"] == ""
    app.button(key="new_launch").click().run()
    clean(app)
    assert {(run.config.augment.flip, run.config.augment.crop_min) for run in Store().runs()} == {(0, 0.2)}


def test_a_link_may_vary_several_settings_together():
    app = open_page("new", new_preset="quick", vary="head=[{kind: none}, {dim: 8}]")
    assert app.multiselect(key="new_values_head").value == ["kind none", "dim 8"] and len(plan_of(app)) == 3 * 2
    app.multiselect(key="new_values_head").set_value(["dim 8"]).run()
    assert len(plan_of(app)) == 3 and app.query_params["vary"] == "head={dim: 8}"


def test_without_methods_there_is_nothing_to_launch():
    app = open_page("new")
    app.button_group(key="new_methods").set_value([]).run()
    assert clean(app).button(key="new_launch").disabled


def test_what_the_reader_changed_stays_when_the_data_set_changes():
    app = open_page("new")
    app.number_input(key="new_set_epochs").set_value(3).run()
    app.selectbox(key="new_dataset").set_value("digits").run()
    assert app.number_input(key="new_set_epochs").value == 3
    assert app.number_input(key="new_set_image_size").value == 16  # a default of digits, not changed by hand
    app.selectbox(key="new_preset").set_value("quick").run()
    assert app.number_input(key="new_set_epochs").value == plan.read("quick").base["epochs"]


def test_from_one_preset_to_the_next_the_readers_own_images_stay():
    app = open_page("new", new_preset="quick")
    app.selectbox(key="new_preset").set_value("batch-size").run()
    assert app.selectbox(key="new_dataset").value == plan.read("batch-size").base["dataset"] != plan.read("quick").base["dataset"]
    app.selectbox(key="new_dataset").set_value("own images").run()
    app.text_input(key="new_path").set_value("/mine").run()
    app.selectbox(key="new_preset").set_value("quick").run()
    assert app.selectbox(key="new_dataset").value == "own images" and app.text_input(key="new_path").value == "/mine"
    assert app.text_input(key="new_title").value == plan.read("quick").title


def test_a_copy_of_a_run_fills_in_the_form():
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(3,), epochs=9)
    (run,) = experiment.runs()
    app = open_page("new", clone=run.id)
    assert app.number_input(key="new_set_epochs").value == 9
    app.button(key="new_launch").click().run()
    clean(app)
    (copied,) = [other for other in Store().runs() if other.id != run.id]
    assert copied.config == run.config


def test_a_copy_keeps_as_many_seeds_as_the_shell_gave():
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0,))
    with experiment.editing() as spec:
        spec.axes = {"method": ["byol"], "seed": list(range(25))}
    assert clean(open_page("new", clone=experiment.name)).number_input(key="new_seeds").value == 25


def test_a_link_fills_in_the_form_with_every_change():
    app = open_page("new", new_preset="quick")
    app.number_input(key="new_set_epochs").set_value(7)
    app.selectbox(key="new_set_moco.symmetric").set_value(True)
    app.number_input(key="new_seeds").set_value(2)
    app.multiselect(key="new_vary").set_value(["batch_size", "learning_rate"])
    app.multiselect(key="new_own_byol").set_value(["weight_decay"])
    app.text_input(key="new_title").set_value("Ours & theirs = all")
    app.text_input(key="new_question").set_value("Why?").run()
    app.text_input(key="new_values_batch_size").set_value("32, 64")
    app.text_input(key="new_values_learning_rate").set_value("0.001")
    app.number_input(key="new_set_byol_weight_decay").set_value(0.25).run()
    launched = plan_of(app)
    assert len(launched) == 3 * 2 * 2

    params = {name: value for name, value in app.query_params.items() if name != "experiment"}
    again = open_page("new", **params)
    assert plan_of(again) == launched
    assert again.text_input(key="new_title").value == "Ours & theirs = all"
    assert again.text_input(key="new_question").value == "Why?"
    assert again.query_params == app.query_params

    again.multiselect(key="new_vary").set_value([]).run()  # what the link asked for can be taken back
    assert len(plan_of(again)) == 3 * 2


def plan_of(app: AppTest) -> list:
    """The configs that the form would launch, as its table lists them."""
    assert not app.button(key="new_launch").disabled, texts(app)
    return app.dataframe[0].value.to_dict("records")


@pytest.mark.parametrize(
    "params",
    [
        {"set": "epochs=many"},
        {"set": "nonsense=1"},
        {"seeds": "1000"},
        {"seeds": "9" * 5000},
        {"set": f"simclr.negatives=1{'0' * 400}"},
        {"own": "byol:epochs"},
        {"vary": "=1"},
        {"set": "epochs=["},
    ],
)
def test_a_link_that_asks_for_nonsense_is_a_message(params):
    app = open_page("new", new_preset="quick", **params)
    assert "left out" in app.warning[0].value
    assert app.number_input(key="new_set_epochs").value == plan.read("quick").base["epochs"]


def test_a_copy_is_of_the_experiment_that_was_found():
    synthetic.store(Store().root, methods=("byol",), seeds=(0,), epochs=9)
    assert clean(open_page("new", clone="Photos")).number_input(key="new_set_epochs").value == 9


@pytest.mark.parametrize("name", ["nothing", "../..", "photos/nothing"])
def test_a_copy_of_nothing_is_a_message(name):
    synthetic.store(Store().root, methods=("byol",), seeds=(0,))
    assert "nothing to copy" in texts(open_page("new", clone=name))


def test_an_axis_without_values_can_be_taken_out_of_a_copy():
    experiment = synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0,), steps=20)
    with experiment.editing() as spec:
        spec.axes |= {"batch_size": []}
    app = open_page("new", clone="photos")
    assert app.button(key="new_launch").disabled and "type at least one value" in texts(app)
    app.multiselect(key="new_vary").set_value([]).run()
    assert clean(app).button(key="new_launch").label == "Launch 2 runs" and not app.button(key="new_launch").disabled


def test_what_keeps_runs_from_starting_is_listed_by_the_names_of_fields_and_no_picture_is_drawn():
    app = open_page("new")
    app.multiselect(key="new_own_byol").set_value(["weight_decay"]).run()
    app.toggle(key="new_views").set_value(True)
    app.number_input(key="new_set_byol_weight_decay").set_value(-1.0)
    app.number_input(key="new_seeds").set_value(21).run()
    (listed,) = (element.value for element in clean(app).markdown if element.value.startswith("Nothing can start yet:"))
    assert [line.partition(":")[0] for line in listed.splitlines()[1:]] == ["- BYOL's Weight decay", "- Seeds"]
    assert "The picture appears when the problems below are mended." in texts(app)
