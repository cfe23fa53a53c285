"""Other users, other machines, and other stores: copies, and stores that were moved."""

import math
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest

from sslcore import launch
from sslcore.__main__ import main
from sslcore.experiment import Run, Store
from sslcore.files import write_json
from sslcore.launch import agent as agent_module
from sslcore.launch.agent import Agent
from sslcore.launch.slots import folder
from sslcore.locks import process_name
from tests.waiting import until


def test_where_another_user_has_the_agent_it_is_said_in_words(lab, monkeypatch):
    (run,) = lab.runs(a="finish")
    monkeypatch.setattr(os, "access", lambda path, mode: path != folder(lab.store))
    with pytest.raises(RuntimeError, match=r"another user's.*stays queued"):
        launch.start(lab.store)
    assert run.status().state == "queued"


def test_what_another_user_has_queued_is_left_alone_and_its_owner_is_told(lab, monkeypatch):
    (run,) = lab.runs(a="finish")
    here, me = Agent(lab.store), os.getuid()
    here.folder.mkdir(parents=True)
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    here.uid = me + 1
    assert not here.look() and run.status().state == "queued"
    with monkeypatch.context() as theirs:
        theirs.setattr(agent_module, "of_another_user", lambda store: True)
        with pytest.raises(launch.NoAgent, match=r"is another user's, .* wait until it has gone, or use.*stays queued"):
            launch.start(lab.store)
        launch.start_asking(lab.store)


@pytest.mark.skipif(os.getuid() != 0, reason="only root may start a process of another user")
def test_whose_agent_is_at_work_is_told_by_its_process(lab, capsys):
    (run,) = lab.runs(a="finish")
    assert not agent_module.of_another_user(lab.store)
    folder(lab.store).mkdir(parents=True)
    for user, another in ((None, False), (4321, True)):
        with subprocess.Popen(["sleep", "60"], user=user) as process:
            write_json(folder(lab.store) / "agent.json", {"pid": process.pid, "process": process_name(process.pid)})
            assert agent_module.of_another_user(lab.store) == another
            os.chown(folder(lab.store) / "agent.json", user or 0, -1)
            assert main(["status", "--root", str(lab.store.root)]) == 0
            left = f"the agent, pid {process.pid}, leaves alone what another user queued ({run.id}): resume it once that has gone"
            assert (f"Runs are queued, and {left}." in " ".join(capsys.readouterr().out.split())) == another
            process.kill()


def test_whose_runs_are_its_own_the_agent_tells_by_what_it_writes_itself(lab, monkeypatch):
    """Some file systems say another owner than whoever writes: then it is that one's runs that are its own."""
    (run,) = lab.runs(a="finish")
    with monkeypatch.context() as mapped:
        mapped.setattr(os, "getuid", lambda: 4321)
        here = Agent(lab.store)
        here.folder.mkdir(parents=True)
        assert here.left_alone(run, run.recorded_status())
        here.announce()
        assert not here.left_alone(run, run.recorded_status())
        here.leave()


def test_what_another_machine_has_queued_is_left_to_its_agent_while_that_starts_or_is_at_work(lab):
    (run,) = lab.runs(a="finish")
    assert run.recorded_status().queued_on == socket.gethostname()
    run.update_status(queued_on="elsewhere")
    theirs = lab.store.root / ".agent" / "elsewhere" / "agent.json"
    for path in (theirs.parent, folder(lab.store)):
        path.mkdir(parents=True)
    here = Agent(lab.store)
    assert not here.look(), "its agent may just be starting"
    here.strange = dict.fromkeys(here.strange, -math.inf)  # that was long ago
    theirs.touch()
    assert not here.look() and run.status().state == "queued"
    os.utime(theirs, (1, 1))  # no sign of life any more
    lab.agent(before="import sslcore.launch.agent as agent; agent.STRANGE_SECONDS = 0.0; ")
    until(lambda: run.status().state == "finished")


def test_what_this_machine_cannot_train_is_not_refused_in_the_name_of_one_that_may(lab):
    (run,) = lab.runs(device="cuda", a="finish")
    run.update_status(queued_on="elsewhere")
    here = Agent(lab.store)
    here.folder.mkdir(parents=True)
    here.strange[run.path, run.recorded_status().queued_at] = -math.inf
    assert here.look() and run.status().state == "queued"
    assert not here.look(), "and keeps nobody here awake"
    run.update_status(queued_on=socket.gethostname())
    here.broken.clear()
    here.look()
    assert run.status().state == "failed"


def test_a_run_that_another_machine_trains_is_left_to_it(lab):
    (run,) = lab.runs(a="finish")
    run.update_status(state="running", host="elsewhere", pid=1, pid_started=1.0, heartbeat=time.time())
    before = run.recorded_status()
    assert not Agent(lab.store).look() and run.recorded_status() == before


def test_an_agent_shows_other_machines_that_it_lives(tmp_path):
    working = Agent(Store(tmp_path))
    working.folder.mkdir(parents=True)
    working.announce()
    os.utime(working.folder / "agent.json", (1, 1))
    working.announce()
    assert time.time() - (working.folder / "agent.json").stat().st_mtime < 60


@pytest.mark.parametrize("host", ["../elsewhere", "a/b", "/", "..", "", "a\0b"])
def test_a_machine_whose_name_is_no_name_is_at_work_nowhere(tmp_path, host):
    assert not agent_module.works_on(Store(tmp_path), host)


def test_the_agent_of_a_store_takes_no_orders_of_a_copy(tmp_path):
    working = Agent(Store(tmp_path / "store"))
    working.folder.mkdir(parents=True)
    working.announce()
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    assert launch.agent_alive(working.store) and not launch.agent_alive(Store(tmp_path / "copy"))


def test_a_stop_of_a_copy_is_nothing_to_the_run_that_it_was_copied_from(lab):
    (run,) = lab.runs(a="wait")
    lab.agent()
    lab.begun(run)
    copy = Run(shutil.copytree(run.path, run.path.with_name("copy")))
    with pytest.raises(ValueError, match="interrupted"):
        launch.stop(copy)
    copy.request_stop()
    (copy.path / "does").write_text("finish")
    agent = Agent(lab.store)  # as a later one would see it
    agent.look()
    assert agent.watched.keys() == {run.path} and run.status().state == "running"
    (run.path / "go").touch()
    until(lambda: run.status().state == "finished")


def test_a_store_that_was_moved_while_its_agent_works_gets_a_new_one_at_once(tmp_path):
    working = Agent(Store(tmp_path / "store"), idle_seconds=300)
    serving = threading.Thread(target=working.serve)
    serving.start()
    until(lambda: launch.agent_alive(working.store))
    moved = Store((tmp_path / "store").rename(tmp_path / "moved"))
    assert not launch.agent_alive(moved), "that one looks for runs where there are none any more"
    serving.join(timeout=10)
    assert not serving.is_alive(), "and the next one need not wait for it"
