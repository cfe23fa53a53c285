"""The pages as a reader drives them, without a browser."""

import json
import statistics
import time
from xml.etree import ElementTree

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as hst
from streamlit.testing.v1 import AppTest

from dashboard import draft, link, machine, report, share, strip, study, tables, words
from sslcore import plan
from sslcore.analysis.summary import number
from sslcore.experiment import Store
from sslcore.files import write_json
from sslcore.methods import METHODS
from tests import synthetic

MAIN = str(link.VIEWS.parent / "main.py")


@pytest.fixture(autouse=True)
def launched(monkeypatch) -> list[Store]:
    """The stores whose agent was asked for; none is started, so that the runs stay queued."""
    asked: list[Store] = []
    monkeypatch.setattr("sslcore.launch.start", asked.append)
    return asked


def open_page(name: str = "experiments", **params: str) -> AppTest:
    app = AppTest.from_file(MAIN, default_timeout=180)
    app.query_params.update(params)
    app.run()
    if name != "experiments":
        app.switch_page(f"views/{name}.py")
        app.query_params.update(params)
        app.run()
    return clean(app)


def clean(app: AppTest) -> AppTest:
    assert not app.exception, [e.value for e in app.exception]
    return app


def texts(app: AppTest) -> str:
    """Everything that can be read on the page, in one string."""
    kinds = ("title", "subheader", "markdown", "text", "caption", "error", "warning", "info", "code")
    return "\n".join(str(element.value) for kind in kinds for element in getattr(app, kind))


# -- Experiments -----------------------------------------------------------------------


def test_an_empty_store_offers_the_first_comparison_and_says_what_it_costs(launched):
    app = open_page()
    assert "minutes" in texts(app) and "downloads nothing" in texts(app)
    assert not Store().experiments()
    app.button(key="experiments_first").click().run()
    clean(app)
    (experiment,) = Store().experiments()
    assert [run.config.method for run in experiment.runs()] == ["byol", "moco", "simclr"]
    assert all(run.status().state == "queued" for run in experiment.runs())
    assert [store.root for store in launched] == [Store().root]
    assert app.title[0].value == "Watch"


def test_every_experiment_is_listed_with_its_question_states_and_best_numbers():
    done = synthetic.store(Store().root, seeds=(0,), name="done")
    failed = synthetic.store(Store().root, methods=("byol",), seeds=(0,), name="failed")
    synthetic.failed(failed.runs()[0])
    app = open_page()
    shown = texts(app)
    assert done.spec().question in shown
    assert "3 finished" in shown and "1 failed" in shown
    (table,) = printed(app)
    for run in done.runs():
        row = table.loc[METHODS[run.config.method].title]
        assert row["linear probe"] == tables.share(run.results()["linear"]["accuracy"])
        assert row["kNN"] == tables.share(run.results()["knn"]["accuracy"])


def printed(app) -> list[pd.DataFrame]:
    """The tables on a page as they read, by their first column."""
    bodies = [element.proto.body for element in app.get("html")]
    tables = [ElementTree.fromstring(body[body.index("<table>") : body.index("</div>")]) for body in bodies if "<table>" in body]
    rows = [[[cell.text for cell in row] for row in table.iter("tr")] for table in tables]
    return [pd.DataFrame(lines, columns=columns).set_index(columns[0]) for columns, *lines in rows]


def test_text_from_a_folder_is_never_markup():
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0,))
    evil = "![x](http://example.org/x.png) <b>b</b> **b** :red[r]"
    experiment.write_spec(experiment.spec().model_copy(update={"title": evil, "question": evil}))
    for app in (open_page(), open_page("watch", experiment="photos")):
        for element in [*app.markdown, *app.caption]:
            assert "](http" not in element.value.replace("\\", "\\\\").replace("\\\\]\\\\(", "") and "<b>" not in element.value
        assert not any("<b>" in element.proto.body for element in app.get("html"))


