"""Whatever goes wrong under a run, nothing is lost and the folder tells the truth: docs/faults.md has the table.

Real processes, killed; disks that are full; folders that vanish. The runs' processes are forks of this one, which has torch
at hand and has trained the undisturbed run, so that a start takes no seconds.
"""

import contextlib
import errno
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from benchmarks import faults
from benchmarks.faults import ended, everything, same
from sslcore import archive, checkpoint, datasets, launch, locks, plan, train, trash, worker
from sslcore.__main__ import main
from sslcore.config import resolve
from sslcore.endings import Failed, Stopped
from sslcore.experiment import Run, Spec, Store
from sslcore.files import DiskFull, replacing, room_for, write_json
from sslcore.launch.process import Watch, how_it_ended
from sslcore.status import Status
from sslcore.train import pretrain
from sslcore.training import Training
from sslcore.worker import FAILED, FINISHED, STOPPED, Pulse
from tests.waiting import until

ROOT = Path(__file__).parents[1]
GONE = "0b7e0000-0000-4000-8000-000000000000/1"  # another boot

pytestmark = pytest.mark.usefixtures("handlers")


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> str:
    return faults.few_digits(str(tmp_path_factory.mktemp("digits")), 96)


def make_run(name: str, dataset: str, **settings) -> Run:
    config = resolve({**faults.SETTINGS, "dataset": dataset, "method": "moco", "epochs": 3, **settings})
    return Store().create(name, Spec(title=name), {"run": config}).run("run")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, digits) -> dict:
    """What the run leaves when nothing goes wrong."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIPTYCH_EXPERIMENTS", str(tmp_path_factory.mktemp("undisturbed")))
        run = make_run("undisturbed", digits)
        faults.to_the_end(run)
        return everything(run)


@contextlib.contextmanager
def started(run: Run, before=lambda: None):
    """The run's process, forked; `before` is called in it first."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            log = os.open(run.experiment.path / "output", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(log, 1)
            os.dup2(log, 2)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # pytest has its own
            before()
            code = worker.main(run)
        finally:
            os._exit(code)
    try:
        yield pid
    finally:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def trained(run: Run, before=lambda: None) -> int:
    """Start the run and wait; the exit code."""
    with started(run, before) as pid:
        code = ended(pid, 300)
        assert code is not None, "it did not end"
        return code


def at_stage(stage: str, do):
    """For `before`: have the run do something when it comes to a stage."""

    def arrange():
        tell = Pulse.stage

        def told(self, name, progress):
            tell(self, name, progress)
            if name == stage:
                do()

        Pulse.stage = told

    return arrange


def at_step(step: int, do):
    """For `before`: have the run do something after a step."""

    def arrange():
        take = Training.take_step

        def taken(self):
            loss = take(self)
            if self.step == step:
                do()
            return loss

        Training.take_step = taken

    return arrange


def finishes_like(run: Run, undisturbed: dict) -> None:
    assert trained(run) == FINISHED, run.log_tail()
    found = everything(run)
    assert [name for name in undisturbed if not same(undisturbed[name], found[name])] == []
    assert run.status().state == "finished" and not run.previous_checkpoint_file.exists() and not run.reserve_file.exists()
    assert not list(run.path.glob(".*.*")), "nothing half written is left"


def stop_at(run: Run, *steps: int) -> None:
    """Train, in this process, and stop with a checkpoint after each of these steps."""
    data = datasets.load(run.config.dataset, run.config.image_size)
    for step in steps:
        training, pulse = Training(run.config, data, torch.device("cpu")), Pulse(run)
        pulse.training = lambda share, left, pulse=pulse, training=training, step=step: setattr(
            pulse, "stop_requested", training.step >= step
        )
        with pytest.raises(Stopped):
            pretrain(training, data, run, pulse)
    run.update_status(state="stopped")


# -- Killed ------------------------------------------------------------------------


def test_a_run_that_is_killed_at_random_moments_ends_with_the_undisturbed_bits(monkeypatch):
    for name in ("CHECKPOINT_SECONDS", "CHECKPOINT_SHARE"):
        monkeypatch.setattr(train, name, getattr(train, name))
    monkeypatch.setenv("TRIPTYCH_CHECKPOINT_SECONDS", "0.3")
    monkeypatch.setenv("TRIPTYCH_DATA", os.environ["TRIPTYCH_DATA"])
    counted = faults.main(["--kills", "6", "--epochs", "3", "--methods", "moco", "--by-command", "0"])
    assert counted["kills"] == 6


