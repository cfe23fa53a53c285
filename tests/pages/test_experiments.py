"""The page Experiments: the list, its menus, the trash, sharing and importing."""

import io
import shutil
import statistics
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file
from streamlit.testing.v1 import AppTest

from dashboard import change, metrics, report, share, study, tables, words
from dashboard.figures import spark
from sslcore.experiment import Spec, Store
from sslcore.files import write_json
from sslcore.methods import METHODS
from tests import synthetic
from tests.pages.driving import clean, open_page, printed, texts


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
    assert experiment.spec().command == f"python -m sslcore launch photos --name photos --title '{experiment.spec().title}'"


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
        assert row["linear probe"] == words.share(run.results()["linear"]["accuracy"])
        assert row["kNN"] == words.share(run.results()["knn"]["accuracy"])


def test_of_several_data_sets_each_has_numbers_of_its_own():
    synthetic.store(Store().root, methods=("byol", "moco"), seeds=(0,), axes={"dataset": ["photos", "digits"]}, name="both")
    app = open_page()
    (table,) = printed(app)
    assert set(table.index) == {f"{of} on {where}" for of in ("BYOL", "MoCo", "Untrained") for where in ("photos", "digits")}
    assert "photos, digits" in texts(app).replace("\\", "") or "digits, photos" in texts(app).replace("\\", "")


def test_a_card_names_the_data_as_the_table_beside_it_does():
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1), name="changed")
    for run in experiment.runs():
        write_json(run.environment_file, {"data": {"checksum": f"c{run.config.seed}"}})
    app = open_page()
    assert {"BYOL on photos (c0)", "BYOL on photos (c1)"} < set(printed(app)[0].index)
    assert "photos (c0), photos (c1)" in texts(app).replace("\\", "")


def test_without_labels_the_list_says_why_there_are_no_numbers():
    synthetic.write_results(synthetic.store(Store().root, methods=("byol",), seeds=(0,)).runs()[0], labelled=False)
    assert "photos has no labels" in (shown := texts(open_page())) and "Numbers appear here" not in shown


def test_a_card_without_numbers_says_whether_they_will_come():
    experiment = synthetic.store(Store().root, methods=("byol", "moco"), seeds=(0,), steps=20)
    for run in experiment.runs():
        run.results_file.unlink()
        run.write_status(synthetic.status(run, "queued"))
    assert "Numbers appear here once a run has been probed" in texts(open_page())
    for run in experiment.runs():
        run.write_status(synthetic.status(run, "failed"))
    assert words.plain("No run was probed; 2 failed: Watch says why, and can resume them.") in texts(open_page())


def test_delete_asks_once_and_moves_to_the_trash():
    synthetic.store(Store().root, seeds=(0,), name="one")
    app = open_page()
    menu(app, "one", "Delete")
    (one,) = Store().experiments()
    assert f"The experiment “{one.spec().title}”, one with 3 runs goes to the trash." in [text.value for text in app.text][-1]
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
    return [element.value for element in app.header]


def test_a_method_that_gets_no_image_right_is_shown_too():
    (run,) = synthetic.store(Store().root, methods=("byol",), seeds=(0,), name="none").runs()
    results = run.results()
    write_json(run.results_file, results | {of: results[of] | {"accuracy": 0.0} for of in ("linear", "knn")})
    assert printed(open_page())[0].loc["BYOL", "linear probe"] == "0.0 %"


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


def test_a_method_with_images_of_another_size_has_an_untrained_encoder_of_its_own():
    spec = Spec(by_method={"byol": {"image_size": 64}}, axes={"method": ["moco", "byol"]})
    experiment = synthetic.finished(Store().root, spec, steps=20)
    table = printed(open_page())[0]
    assert list(table.index) == ["MoCo", "BYOL", "Untrained at 32 px", "Untrained at 64 px"]
    for run, of in zip(experiment.runs(), (64, 32)):
        untrained = run.results()["baselines"]["random_encoder"]["linear"]
        assert table.loc[f"Untrained at {of} px", "linear probe"] == words.share(untrained)