def test_delete_asks_once_and_moves_to_the_trash():
    synthetic.store(Store().root, seeds=(0,), name="one")
    app = open_page()
    menu(app, "one", "Delete")
    assert Store().experiments()
    app.button(key="trash_delete").click().run()
    clean(app)
    assert not Store().experiments()
    assert list((Store().root / ".trash").iterdir())


def test_an_experiment_with_a_run_alive_is_not_deleted():
    experiment = synthetic.store(Store().root, seeds=(0,), name="one")
    synthetic.running(experiment.runs()[0])
    app = open_page()
    menu(app, "one", "Delete")
    app.button(key="trash_delete").click().run()
    assert "stop it first" in texts(app)
    assert Store().experiments()


def test_where_slurm_keeps_waiting_jobs_the_question_says_so_and_asks_no_more(monkeypatch):
    synthetic.store(Store().root, seeds=(0,), name="one")

    def silent(store: Store):
        raise RuntimeError("Slurm does not answer")

    monkeypatch.setattr("sslcore.launch.slurm.client.queue", silent)
    for run in Store().experiments()[0].runs():
        run.update_status(state="queued", engine="slurm", job_id="7")
    app = menu(open_page(), "one", "Delete")
    app.button(key="trash_delete").click().run()
    assert "is in the trash" in texts(app) and "Slurm does not answer" in texts(clean(app))
    assert "trash_delete" not in [button.key for button in app.button] and not Store().experiments()


def test_menus_are_told_apart_by_name():
    experiment = synthetic.store(Store().root, methods=("byol", "moco"), seeds=(0,), steps=20)
    assert [menu.label for menu in open_page().get("menu_button")] == [f"Actions for {experiment.spec().title}"]
    labels = [menu.label.replace("\\", "") for menu in open_page("watch", experiment="photos").get("menu_button")]
    assert labels == [f"Actions for {name}-bs256-s0" for name in ("moco", "byol")]


def menu(app: AppTest, name: str, action: str) -> AppTest:
    """Choose an action in the menu of an experiment's card."""
    return clean(app.menu_button(key=f"experiments_menu_{name}").click(action).run())


def titles(app: AppTest) -> list[str]:
    return [element.value.removeprefix("#### ") for element in app.markdown if element.value.startswith("#### ")]


def test_the_best_setting_of_a_method_is_shown_with_its_spread_and_n():
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1), name="two")
    app = open_page()
    row = printed(app)[0].loc["BYOL"]
    accuracies = [run.results()["linear"]["accuracy"] for run in experiment.runs()]
    assert row["N"] == "2"
    assert row["linear probe"] == f"{50 * sum(accuracies):.1f} ± {100 * statistics.stdev(accuracies):.1f} %"
    with experiment.editing() as spec:
        spec.hidden = ["byol-bs256-s0"]
    assert printed(open_page())[0].loc["BYOL", "N"] == "1"


def test_the_untrained_encoder_is_as_good_in_the_list_as_in_the_report():
    experiment = synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0, 1))
    experiment.run("byol-bs256-s1").results_file.unlink()
    row = printed(open_page())[0].loc["Untrained"]
    assert row["N"] == "2"
    assert f"| Untrained encoder | 2 | {row['linear probe']} | | {row['kNN']} |" in report.markdown(experiment)


def test_one_run_and_one_accuracy_are_said_once():
    (run,) = synthetic.store(Store().root, methods=("byol",), seeds=(0,), steps=20).runs()
    run.append_metrics({"step": 40, "epoch": 2.0, "knn": tables.logged(run).last("knn") + 1e-4})
    (said,) = (caption.value for caption in open_page().caption if caption.value.startswith("kNN, "))
    assert " to " not in said
    assert open_page("compare", experiment="photos").multiselect(key="compare_runs").placeholder == "the one run"