def test_a_run_that_is_killed_while_it_is_measured_is_not_trained_again(digits, undisturbed):
    run = make_run("measured", digits)
    for stage in ("probe", "embed"):
        trained(run, at_stage(stage, lambda: os.kill(os.getpid(), signal.SIGKILL)))
        assert run.recorded_status().state == "running" and run.status().state == "interrupted"
    weights, rows = run.checkpoint_file.read_bytes(), run.metrics_file.read_bytes()
    finishes_like(run, undisturbed)
    assert run.checkpoint_file.read_bytes() == weights and run.metrics_file.read_bytes() == rows
    assert "resumed after step 18 of 18" in run.log_tail()


def test_a_storm_of_sigterm_is_one_request_to_stop(digits):
    run = make_run("storm", digits)

    def storm():
        for _ in range(50):
            os.kill(os.getpid(), signal.SIGTERM)

    assert trained(run, at_step(8, storm)) == STOPPED
    assert run.status().state == "stopped" and checkpoint.read(run)[0]["step"] == 8


def test_a_checkpoint_is_kept_within_an_epoch(digits, monkeypatch):
    run = make_run("within", digits, epochs=1)
    monkeypatch.setattr(train, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(train, "CHECKPOINT_SHARE", 1e9)
    trained(run, at_step(4, lambda: os.kill(os.getpid(), signal.SIGKILL)))
    assert checkpoint.read(run)[0]["step"] == 3 and run.previous_checkpoint_file.exists()


# -- The machine was restarted -------------------------------------------------------


def of_another_boot(pid: int) -> str:
    return f"{GONE}/{pid}/12345"


def test_a_restarted_machine_is_no_reason_to_believe_a_pid(digits):
    """A process of the same pid, even a session of that number, is another one after a restart, and is left alone."""
    run = make_run("restarted", digits)
    stranger = subprocess.Popen(["/bin/sh", "-c", "sleep 600 & exec sleep 600"], start_new_session=True)
    try:
        child = until(lambda: psutil.Process(stranger.pid).children())[0]
        started = psutil.Process(stranger.pid).create_time()
        run.write_status(
            Status(
                state="running",
                host=socket.gethostname(),
                pid=stranger.pid,
                pid_started=started,
                process=of_another_boot(stranger.pid),
                heartbeat=time.time() - 60,
            )
        )
        assert run.status().state == "interrupted"
        watch = Watch(run, stranger.pid, started, of_another_boot(stranger.pid))
        watch.terminate()
        watch.kill()
        assert not watch.alive() and stranger.poll() is None and child.is_running()
        assert how_it_ended(watch) == ("interrupted", "The machine was restarted while it ran.")
    finally:
        child.kill()
        stranger.kill()
        stranger.wait()


def test_a_pid_is_a_process_only_with_its_start_and_no_set_clock_changes_that(digits, monkeypatch):
    run = make_run("clock", digits)
    me = psutil.Process()
    run.write_status(
        Status(
            state="running",
            host=socket.gethostname(),
            pid=me.pid,
            pid_started=me.create_time(),
            process=locks.process_name(me.pid),
        )
    )
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: 1.0)  # as psutil tells it once the clock was set
    assert run.status().state == "running"
    run.update_status(process=locks.process_name(me.pid) + "0")
    assert run.status().state == "interrupted"


# -- Clocks that jump ----------------------------------------------------------------


def test_a_heartbeat_elsewhere_counts_by_whether_it_goes_on(digits, monkeypatch):
    run = make_run("elsewhere", digits)
    now = {"wall": 1e9, "monotonic": 1000.0}
    monkeypatch.setattr(locks.time, "time", lambda: now["wall"])
    monkeypatch.setattr(locks.time, "monotonic", lambda: now["monotonic"])

    def seen(heartbeat: float) -> str:
        run.write_status(
            Status(state="running", host="elsewhere", pid=1, pid_started=1.0, process=of_another_boot(1), heartbeat=heartbeat)
        )
        return run.status().state

    assert seen(1e9 - 1) == "running"
    for jump in (-1e6, 5e6, 3.0):  # this machine's clock is set back and forth; the other machine's heartbeat goes on
        now["wall"] += jump
        now["monotonic"] += 2
        assert seen(1e9 + now["monotonic"]) == "running"
    now["monotonic"] += 31
    now["wall"] = 1e9 + now["monotonic"]
    assert seen(1e9 + now["monotonic"] - 31) == "interrupted", "silent for longer than 30 s, whatever the clock says"
    now["monotonic"] += 1
    assert seen(1e9 + now["monotonic"]) == "running", "it was only slow"
    assert seen(1e9 - 1e6) == "interrupted" and seen(1e9 - 1e6 + 2) == "running", "its clock was set back: one heartbeat tells"


