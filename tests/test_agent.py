"""The local agent, with real processes; only the trainer is a stand-in, so that a test can say what it does."""

import errno
import json
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from sslcore import launch
from sslcore.__main__ import main
from sslcore.config import resolve
from sslcore.experiment import Run, Spec, Store
from sslcore.files import write_json
from sslcore.launch import agent as agent_module
from sslcore.launch.agent import Agent
from sslcore.launch.process import Watch, how_it_ended
from sslcore.launch.slots import folder
from sslcore.locks import process_is, process_name, taken
from sslcore.status import Status
from sslcore.worker import STOPPED
from tests.waiting import until, works

ROOT = Path(__file__).parents[1]
TRAINER = """
import os, signal, subprocess, sys, time
from pathlib import Path
from types import SimpleNamespace
import psutil
from sslcore.experiment import Run

run = Run(Path(sys.argv[1]))
does = (run.path / "does").read_text()
diary = run.path.parent / "diary"

def note(word):
    with diary.open("a") as file:
        file.write(f"{word} {run.name}\\n")

def stop(*_):
    run.update_status(state="stopped")
    sys.exit(75)

if does == "crash":
    print("first line")
    sys.exit("the reason on the last line")
if does == "start slowly":
    note("start")
    time.sleep(600)
with run.hold():
    signal.signal(signal.SIGTERM, signal.SIG_IGN if does == "stubborn" else stop)
    if does in ("stubborn", "leave a child"):
        child = os.fork()  # inherits the lock of the slot
        if child == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(600)
        (run.path / "child").write_text(str(child))
    me = psutil.Process()
    run.update_status(state="running", pid=me.pid, pid_started=me.create_time(), attempt=run.recorded_status().attempt + 1)
    (run.path / "environment").write_text(os.environ["CUDA_VISIBLE_DEVICES"] + "/" + os.environ["TRIPTYCH_SLOT"])
    note("begin")
    while does in ("wait", "stubborn") and not (run.path / "go").exists():
        time.sleep(0.02)
    note("end")
    run.update_status(state="finished")
"""


def _names(process: psutil.Process, *words: str) -> bool:
    """Whether the process's command has these words."""
    try:
        return set(words) <= set(process.cmdline())
    except psutil.Error:
        return False


class Lab:
    """A store, agents that can be killed, and runs that do as they are told."""

    def __init__(self, tmp_path: Path):
        self.store = Store(tmp_path / "store")
        self.trainer = tmp_path / "trainer.py"
        self.trainer.write_text(TRAINER)
        self.diary = self.store.root / "e" / "diary"
        self.processes: list[subprocess.Popen] = []
        self.env = os.environ | {"PYTHONPATH": str(ROOT)}

    def runs(self, device="cpu", **does: str) -> list[Run]:
        """An experiment "e" with one run a keyword, queued in that order."""
        config = resolve({"dataset": "digits", "device": device})
        experiment = self.store.create("e", Spec(), dict.fromkeys(does, config))
        for place, (name, what) in enumerate(does.items()):
            run = experiment.run(name)
            (run.path / "does").write_text(what)
            run.update_status(queued_at=1000.0 + place)
        return [experiment.run(name) for name in does]

    def agent(self, grace=20.0, idle=60.0, before="") -> subprocess.Popen:
        code = (
            f"{before}import sys, logging; from sslcore.launch.agent import Agent; from sslcore.experiment import Store;"
            "from sslcore.launch import slots; slots.cores, slots.memory = lambda: 2, lambda: 2**40;"
            "logging.basicConfig(level=logging.INFO);"
            f"Agent(Store({str(self.store.root)!r}), [sys.executable, {str(self.trainer)!r}], {idle}, {grace}).serve()"
        )
        process = subprocess.Popen([sys.executable, "-c", code, "sslcore", "agent"], env=self.env)
        self.processes.append(process)
        return process

    def begun(self, run: Run) -> None:
        until(lambda: self.diary.exists() and f"begin {run.name}" in self.diary.read_text())

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
        who = json.loads((folder(self.store) / "agent.json").read_text()) if launch.agent_alive(self.store) else None
        if who:
            psutil.Process(who["pid"]).kill()
        for run in self.store.runs():
            status = run.recorded_status()
            if process_is(status.pid, status.pid_started) and status.pid != os.getpid():
                os.killpg(status.pid, signal.SIGKILL)


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    yield lab
    lab.close()


