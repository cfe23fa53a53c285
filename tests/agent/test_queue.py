"""The queue: which run is trained next and where, and what the agent leaves alone."""

import os
import subprocess
import sys

import psutil
import pytest

from sslcore import launch
from sslcore.config import resolve
from sslcore.launch.agent import Agent
from sslcore.launch.slots import folder
from sslcore.locks import taken
from tests.agent.lab import TRAINER, names
from tests.waiting import until


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


def test_what_a_run_leaves_behind_does_not_keep_its_slot(lab):
    leaving, after = lab.runs(a="leave a child", b="finish")
    lab.agent()
    until(lambda: after.status().state == "finished")
    assert leaving.status().state == "finished"


@pytest.fixture
def two_gpus(lab, tmp_path):
    """The agents see two."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nvidia-smi").write_text("#!/bin/sh\necho '0, GPU-aaaa, Fast\n1, GPU-bbbb, Fast, too'\n")
    (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
    lab.env |= {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    lab.env.pop("CUDA_VISIBLE_DEVICES", None)


def test_each_gpu_trains_one_run(lab, two_gpus):
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


def test_a_run_on_two_gpus_takes_both_or_waits_and_is_not_overtaken(lab, two_gpus):
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


def test_a_run_without_a_status_is_as_any_other_that_has_ended(lab, caplog):
    ended, queued = lab.runs(a="finish", b="finish")
    ended.status_file.unlink()
    agent = Agent(lab.store)
    assert [(run.path, status.state) for run, status in agent.runs()] == [
        (ended.path, "interrupted"),
        (queued.path, "queued"),
    ]
    assert not agent.broken and not caplog.records


def test_a_status_that_changes_several_times_a_second_is_read_each_time(lab):
    (run,) = lab.runs(a="finish")
    agent = Agent(lab.store)
    for state in ("stopped", "queued", "failed"):
        run.update_status(state=state)
        assert [status.state for _, status in agent.runs()] == [state]


def test_a_run_that_is_trained_by_hand_is_left_alone(lab):
    by_hand, other = lab.runs(a="finish", b="finish")
    with by_hand.hold():
        lab.agent()
        until(lambda: other.status().state == "finished")
        assert by_hand.recorded_status().state == "queued"
    until(lambda: by_hand.status().state == "finished")


def test_what_was_taken_off_the_queue_a_moment_ago_is_not_started(lab):
    (run,) = lab.runs(a="finish")
    agent = Agent(lab.store, [sys.executable, str(TRAINER)])
    agent.folder.mkdir(parents=True)
    launch.stop(run)  # after the agent's look, before its hand
    agent.find_place(run, set())
    assert not agent.watched and run.recorded_status().state == "stopped"
    agent.refuse(run, "no GPU")
    assert (run.recorded_status().state, run.recorded_status().error) == ("stopped", None)


def test_a_start_that_fails_half_way_leaves_no_process(lab):
    (run,) = lab.runs(a="finish")
    agent = Agent(lab.store, [sys.executable, str(TRAINER)])
    agent.folder.mkdir(parents=True)
    run.write_status = lambda status: (_ for _ in ()).throw(OSError("disk full"))
    with agent.surviving(run):
        agent.find_place(run, set())
    assert run.path in agent.broken and run.recorded_status().state == "queued" and not lab.diary.exists()
    assert not any(names(process, str(run.path)) for process in psutil.process_iter())


def test_an_agent_that_dies_while_it_starts_a_run_has_begun_nothing(lab):
    """The shell that becomes the trainer waits for its agent's word."""
    (run,) = lab.runs(a="finish")
    code = (
        "import os, sys; from sslcore.launch.agent import Agent; from sslcore.experiment import Run, Store;"
        "Run.update_status = lambda *_, **__: os._exit(9);"
        f"Agent(Store({str(lab.store.root)!r}), [sys.executable, {str(TRAINER)!r}]).serve()"
    )
    assert subprocess.run([sys.executable, "-c", code], env=lab.env, check=False).returncode == 9
    until(lambda: not any(names(process, str(run.path)) for process in psutil.process_iter()))
    assert run.recorded_status().state == "queued" and not lab.diary.exists()
