"""How a run ends: by itself, as it was asked to, or without a word."""

import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from sslcore import launch
from sslcore.config import resolve
from sslcore.experiment import Spec, Store
from sslcore.launch import agent as agent_module
from sslcore.launch.agent import Agent
from sslcore.launch.process import Watch, how_it_ended
from sslcore.locks import process_name
from sslcore.status import Status
from sslcore.worker import STOPPED
from tests.agent.lab import ROOT, TRAINER
from tests.waiting import until, works


def test_a_crash_and_a_kill_are_recorded_in_words(lab):
    crashed, killed, after = lab.runs(a="crash", b="wait", c="finish")
    lab.agent()
    lab.begun(killed)
    os.kill(killed.status().pid, signal.SIGKILL)
    until(lambda: after.status().state == "finished")
    assert crashed.recorded_status().state == "failed"
    assert "exit code 1" in crashed.recorded_status().error and "the reason on the last line" in crashed.recorded_status().error
    assert killed.recorded_status().state == "interrupted" and "SIGKILL" in killed.recorded_status().error


@pytest.mark.parametrize(
    ("code", "asked", "stage", "state", "says"),
    [
        (1, False, "pretrain", "failed", "ended with exit code 1 before it could say why. Its last words: at step 7"),
        (STOPPED, False, "pretrain", "interrupted", "process is gone and recorded no end. Its last words: at step 7"),
        (None, False, "pretrain", "interrupted", "process is gone and recorded no end."),
        (
            -signal.SIGKILL,
            False,
            "pretrain",
            "interrupted",
            "by SIGKILL (the machine may have run out of memory). Its last",
        ),
        (-signal.SIGBUS, False, "pretrain", "interrupted", "by SIGBUS (a file that it reads was cut or lost, such as its data"),
        (-signal.SIGSEGV, False, "pretrain", "interrupted", "was ended by SIGSEGV. Its last words"),
        (-signal.SIGTERM, True, None, "stopped", None),
        (-signal.SIGKILL, True, "pretrain", "interrupted", "Stopped as asked, but before it could write a checkpoint."),
        (-signal.SIGKILL, True, "probe", "stopped", None),
        (-signal.SIGKILL, True, "embed", "stopped", None),
    ],
)
def test_how_a_run_ended_that_did_not_say_it_is_told_by_how_its_process_did(tmp_path, code, asked, stage, state, says):
    (run,) = Store(tmp_path).create("e", Spec(), {"r": resolve({})}).runs()
    run.log_file.write_text("begins\nat step 7\n\n")
    run.update_status(state="running", stage=stage)
    child = None if code is None else SimpleNamespace(returncode=code)
    here = process_name(os.getpid())
    watch = Watch(run, os.getpid(), 1.0, here, child, asked_to_stop=1.0 if asked else None)
    told, why = how_it_ended(watch)
    assert told == state and (why is None if says is None else says in why)


