"""Folders that others have made, copied here or in a store that several write to: what they hold leads to nothing else."""

import base64
import os
import shutil
import stat
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import psutil
import pytest

from dashboard import report
from dashboard.report import images
from sslcore import archive
from sslcore.config import resolve
from sslcore.experiment import Run, Spec, Store
from sslcore.files import write_json
from sslcore.launch.agent import Agent
from sslcore.launch.slots import HOST
from sslcore.locks import take
from sslcore.worker import Pulse
from tests import synthetic
from tests.waiting import until

ROOT = Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path) -> Run:
    (run,) = Store(tmp_path / "store").create("e", Spec(), {"a": resolve({"dataset": "digits"})}).runs()
    return run


@pytest.fixture
def precious(tmp_path):
    """A file of the reader's, which must stay as it is."""
    (tmp_path / "precious").write_text("mine")
    yield tmp_path / "precious"
    assert (tmp_path / "precious").read_text() == "mine"


# -- Links, where files are written in place ------------------------------------------------


def test_a_run_is_not_held_by_a_link_to_another_file(run, precious):
    (run.path / ".lock").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"), run.hold():
        pass


def test_metrics_and_log_are_not_written_to_another_file(run, precious, monkeypatch):
    monkeypatch.setattr(sys, "stdout", sys.__stdout__)
    run.metrics_file.symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"):
        run.append_metrics({"step": 1})
    run.log_file.symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"):
        Pulse(run).say("a word")


def test_what_is_kept_back_on_the_disk_takes_the_place_of_a_link(run, precious):
    run.reserve_file.symlink_to(precious)
    with run.hold() as claim:
        pulse = Pulse(run, claim)
        pulse.start()
        pulse.hush()
    assert not run.reserve_file.is_symlink()


def test_a_slots_lock_is_no_link_to_another_file(tmp_path, precious):
    (tmp_path / "cpu.lock").symlink_to(precious)
    with pytest.raises(OSError, match="symbolic links"):
        take(tmp_path / "cpu.lock")


def test_what_links_lead_to_is_not_sent_along(tmp_path, precious):
    experiment = synthetic.store(tmp_path / "store", methods=("moco",), seeds=(0,), steps=5)
    (run,) = experiment.runs()
    for file in (run.log_file, run.views_file, run.metrics_file):
        file.unlink(missing_ok=True)
        file.symlink_to(precious)
    left_out = archive.export(experiment, tmp_path / "e.zip")
    assert len(left_out) == 3 and all("a link" in line for line in left_out)
    with zipfile.ZipFile(tmp_path / "e.zip") as inside:
        assert not any(b"mine" in inside.read(name) for name in inside.namelist())
    html = report.html(experiment)
    assert base64.b64encode(b"mine").decode() not in html and run.log_tail() == ""


def test_of_the_machine_that_trained_a_run_nothing_is_sent_along(tmp_path):
    experiment = synthetic.store(tmp_path / "store", methods=("moco",), seeds=(0,), steps=5)
    (run,) = experiment.runs()
    run.update_status(host="secret", pid=5, process="secret", queued_on="secret", inode=7)
    archive.export(experiment, tmp_path / "e.zip")
    with zipfile.ZipFile(tmp_path / "e.zip") as inside:
        told = inside.read(f"photos/{run.name}/status.json")
    assert b"secret" not in told and b'"state": "finished"' in told


def test_a_name_that_would_steer_a_terminal_is_none(tmp_path):
    store = Store(tmp_path / "store")
    experiment = store.create("e", Spec(), {"a": resolve({"dataset": "digits"})})
    for path in (experiment.path / "a\x1b]52;c;AAAA\x07", store.root / "e\x1b[31m"):
        shutil.copytree(experiment.path / "a", path / "b")
        shutil.copy(experiment.run("a").config_file, path)
    assert [run.id for run in store.runs()] == ["e/a"] and [each.name for each in store.experiments()] == ["e"]


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_what_is_written_may_be_read_by_whom_the_umask_says(tmp_path, umask, mode):
    code = "import sys; from pathlib import Path; from sslcore.files import write_json; write_json(Path(sys.argv[1]), {})"
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "x.json")], cwd=ROOT, umask=umask, check=True)
    assert stat.S_IMODE((tmp_path / "x.json").stat().st_mode) == mode


# -- Pipes and devices, where files are read ------------------------------------------------


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_what_is_no_file_is_not_waited_for(run, kind, tmp_path):
    """A pipe has no end until somebody writes, and /dev/zero never has one."""
    files = (run.status_file, run.results_file, run.environment_file, run.metrics_file, run.log_file, run.views_file)
    for file in files:
        file.unlink(missing_ok=True)
        os.mkfifo(file) if kind == "pipe" else file.symlink_to("/dev/zero")
    assert run.recorded_status().state == "interrupted" and "could not be read" in run.recorded_status().error
    assert (run.results(), run.environment(), run.metrics(), run.log_tail()) == (None, None, [], "")
    assert images.views([run]) is None
    assert all("a link, a pipe or a device" in line for line in archive.export(run.experiment, tmp_path / "e.zip"))
    run.config_file.unlink()
    os.mkfifo(run.config_file) if kind == "pipe" else run.config_file.symlink_to("/dev/zero")
    assert run.readable_config is None
    experiment = run.experiment
    experiment.spec_file.unlink()
    os.mkfifo(experiment.spec_file) if kind == "pipe" else experiment.spec_file.symlink_to("/dev/zero")
    with pytest.raises(ValueError, match="cannot be read"):
        experiment.read_spec()


# -- Processes that a status names -----------------------------------------------------------


def test_no_process_is_ended_that_a_forged_status_names(run):
    bystander = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        born = psutil.Process(bystander.pid).create_time()
        run.update_status(state="running", host=HOST, pid=bystander.pid, pid_started=born, heartbeat=time.time())
        run.request_stop()
        agent = Agent(run.experiment.store, grace_seconds=0)
        for _ in range(3):
            agent.look()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_nor_what_was_left_in_the_session_that_it_led(run):
    """As of a program that went on in the background when its shell had ended."""
    leader = subprocess.Popen(["sh", "-c", "sleep 600 & echo $!"], start_new_session=True, stdout=subprocess.PIPE, text=True)
    left = psutil.Process(int(leader.stdout.readline()))
    leader.wait()
    until(lambda: left.ppid() != leader.pid)
    try:
        write_json(run.status_file, {"state": "running", "host": HOST, "pid": leader.pid, "pid_started": time.time() + 1e6})
        Agent(run.experiment.store).look()
        assert run.recorded_status().state == "interrupted", "its end is recorded"
        assert left.is_running() and left.status() != psutil.STATUS_ZOMBIE
    finally:
        left.kill()