def test_details_are_edited_without_losing_what_others_changed_meanwhile():
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0,), name="one", steps=20)
    app = menu(open_page(), "one", "Details and notes")
    with experiment.editing() as spec:
        spec.question, spec.pinned = "Asked elsewhere?", ["byol-bs256-s0"]
    app.text_input(key="details_title").set_value("  Renamed ").run()
    app.text_area(key="details_notes").set_value("Two **seeds** are not enough.").run()
    app.multiselect(key="details_tags").set_value(["photos"]).run()
    clean(app.button(key="details_save").click().run())
    spec = experiment.spec()
    assert (spec.title, spec.notes, spec.tags) == ("Renamed", "Two **seeds** are not enough.", ["photos"])
    assert (spec.question, spec.pinned) == ("Asked elsewhere?", ["byol-bs256-s0"])
    assert experiment.exists() and titles(app) == ["Renamed"]
    assert any(":gray-badge" in element.value and "photos" in element.value for element in app.markdown)


def test_an_archived_experiment_is_listed_only_when_asked_for():
    for name in ("one", "two"):
        synthetic.store(Store().root, methods=("byol",), seeds=(0,), name=name, steps=20)
    app = menu(open_page(), "one", "Archive")
    assert Store().experiment("one").spec().archived and len(titles(app)) == 1
    assert "one" not in open_page("compare").selectbox(key="link_experiment").options
    assert open_page("compare", experiment="one").selectbox(key="link_experiment").value == "one"  # a link to it goes on working
    app.toggle(key="experiments_archived").set_value(True).run()
    assert len(titles(clean(app))) == 2
    menu(app, "one", "Take out of the archive")
    assert not Store().experiment("one").spec().archived


def test_many_experiments_are_searched_and_filtered():
    for k in range(8):
        experiment = synthetic.store(Store().root, methods=("moco",) if k else ("byol",), seeds=(0,), name=f"e{k}", steps=20)
        with experiment.editing() as spec:
            spec.title, spec.tags = f"Study {k}", ["small"] if k % 2 else []
    synthetic.failed(experiment.runs()[0])
    app = open_page()
    assert titles(app) == [words.plain(f"Study {k}") for k in reversed(range(8))]
    app.text_input(key="experiments_text").set_value("study 3").run()
    assert titles(clean(app)) == ["Study 3"]
    app.text_input(key="experiments_text").set_value("nowhere").run()
    assert "Nothing suits" in clean(app).info[0].value
    app.text_input(key="experiments_text").set_value("").run()
    app.multiselect(key="experiments_tags").set_value(["small"]).run()
    assert len(titles(clean(app))) == 4
    app.multiselect(key="experiments_states").set_value(["failed"]).run()
    assert titles(clean(app)) == ["Study 7"]
    app.multiselect(key="experiments_states").set_value([])
    app.multiselect(key="experiments_tags").set_value([])
    app.multiselect(key="experiments_methods").set_value(["byol"]).run()
    assert titles(clean(app)) == ["Study 0"]


def test_what_was_deleted_can_be_put_back_from_the_page():
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0,), name="one", steps=20)
    before = synthetic_files(experiment)
    app = menu(open_page(), "one", "Delete")
    app.button(key="trash_delete").click().run()
    (back,) = [button for button in clean(app).button if button.label == "Put back"]  # also while the store is empty
    back.click().run()
    clean(app)
    assert synthetic_files(experiment) == before and titles(app)


def synthetic_files(experiment) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for path in experiment.path.rglob("*") if path.is_file() and not path.name.startswith(".")
    }


def test_share_and_import_give_the_same_experiment_again():
    experiment = synthetic.store(Store().root, seeds=(0,), name="one")
    with experiment.editing() as spec:
        spec.archived = True
    app = menu(open_page(experiments_archived="true"), "one", "Share")
    assert {button.key for button in app.get("download_button")} == {"share_report", "share_zip_False", "share_zip_True"}
    file = share.zipped(experiment, weights=False)

    app = open_page()
    app.button(key="experiments_import").click().run()
    app.file_uploader(key="share_file").set_value(("a.zip", b"no zip", "application/zip")).run()
    assert "cannot be imported" in clean(app).error[0].value
    app.file_uploader(key="share_file").set_value(("one.zip", file, "application/zip")).run()
    shown = texts(clean(app))
    assert "3 runs of BYOL, MoCo, SimCLR" in shown and "will be one-2" in shown
    assert len(Store().experiments()) == 1, "nothing is written before it is asked for"
    app.button(key="share_add").click().run()
    assert clean(app).title[0].value == "Compare"
    ours, theirs = (tables.summary(Store().experiment(name).runs()) for name in ("one", "one-2"))
    assert theirs == [row | {"experiment": "one-2"} for row in ours]
    assert not Store().experiment("one-2").spec().archived, "what is new here is not put aside"


