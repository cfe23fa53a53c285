"""What of Slurm as the engine can be seen without one: orders, runs that are measured again, settings, the script."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import ValidationError
from streamlit.testing.v1 import AppTest

from sslcore import launch, worker
from sslcore.__main__ import main
from sslcore.config import resolve
from sslcore.experiment import Run, Spec, Store
from sslcore.files import read_json
from sslcore.launch.slurm import client, jobs, script, settings
from tests.pages.driving import open_page, texts
from tests.slurm.lab import TRAINER
from tests.waiting import until

ROOT = Path(__file__).parents[2]


# -- Orders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("refused", [False, True])
def test_runs_are_submitted_in_arrays_that_slurm_takes_or_not_at_all(tmp_path, monkeypatch, refused):
    monkeypatch.setattr(jobs, "MAX_ARRAY", 2)
    wanted = {name: resolve({"device": "cpu" if name == "e" else "auto"}) for name in "abcdef"}
    runs = Store(tmp_path / "my store").create("e", Spec(), wanted, "slurm").runs()
    asked: list[tuple[str, ...]] = []

    def ask(*words: str, seconds: float | None = None) -> str:
        asked.append(words)
        if refused and len(asked) == 3:
            raise ValueError("Slurm refuses: enough")
        return f"{6 + len(asked)};lab\n" if words[0] == "sbatch" else ""

    monkeypatch.setattr(jobs, "ask", ask)
    if refused:
        with pytest.raises(ValueError, match="Slurm refuses: enough; python -m sslcore slurm shows"):
            jobs.submit(runs)
        assert asked[3:] == [("scancel", "7"), ("scancel", "8")] and not Path(asked[2][-1]).exists()
        assert {run.recorded_status().job_id for run in runs} == {None}
        return
    jobs.submit(runs)
    assert [run.recorded_status().job_id for run in runs] == ["7_0", "7_1", "8_0", "8_1", "10_0", "9_0"]
    for run in runs:
        path, status = script.submitted(run, run.recorded_status()), run.recorded_status()
        assert script.names(path)[int(status.job_id.rpartition("_")[2])] == run.name
        assert ("gres" in path.read_text()) == (run.name != "e")


def test_a_job_of_which_slurm_said_nothing_ends_as_it_starts(tmp_path, monkeypatch):
    """sbatch took too long, and Slurm has the job all the same: nobody knows its number."""
    (run,) = Store(tmp_path / "store").create("e", Spec(), {"a": resolve({})}, "slurm").runs()
    spool = tmp_path / "spool.sh"

    def ask(*words: str, seconds: float | None = None) -> str:
        spool.write_text(Path(words[-1]).read_text())
        raise client.Unanswered("Slurm does not answer: sbatch took longer than 20 s")

    monkeypatch.setattr(jobs, "ask", ask)
    with pytest.raises(client.Unanswered, match="longer than 20 s; should the job wait there all the same, it ends as it starts"):
        jobs.submit([run])
    before = run.recorded_status()
    task = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}
    assert subprocess.run(["bash", spool], env=os.environ | task, timeout=60).returncode == 0
    assert run.recorded_status() == before and not run.log_file.exists()


def test_runs_of_an_experiment_are_resumed_as_one_array(tmp_path, monkeypatch, capsys):
    store = Store(tmp_path / "store")
    for name in ("e", "f"):
        for run in store.create(name, Spec(), dict.fromkeys("ab", resolve({})), "slurm").runs():
            run.update_status(state="interrupted", job_id="7_0")
    submitted = []
    monkeypatch.setattr(jobs, "check", lambda store: None)
    monkeypatch.setattr(jobs, "queue", lambda store: {})
    monkeypatch.setattr(jobs, "submit", lambda runs: submitted.append([run.id for run in runs]))
    monkeypatch.setattr(launch, "start", lambda store: None)
    assert main(["resume", "--root", str(store.root)]) == 0
    assert submitted == [["e/a", "e/b"], ["f/a", "f/b"]]
    assert capsys.readouterr().out == "".join(f"{name}: queued\n" for name in ("e/a", "e/b", "f/a", "f/b"))


def test_a_request_to_stop_outlives_a_resume_that_slurm_refuses(tmp_path, monkeypatch):
    (run,) = Store(tmp_path / "store").create("e", Spec(), {"a": resolve({})}, "slurm").runs()
    run.update_status(state="running", pid=5, pid_started=1.0)
    run.request_stop()
    stopped = run.update_status(state="stopped", job_id="7_0")

    def refuse(runs):
        raise ValueError("Slurm refuses: enough")

    monkeypatch.setattr(jobs, "check", lambda store: None)
    monkeypatch.setattr(jobs, "queue", lambda store: {})
    monkeypatch.setattr(jobs, "submit", refuse)
    with pytest.raises(ValueError, match="enough"):
        launch.resume(run)
    assert run.recorded_status() == stopped and run.asked_to_stop(stopped)
    monkeypatch.setattr(jobs, "submit", lambda runs: None)
    monkeypatch.setattr(launch, "start", lambda store: None)
    launch.resume(run)
    assert run.recorded_status().state == "queued" and not run.stop_file.exists()


def test_a_run_that_cannot_be_resumed_keeps_no_other_of_its_experiment_from_it(tmp_path, monkeypatch, capsys):
    store = Store(tmp_path / "store")
    first, *others = store.create("e", Spec(), dict.fromkeys("abc", resolve({})), "slurm").runs()
    for run in (first, *others):
        run.update_status(state="interrupted", job_id="7_0")
    submitted = []
    waits = {first.path: client.Job("7_0", "PENDING", "", "gpu", "", 0, "")}
    monkeypatch.setattr(jobs, "check", lambda store: None)
    monkeypatch.setattr(jobs, "queue", lambda store: waits)
    monkeypatch.setattr(jobs, "submit", lambda runs: submitted.append([run.id for run in runs]))
    monkeypatch.setattr(launch, "start", lambda store: None)
    assert main(["resume", "--root", str(store.root)]) == 1
    said = capsys.readouterr()
    assert submitted == [["e/b"], ["e/c"]] and said.out == "e/b: queued\ne/c: queued\n"
    assert said.err.startswith("e/a cannot be resumed: e/a is still in Slurm, as job 7_0 (PENDING)")


def test_a_run_whose_job_is_on_its_way_out_may_be_queued_again_and_one_that_waits_may_not(tmp_path, monkeypatch):
    (run,) = Store(tmp_path / "store").create("e", Spec(), {"a": resolve({})}, "slurm").runs()
    monkeypatch.setattr(jobs.time, "sleep", lambda _: pytest.fail("there is nothing to wait for"))
    for state, may in (("COMPLETING", True), ("PENDING", False)):
        monkeypatch.setattr(jobs, "queue", lambda store, state=state: {run.path: client.Job("7_0", state, "", "gpu", "", 0, "")})
        if may:
            jobs.check_gone([run])
        else:
            with pytest.raises(ValueError, match=r"e/a is still in Slurm, as job 7_0 \(PENDING\)"):
                jobs.check_gone([run])


def test_what_trains_is_stopped_though_slurm_does_not_answer_for_what_waits(tmp_path, monkeypatch, capsys):
    store = Store(tmp_path / "store")
    trained, *waiting = store.create("e", Spec(), dict.fromkeys("abc", resolve({})), "slurm").runs()
    trained.update_status(state="running", host="node7", heartbeat=time.time())
    asked = []

    def silent(store: Store):
        asked.append(store)
        raise client.Unanswered("Slurm does not answer: no route")

    monkeypatch.setattr(jobs, "queue", silent)
    monkeypatch.setattr(launch, "start", lambda store: None)
    assert main(["stop", "e", "--root", str(store.root)]) == 1
    said = capsys.readouterr()
    assert trained.stop_file.exists() and "e/a: stopping" in said.out and "Slurm does not answer: no route" in said.err
    assert [run.status().state for run in waiting] == ["queued", "queued"] and len(asked) == 1, "each question takes seconds"


# -- Measured again, by hand ------------------------------------------------------------------


def test_a_run_that_is_measured_again_stays_slurms(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (run,) = Store(tmp_path / "store").create("e", Spec(), {"a": resolve({})}, "slurm").runs()
    run.update_status(state="finished", job_id="7_0", script="x.sh", partition="gpu", requeues=2, host="node7")
    measuring = subprocess.Popen([sys.executable, TRAINER, run.path, "evaluate"])
    now = until(lambda: (status := run.status()).state == "running" and status)
    assert now.engine is None and now.host == socket.gethostname(), "no job is at work"
    (run.path / "go").touch()
    assert measuring.wait(60) == 0
    now = run.status()
    assert (now.state, now.engine, now.job_id, now.script, now.partition, now.requeues, now.host) == (
        "finished",
        "slurm",
        "7_0",
        "x.sh",
        "gpu",
        2,
        "node7",
    )

    (run.path / "go").unlink()
    measuring = subprocess.Popen([sys.executable, TRAINER, run.path, "evaluate"])
    until(lambda: run.status().state == "running")
    measuring.kill()
    measuring.wait()
    assert run.status().state == "finished" and launch.trained_by(run.status()) == "slurm"


# -- Settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("8:00:00", 480), ("5:30", 5.5), ("2-12", 3600), ("1-0:30", 1470), ("8h", 0), ("", 0), ("1-", 0)],
)
def test_times_are_read_as_slurm_reads_them(text, minutes):
    assert settings.minutes(text) == minutes


def test_what_is_kept_is_what_is_read_and_the_file_explains_itself(tmp_path, monkeypatch):
    store = Store(tmp_path)
    asked = {
        "partition": "gpu",
        "time": "8:00:00",
        "gpus": "2",
        "extra": "[--constraint=a100, --exclusive]",
        "set_up": "module load cuda\necho a: b",
    }
    kept = settings.keep(store, asked)
    assert settings.read(store) == kept and kept.extra == ("--constraint=a100", "--exclusive") and kept.time == "8:00:00"
    assert all(field.description in settings.file(store).read_text() for field in settings.Settings.model_fields.values())
    before = settings.file(store).read_bytes()
    with monkeypatch.context() as patched, pytest.raises(UnicodeEncodeError):  # what cannot be written leaves what was there
        patched.setattr(settings, "in_yaml", lambda _: "\ud800")
        settings.keep(store, {"partition": "night"})
    assert settings.file(store).read_bytes() == before
    assert settings.keep(store, {"partition": "night"}) == kept.model_copy(update={"partition": "night"}), "the rest stays"
    assert settings.keep(store, {"gpus": None, "partition": None}).gpus == 8 and settings.read(store).partition == "", "emptied"
    settings.file(store).write_text("time: 8:00:00\n")  # unquoted, as a person writes it
    assert settings.read(store).time == "8:00:00"


def test_a_job_takes_longer_than_its_notice():
    assert settings.Settings(time="4", notice=120).time == "4"
    with pytest.raises(ValidationError, match="before the notice of 120 s, which may come 60 s early"):
        settings.Settings(time="3", notice=120)


@pytest.mark.parametrize(
    "word",
    [
        "time=8h",
        "time=1",
        "cpus=none",
        "memory=much",
        "extra=rm",
        "extra=[",
        "extra=--comment=a",
        "partition=a b",
        "gpus=-1",
        "queue=x",
    ],
)
def test_settings_that_cannot_be_are_told_in_a_line(word, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(tmp_path / "store"))
    assert main(["slurm", "--set", word]) == 2
    assert capsys.readouterr().err.startswith(f"python -m sslcore: error: {word.partition('=')[0]}: ")
    assert not (tmp_path / "store").exists()


def test_a_script_asks_for_the_gpus_that_its_runs_use(tmp_path):
    chosen = settings.Settings(gpus=4, cpus=3, gpu_type="a100", account="lab", extra=("--exclusive",), set_up="module load cuda")
    needs = [
        script.need(resolve({"device": device, "devices": devices}), chosen)
        for device, devices in (("auto", 1), ("auto", 8), ("cpu", 2))
    ]
    assert needs == [(1, 1, True), (2, 4, True), (1, 2, False)]
    assert script.need(resolve({}), settings.Settings(gpus=0)) == (1, 1, False)
    with pytest.raises(ValueError, match="5 cannot be shared evenly by 2 nodes"):
        script.need(resolve({"devices": 5, "batch_size": 500}), chosen)
    config = resolve({"devices": 8})
    experiment = Store(tmp_path / "it's").create("e", Spec(), {"one": config, "two": config}, "slurm")
    text = script.text(experiment.path / ".slurm" / "x.sh", experiment.runs(), chosen)
    assert "#SBATCH --nodes=2\n" in text and "#SBATCH --gres=gpu:a100:4\n" in text and "#SBATCH --cpus-per-task=12\n" in text
    assert "#SBATCH --account=lab\n" in text and "#SBATCH --exclusive\n" in text
    assert "--partition" not in text and text.index("module load cuda") < text.index(" -m sslcore train ")
    assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
    with pytest.raises(ValueError, match="no path with a line break or a backslash"):
        script.text(Path("/stores/back\\slash/e/.slurm/x.sh"), experiment.runs(), chosen)
    assert "#SBATCH --array=0-1\n" in text
    assert "#SBATCH --open-mode=append\n" in text, "what Slurm said to the job before it was queued again stays"
    (experiment.path / "x.sh").write_text(text)
    assert script.names(experiment.path / "x.sh") == ("one", "two")


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """Starts a run's script in a shell, as Slurm does, once it trains: (the shell, the run, what Slurm was asked to do)."""
    shells: list[subprocess.Popen] = []

    def begin(
        reason: str = "None", checkpoint: str = "", trains: bool = True, before=lambda run: None, **chosen
    ) -> tuple[subprocess.Popen, Run, Path]:
        monkeypatch.setattr(script, "TRAIN", (sys.executable, str(TRAINER)))
        (run,) = Store(tmp_path / "store").create("e", Spec(), {"a": resolve({})}, "slurm").runs()
        for name, does in (("scontrol", f'echo "$@" >>{tmp_path}/asked'), ("squeue", f"echo {reason}")):
            (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
            (tmp_path / name).chmod(0o755)
        (tmp_path / "x.sh").write_text(script.text(tmp_path / "x.sh", [run], settings.Settings(**chosen)))
        if checkpoint:
            run.checkpoint_file.write_text(checkpoint)
        run.stop_file.write_text("of an earlier start")
        before(run)
        task = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        shells.append(subprocess.Popen(["bash", tmp_path / "x.sh"], env=os.environ | task, start_new_session=True))
        until(lambda: not trains or "from " in run.log_tail())
        return shells[-1], run, tmp_path / "asked"

    yield begin
    for shell in shells:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)