def test_methods_with_another_vote_have_untrained_knns_of_their_own_in_the_list_and_in_the_report():
    spec = Spec(by_method={"byol": {"evaluate.knn_k": 5}}, axes={"method": ["moco", "byol"]})
    experiment = synthetic.finished(Store().root, spec, steps=20, name="votes")
    table, told = printed(open_page())[0], report.markdown(experiment)
    assert list(table.index) == ["MoCo", "BYOL", "Untrained, kNN at k 20", "Untrained, kNN at k 5"]
    for run, k in zip(experiment.runs(), (5, 20)):
        knn = words.share(run.results()["baselines"]["random_encoder"]["knn"])
        assert table.loc[f"Untrained, kNN at k {k}", "kNN"] == knn
        assert f"Untrained encoder, kNN at k {k} |" in told.replace("\\", "") and f"Pixels, kNN at k {k} |" in told
    assert "differ in evaluate.knn_k (5, 20): their kNN" in told.replace("\\", "")
    assert "differ in evaluate.knn_k (5, 20): their kNN" in texts(open_page("probe", experiment="votes")).replace("\\", "")


def test_one_run_and_one_accuracy_are_said_once():
    (run,) = synthetic.store(Store().root, methods=("byol",), seeds=(0,), steps=20).runs()
    run.append_metrics({"step": 40, "epoch": 2.0, "knn": metrics.logged(run).last("knn") + 1e-4})
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


def test_what_somebody_else_wrote_meanwhile_is_told_before_it_is_replaced():
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0,), name="one", steps=20)
    app = menu(open_page(), "one", "Details and notes")
    with experiment.editing() as spec:
        spec.notes = "Ana: it collapses."
    app.text_area(key="details_notes").set_value("Ben: to do").run()
    app.button(key="details_save").click().run()
    assert "somebody else changed the notes, now “Ana: it collapses.”. Save again" in clean(app).error[0].value.replace("\\", "")
    assert experiment.spec().notes == "Ana: it collapses." and {"details_save", "details_cancel"} <= {*keys(app)}
    clean(app.button(key="details_save").click().run())
    assert experiment.spec().notes == "Ben: to do" and "details_save" not in keys(app)


def test_a_title_that_is_longer_than_one_may_write_is_not_cut():
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0,), name="one", steps=20)
    with experiment.editing() as spec:
        spec.title, spec.question = "t" * 150, "q" * 1400
    app = menu(open_page(), "one", "Details and notes")
    app.text_area(key="details_notes").set_value("Kept").run()
    app.button(key="details_save").click().run()
    assert (experiment.spec().notes, len(experiment.spec().title)) == ("Kept", 150)
    for title, says in (("t" * 151, "the title has 151 letters, and 120 are possible"), (" ", "give the experiment a title")):
        app = menu(open_page(), "one", "Details and notes")
        app.text_input(key="details_title").set_value(title).run()
        app.button(key="details_save").click().run()
        assert says in app.error[0].value and experiment.spec().title == "t" * 150


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


def test_the_trash_is_emptied_at_once_where_one_asks_for_it_and_what_cannot_be_deleted_is_told(monkeypatch):
    for name in ("one", "two"):
        synthetic.store(Store().root, methods=("byol",), seeds=(0,), name=name, steps=20)
        change.discard(Store(), Store().experiment(name))
    (half := Store().root / ".new-somebody's").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        app = open_page()
        app.button(key="trash_empty_now").click().run()
        assert "could not be deleted" in texts(clean(app))
    app.button(key="trash_empty_now").click().run()
    assert "trash_empty_now" not in keys(clean(app)) and "The trash is empty" in app.toast[0].value
    assert not list((Store().root / ".trash").iterdir()) and half.exists()


@pytest.mark.parametrize("action, button", [("Delete", "trash_delete"), ("Details and notes", "details_save")])
def test_a_dialog_neither_follows_to_another_page_nor_comes_back_by_itself(action, button):
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0,), name="one", steps=20)
    app = menu(open_page(), "one", action)
    assert button in keys(app)
    for page in ("watch", "experiments"):
        app.switch_page(f"views/{page}.py").run()
        assert button not in keys(clean(app))
    assert button in keys(menu(app, "one", action))
    aside = experiment.path.rename(experiment.path.with_name(".aside"))  # deleted elsewhere
    assert button not in keys(clean(app.run()))
    aside.rename(experiment.path)
    assert titles(clean(app.run())) and button not in keys(app)


def test_the_question_about_a_run_stays_with_its_experiment():
    for name in ("one", "two"):
        synthetic.store(Store().root, methods=("byol",), seeds=(0,), name=name, steps=20)
    app = open_page("watch", experiment="one")
    app.menu_button(key="watch_menu_byol-bs256-s0").click("Delete").run()
    assert "trash_delete" in keys(clean(app))
    app.query_params["experiment"] = "two"
    assert "trash_delete" not in keys(clean(app.run()))


def keys(app: AppTest) -> list[str]:
    return [button.key for button in app.button]


def synthetic_files(experiment) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for path in experiment.path.rglob("*") if path.is_file() and not path.name.startswith(".")
    }