def test_the_finished_study_is_offered_where_its_file_is(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "FILE", tmp_path / "study.zip")
    assert "experiments_study" not in [button.key for button in open_page().button]
    experiment = synthetic.store(tmp_path / "elsewhere", seeds=(0,), name="study")
    study.FILE.write_bytes(share.zipped(experiment, weights=False))
    app = open_page()
    app.button(key="experiments_study").click().run()
    assert clean(app).title[0].value == "Compare"
    assert [e.spec().title for e in Store().experiments()] == [experiment.spec().title]


@given(hst.text(alphabet="![]()<>\\`a:/\n&#!"))
def test_notes_hold_no_pictures(text):
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark", {"html": False}).parse(words.notes(text + "![a](http://example.org/b.png)"))
    assert "image" not in {child.type for token in tokens for child in token.children or ()}


# -- New experiment ---------------------------------------------------------------------


def test_the_form_launches_what_the_preset_says(launched):
    app = open_page("new")
    app.button(key="new_launch").click().run()
    clean(app)
    (experiment,) = Store().experiments()
    wanted = plan.plan(plan.read("photos")).configs
    assert {run.name: run.config for run in experiment.runs()} == wanted
    assert experiment.spec().question == plan.read("photos").question
    assert experiment.spec().command.startswith("python -m sslcore launch photos")
    assert launched


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


@pytest.mark.parametrize("typed, says", [(1e30, "less than or equal to"), (2.5, "valid integer")])
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
    assert any(says in error.value for error in app.error)
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
        {"own": "byol:epochs"},
        {"vary": "=1"},
        {"set": "epochs=["},
    ],
)
def test_a_link_that_asks_for_nonsense_is_a_message(params):
    app = open_page("new", new_preset="quick", **params)
    assert "left out" in app.warning[0].value
    assert app.number_input(key="new_set_epochs").value == plan.read("quick").base["epochs"]


@pytest.mark.parametrize("name", ["nothing", "../..", "photos/nothing"])
def test_a_copy_of_nothing_is_a_message(name):
    synthetic.store(Store().root, methods=("byol",), seeds=(0,))
    assert "nothing to copy" in texts(open_page("new", clone=name))


# -- Watch ------------------------------------------------------------------------------


def test_watch_tells_the_state_of_every_run_in_words():
    experiment = synthetic.store(Store().root, methods=("moco", "simclr", "byol"), seeds=(0, 1))
    moco, _, simclr, _, byol, other = sorted(
        experiment.runs(), key=lambda run: ["moco", "simclr", "byol"].index(run.config.method)
    )
    synthetic.running(moco)
    synthetic.failed(simclr, error="out of memory at batch size 256")
    byol.write_status(synthetic.status(byol, "queued"))
    other.write_status(synthetic.status(other, "running", progress=0.5, pid=1, pid_started=1.0, host=moco.status().host))
    app = open_page("watch", experiment="photos")
    shown = texts(app)
    for said in (
        "1 running",
        "1 failed",
        "1 queued",
        "1 interrupted",
        "2 finished",
        "out of memory at batch size 256",
        "process is gone",
    ):
        assert said in shown
    bars = {bar.text if hasattr(bar, "text") else bar.proto.text for bar in app.get("progress")}
    assert any(all(said in bar for said in ("training, epoch ", "1 min left", "kNN", " so far", "images/s")) for bar in bars), (
        bars
    )


