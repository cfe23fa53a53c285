"""The page Watch: what becomes of each run, its log and its pictures."""

import json
import shutil
import time

import pytest
from streamlit.testing.v1 import AppTest

from dashboard import words
from dashboard.figures import curves
from sslcore.experiment import Store
from sslcore.files import write_json
from sslcore.launch import slots
from sslcore.launch.slurm import heard
from tests import synthetic
from tests.pages.driving import open_page, texts


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


def test_a_queued_run_that_is_stopped_is_said_to_be_off_the_queue():
    (run,) = synthetic.store(Store().root, methods=("moco",), seeds=(0,)).runs()
    run.update_status(state="queued", progress=0.0)
    app = open_page("watch", experiment="photos")
    app.menu_button(key=f"watch_menu_{run.name}").click("Stop").run()
    assert run.status().state == "stopped" and ["off the queue" in toast.value for toast in app.toast] == [True]


def test_a_measured_run_is_as_fast_as_on_the_other_pages():
    (run,) = synthetic.store(Store().root, methods=("moco",), seeds=(0,)).runs()
    of_the_whole = run.results()["cost"]["images_per_second"] / 2
    write_json(run.results_file, run.results() | {"cost": run.results()["cost"] | {"images_per_second": of_the_whole}})
    bar, *_ = open_page("watch", experiment="photos").get("progress")
    assert words.rate(of_the_whole) in bar.proto.text


@pytest.mark.parametrize(("state", "kind"), [("interrupted", "warning"), ("failed", "error"), ("stopped", "caption")])
def test_of_a_run_that_ended_early_it_is_said_what_resume_finds_and_resume_stands_only_where_it_can_be_done(state, kind):
    runs = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1, 2)).runs()
    kept, bare, _ = runs
    kept.checkpoint_file.touch()
    bare.results_file.unlink()
    for run in runs:
        run.update_status(state=state)
    app = open_page("watch", experiment="photos")
    offered = ["Resume" in menu.proto.options for menu in app.get("menu_button")]
    assert offered == [True, True, False]
    told = [element.value.replace("\\", "") for element in getattr(app, kind)]
    assert sum("s2 has been measured and its checkpoint.pt is not here" in said for said in told) == 1
    if state != "stopped":
        assert told[0].endswith("Resume goes on from the last checkpoint.")
        assert told[1].endswith("There is no checkpoint, so Resume begins anew.")


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


def test_of_runs_that_have_ended_nothing_is_promised():
    (run,) = synthetic.store(Store().root, methods=("byol",), seeds=(0,)).runs()
    run.metrics_file.unlink()
    synthetic.failed(run)
    shown = texts(open_page("watch", experiment="photos"))
    assert all(said in shown for said in ("It printed nothing.", "There is no picture of this run.", "have logged nothing"))
    compared = texts(open_page("compare", experiment="photos"))
    assert "have logged nothing" in compared and "appear" not in shown + compared


def test_watch_says_what_of_a_run_cannot_be_read_and_what_makes_it_again():
    one, other, third, *_ = synthetic.store(Store().root, steps=20).runs()
    one.encoder_file.touch()
    assert "cannot be read" not in texts(open_page("watch", experiment="photos"))
    one.results_file.write_text("{ torn")
    other.config_file.write_text("{ torn")
    third.results_file.write_text("{ torn")
    shown = texts(open_page("watch", experiment="photos")).replace("\\", "")
    root = f"--root {Store().root}"
    again = f"In a shell, python -m sslcore evaluate {one.id} {root} makes it again."
    assert f"results.json is missing or cannot be read: {one.name}. {again}" in shown
    assert f"results.json is missing or cannot be read: {third.name}. There is no encoder.safetensors to measure again." in shown
    assert f"config.json cannot be read. In a shell, python -m sslcore complete photos {root} writes it anew." in shown