def test_runs_are_trained_in_the_order_of_the_queue_one_at_a_time(lab):
    runs = lab.runs(c="finish", a="finish", b="finish")
    lab.agent()
    until(lambda: all(run.status().state == "finished" for run in runs))
    assert lab.diary.read_text().split("\n")[:-1] == ["begin c", "end c", "begin a", "end a", "begin b", "end b"]
    assert (runs[0].path / "environment").read_text() == "/cpu"


def test_the_status_names_the_process_and_the_slot_names_the_run(lab):
    (run,) = lab.runs(a="wait")
    folder(lab.store).mkdir(parents=True)
    (folder(lab.store) / "cpu.lock").write_text("e/one before with a longer name")
    lab.agent()
    lab.begun(run)
    status = run.recorded_status()
    assert status.state == run.status().state == "running" and status.slot == "cpu"
    assert str(run.path) in psutil.Process(status.pid).cmdline()
    assert os.getsid(status.pid) == status.pid, "a session of its own"
    held = [folder(lab.store) / name for name in ("cpu.lock", "cpu1.lock")]
    assert [taken(file) for file in held] == ["e/a", "e/a"]
    (run.path / "go").touch()
    until(lambda: run.status().state == "finished")
    until(lambda: not any(taken(file) for file in held))


def test_a_crash_and_a_kill_are_recorded_in_words(lab):
    crashed, killed, after = lab.runs(a="crash", b="wait", c="finish")
    lab.agent()
    lab.begun(killed)
    os.kill(killed.status().pid, signal.SIGKILL)
    until(lambda: after.status().state == "finished")
    assert crashed.recorded_status().state == "failed"
    assert "exit code 1" in crashed.recorded_status().error and "the reason on the last line" in crashed.recorded_status().error
    assert killed.recorded_status().state == "interrupted" and "SIGKILL" in killed.recorded_status().error


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


def test_what_a_run_leaves_behind_does_not_keep_its_slot(lab):
    leaving, after = lab.runs(a="leave a child", b="finish")
    lab.agent()
    until(lambda: after.status().state == "finished")
    assert leaving.status().state == "finished"


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


def test_the_agent_of_a_store_takes_no_orders_of_a_copy(tmp_path):
    working = Agent(Store(tmp_path / "store"))
    working.folder.mkdir(parents=True)
    working.announce()
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    assert launch.agent_alive(working.store) and not launch.agent_alive(Store(tmp_path / "copy"))


def test_a_store_that_was_moved_while_its_agent_works_gets_a_new_one_at_once(tmp_path):
    working = Agent(Store(tmp_path / "store"), idle_seconds=300)
    serving = threading.Thread(target=working.serve)
    serving.start()
    until(lambda: launch.agent_alive(working.store))
    moved = Store((tmp_path / "store").rename(tmp_path / "moved"))
    assert not launch.agent_alive(moved), "that one looks for runs where there are none any more"
    serving.join(timeout=10)
    assert not serving.is_alive(), "and the next one need not wait for it"


def test_an_agent_shows_other_machines_that_it_lives(tmp_path):
    working = Agent(Store(tmp_path))
    working.folder.mkdir(parents=True)
    working.announce()
    os.utime(working.folder / "agent.json", (1, 1))
    working.announce()
    assert time.time() - (working.folder / "agent.json").stat().st_mtime < 60


def test_a_run_that_another_machine_trains_is_left_to_it(lab):
    (run,) = lab.runs(a="finish")
    run.update_status(state="running", host="elsewhere", pid=1, pid_started=1.0, heartbeat=time.time())
    before = run.recorded_status()
    assert not Agent(lab.store).look() and run.recorded_status() == before


def test_a_status_that_changes_several_times_a_second_is_read_each_time(lab):
    (run,) = lab.runs(a="finish")
    agent = Agent(lab.store)
    for state in ("stopped", "queued", "failed"):
        run.update_status(state=state)
        assert [status.state for _, status in agent.runs()] == [state]


def test_the_end_of_an_earlier_process_is_not_told_as_that_of_a_later_one(lab):
    (run,) = lab.runs(a="finish")
    me = psutil.Process()
    run.update_status(state="running", host=launch.HOST, pid=me.pid, pid_started=me.create_time())
    agent = Agent(lab.store)
    agent.watched[run.path] = earlier = Watch(run, 1, 1.0)
    agent.attend(earlier)
    assert run.recorded_status().state == "running" and not agent.watched


