"""The agent itself: one a store, which starts, leaves, and may die at any moment."""

import errno
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import psutil
import pytest

from sslcore import launch
from sslcore.__main__ import main
from sslcore.experiment import Store
from sslcore.files import write_json
from sslcore.launch import agent as agent_module
from sslcore.launch.agent import Agent
from sslcore.launch.slots import folder
from sslcore.locks import process_name
from tests.agent.lab import ROOT, TRAINER, names
from tests.waiting import until


def test_two_starters_get_one_agent_and_it_leaves_when_idle(lab):
    lab.store.root.mkdir()
    starters = [threading.Thread(target=launch.start, args=[lab.store]) for _ in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert launch.agent_alive(lab.store)
    agents = [p for p in psutil.process_iter() if names(p, "agent", str(lab.store.root))]
    assert len(agents) == 1
    assert os.getsid(agents[0].pid) == agents[0].pid, "it outlives whoever started it"
    assert lab.agent().wait(timeout=300) == 0, "one more leaves at once"
    assert launch.agent_alive(lab.store)


def test_an_idle_agent_leaves_and_another_can_be_started(lab):
    lab.store.root.mkdir()
    for _ in range(2):
        assert lab.agent(idle=0.2).wait(timeout=300) == 0
        assert not launch.agent_alive(lab.store)


def test_an_order_at_the_last_moment_is_not_lost(lab, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (run,) = lab.runs(a="finish")
    agent = Agent(lab.store, [sys.executable, str(TRAINER)])
    agent.folder.mkdir(parents=True)
    agent.announce()
    assert agent.retire() is False and launch.agent_alive(lab.store)
    (agent.folder / "agent.json").unlink()
    until(lambda: agent.look() is False)
    assert run.status().state == "finished" and agent.retire() is True


def test_a_run_outlives_its_agent_and_the_next_one_adopts_it(lab):
    first, second = lab.runs(a="wait", b="finish")
    agent = lab.agent()
    lab.begun(first)
    agent.kill()
    agent.wait()
    assert first.status().state == "running", "an agent's death kills no run"
    lab.agent()
    until(lambda: launch.agent_alive(lab.store))
    time.sleep(3 * agent_module.TICK_SECONDS)
    assert second.status().state == "queued", "the slot is still taken"
    (first.path / "go").touch()
    until(lambda: second.status().state == "finished")
    assert lab.diary.read_text().split("\n")[:-1] == ["begin a", "end a", "begin b", "end b"]


def test_an_adopted_run_can_be_stopped_and_its_loss_is_recorded(lab, monkeypatch):
    monkeypatch.setattr("sslcore.locks.HEARTBEAT_LIMIT", math.inf)
    first, second = lab.runs(a="wait", b="wait")
    for run in (first, second):
        agent = lab.agent()
        lab.begun(run)
        agent.kill()
        agent.wait()
        if run is first:
            lab.agent()
            until(lambda: launch.agent_alive(lab.store))
            launch.stop(run)
            until(lambda: first.recorded_status().state == "stopped")
            lab.processes[-1].kill()
            lab.processes[-1].wait()
    os.kill(second.recorded_status().pid, signal.SIGKILL)
    until(lambda: second.status().state == "interrupted")  # told by its process, before anyone has written it
    assert second.recorded_status().state == "running"
    lab.agent()
    until(lambda: second.recorded_status().state == "interrupted")
    assert "gone" in second.recorded_status().error


def test_dashboard_agent_and_trainer_are_killed_one_by_one_and_all_at_once(lab, monkeypatch):
    monkeypatch.setattr("sslcore.locks.HEARTBEAT_LIMIT", math.inf)  # it is told at once, by the process
    first, second = lab.runs(a="wait", b="finish")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    for killed in (["dashboard"], ["agent"], ["dashboard", "agent", "trainer"]):
        if "dashboard" in killed:
            serve = [sys.executable, "-m", "dashboard", "--port", str(port), "--root", str(lab.store.root)]
            dashboard = subprocess.Popen(serve, env=lab.env, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            lab.processes.append(dashboard)
            until(lambda: healthy(port))
        if not launch.agent_alive(lab.store):
            agent = lab.agent()
        lab.begun(first)
        until(lambda: launch.agent_alive(lab.store))
        trainer = psutil.Process(first.recorded_status().pid)
        for process in [{"dashboard": dashboard, "agent": agent, "trainer": trainer}[name] for name in killed]:
            process.kill()
        expected = "interrupted" if "trainer" in killed else "running"
        until(lambda: first.status().state == expected)  # noqa: B023
        assert second.status().state == "queued"
        for process in {dashboard, agent} if "trainer" in killed else ():
            process.wait()
    assert first.recorded_status().state == "running", "nobody is left to write it"
    lab.agent()
    until(lambda: second.status().state == "finished")
    assert first.recorded_status().state == "interrupted"
    (first.path / "go").touch()
    launch.resume(first)
    until(lambda: first.status().state == "finished")


def healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"pid": 1, "process": "x/1/2/3"}', None])
def test_an_agent_whose_file_is_torn_or_gone_says_again_that_it_works(lab, content):
    lab.store.root.mkdir()
    lab.agent()
    until(lambda: launch.agent_alive(lab.store))
    who = folder(lab.store) / "agent.json"
    who.unlink() if content is None else who.write_text(content)
    launch.start(lab.store)  # starts none, or one that leaves at once
    until(lambda: launch.agent_alive(lab.store) and json.loads(who.read_text())["pid"] == lab.processes[0].pid)
    assert lab.processes[0].poll() is None


def test_an_agent_that_was_stopped_is_told(lab, capsys):
    process = lab.agent()
    until(lambda: launch.agent_alive(lab.store))
    launch.start(lab.store)
    process.send_signal(signal.SIGSTOP)
    until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    (run,) = lab.runs(a="finish")
    says = f"the agent, pid {process.pid}, was stopped, as by Ctrl-Z: fg, or kill -CONT {process.pid}, lets it go on"
    with pytest.raises(launch.NoAgent, match=says):
        launch.start(lab.store)
    assert main(["status", "--root", str(lab.store.root)]) == 0
    assert f"Runs are queued, and {says}" in " ".join(capsys.readouterr().out.split())
    process.send_signal(signal.SIGCONT)
    until(lambda: run.status().state == "finished")


def test_an_agent_of_a_version_with_other_options_makes_room_for_one_of_this(lab):
    """It would refuse what is launched now. What it trains goes on, and is taken up."""
    (first,) = lab.runs(a="wait")
    agent = lab.agent(before="from sslcore.launch import agent; agent.OPTIONS = ['method'];")
    lab.begun(first)
    who = folder(lab.store) / "agent.json"
    assert launch.agent_alive(lab.store) and not launch.ready(lab.store)
    launch.start(lab.store)
    assert agent.wait(timeout=60) is not None and launch.ready(lab.store)
    assert json.loads(who.read_text())["pid"] != agent.pid
    assert first.status().state == "running" and first.status().attempt == 1


def test_an_agent_that_keeps_images_elsewhere_makes_room(lab, monkeypatch, tmp_path):
    """What is launched now is trained where its launcher has the room for it; what trains goes on."""
    (first,) = lab.runs(a="wait")
    agent = lab.agent()
    lab.begun(first)
    assert launch.ready(lab.store)
    monkeypatch.setenv("TRIPTYCH_DATA", str(tmp_path / "roomy"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert not launch.ready(lab.store)
    launch.start(lab.store)
    assert agent.wait(timeout=60) is not None and launch.ready(lab.store)
    who = json.loads((folder(lab.store) / "agent.json").read_text())
    assert psutil.Process(who["pid"]).environ()["TRIPTYCH_DATA"] == str(tmp_path / "roomy")
    assert first.status().state == "running" and first.status().attempt == 1


def test_an_agent_of_a_newer_version_stays(lab):
    """It knows what this one launches, and more; this one would refuse what it was given."""
    lab.store.root.mkdir()
    newer = lab.agent(before="from sslcore.launch import agent; agent.OPTIONS = [*agent.OPTIONS, 'novelty'];")
    until(lambda: launch.agent_alive(lab.store))
    launch.start(lab.store)
    assert launch.ready(lab.store) and newer.poll() is None


@pytest.mark.parametrize(
    "command", [["sleep", "600"], [sys.executable, "-c", "import time; time.sleep(600)", "sslcore", "train"]]
)
def test_no_process_is_ended_but_an_agent(lab, command):
    """As where agent.json, which others may write, names a process of the reader's: it is as if it were an agent."""
    bystander = subprocess.Popen(command)
    lab.processes.append(bystander)
    named = {"pid": bystander.pid, "process": process_name(bystander.pid), "root": str(lab.store.root)}
    folder(lab.store).mkdir(parents=True)
    write_json(folder(lab.store) / "agent.json", named)
    launch.start(lab.store)
    assert bystander.poll() is None and json.loads((folder(lab.store) / "agent.json").read_text()) == named


def test_a_file_system_that_fails_for_a_moment_does_not_end_the_agent(tmp_path, monkeypatch):
    agent, looks = Agent(Store(tmp_path), idle_seconds=1), []

    def look() -> bool:
        looks.append(None)
        if len(looks) == 2 or agent_module.BROKEN_SECONDS == 0:
            raise OSError(errno.ESTALE, "Stale file handle")
        return False

    monkeypatch.setattr(agent, "look", look)
    monkeypatch.setattr(agent_module, "TICK_SECONDS", 0.05)
    agent.serve()
    assert len(looks) > 3
    monkeypatch.setattr(agent_module, "BROKEN_SECONDS", 0)
    with pytest.raises(OSError, match="Stale"):
        agent.serve()