def test_a_config_of_another_version_is_said_to_be_one_and_nothing_is_said_to_write_it_anew():
    one, other, *_ = synthetic.store(Store().root, steps=20).runs()
    for run in (one, other):
        write_json(run.config_file, run.config.model_dump() | {"nosuch": 1})
    for page in ("watch", "probe"):
        shown = texts(open_page(page, experiment="photos")).replace("\\", "")
        assert "config.json: nosuch: this version of Triptych has no such setting" in shown and "writes it anew" not in shown
    assert f"Left out: {one.config_file}: nosuch: this version of Triptych has no such setting. 1 other likewise." in shown


def test_without_labels_watch_draws_what_needs_none():
    (run,) = synthetic.store(Store().root, methods=("byol",), seeds=(0,), steps=20).runs()
    rows = [{name: value for name, value in row.items() if name != "knn"} for row in run.metrics()]
    run.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    drawn = open_page("watch", experiment="photos").get("bidi_component")
    assert any("Effective rank" in element.proto.json for element in drawn)


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
    run.checkpoint_file.touch()
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
    synthetic.running(run := experiment.runs()[0])
    write_json(run.config_file, {"method": 7})
    shown = {bar.proto.text for bar in open_page("watch", experiment="photos").get("progress")}
    assert any("training · 1 min left" in bar for bar in shown), shown
    open_page()


def test_runs_that_vanish_while_the_page_is_drawn_do_not_take_it_down(monkeypatch):
    experiment = synthetic.store(Store().root, methods=("moco",), seeds=(0, 1))

    def deleted(runs):
        for run in experiment.runs():
            shutil.rmtree(run.path)
        return ()

    monkeypatch.setattr("dashboard.tables.curves", deleted)
    assert "It printed nothing" in texts(open_page("watch", experiment="photos"))


def test_one_button_starts_what_asks_slurm_and_what_trains_here():
    here, there = synthetic.store(Store().root, methods=("moco",), seeds=(0, 1)).runs()
    there.update_status(state="queued", engine="slurm", job_id="7_0")
    for state, label in (("queued", "Start the queue"), ("finished", "Ask Slurm")):
        here.update_status(state=state)
        app = open_page("watch", experiment="photos")
        assert [button.label for button in app.button if button.label in ("Start the queue", "Ask Slurm")] == [label]
        assert "Nothing asks Slurm" in texts(app) and ("nothing on this machine starts them" in texts(app)) == (state == "queued")


def test_a_running_run_that_is_stopped_is_said_to_write_a_checkpoint_first():
    (run,) = synthetic.store(Store().root, methods=("moco",), seeds=(0,)).runs()
    synthetic.running(run)
    app = open_page("watch", experiment="photos")
    app.menu_button(key=f"watch_menu_{run.name}").click("Stop").run()
    assert ["stops after it has written a checkpoint" in toast.value for toast in app.toast] == [True]
    assert app.get("progress")[0].proto.text.startswith(words.plain("is stopping: writes a checkpoint"))


def test_runs_that_ended_early_come_first_and_compare_says_that_they_did():
    runs = synthetic.store(Store().root, methods=("moco", "simclr", "byol"), seeds=(0, 1), steps=20).runs()
    synthetic.failed(last := runs[-1])
    runs[2].update_status(state="interrupted", progress=0.5)
    shown = texts(open_page("watch", experiment="photos"))
    listed = sorted((run.name for run in runs), key=lambda name: shown.index(words.plain(name)))
    assert set(listed[:2]) == {runs[2].name, last.name}
    compared = texts(open_page("compare", experiment="photos")).replace("\\", "")
    assert "1 failed: Watch says why, and can resume it · 1 interrupted: Watch says why, and can resume it" in compared


def test_an_agent_that_does_nothing_for_what_is_queued_is_told(monkeypatch):
    (run,) = synthetic.store(Store().root, methods=("moco",), seeds=(0,)).runs()
    run.update_status(state="queued")
    monkeypatch.setattr("sslcore.launch.agent_alive", lambda store: True)
    assert "Runs are queued, and" not in texts(open_page("watch", experiment="photos"))
    monkeypatch.setattr("sslcore.launch.agent.held_up", lambda store, queued: "the agent, pid 5, was stopped")
    assert "Runs are queued, and the agent, pid 5, was stopped." in texts(open_page("watch", experiment="photos"))