def test_the_end_of_a_run_is_recorded_when_nobody_holds_it_and_where_its_folder_is_gone_it_is_watched_no_more(lab, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the trainers that an agent in this process starts
    agent = Agent(lab.store, [sys.executable, str(TRAINER)])
    agent.folder.mkdir(parents=True)
    for run in lab.runs(a="wait", b="wait"):
        agent.find_place(run, set())
        lab.begun(run)
        watch = agent.watched[run.path]
        watch.kill()
        until(lambda watch=watch: not watch.alive())
        with run.hold():  # as one of its processes does that is on its way out
            agent.attend(watch)
        assert run.path in agent.watched and run.recorded_status().state == "running"
        if run.name == "b":
            shutil.rmtree(run.path)
        agent.attend(watch)
        assert not agent.watched
    assert lab.store.experiment("e").run("a").recorded_status().state == "interrupted"


def test_the_end_of_an_earlier_process_is_not_told_as_that_of_a_later_one(lab):
    (run,) = lab.runs(a="finish")
    me = psutil.Process()
    run.update_status(state="running", host=launch.HOST, pid=me.pid, pid_started=me.create_time())
    agent = Agent(lab.store)
    agent.watched[run.path] = earlier = Watch(run, 1, 1.0)
    agent.attend(earlier)
    assert run.recorded_status().state == "running" and not agent.watched


def test_stop_of_a_queued_run_takes_it_off_the_queue_and_needs_no_agent(lab):
    (run,) = lab.runs(a="finish")
    launch.stop(run)
    assert run.recorded_status().state == "stopped" and not launch.agent_alive(lab.store)
    with pytest.raises(ValueError, match="stopped"):
        launch.stop(run)


def test_stop_lets_a_run_end_by_itself_and_resume_queues_it_again(lab):
    (run,) = lab.runs(a="wait")
    run.log_file.write_text("what an earlier attempt said\n")
    lab.agent()
    lab.begun(run)
    launch.stop(run)
    assert run.stopping(run.status()) or run.status().state == "stopped"
    until(lambda: run.status().state == "stopped")
    until(lambda: not run.stop_file.exists())
    (run.path / "go").touch()
    launch.resume(run)
    until(lambda: run.status().state == "finished")
    assert run.recorded_status().attempt == 2 and run.log_file.read_text().startswith("what an earlier attempt said\n")
    with pytest.raises(ValueError, match="finished"):
        launch.resume(run)


def test_a_run_that_is_stopped_while_it_starts_is_told_as_stopped(lab):
    (run,) = lab.runs(a="start slowly")
    lab.agent()
    until(lambda: lab.diary.exists())
    launch.stop(run)
    until(lambda: not run.stop_file.exists())
    assert run.recorded_status().state == "stopped" and run.recorded_status().error is None
    (run.path / "does").write_text("finish")
    launch.resume(run)
    until(lambda: run.status().state == "finished")


def test_a_run_that_was_asked_to_stop_has_time_for_a_checkpoint(lab):
    (run,) = lab.runs(a="wait")
    run.update_status(state="running", host=launch.HOST, pid=1, pid_started=1.0)
    run.request_stop()
    done = []

    class Slow(Watch):
        def alive(self) -> bool:
            return True

        def terminate(self) -> None:
            done.append("asked")

        def kill(self) -> None:
            done.append("killed")

    agent, watch = Agent(lab.store, grace_seconds=60), Slow(run, 1, 1.0)
    for _ in range(3):
        agent.attend(watch)
    assert done == ["asked"]
    watch.asked_to_stop -= 61
    agent.attend(watch)
    assert done == ["asked", "killed"]


def test_what_does_not_stop_in_time_is_killed_with_its_children(lab):
    stubborn, after = lab.runs(a="stubborn", b="finish")
    lab.agent(grace=0.5)
    lab.begun(stubborn)
    child = psutil.Process(int((stubborn.path / "child").read_text()))
    launch.stop(stubborn)
    until(lambda: stubborn.recorded_status().state == "interrupted")
    assert "asked" in stubborn.recorded_status().error
    until(lambda: not works(child))
    until(lambda: after.status().state == "finished")


def test_an_old_request_stops_no_later_process(lab):
    (run,) = lab.runs(a="wait")
    run.update_status(pid=1, pid_started=1.0)
    run.request_stop()
    assert not run.stopping(Status(state="running", pid=2, pid_started=2.0))
    lab.agent()
    lab.begun(run)
    time.sleep(3 * agent_module.TICK_SECONDS)
    assert run.status().state == "running"
    (run.path / "go").touch()
    until(lambda: run.status().state == "finished")


def test_a_pid_that_another_process_has_by_now_is_not_trusted(lab):
    (run,) = lab.runs(a="finish")
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    lab.processes.append(stranger)
    born = psutil.Process(stranger.pid).create_time() - 100
    run.update_status(state="running", host=launch.HOST, pid=stranger.pid, pid_started=born)
    assert run.status().state == "interrupted"
    with pytest.raises(ValueError, match="interrupted"):
        launch.stop(run)
    run.request_stop()
    lab.agent()
    until(lambda: run.recorded_status().state == "interrupted")
    time.sleep(2 * agent_module.TICK_SECONDS)
    assert stranger.poll() is None


def test_a_run_by_hand_is_known_by_whatever_name_it_was_started(lab, tmp_path, monkeypatch):
    """A path from another folder, or through a link; or all that there are, as evaluate measures them."""
    (run,) = lab.runs(a="finish")
    (tmp_path / "link").symlink_to(lab.store.root)
    watch = Watch(run, 5, 1.0)
    for words, its in (
        (["python", "-m", "sslcore", "train", "e/a"], True),
        (["python", "-m", "sslcore", "train", "store/e/a/"], True),
        (["python", "-m", "sslcore", "train", str(tmp_path / "link" / "e" / "a")], True),
        (["python", "-m", "sslcore", "evaluate"], True),
        (["python", "-m", "sslcore", "train", "e/b"], False),
        (["vim", "notes.md"], False),
    ):
        process = SimpleNamespace(cmdline=lambda words=words: words, cwd=lambda: str(tmp_path))
        assert watch.works_on_it(process) == its, words