def test_what_is_too_large_for_a_browser_is_shared_in_a_shell(monkeypatch):
    synthetic.store(Store().root, seeds=(0,), name="one").runs()[0].encoder_file.write_bytes(b"weights")
    monkeypatch.setattr(share, "LARGEST_MB", 0)
    app = menu(open_page(), "one", "Share")
    assert {button.key for button in app.get("download_button")} == {"share_report"}
    plain, whole = (code.value for code in app.code)
    assert "export one one.zip --root" in plain and "export one one-with-weights.zip --checkpoints --root" in whole


def test_share_and_import_give_the_same_experiment_again():
    experiment = synthetic.store(Store().root, seeds=(0,), name="one")
    with experiment.editing() as spec:
        spec.archived = True
    app = menu(open_page(experiments_archived="true"), "one", "Share")
    assert {button.key for button in app.get("download_button")} == {"share_report", "share_zip_False"}, "there are no weights"
    experiment.runs()[0].encoder_file.write_bytes(b"weights")
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


def test_the_finished_study_can_be_looked_at_while_the_first_comparison_trains(tmp_path, monkeypatch, launched):
    monkeypatch.setattr(study, "FILE", tmp_path / "study.zip")
    study.FILE.write_bytes(share.zipped(synthetic.store(tmp_path / "elsewhere", seeds=(0,), name="study"), weights=False))
    open_page().button(key="experiments_first").click().run()
    app = open_page()
    app.button(key="experiments_study").click().run()
    assert clean(app).title[0].value == "Compare"
    assert {e.name for e in Store().experiments()} == {"photos", "study"}
    assert "experiments_study" not in [button.key for button in open_page().button]


def test_an_accuracy_over_fewer_seeds_than_its_line_says_so():
    runs = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1, 2), steps=20).runs()
    results = runs[0].results()
    del results["knn"]
    write_json(runs[0].results_file, results)
    row = printed(open_page())[0].loc["BYOL"]
    assert row["N"] == "3" and row["kNN"].endswith("% (N = 2)") and row["linear probe"].endswith("%")


def test_of_two_settings_of_a_method_the_better_one_stands_in_the_list_and_without_a_probe_the_better_knn():
    experiment = synthetic.store(Store().root, methods=("simclr",), seeds=(0,), axes={"batch_size": [16, 256]}, steps=20)
    (small, large) = experiment.runs() if "bs16" in experiment.runs()[0].name else experiment.runs()[::-1]
    assert small.results()["linear"]["accuracy"] < large.results()["linear"]["accuracy"]
    assert printed(open_page())[0].index[0] == "SimCLR · batch 256"
    assert "varies batch size (2)" in texts(open_page()).replace("\\", "")
    for run, knn in ((small, 0.8), (large, 0.9)):
        write_json(run.results_file, run.results() | {"linear": None, "knn": run.results()["knn"] | {"accuracy": knn}})
    table = printed(open_page())[0]
    assert (table.index[0], table["kNN"].iloc[0]) == ("SimCLR · batch 256", "90.0 %")


def test_a_card_tells_how_far_its_runs_are_together():
    one, two, _, _ = synthetic.store(Store().root, methods=("byol",), seeds=range(4), steps=20).runs()
    one.write_status(synthetic.status(one, "queued", progress=0.0))
    synthetic.running(two, 200)
    (bar,) = open_page().get("progress")
    assert (bar.proto.value, bar.proto.text) == (round(100 * (2 + two.status().progress) / 4), "2 runs still to finish")


def test_experiments_are_found_by_tag_and_folder_too_and_whatever_the_case():
    for k in range(8):
        with synthetic.store(Store().root, methods=("byol",), seeds=(0,), name=f"e{k}", steps=20).editing() as spec:
            spec.title, spec.tags = f"Study {k}", ["tiny"] if k == 3 else ["Large", "two"]
    for sought, found in (("E5", ["Study 5"]), ("TINY study", ["Study 3"])):
        assert titles(open_page(experiments_text=sought)) == found
    assert titles(open_page(experiments_tags=["two"])) == [f"Study {k}" for k in reversed(range(8)) if k != 3]


def test_where_all_experiments_are_archived_the_list_says_so():
    with synthetic.store(Store().root, methods=("byol",), seeds=(0,), steps=20).editing() as spec:
        spec.archived = True
    assert [info.value for info in open_page().info] == ["All of these are archived; the switch above shows them."]
    shown = texts(open_page(experiments_archived="true"))
    assert ":material/archive: archived" in shown and "settings there are" in shown