@pytest.mark.parametrize("set_up", ["", "set -euo pipefail", "trap 'exit 1' ERR"])
def test_a_run_makes_room_whatever_options_the_set_up_leaves_behind(set_up, begun):
    job, run, asked = begun(set_up=set_up)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(60) == worker.MADE_ROOM
    assert read_json(run.exit_file) == {"code": worker.MADE_ROOM, "job_id": "7_0"}
    assert asked.read_text() == "requeue 7_0\n" and run.recorded_status().state == "queued"


@pytest.mark.parametrize(
    ("state", "asked", "trains"), [("stopped", True, False), ("running", True, False), ("stopped", False, True)]
)
def test_a_job_that_starts_again_trains_unless_its_run_was_asked_to_stop(state, asked, trains, begun):
    def before(run: Run) -> None:
        run.update_status(state=state, pid=5, pid_started=1.0)
        if asked:
            run.request_stop()

    job, run, _ = begun(before=before, trains=trains)
    if trains:
        assert run.recorded_status().state == "running"
    else:
        assert job.wait(60) == worker.FINISHED
        assert run.recorded_status().state == state and run.recorded_status().attempt == 0, "it never began"


@pytest.mark.parametrize("set_up", ["set -e\nmodule load nothing", "exit 127"])
def test_of_a_run_whose_set_up_ends_the_shell_the_exit_code_is_told(set_up, begun):
    job, run, _ = begun(trains=False, set_up=set_up)
    assert job.wait(60) == 127 and read_json(run.exit_file) == {"code": 127, "job_id": "7_0"}