def test_a_run_that_cannot_be_worked_with_is_left_alone_for_a_while(lab, monkeypatch):
    (run,) = lab.runs(a="finish")
    run.update_status(state="running", host=launch.HOST, pid=1, pid_started=1.0)
    agent, attend, tried = Agent(lab.store), Agent.attend, []
    monkeypatch.setattr(Agent, "attend", lambda _, watch: tried.append(watch) or 1 / 0)
    assert [agent.look() for _ in range(3)] == [False] * 3 and len(tried) == 1
    agent.broken[run.path] = 0  # the while is over
    monkeypatch.setattr(Agent, "attend", attend)
    agent.look()
    assert run.recorded_status().state == "interrupted"


@pytest.mark.parametrize("host", ["../elsewhere", "a/b", "/", "..", "", "a\0b"])
def test_a_machine_whose_name_is_no_name_is_at_work_nowhere(tmp_path, host):
    assert not agent_module.works_on(Store(tmp_path), host)


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


def test_an_agent_that_dies_while_it_starts_a_run_has_begun_nothing(lab):
    """The shell that becomes the trainer waits for its agent's word."""
    (run,) = lab.runs(a="finish")
    code = (
        "import os, sys; from sslcore.launch.agent import Agent; from sslcore.experiment import Run, Store;"
        "Run.update_status = lambda *_, **__: os._exit(9);"
        f"Agent(Store({str(lab.store.root)!r}), [sys.executable, {str(lab.trainer)!r}]).serve()"
    )
    assert subprocess.run([sys.executable, "-c", code], env=lab.env, check=False).returncode == 9
    until(lambda: not any(_names(process, str(run.path)) for process in psutil.process_iter()))
    assert run.recorded_status().state == "queued" and not lab.diary.exists()


def test_a_start_that_fails_half_way_leaves_no_process(lab):
    (run,) = lab.runs(a="finish")
    agent = Agent(lab.store, [sys.executable, str(lab.trainer)])
    agent.folder.mkdir(parents=True)
    run.write_status = lambda status: (_ for _ in ()).throw(OSError("disk full"))
    with agent.surviving(run):
        agent.find_place(run, set())
    assert run.path in agent.broken and run.recorded_status().state == "queued" and not lab.diary.exists()
    assert not any(_names(process, str(run.path)) for process in psutil.process_iter())


def test_what_was_taken_off_the_queue_a_moment_ago_is_not_started(lab):
    (run,) = lab.runs(a="finish")
    agent = Agent(lab.store, [sys.executable, str(lab.trainer)])
    agent.folder.mkdir(parents=True)
    launch.stop(run)  # after the agent's look, before its hand
    agent.find_place(run, set())
    assert not agent.watched and run.recorded_status().state == "stopped"
    agent.refuse(run, "no GPU")
    assert (run.recorded_status().state, run.recorded_status().error) == ("stopped", None)