# -- A full disk ---------------------------------------------------------------------


def limited(size: int):
    """No file may grow beyond `size`: for whoever may mount nothing."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 40 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    said = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(disk)], capture_output=True, text=True)
    if said.returncode:
        pytest.skip(f"no disk can be mounted here: {said.stderr.strip()}")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def filled(disk: Path, left: int = 0):
    """Fill the disk but for some bytes."""

    def fill():
        with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(1 << 16))
        with (disk / "filler").open("ab") as file:
            file.truncate((disk / "filler").stat().st_size - left)

    return fill


def fails_for_want_of_room(run: Run, file: str) -> None:
    status = run.status()
    assert status.state == "failed" and file in status.error and "takes" in status.error and "free" in status.error
    assert "full" in status.error or "large" in status.error
    assert "\n" not in status.error and "Make room and resume" in status.error


@pytest.mark.parametrize(
    ("file", "called"),
    [(".status.json.x1y2", "status.json"), ("log.txt", "log.txt"), (".reserve", ".reserve")],
)
def test_what_there_is_no_room_for_is_called_by_its_name(file, called, tmp_path):
    with pytest.raises(DiskFull, match=f"full: {re.escape(called)} in "), room_for(tmp_path / file):
        raise OSError(errno.ENOSPC, "")


def test_a_log_does_not_grow_where_a_line_of_it_fails_for_another_reason(tmp_path):
    (tmp_path / "log.txt").write_text("so far\n")
    with pytest.raises(Stopped), room_for(tmp_path / "log.txt"):  # as a request to stop may come while a line is written
        raise Stopped
    assert (tmp_path / "log.txt").read_text() == "so far\n"


def test_no_room_for_a_checkpoint(digits, undisturbed):
    run = make_run("full", digits)
    stop_at(run, 5)
    good = run.checkpoint_file.read_bytes()
    assert trained(run, at_step(9, limited(1_000_000))) == FAILED
    fails_for_want_of_room(run, "checkpoint.pt")
    assert run.checkpoint_file.read_bytes() == good
    finishes_like(run, undisturbed)


def test_no_room_for_metrics(digits, undisturbed):
    run = make_run("full", digits)
    stop_at(run, 5)
    assert trained(run, at_step(9, lambda: limited(run.metrics_file.stat().st_size + 20)())) == FAILED
    fails_for_want_of_room(run, "metrics.jsonl")
    assert run.metrics()[-1]["step"] == 8, "half a row is no row"
    finishes_like(run, undisturbed)


def test_no_room_for_results(digits):
    run = make_run("full", digits)
    assert trained(run, at_stage("probe", limited(1500))) == FAILED
    assert run.status().state == "failed" and "large" in run.status().error and not run.results_file.exists()


@pytest.mark.parametrize("what", ["checkpoint", "metrics", "results"])
def test_a_disk_that_is_full_to_the_last_byte(small_disk, digits, undisturbed, monkeypatch, what):
    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(small_disk / "store"))
    run = make_run("full", digits)
    stop_at(run, 5)
    good = run.checkpoint_file.read_bytes()
    to_the_last_byte = filled(small_disk, 300_000 if what == "checkpoint" else 0)

    def fill():
        if what == "metrics":  # a disk gives room by the page: the file is to end with one
            run.append_metrics({"step": 8, "pad": "x" * (4096 - 20 - (run.metrics_file.stat().st_size + 30) % 4096)})
        to_the_last_byte()

    assert trained(run, at_stage("probe", fill) if what == "results" else at_step(9, fill)) == FAILED
    fails_for_want_of_room(run, {"checkpoint": "checkpoint.pt", "metrics": "metrics.jsonl", "results": "predictions.npz"}[what])
    assert "the disk is full" in run.status().error
    assert what == "results" or run.checkpoint_file.read_bytes() == good
    (small_disk / "filler").unlink()
    if what == "checkpoint":
        finishes_like(run, undisturbed)


def test_a_full_disk_says_so_before_a_run_begins(small_disk, digits, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(small_disk / "store"))
    run = make_run("full", digits)
    filled(small_disk)()
    with started(run) as pid:
        assert ended(pid, 60) not in (None, FINISHED)
    assert run.status().state == "queued" and not run.checkpoint_file.exists()


# -- The folder ----------------------------------------------------------------------


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_run_whose_folder_vanished_ends_soon_and_makes_nothing_again(digits, how):
    run = make_run("vanished", digits, epochs=100_000)
    with started(run) as pid:
        until(lambda: len(run.metrics()) > 2)
        aside = run.experiment.path.with_name("aside")
        if how == "deleted":
            run.experiment.path.rename(aside)  # a folder goes in one step; its files then one by one
            shutil.rmtree(aside)
        else:
            run.experiment.path.rename(aside)
        if how == "replaced":
            again = make_run("vanished", digits)
            before = {file.name: file.read_bytes() for file in again.path.iterdir()}
        began = time.monotonic()
        assert ended(pid, 60) == FAILED
        assert time.monotonic() - began < 30
    if how == "replaced":
        after = {file.name: file.read_bytes() for file in again.path.iterdir()}
        assert {name: after[name] for name in before} == before and set(after) <= {*before, "metrics.jsonl", "log.txt"}
    else:
        assert not run.experiment.path.exists()
    if how == "moved":
        assert Run(aside / "run").status().state == "interrupted"


def test_a_folder_that_became_read_only_ends_the_run_and_is_not_believed(digits, tmp_path, undisturbed):
    run = make_run("readonly", digits)
    stop_at(run, 5)
    folder = str(run.path)
    if os.geteuid() == 0:  # permissions are nothing to root: the same folder is mounted over itself, read-only
        shut, undo = f"mount --bind {folder} {folder} && mount -o remount,ro,bind {folder}", f"umount -l {folder}"
        (tmp_path / "other").mkdir()
        said = subprocess.run(
            f"mount --bind {tmp_path}/other {tmp_path}/other && umount {tmp_path}/other",
            shell=True,
            capture_output=True,
            text=True,
        )
        if said.returncode:
            pytest.skip(f"nothing can be mounted here, and root needs no permissions: {said.stderr.strip()}")
    else:
        shut, undo = f"chmod 555 {folder}; chmod 444 {folder}/*.*", f"chmod 755 {folder}; chmod 644 {folder}/*.*"
    try:
        close = at_step(9, lambda: subprocess.run(shut, check=True, shell=True))
        assert trained(run, close) != FINISHED
        assert run.recorded_status().state == "running" and run.status().state == "interrupted"
        with pytest.raises(OSError), run.hold():
            pass
        assert main(["resume", run.id]) == 2
    finally:
        subprocess.run(undo, check=True, shell=True)
    finishes_like(run, undisturbed)


# -- Torn files ----------------------------------------------------------------------


def damaged(file: Path, how: str) -> None:
    content = file.read_bytes()
    kinds = {"cut": content[: len(content) // 2], "empty": b"", "garbage": b"\xff\x00{]", "other": b"[1]", "deep": b"[" * 100_000}
    file.write_bytes(kinds[how])


def test_a_config_that_another_version_wrote_is_left_as_it_is(digits, monkeypatch, capsys):
    """It is all that tells what was trained."""
    monkeypatch.setattr("sslcore.launch.start", lambda store: None)
    spec = Spec(base={**faults.SETTINGS, "dataset": digits}, axes={"method": ["moco"], "seed": [0, 1]})
    experiment = Store().create("newer", spec, plan.plan(spec).configs)
    for run, found in zip(experiment.runs(), ({"nosuch": 1}, {"method": "barlow"})):
        write_json(run.config_file, {**run.config.model_dump(), "learning_rate": 0.5, **found})
    kept = [run.config_file.read_bytes() for run in experiment.runs()]
    assert not launch.complete(experiment)
    assert [run.config_file.read_bytes() for run in experiment.runs()] == kept
    assert main(["status", "newer"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "writes it anew" not in said
    assert "config.json: nosuch: this version of Triptych has no such setting; pages leave moco-bs16-s0 out" in said
    assert "config.json: method: must be one of" in said and "not 'barlow'; pages leave moco-bs16-s1 out" in said
    with pytest.raises(ValueError, match=r"config\.json: nosuch: .*; delete the run"):
        archive.export(experiment, Store().root / "it.zip")


@pytest.mark.parametrize("how", ["cut", "empty", "garbage", "other", "deep"])
def test_torn_json_is_told_as_such_and_mended(digits, how, monkeypatch, capsys):
    monkeypatch.setattr("sslcore.launch.start", lambda store: None)
    configs = {"moco-bs16-s0": resolve({**faults.SETTINGS, "dataset": digits, "method": "moco"})}
    spec = Spec(base={**faults.SETTINGS, "dataset": digits}, axes={"method": ["moco"]})
    experiment = Store().create("torn", spec, configs)
    (run,) = experiment.runs()
    write_json(run.results_file, {"linear": {"accuracy": 0.5}})

    damaged(run.status_file, how)
    assert run.status().state == "interrupted" and run.status().error == "status.json could not be read"
    damaged(run.results_file, how)
    assert run.results() is None
    damaged(run.config_file, how)
    assert Run(run.path).exists() and main(["status", "torn"]) == 0
    with pytest.raises(ValueError, match=r"config\.json"):
        launch.resume(Run(run.path))
    launch.complete(experiment)  # writes the config anew, and queues the run
    assert Run(run.path).config == configs[run.name] and run.status().state == "queued"

    run.config_file.unlink()
    launch.complete(experiment)  # and the one that is gone
    assert Run(run.path).config == configs[run.name]

    damaged(experiment.spec_file, how)
    assert experiment.spec().question == "experiment.json could not be read"
    assert [e.name for e in Store().experiments()] == ["torn"] and main(["status"]) == main(["status", "torn"]) == 0
    for change in (["complete", "torn"], ["complete", "torn", "--add", "seed=1"]):
        assert main(change) == 2
    with pytest.raises(ValueError, match="cannot be read"), experiment.editing():
        pass
    assert "Traceback" not in capsys.readouterr().err
    assert launch.folder(Store()).exists() is False


@pytest.mark.parametrize("how", ["cut", "one byte", "missing"])
def test_of_two_checkpoints_the_one_that_is_whole_is_used(digits, undisturbed, how):
    run = make_run("checkpoints", digits)
    stop_at(run, 4, 8)
    if how == "one byte":
        content = bytearray(run.checkpoint_file.read_bytes())
        content[len(content) // 2] ^= 1
        run.checkpoint_file.write_bytes(content)
    elif how == "missing":
        run.checkpoint_file.unlink()
    else:
        damaged(run.checkpoint_file, how)
    data, training = datasets.load(digits, 8), None
    training = Training(run.config, data, torch.device("cpu"))
    pretrain(training, data, run, Pulse(run))
    assert f"checkpoint.pt is {'missing' if how == 'missing' else 'damaged'}" in run.log_tail()
    assert "checkpoint.previous.pt is used" in run.log_tail() and "resumed after step 4" in run.log_tail()
    kept = checkpoint.read(run)[0]
    assert all(same(kept[name], undisturbed["checkpoint.pt"][name]) for name in ("step", "method", "optimizer", "snapshots"))
    assert same([faults.untimed(row) for row in run.metrics()], undisturbed["metrics.jsonl"])


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES])
def test_a_checkpoint_that_cannot_be_read_now_is_not_called_damaged(digits, monkeypatch, number):
    run = make_run("unread", digits)
    stop_at(run, 4, 8)
    before = {file.name: file.read_bytes() for file in run.files() if file.exists()}

    def refused(*_, **__):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched, pytest.raises(Failed, match="may be whole, and resume tries again"):
        patched.setattr(checkpoint, "_whole", refused)
        stop_at(run, 10)
    assert all((run.path / name).read_bytes() == content for name, content in before.items() if name.startswith("checkpoint"))


def test_where_both_checkpoints_are_damaged_nothing_is_overwritten(digits):
    run = make_run("both", digits)
    stop_at(run, 4, 8)
    for file in (run.checkpoint_file, run.previous_checkpoint_file):
        damaged(file, "cut")
    before = run.checkpoint_file.read_bytes(), run.metrics_file.read_bytes()
    with pytest.raises(
        Failed,
        match=r"checkpoint\.pt is damaged.*checkpoint\.previous\.pt is damaged.*delete it and checkpoint\.previous\.pt to start",
    ):
        stop_at(run, 10)
    assert (run.checkpoint_file.read_bytes(), run.metrics_file.read_bytes()) == before


# -- Two at once ---------------------------------------------------------------------


def test_of_two_who_launch_the_same_name_one_wins_and_nothing_is_half_made(digits):
    config = resolve({**faults.SETTINGS, "dataset": digits, "method": "moco"})
    names = [f"e{n}" for n in range(40)]
    store = Store()
    store.root.mkdir(exist_ok=True)
    go, won = store.root / ".go", [store.root / f".won-{who}" for who in range(2)]
    children = []
    for who in range(2):
        child = os.fork()
        if child == 0:
            try:
                while not go.exists():
                    pass
                with won[who].open("a") as file:
                    for name in names:
                        try:
                            store.create(name, Spec(title=str(who)), {"a": config, "b": config})
                            file.write(f"{name}\n")
                        except FileExistsError as error:
                            assert name in str(error)
            finally:
                os._exit(0 if sys.exc_info()[0] is None else 1)
        children.append(child)
    go.touch()
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
    of_each = [file.read_text().split() for file in won]
    assert sorted(of_each[0] + of_each[1]) == sorted(names)
    assert {e.name: e.spec().title for e in store.experiments()} == {name: str(who) for who in (0, 1) for name in of_each[who]}
    assert all(len(e.runs()) == 2 for e in store.experiments()) and not list(store.root.glob(".new-*"))


def test_what_a_killed_launcher_left_half_made_is_not_listed_and_swept_in_time(digits):
    store = Store()
    experiment = make_run("whole", digits).experiment
    halves = [store.root / ".new-x-1", experiment.path / ".new-2", store.root / ".import-3"]
    for half in halves:
        shutil.copytree(experiment.path / "run", half / "run")
    for file in (store.root / "slurm.yaml", experiment.spec_file, experiment.sample_sheet("digits")):
        with pytest.raises(ZeroDivisionError), replacing(file) as half:
            raise ZeroDivisionError
        half.touch()  # as if it had been killed
        halves.append(half)
    assert [e.name for e in store.experiments()] == ["whole"] and len(experiment.runs()) == 1
    trash.empty(store, kept_seconds=-1)
    assert all(half.exists() for half in halves), "their makers may be at work, and they are no trash"
    others = [store.root / ".notes.markdown", experiment.path / ".drafts.20260101"]  # a reader's own
    others[0].touch()
    others[1].mkdir()
    for path in (*halves, *others):
        os.utime(path, (1, 1))
    trash.empty(store)
    assert all(path.exists() for path in others)
    assert not any(half.exists() for half in halves) and len(experiment.runs()) == 1


# -- Memory, and the data ------------------------------------------------------------


def test_out_of_memory_is_a_failed_run_that_says_what_to_change(tmp_path):
    x = np.zeros((600, 64, 64, 3), np.uint8)
    np.savez(tmp_path / "large.npz", x_train=x[:512], x_test=x[512:])
    run = make_run("memory", str(tmp_path / "large.npz"), image_size=64, batch_size=512, **{"evaluate.snapshots": 0})

    def little():
        used = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000, resource.RLIM_INFINITY))

    assert trained(run, little) == FAILED
    error = run.status().error
    assert error.startswith("out of memory") and "micro_batch_size=128" in error and "\n" not in error


def test_a_data_set_that_vanishes_under_a_run_is_no_loss(tmp_path, undisturbed, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_DATA", str(tmp_path / "data"))
    dataset = Path(faults.few_digits(str(tmp_path), 96))
    kept = dataset.read_bytes()
    run = make_run("data", str(dataset))

    def vanish():
        dataset.unlink()
        shutil.rmtree(tmp_path / "data")

    trained(run, at_step(9, lambda: (vanish(), os.kill(os.getpid(), signal.SIGTERM))))
    assert run.status().state == "stopped" and checkpoint.read(run)[0]["step"] == 9
    assert trained(run) == FAILED
    assert run.status().state == "failed" and "digits.npz" in run.status().error and "\n" not in run.status().error
    dataset.write_bytes(kept)
    finishes_like(run, undisturbed)