@pytest.mark.parametrize("page", ["watch", "compare"])
def test_before_anything_is_logged_words_stand_in_place_of_charts(page):
    experiment = synthetic.store(Store().root, seeds=(0,))
    for run in experiment.runs():
        run.metrics_file.unlink()
        run.write_status(synthetic.status(run, "queued"))
    app = open_page(page, experiment="photos")
    assert "curves appear here" in texts(app) and n_charts(app) == 0
    synthetic.write_metrics(experiment.runs()[0], 5)
    app = open_page(page, experiment="photos")
    assert "curves appear here" not in texts(app) and n_charts(app) >= 3


def n_charts(app: AppTest) -> int:
    return sum(element.proto.component_name == "triptych_chart" for element in app.get("bidi_component"))


def test_watch_lists_runs_by_size_as_compare_does_and_what_cannot_be_read_last():
    experiment = synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0,), steps=20, axes={"batch_size": [64, 256]})
    experiment.run("moco-bs64-s0").config_file.write_text("{")
    menus = [button.key.removeprefix("watch_menu_") for button in open_page("watch", experiment="photos").get("menu_button")]
    assert menus == ["moco-bs256-s0", "byol-bs64-s0", "byol-bs256-s0", "moco-bs64-s0"]


def test_watch_says_when_a_run_finished_and_how_long_it_trained_however_often_it_was_begun():
    (run,) = synthetic.store(Store().root, methods=("byol",), seeds=(0,), steps=20).runs()
    now = time.time()
    run.write_status(synthetic.status(run, "finished", progress=1.0, attempt=2, started_at=now - 7, ended_at=now))
    bar = open_page("watch", experiment="photos").get("progress")[0]
    assert bar.proto.text.replace("\\", "").startswith(f"finished {words.date(now)} · 1 min 40 s of training · ")


@pytest.mark.parametrize("content", [b"", b"RIFF\x10\0\0\0WEBP", b"not a picture"])
def test_watch_says_that_a_damaged_picture_cannot_be_read(content):
    (run,) = synthetic.store(Store().root, methods=("byol",), seeds=(0,), steps=20).runs()
    run.views_file.write_bytes(content)
    assert "views.webp in the run's folder is damaged" in texts(open_page("watch", experiment="photos"))


@pytest.mark.parametrize(
    "error, told",
    [
        ("It was ended by SIGKILL. Its last words: step 7", "It was ended by SIGKILL. Its last words: step 7. Resume"),
        (None, "Its process is gone"),
    ],
)
def test_watch_tells_why_a_run_was_interrupted(error, told):
    (run,) = synthetic.store(Store().root, methods=("byol",), seeds=(0,), steps=20).runs()
    run.write_status(synthetic.status(run, "interrupted", error=error))
    assert told in open_page("watch", experiment="photos").warning[0].value.replace("\\", "")


def test_watch_without_experiments_says_what_to_do():
    assert "no experiments yet" in texts(open_page("watch"))


def test_the_log_shows_the_run_that_the_link_names():
    experiment = synthetic.store(Store().root, seeds=(0,))
    for run in experiment.runs():
        run.log_file.write_text(f"this is {run.name} <b>\n")
    app = open_page("watch", experiment="photos", watch_run="simclr-bs256-s0")
    app.selectbox(key="watch_run").set_value("simclr-bs256-s0").run()
    assert app.code[0].value == "this is simclr-bs256-s0 <b>"


def test_many_runs_are_listed_a_page_at_a_time():
    synthetic.store(Store().root, methods=("moco", "byol"), seeds=range(15), steps=20)
    app = open_page("watch", experiment="photos")
    assert "30 finished" in texts(app)
    assert len(app.get("progress")) == 20 + 2  # and the machine's two meters


def test_a_run_whose_config_is_broken_does_not_take_the_page_down():
    experiment = synthetic.store(Store().root, seeds=(0,))
    write_json(experiment.runs()[0].config_file, {"method": 7})
    open_page("watch", experiment="photos")
    open_page()


# -- What the machine does, and what things are called ------------------------------------