def test_the_end_of_a_run_is_recorded_when_nobody_holds_it_and_where_its_folder_is_gone_it_is_watched_no_more(lab, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the trainers that an agent in this process starts
    agent = Agent(lab.store, [sys.executable, str(lab.trainer)])
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


def test_two_starters_get_one_agent_and_it_leaves_when_idle(lab):
    lab.store.root.mkdir()
    starters = [threading.Thread(target=launch.start, args=[lab.store]) for _ in range(4)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join()
    assert launch.agent_alive(lab.store)
    agents = [p for p in psutil.process_iter() if _names(p, "agent", str(lab.store.root))]
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
    agent = Agent(lab.store, [sys.executable, str(lab.trainer)])
    agent.folder.mkdir(parents=True)
    agent.announce()
    assert agent.retire() is False and launch.agent_alive(lab.store)
    (agent.folder / "agent.json").unlink()
    until(lambda: agent.look() is False)
    assert run.status().state == "finished" and agent.retire() is True


def test_broken_folders_do_not_keep_the_others_from_training(lab):
    torn, invalid, unreadable, no_gpu, healthy = lab.runs(a="finish", b="finish", c="finish", d="finish", e="finish")
    torn.status_file.write_text('{"state": "que')
    invalid.config_file.write_text('{"epochs": "many"}')
    unreadable.status_file.unlink()
    unreadable.status_file.mkdir()
    no_gpu.config_file.write_text(resolve({"dataset": "digits", "device": "cuda"}).model_dump_json())
    lab.env["CUDA_VISIBLE_DEVICES"] = ""
    agent = lab.agent()
    until(lambda: healthy.status().state == "finished")
    assert torn.status().state == "interrupted"
    assert invalid.status().state == "failed" and "epochs" in invalid.status().error
    assert no_gpu.status().state == "failed" and "no GPU" in no_gpu.status().error
    assert agent.poll() is None


def test_a_run_without_a_status_is_as_any_other_that_has_ended(lab, caplog):
    ended, queued = lab.runs(a="finish", b="finish")
    ended.status_file.unlink()
    agent = Agent(lab.store)
    assert [(run.path, status.state) for run, status in agent.runs()] == [
        (ended.path, "interrupted"),
        (queued.path, "queued"),
    ]
    assert not agent.broken and not caplog.records


def test_a_run_that_is_trained_by_hand_is_left_alone(lab):
    by_hand, other = lab.runs(a="finish", b="finish")
    with by_hand.hold():
        lab.agent()
        until(lambda: other.status().state == "finished")
        assert by_hand.recorded_status().state == "queued"
    until(lambda: by_hand.status().state == "finished")


def test_each_gpu_trains_one_run(lab, tmp_path):
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "nvidia-smi").write_text("#!/bin/sh\necho '0, GPU-aaaa, Fast\n1, GPU-bbbb, Fast, too'\n")
    (bin / "nvidia-smi").chmod(0o755)
    lab.env |= {"PATH": f"{bin}:{os.environ['PATH']}"}
    lab.env.pop("CUDA_VISIBLE_DEVICES", None)
    one, two, three = lab.runs(device="auto", a="wait", b="wait", c="finish")
    three.config_file.write_text(resolve({"dataset": "digits", "device": "cpu"}).model_dump_json())
    lab.agent()
    lab.begun(one)
    lab.begun(two)
    until(lambda: three.status().state == "finished")
    seen = [(run.path / "environment").read_text() for run in (one, two, three)]
    assert seen == ["GPU-aaaa/gpu0", "GPU-bbbb/gpu1", "/cpu"]
    for run in (one, two):
        (run.path / "go").touch()
    until(lambda: all(run.status().state == "finished" for run in (one, two)))


def test_runs_of_few_threads_share_the_cores_and_one_that_takes_all_is_not_overtaken(lab):
    one, two, third, whole, behind = runs = lab.runs(a="wait", b="wait", c="wait", d="wait", e="finish")
    for run in (one, two, third, behind):
        run.config_file.write_text(resolve({"dataset": "digits", "device": "cpu", "threads": 1}).model_dump_json())
    lab.agent()
    lab.begun(two)
    assert {taken(folder(lab.store) / name) for name in ("cpu.lock", "cpu1.lock")} == {"e/a", "e/b"}
    assert {run.status().state for run in (third, whole, behind)} == {"queued"}
    (one.path / "go").touch()
    lab.begun(third)
    assert (third.path / "environment").read_text() == "/cpu"
    (third.path / "go").touch()
    until(lambda: third.status().state == "finished")
    assert {run.status().state for run in (whole, behind)} == {"queued"}, "the free core waits for the run that takes both"
    (two.path / "go").touch()
    lab.begun(whole)
    assert behind.status().state == "queued"
    (whole.path / "go").touch()
    until(lambda: all(run.status().state == "finished" for run in runs))


def test_a_run_on_two_gpus_takes_both_or_waits_and_is_not_overtaken(lab, tmp_path):
    bin = tmp_path / "bin"
    bin.mkdir()
    (bin / "nvidia-smi").write_text("#!/bin/sh\necho '0, GPU-aaaa, Fast\n1, GPU-bbbb, Fast'\n")
    (bin / "nvidia-smi").chmod(0o755)
    lab.env |= {"PATH": f"{bin}:{os.environ['PATH']}"}
    lab.env.pop("CUDA_VISIBLE_DEVICES", None)
    one, both, again, behind, three, cpu = lab.runs(
        device="auto", a="wait", b="wait", c="finish", d="finish", e="finish", f="finish"
    )
    settings = {both: {"devices": 2}, again: {"devices": 2}, three: {"devices": 4}, cpu: {"devices": 2, "device": "cpu"}}
    for run, changes in settings.items():
        run.config_file.write_text(resolve({"dataset": "digits", **changes}).model_dump_json())
    lab.agent()
    lab.begun(one)
    until(lambda: cpu.status().state == "finished" and three.status().state == "failed")
    assert "4 GPUs" in three.status().error and "has 2" in three.status().error
    assert {run.status().state for run in (both, again, behind)} == {"queued"}, "the free GPU waits for the run that needs two"
    (one.path / "go").touch()
    lab.begun(both)
    assert (both.path / "environment").read_text() == "GPU-aaaa,GPU-bbbb/gpu0,gpu1"
    assert {taken(folder(lab.store) / f"gpu{k}.lock") for k in (0, 1)} == {"e/b"}
    assert again.status().state == behind.status().state == "queued"
    (both.path / "go").touch()
    until(lambda: all(run.status().state == "finished" for run in (both, again, behind)))


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
