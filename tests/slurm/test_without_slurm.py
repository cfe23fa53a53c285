"""What of Slurm as the engine can be seen without one: clocks, runs that are measured again, settings, the script."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from sslcore import launch, worker
from sslcore.__main__ import main
from sslcore.config import resolve
from sslcore.experiment import Run, Spec, Store
from sslcore.files import read_json
from sslcore.launch.slurm import client, heard, jobs, record, script, settings
from tests.slurm.lab import TRAINER
from tests.waiting import until

ROOT = Path(__file__).parents[2]


# -- Clocks of several machines: what squeue says is given here ----------------------------------


@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_a_clock_that_is_wrong_makes_no_state_untrue(ahead, tmp_path, monkeypatch):
    listed: dict[Path, client.Job] = {}
    cancelled: list[str] = []
    monkeypatch.setattr(record, "queue", lambda store: listed)
    monkeypatch.setattr(record, "fates", lambda ids: {})
    monkeypatch.setattr(record, "ask", lambda *words: cancelled.append(words[-1]))
    monkeypatch.setattr(record, "GONE_SECONDS", 0.5)
    store, there = Store(tmp_path / "store"), time.time() + ahead
    names = ("lost", "requeued", "cancelled", "alive", "stopping")
    runs = store.create("e", Spec(), dict.fromkeys(names, resolve({})), "slurm").runs()
    by_name = {run.name: run for run in runs}
    for number, run in enumerate(runs):
        run.update_status(state="running", job_id=f"{number}_0", pid=number, pid_started=there, heartbeat=there, queued_at=there)
    by_name["cancelled"].update_status(state="stopped", ended_at=there)
    by_name["stopping"].request_stop()
    os.utime(by_name["stopping"].stop_file, (there, there))
    for name in ("requeued", "cancelled"):
        status = by_name[name].recorded_status()
        listed[by_name[name].path] = client.Job(status.job_id, "PENDING", "BeginTime", "gpu", "", name == "requeued", "")
    listed[by_name["stopping"].path] = client.Job(by_name["stopping"].recorded_status().job_id, "RUNNING", "", "gpu", "", 0, "")
    lasting: dict[Path, record.Lasting] = {}

    def look(grace: float) -> dict[str, str]:
        by_name["alive"].update_status(heartbeat=there + time.monotonic())
        record.look(store, [(run, run.recorded_status()) for run in runs], lasting, grace)
        return {run.name: run.recorded_status().state for run in runs}

    first = {"lost": "running", "requeued": "queued", "cancelled": "stopped", "alive": "running", "stopping": "running"}
    assert look(60) == first and not cancelled
    until(lambda: look(60)["lost"] == "interrupted")
    assert look(60)["alive"] == "running" and not cancelled
    look(0)
    assert cancelled == [by_name["stopping"].recorded_status().job_id]

    told = heard.Heard(time.time() + ahead, time.time() + ahead, None, {})
    assert heard.stale(told), "an answer of another time says nothing of now"


def test_a_job_whose_script_is_not_to_be_seen_for_a_while_is_not_taken_for_gone(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    gone, one, two = store.create("e", Spec(), dict.fromkeys(("gone", "one", "two"), resolve({})), "slurm").runs()
    home = one.experiment.path / ".slurm"
    listed = ("7_1", "1", "PENDING", "Priority", "gpu", "", "0", "N/A", str(home / "x.sh"))
    squeue = "".join(text.ljust(width) for text, width in zip(listed, client.COLUMNS.values(), strict=True))
    monkeypatch.setattr(client, "ask", lambda *words: squeue if words[0] == "squeue" else "")
    monkeypatch.setattr(record, "GONE_SECONDS", 0.0)
    monkeypatch.setattr(jobs, "ENDING_SECONDS", 0.0)
    for run, name, id in ((gone, "w.sh", "6_1"), (one, "x.sh", "7_0"), (two, "x.sh", "7_1")):
        run.update_status(job_id=id, script=name)
    for there in (False, True):
        if there:
            home.mkdir()
            (home / "x.sh").write_text(script.text(home / "x.sh", [one, two], settings.Settings()))
        assert {path: job.id for path, job in client.queue(store).items()} == {two.path: "7_1"}
        record.look(store, [(run, run.recorded_status()) for run in (gone, one, two)], {}, 60)
        assert [run.recorded_status().state for run in (gone, one, two)] == ["interrupted", "interrupted", "queued"]
        with pytest.raises(ValueError, match=r"still in Slurm, as job 7_1 \(PENDING\)"):
            jobs.check_gone([two])


def test_who_may_not_keep_what_slurm_says_is_shown_the_runs_all_the_same(tmp_path, monkeypatch, capsys):
    store = Store(tmp_path / "store")
    store.create("e", Spec(), {"a": resolve({})}, "slurm")
    monkeypatch.setattr(record, "missing", lambda: "")
    writable = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != record.folder(store) and writable(path, mode))
    monkeypatch.setattr(record, "look", lambda *_: pytest.fail("its answer has no place"))
    assert main(["status", "--root", str(store.root)]) == 0
    assert "1 queued" in (told := capsys.readouterr().out) and "What Slurm does is not known" in told


def test_of_another_users_job_nothing_is_concluded_though_its_script_is_not_to_be_seen(tmp_path, monkeypatch):
    (run,) = Store(tmp_path / "store").create("e", Spec(), {"a": resolve({})}, "slurm").runs()
    status = run.update_status(job_id="7_0", script="x.sh")
    monkeypatch.setattr(record, "queue", lambda store: {})
    monkeypatch.setattr(record, "GONE_SECONDS", 0.0)
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    record.look(run.experiment.store, [(run, status)], {}, 60)
    assert run.recorded_status() == status


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


def test_what_is_kept_is_what_is_read_and_the_file_explains_itself(tmp_path):
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
    settings.file(store).write_text("time: 8:00:00\n")  # unquoted, as a person writes it
    assert settings.read(store).time == "8:00:00"


@pytest.mark.parametrize(
    "word", ["time=8h", "time=1", "cpus=none", "memory=much", "extra=rm", "extra=[", "partition=a b", "gpus=-1", "queue=x"]
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
    with pytest.raises(ValueError, match="5 cannot be shared evenly by 2 nodes"):
        script.need(resolve({"devices": 5, "batch_size": 500}), chosen)
    config = resolve({"devices": 8})
    experiment = Store(tmp_path / "it's").create("e", Spec(), {"one": config, "two": config}, "slurm")
    text = script.text(experiment.path / ".slurm" / "x.sh", experiment.runs(), chosen)
    assert "#SBATCH --nodes=2\n" in text and "#SBATCH --gres=gpu:a100:4\n" in text and "#SBATCH --cpus-per-task=12\n" in text
    assert "#SBATCH --account=lab\n" in text and "#SBATCH --exclusive\n" in text
    assert "--partition" not in text and text.index("module load cuda") < text.index(" -m sslcore train ")
    assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
    (experiment.path / "x.sh").write_text(text)
    assert script.names(experiment.path / "x.sh") == ("one", "two")


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """Starts a run's script in a shell, as Slurm does, once it trains: (the shell, the run, what Slurm was asked to do)."""
    shells: list[subprocess.Popen] = []

    def begin(reason: str = "None", checkpoint: str = "", **chosen) -> tuple[subprocess.Popen, Run, Path]:
        monkeypatch.setattr(script, "TRAIN", (sys.executable, str(TRAINER)))
        (run,) = Store(tmp_path / "store").create("e", Spec(), {"a": resolve({})}, "slurm").runs()
        for name, does in (("scontrol", f'echo "$@" >>{tmp_path}/asked'), ("squeue", f"echo {reason}")):
            (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
            (tmp_path / name).chmod(0o755)
        (tmp_path / "x.sh").write_text(script.text(tmp_path / "x.sh", [run], settings.Settings(**chosen)))
        if checkpoint:
            run.checkpoint_file.write_text(checkpoint)
        run.stop_file.write_text("of an earlier start")
        task = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        shells.append(subprocess.Popen(["bash", tmp_path / "x.sh"], env=os.environ | task, start_new_session=True))
        until(lambda: "from " in run.log_tail())
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