@pytest.mark.parametrize(
    ("reason", "told", "kept", "stopped", "again"),
    [
        ("TimeLimit", True, True, False, True),
        ("TimeLimit", True, False, False, False),  # it would get no further the next time
        ("TimeLimit", True, True, True, False),
        ("TimeLimit", False, True, False, False),
        ("None", True, True, False, False),  # cancelled
    ],
)
def test_a_run_that_is_ended_since_its_time_is_up_goes_on_if_it_got_on(reason, told, kept, stopped, again, begun):
    job, run, asked = begun(reason, checkpoint="5")
    (run.path / "stubborn").touch()
    if told:
        job.send_signal(signal.SIGUSR1)
        until((run.path / "told").exists)
    if kept:
        run.checkpoint_file.unlink()
        run.checkpoint_file.write_text("500")
        os.utime(run.checkpoint_file, (1, 1))  # clocks do not matter
    if stopped:
        run.request_stop()
    job.send_signal(signal.SIGTERM)
    os.kill(run.recorded_status().pid, signal.SIGKILL)
    assert job.wait(60) > 128
    assert asked.exists() == again and (not again or asked.read_text() == "requeue 7_0\n")


def test_what_is_typed_and_not_kept_is_not_launched_by_other_settings(monkeypatch):
    monkeypatch.setattr(client, "missing", lambda: None)
    monkeypatch.setattr(launch, "start", lambda store: None)
    monkeypatch.setattr(jobs, "ask", lambda *words, seconds=None: "7\n")
    page = open_page("new", new_preset="quick")
    assert "cluster_gpus" not in [field.key for field in page.number_input], "nothing is asked of Slurm unless it is chosen"
    page.selectbox(key="new_engine").set_value("slurm").run()
    settings.keep(Store(), {"gpus": 3})  # in a shell, while the page is open
    page.run()
    assert page.number_input(key="cluster_gpus").value == 3 and not page.button(key="new_launch").disabled
    page.text_input(key="cluster_partition").set_value("long")
    page.button(key="new_launch").click().run()
    assert not Store().experiments() and "Press Keep first" in texts(page) and page.button(key="new_launch").disabled
    page.button(key="cluster_keep").click().run()
    page.button(key="new_launch").click().run()
    (script,) = Store().root.glob("*/.slurm/*.sh")
    assert "--partition=long\n" in script.read_text()


def test_without_slurm_it_is_not_offered_and_nothing_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(tmp_path / "store"))
    assert main(["launch", "quick", "--engine", "slurm"]) == 2
    assert "it has no sbatch" in capsys.readouterr().err and not (tmp_path / "store").exists()
    experiment = Store(tmp_path / "there").create("e", Spec(), {"a": resolve({})})
    before = experiment.spec_file.read_bytes()
    assert main(["--root", str(tmp_path / "there"), "complete", "e", "--add", "seed=7", "--engine", "slurm"]) == 2
    assert "it has no sbatch" in capsys.readouterr().err and experiment.spec_file.read_bytes() == before
    page = AppTest.from_file(str(ROOT / "dashboard" / "views" / "new.py"), default_timeout=300).run()
    assert not page.exception and not [box for box in page.selectbox if box.label == "Where to train"]
    assert any("it has no sbatch" in caption.value for caption in page.caption)