def test_a_queued_run_says_on_which_machine_it_waits(monkeypatch):
    here, there = synthetic.store(Store().root, methods=("moco",), seeds=(0, 1)).runs()
    here.update_status(state="queued")
    there.update_status(state="queued", queued_on="tower7")
    first, second = (bar.proto.text for bar in open_page("watch", experiment="photos").get("progress")[:2])
    assert first.startswith("waits for the queue to be started") and second.startswith("waits for room on tower7")
    compared = texts(open_page("compare", experiment="photos")).replace("\\", "")
    assert "2 still to finish; this page follows · nothing starts those that are queued: Watch does" in compared
    monkeypatch.setattr("sslcore.launch.agent_alive", lambda store: True)
    first, _ = (bar.proto.text for bar in open_page("watch", experiment="photos").get("progress")[:2])
    assert first.startswith("waits for room on this machine")
    assert "nothing starts" not in texts(open_page("compare", experiment="photos"))


@pytest.mark.parametrize(("steps", "epoch"), [(100, 6), (400, 20)])
def test_a_run_that_trains_says_in_which_of_its_epochs_it_is(steps, epoch):
    (run,) = synthetic.store(Store().root, methods=("moco",), seeds=(0,)).runs()
    synthetic.running(run, steps)
    assert f"training, epoch {epoch} of 20 ·" in open_page("watch", experiment="photos").get("progress")[0].proto.text


def test_the_last_knn_that_was_logged_is_no_result_and_that_of_a_result_is_not_so_far():
    done, going = synthetic.store(Store().root, methods=("moco",), seeds=(0, 1)).runs()
    synthetic.running(going)
    first, second = (bar.proto.text for bar in open_page("watch", experiment="photos").get("progress")[:2])
    knn = words.percent(done.results()["knn"]["accuracy"])
    assert words.plain(f"kNN {knn} · ") in first and words.plain("% so far ·") in second


def test_of_a_requeued_job_the_badge_says_so():
    one, other, _ = synthetic.store(Store().root, methods=("moco",), seeds=(0, 1, 2)).runs()
    one.update_status(state="queued", engine="slurm", job_id="7_0", requeues=2)
    other.update_status(state="queued", engine="slurm", job_id="7_1")
    shown = texts(open_page("watch", experiment="photos"))
    assert "2 queued" in shown and "1 of them requeued" in shown and shown.count(" requeued]") == 2
    assert words.plain("Slurm job 7_1") in shown and "requeued 2 times" in shown


def test_of_a_run_that_has_not_begun_a_log_and_a_picture_are_promised():
    (run,) = synthetic.store(Store().root, methods=("moco",), seeds=(0,)).runs()
    run.update_status(state="queued")
    shown = texts(open_page("watch", experiment="photos"))
    assert "Nothing printed yet." in shown and "The picture appears when the run has started." in shown


def test_a_failure_without_a_word_sends_to_the_log_of_that_run_which_is_the_one_shown():
    done, failed = synthetic.store(Store().root, methods=("moco",), seeds=(0, 1)).runs()
    done.log_file.write_text("all is well\n")
    failed.log_file.write_text("killed by the kernel\n")
    failed.update_status(state="failed")
    app = open_page("watch", experiment="photos")
    assert "It ended without a word; the log below may say why" in app.error[0].value.replace("\\", "")
    assert app.code[0].value == "killed by the kernel"


def test_the_second_page_of_a_long_list_has_the_other_runs():
    experiment = synthetic.store(Store().root, methods=("moco", "byol"), seeds=range(15), steps=20)
    pages = [open_page("watch", experiment="photos", watch_page=page).get("menu_button") for page in ("1", "2")]
    listed = [button.key.removeprefix("watch_menu_") for page in pages for button in page]
    assert len(pages[1]) == 10 and sorted(listed) == sorted(run.name for run in experiment.runs())


def test_what_can_be_done_with_a_run_depends_on_whether_it_is_at_work():
    _, going = synthetic.store(Store().root, methods=("moco",), seeds=(0, 1)).runs()
    synthetic.running(going)
    menus = [list(menu.proto.options) for menu in open_page("watch", experiment="photos").get("menu_button")]
    assert menus == [["Copy", "Pin", "Hide", "Delete"], ["Stop", "Copy", "Pin", "Hide"]]