def test_a_gpu_as_nvidia_smi_tells_it():
    gpu = machine.parse_gpu("NVIDIA H100 80GB, PCIe, 37, 1024, 81559")
    assert gpu.name == "NVIDIA H100 80GB, PCIe" and gpu.load == 0.37 and gpu.memory_used == 2**30
    assert machine.parse_gpu("MIG device, [N/A], 100, 200").load is None
    assert machine.parse_gpu("No devices were found") is None


@pytest.mark.parametrize(
    "seconds, said",
    [
        (0, "0 s"),
        (59.6, "1 min"),
        (91, "1 min 31 s"),
        (149, "2 min 29 s"),
        (599.6, "10 min"),
        (725, "12 min"),
        (5400, "1 h 30 min"),
        (7200, "2 h"),
        (86_390, "1 day"),
        (36 * 3600, "1 day 12 h"),
        (59 * 3600, "2 days 11 h"),
        (None, "–"),
    ],
)
def test_durations_in_words(seconds, said):
    assert words.duration(seconds) == said


def test_numbers_in_words():
    assert words.percent(0.4137) == "41.4\N{NO-BREAK SPACE}%"
    said = {3.14: "3.1", 874.4: "874", 1049: "1,050", 1051: "1,050", 12_345.6: "12,300", 123_456: "123,000"}
    assert {speed: words.rate(speed) for speed in said} == {speed: f"{number} images/s" for speed, number in said.items()}
    assert words.size(1.5e9) == "1.5 GB" and words.size(2e6) == "2 MB"
    assert [words.operations(flops) for flops in (7, 999.6, 34e6, 2.6e15)] == ["7 FLOP", "1 kFLOP", "34 MFLOP", "2.6 PFLOP"]
    assert [words.energy(joules) for joules in (640, 999.7, 12_345, 1.25e6, 1.25e9)] == [
        "640 J",
        "1 kJ",
        "12.3 kJ",
        "1.25 MJ",
        "1.25 GJ",
    ]
    assert words.operations(None) == words.energy(None) == words.energy(float("inf")) == "–"
    assert (words.count(1, "class"), words.count(2, "class"), words.count(1200, "run")) == ("1 class", "2 classes", "1,200 runs")


def test_the_picture_depends_on_what_the_network_sees_and_on_nothing_else():
    def settings(**changes):
        return strip.settings_of(plan.resolve({"dataset": "digits", **changes}))

    assert settings(epochs=7, seed=3) == settings()
    assert settings(**{"augment.blur": 0.5}) != settings()
    assert settings(image_size=32) != settings()
    json.dumps(settings())


def test_the_picture_is_drawn_once_and_a_reason_is_given_where_it_cannot_be(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)  # a user without a name, as containers have
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    config = plan.resolve({"dataset": "digits"})
    path = strip.draw(config)
    drawn = path.stat().st_mtime_ns
    assert strip.draw(config) == path and path.stat().st_mtime_ns == drawn
    with pytest.raises(ValueError, match="no/such"):
        strip.draw(config.model_copy(update={"dataset": "/no/such"}))


# -- What all pages share ----------------------------------------------------------------


@pytest.fixture
def two_experiments():
    """Two experiments whose runs have the same names."""
    return [
        synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0,), name=name, steps=60) for name in ("ours", "theirs")
    ]


def test_runs_of_several_experiments_stand_side_by_side(two_experiments):
    _, theirs = two_experiments
    synthetic.write_results(theirs.run("byol-bs256-s0"), labelled=False)
    everything = {run.id for experiment in two_experiments for run in experiment.runs()}
    app = open_page("compare", experiment="ours", also="theirs")
    assert set(app.multiselect(key="compare_runs").options) == everything
    assert "4 runs" in texts(app)
    app = open_page("probe", experiment="ours", also="theirs,ours,../ours,gone,theirs")
    methods = list(printed(app)[0].index)
    assert len(methods) == 3 and [name for name in methods if "theirs" in name] == ["MoCo · theirs"]
    assert printed(open_page("probe", experiment="ours"))[0].index.tolist() == ["MoCo", "BYOL"]