def test_of_more_experiments_than_a_page_lists_each_stands_on_one():
    for k in range(22):
        Store().create(f"e{k}", Spec(title=f"Study {k}"), {})
    pages = [titles(open_page(experiments_page=page)) for page in ("1", "2")]
    assert [len(page) for page in pages] == [20, 2] and len({*pages[0], *pages[1]}) == 22
    assert "no runs" in texts(open_page())


def test_the_curves_of_a_card_leave_out_hidden_runs_and_end_where_the_longest_training_does(monkeypatch):
    experiment = synthetic.store(Store().root, methods=("byol", "moco"), seeds=(0,), steps=200)
    with experiment.editing() as spec:
        spec.hidden = ["moco-bs256-s0"]
    drawn, lines = [], spark.lines
    monkeypatch.setattr(spark, "lines", lambda curves, end: drawn.append((curves[0][0], len(curves), end)) or lines(curves, end))
    shown = texts(open_page())
    assert drawn == [("byol", 1, 20)] and "Hidden runs are left out." in shown and "which flatters it the more" in shown


def test_pictures_in_notes_are_not_fetched_by_opening_them():
    with synthetic.store(Store().root, methods=("byol",), seeds=(0,), name="one", steps=20).editing() as spec:
        spec.notes = "![a picture](https://example.org/x.png)"
    app = menu(open_page(), "one", "Details and notes")
    (shown,) = (element.value for element in app.markdown if "a picture" in element.value)
    assert "![" not in shown and "Pictures in notes are shown as links" in texts(app)


def test_what_was_deleted_while_one_was_asked_is_told_and_asked_no_more(monkeypatch):
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0,), name="one", steps=20)

    def gone(*_):
        shutil.rmtree(experiment.path)
        raise FileNotFoundError("no such folder")

    monkeypatch.setattr("dashboard.change.discard", gone)
    app = menu(open_page(), "one", "Delete")
    app.button(key="trash_delete").click().run()
    assert [toast.value for toast in clean(app).toast] == ["one was deleted meanwhile."] and "trash_delete" not in keys(app)


def test_what_cannot_be_moved_to_the_trash_says_why_and_stays(monkeypatch):
    synthetic.store(Store().root, methods=("byol",), seeds=(0,), name="one", steps=20)

    def refuse(*_):
        raise OSError("no space left")

    monkeypatch.setattr("dashboard.change.discard", refuse)
    app = menu(open_page(), "one", "Delete")
    app.button(key="trash_delete").click().run()
    assert [error.value for error in clean(app).error] == ["It could not be moved\\: no space left"] and Store().experiments()


def test_only_jobs_that_wait_in_slurm_are_said_to_be_cancelled_with_an_experiment():
    one, two, three = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1, 2), name="one", steps=20).runs()
    one.update_status(state="queued")
    two.update_status(state="queued", engine="slurm", job_id="7_0")
    three.update_status(state="finished", engine="slurm", job_id="7_1")
    assert "1 job of it that waits in Slurm is cancelled." in texts(menu(open_page(), "one", "Delete"))


def test_each_download_holds_what_its_button_says(monkeypatch):
    (run,) = synthetic.store(Store().root, methods=("byol",), seeds=(0,), name="one", steps=20).runs()
    save_file({"conv1.weight": np.zeros((2, 2), np.float32)}, run.encoder_file)
    files = {}
    monkeypatch.setattr("streamlit.download_button", lambda label, data, name, *_, **__: files.update({name: (label, data)}))
    menu(open_page(), "one", "Share")
    assert set(files) == {"one.html", "one.zip", "one-with-weights.zip"}
    for name, says, inside in (("one.zip", "Without weights", False), ("one-with-weights.zip", "With weights", True)):
        label, data = files[name]
        names = zipfile.ZipFile(io.BytesIO(data())).namelist()
        assert label.startswith(f"{says} (up to ") and (f"one/{run.name}/encoder.safetensors" in names) == inside
    assert run.experiment.spec().question in files["one.html"][1]()


def test_what_cannot_be_put_back_says_why_and_what_is_back_is_told():
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1), name="one", steps=20)
    run = experiment.runs()[0]
    change.discard(Store(), run)
    shutil.copytree(experiment.runs()[0].path, run.path)
    app = open_page()
    (back,) = [button for button in app.button if button.label == "Put back"]
    back.click().run()
    assert "It could not be put back: there is a run" in clean(app).error[0].value.replace("\\", "")
    shutil.rmtree(run.path)
    back.click().run()
    assert [toast.value.replace("\\", "") for toast in clean(app).toast] == [f"{run.id} is back."] and run.exists()