def test_a_pinned_and_a_hidden_run_are_marked_as_such():
    experiment = synthetic.store(Store().root, methods=("moco",), seeds=(0, 1, 2))
    with experiment.editing() as spec:
        spec.pinned, spec.hidden = ["moco-bs256-s1"], ["moco-bs256-s2"]
    app = open_page("watch", experiment="photos", hidden="shown")
    menus = [list(menu.proto.options) for menu in app.get("menu_button")]
    assert [("Unpin" in menu, "Stop hiding" in menu) for menu in menus] == [(True, False), (False, False), (False, True)]
    assert texts(app).count(":material/keep:") == 1 and texts(app).count(":material/visibility_off: hidden") == 1


def test_an_action_that_is_refused_says_why(monkeypatch):
    (run,) = synthetic.store(Store().root, methods=("moco",), seeds=(0,)).runs()
    run.checkpoint_file.touch()
    run.update_status(state="stopped")
    app = open_page("watch", experiment="photos")

    def refuse(_):
        raise RuntimeError("no agent came up")

    monkeypatch.setattr("dashboard.change.resume", refuse)
    app.menu_button(key=f"watch_menu_{run.name}").click("Resume").run()
    assert [error.value for error in app.error] == ["no agent came up"]


def test_each_panel_of_losses_has_the_curves_of_its_own_method(monkeypatch):
    synthetic.store(Store().root, methods=("moco", "byol"), seeds=(0,), steps=20)
    drawn, loss = {}, curves.loss

    def drawing(own, title):
        drawn[title] = [curve.run for curve in own]
        return loss(own, title=title)

    monkeypatch.setattr(curves, "loss", drawing)
    open_page("watch", experiment="photos")
    assert drawn == {"MoCo: loss": ["moco-bs256-s0"], "BYOL: loss": ["byol-bs256-s0"]}


def test_a_folder_of_a_run_without_its_config_is_told():
    one, _ = synthetic.store(Store().root, methods=("moco",), seeds=(0, 1), steps=20).runs()
    one.config_file.unlink()
    shown = texts(open_page("watch", experiment="photos")).replace("\\", "")
    assert f"There is no config.json in {one.name}. In a shell, python -m sslcore complete photos" in shown


def test_what_listed_runs_warned_of_stands_above_them():
    (run,) = synthetic.store(Store().root, methods=("moco",), seeds=(0,), steps=20).runs()
    run.update_status(warnings=["it has collapsed"])
    (box,) = (box for box in open_page("watch", experiment="photos").expander if box.label == "1 warning of these runs")
    assert "it has collapsed" in box.text[0].value


def test_the_machine_says_which_run_has_it(monkeypatch):
    synthetic.store(Store().root, methods=("moco",), seeds=(0,), steps=20)
    for held_by, said in ((None, "no run of this store"), ("photos/moco-bs256-s0", words.plain("photos/moco-bs256-s0"))):
        monkeypatch.setattr(slots, "in_use", lambda _, held_by=held_by: [("CPU, 2 cores", held_by)])
        assert f"{words.plain('CPU, 2 cores')}\\: {said}" in texts(open_page("watch", experiment="photos"))


def test_where_slurm_does_not_answer_watch_says_since_when_nothing_is_known(monkeypatch):
    (run,) = synthetic.store(Store().root, methods=("moco",), seeds=(0,), steps=20).runs()
    run.update_status(state="queued", engine="slurm", job_id="7_0")
    monkeypatch.setattr("sslcore.launch.agent_alive", lambda _: True)
    assert "Jobs that run go on all the same" not in texts(open_page("watch", experiment="photos"))
    monkeypatch.setattr(heard, "last", lambda _: heard.Heard(problem="Slurm does not answer"))
    app = open_page("watch", experiment="photos")
    assert "Slurm does not answer. Jobs that run go on all the same" in texts(app)
    assert not {"Start the queue", "Ask Slurm"} & {button.label for button in app.button}