def test_others_are_chosen_on_the_page_and_go_along(two_experiments):
    app = open_page("compare", experiment="ours")
    app.multiselect(key="link_also").set_value(["theirs"]).run()
    assert app.query_params["also"] == "theirs"
    assert len(app.multiselect(key="compare_runs").options) == 4
    app.switch_page("views/probe.py").run()
    assert clean(app).query_params["also"] == "theirs" and len(printed(app)[0]) == 4
    app.selectbox(key="link_experiment").set_value("theirs").run()
    assert clean(app).query_params["experiment"] == "theirs" and "also" not in app.query_params
    assert len(printed(app)[0]) == 2


def test_hidden_runs_are_left_out_until_asked_for_and_pinned_ones_come_first(two_experiments):
    ours, theirs = two_experiments
    with ours.editing() as spec:
        spec.hidden = ["moco-bs256-s0"]
    with theirs.editing() as spec:
        spec.pinned = ["moco-bs256-s0"]
    app = open_page("compare", experiment="ours")
    assert app.multiselect(key="compare_runs").options == ["byol-bs256-s0"]
    app.toggle(key="link_hidden").set_value(True).run()
    assert len(clean(app).multiselect(key="compare_runs").options) == 2
    assert app.query_params["hidden"] == "shown"
    menus = [button.key for button in open_page("watch", experiment="theirs").get("menu_button")]
    assert menus == ["watch_menu_moco-bs256-s0", "watch_menu_byol-bs256-s0"]


def test_an_experiment_all_of_whose_runs_are_hidden_says_how_to_see_them(two_experiments):
    with two_experiments[0].editing() as spec:
        spec.hidden = [run.name for run in two_experiments[0].runs()]
    for page in ("compare", "probe", "watch"):
        app = open_page(page, experiment="ours")
        assert "hidden" in app.info[0].value
        app.toggle(key="link_hidden").set_value(True).run()
        assert not clean(app).info


def test_runs_are_pinned_and_hidden_on_watch(two_experiments):
    ours = two_experiments[0]
    app = open_page("watch", experiment="ours")
    clean(app.menu_button(key="watch_menu_moco-bs256-s0").click("Pin").run())
    clean(app.menu_button(key="watch_menu_byol-bs256-s0").click("Hide").run())
    assert (ours.spec().pinned, ours.spec().hidden) == (["moco-bs256-s0"], ["byol-bs256-s0"])
    assert [button.key for button in app.get("menu_button")] == ["watch_menu_moco-bs256-s0"]
    app.toggle(key="link_hidden").set_value(True).run()
    clean(app.menu_button(key="watch_menu_byol-bs256-s0").click("Stop hiding").run())
    clean(app.menu_button(key="watch_menu_moco-bs256-s0").click("Unpin").run())
    assert (ours.spec().pinned, ours.spec().hidden) == ([], [])


def test_runs_on_different_images_are_said_to_be(two_experiments):
    synthetic.store(Store().root, methods=("byol",), seeds=(0,), name="digits", dataset="digits", steps=20)
    assert "different images (digits, photos)" in texts(open_page("compare", experiment="ours", also="digits")).replace("\\", "")
    assert "different images" not in texts(open_page("compare", experiment="ours", also="theirs"))


@pytest.mark.parametrize("content", [{"linear": 5}, {"linear": {"accuracy": "0.9"}}, {"knn": {"accuracy": 2}}, {"cost": []}])
def test_results_that_nobody_can_rely_on_are_as_none_on_every_page(content):
    """And Probe says which they are."""
    experiment = synthetic.store(Store().root, seeds=(0, 1), name="odd")
    for run in experiment.runs()[:2]:
        write_json(run.results_file, content)
        assert run.results() is None
    for page in sorted(path.stem for path in link.VIEWS.glob("*.py")):
        app = open_page(page, experiment="odd")
        if page == "probe":
            assert f"results.json cannot be read: {experiment.runs()[0].name}" in texts(app).replace("\\", "")
    assert "SimCLR" in report.html(experiment)
