"""Slurm as the engine, on a real Slurm (up.sh) of one node, or two, whose GPUs are null devices.

Most runs here are the real worker with a stand-in for the training (trainer.py); one test trains a network to the end.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from safetensors.numpy import load_file
from streamlit.testing.v1 import AppTest

from sslcore import launch, trash
from sslcore.__main__ import main
from sslcore.experiment import Store
from sslcore.files import read_json
from sslcore.launch.slots import folder
from sslcore.launch.slurm import client, heard, jobs, record, script, settings
from sslcore.locks import process_is
from tests.slurm.lab import TRAINER, Cluster, Lab, shell
from tests.waiting import until

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cluster():
    ci = os.environ.get("CI")
    if os.geteuid() != 0 and not ci:
        pytest.skip("a Slurm of the tests' own needs root")
    if shutil.which("slurmctld") is None and not ci:
        pytest.skip("Slurm is not installed (Debian: slurmctld slurmd slurm-client munge)")
    with pytest.MonkeyPatch.context() as patch:
        yield from another(Cluster(), patch)


def another(cluster: Cluster, patch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A cluster that is up, and that Slurm's commands talk to, until it is taken down."""
    patch.setenv("SLURM_CONF", str(cluster.prefix / "etc" / "slurm.conf"))
    cluster.up()
    yield cluster
    cluster.down()


@pytest.fixture
def accounted(cluster, monkeypatch):
    """Another Slurm, with a database in which it keeps how jobs ended."""
    if shutil.which("slurmdbd") is None or shutil.which("mariadbd") is None:
        pytest.skip("Slurm's accounting is not installed (Debian: slurmdbd slurm-wlm-mysql-plugin mariadb-server)")
    yield from another(Cluster(accounting=True), monkeypatch)


@pytest.fixture
def two_nodes(cluster, monkeypatch):
    """Another Slurm, whose two nodes are both this machine."""
    yield from another(Cluster(nodes=2), monkeypatch)


@pytest.fixture
def lab(cluster, tmp_path, monkeypatch):
    """The agent's part is played by the test, so that it happens when it should."""
    monkeypatch.setattr(script, "TRAIN", (sys.executable, str(TRAINER)))
    monkeypatch.setattr(record, "GONE_SECONDS", 0.5)
    monkeypatch.setattr("sslcore.launch.start", lambda store: None)
    yield (lab := Lab(tmp_path / 'a "store" of ünits, 100%'))
    shell("scancel", "--me", "--partition=gpu")
    until(lambda: not client.queue(lab.store))


@pytest.fixture(scope="module")
def short(cluster, tmp_path_factory):
    """Runs whose time is up after a minute, begun before the other tests: Slurm looks at its clock twice a minute only.

    One makes room when it is told to. The others are in the middle of something long; the second has kept a checkpoint.
    """
    home = tmp_path_factory.mktemp("short")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "TRAIN", (sys.executable, str(TRAINER)))
        patch.setattr("sslcore.launch.start", lambda store: None)
        lab = Lab(home / "store")
        settings.keep(lab.store, {"extra": "--time=1", "notice": 45, "gpus": 0, "partition": "high"})
        runs = run, measured, stuck = lab.launch("run", "measured", "stuck", name="short")
        for long in (measured, stuck):
            (long.path / "stubborn").touch()
        until(lambda: all("from 0" in run.log_tail() for run in runs))
        measured.checkpoint_file.write_text("5")
    return lab, run, measured, stuck


# -- One after the other -------------------------------------------------------------------


def test_a_grid_is_one_array_whose_runs_wait_for_free_slots(short, lab, monkeypatch):
    runs = one, two, three = lab.launch("one", "two", "three")
    number = one.recorded_status().job_id.partition("_")[0]
    assert [run.recorded_status().job_id for run in runs] == [f"{number}_{k}" for k in range(3)]
    assert len(list((one.experiment.path / ".slurm").glob("*.sh"))) == 1
    for run in (one, two):
        assert lab.sees(run, "running").host == socket.gethostname()
        until(lambda run=run: run.checkpoint_file.parent.joinpath("gpu").exists())
    told, began = psutil.Process(one.status().pid).environ(), one.status().started_at
    assert abs(int(told["TRIPTYCH_ENDS"]) - began - 60 * 60) < 60 and told["TRIPTYCH_NOTICE"] == "180", "the partition's time"
    assert {(run.path / "gpu").read_text() for run in (one, two)} == {"0", "1"}
    status = lab.sees(three, "queued")
    assert status.job_id == f"{number}_2" and until(lambda: lab.look() or "waits for free resources" in lab.words(three))

    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(lab.store.root))
    page = AppTest.from_file(str(ROOT / "dashboard" / "views" / "watch.py"), default_timeout=300)
    page.query_params["experiment"], page.query_params["watch_run"] = "e", "three"
    page.run()
    assert not page.exception
    assert any("waits for free resources" in bar.text for bar in page.get("progress"))
    said = [caption.value.replace("\\", "") for caption in page.caption]
    assert f"Slurm job {number}_0 · on {one.status().host} · partition gpu" in said and f"Slurm job {number}_2" in said
    assert any("#SBATCH --array=0-2" in code.value for code in page.code)

    for run in runs:
        (run.path / "go").touch()
    for run in runs:
        assert lab.sees(run, "finished").attempt == 1
    with one.experiment.editing() as spec:
        spec.axes = {"seed": [0]}
    (added,) = launch.complete(one.experiment)
    assert added.name == "simclr-bs256-s0" and added.recorded_status().engine == "slurm", (
        "more of a grid goes where the grid went"
    )
    (added.path / "go").touch()
    lab.sees(added, "finished")


def test_stop_takes_a_waiting_job_out_and_lets_a_running_one_keep_a_checkpoint(lab):
    one, _, waiting = lab.launch("one", "two", "waiting")
    lab.sees(one, "running")
    with pytest.raises(ValueError, match=r"still in Slurm, as job \d+_2 \(PENDING\)"):
        jobs.check_gone([waiting])
    launch.stop(waiting)
    assert waiting.recorded_status().state == "stopped" and waiting.path not in client.queue(lab.store)
    launch.stop(one)
    assert lab.sees(one, "stopped").error is None and int(one.checkpoint_file.read_text()) > 0
    for run in (one, waiting):
        (run.path / "go").touch()
        launch.resume(run)
        lab.sees(run, "finished")
    assert one.recorded_status().attempt == 2 and f"from {one.checkpoint_file.read_text()}" in one.log_tail()
    assert waiting.recorded_status().attempt == 1


def test_a_run_that_makes_room_leaves_the_rest_of_its_array_alone(lab):
    settings.keep(lab.store, {"gpus": 0})
    stopped, running, last = lab.launch("stopped", "running", "last")  # the last one's job has the array's own number
    for run in (stopped, running, last):
        lab.sees(run, "running")
    launch.stop(stopped)
    lab.sees(stopped, "stopped")
    until(lambda: stopped.path not in client.queue(lab.store))
    lab.signals(last, "USR1")
    until(lambda: client.queue(lab.store)[last.path].waits)
    assert lab.sees(last, "queued").requeues == 1
    jobs = client.queue(lab.store)
    assert set(jobs) == {running.path, last.path} and jobs[running.path].state == "RUNNING"
    (running.path / "go").touch()
    assert lab.sees(running, "finished").attempt == 1 and stopped.recorded_status().state == "stopped"


def test_a_run_that_is_stopped_while_it_makes_room_stays_stopped(lab):
    (run,) = lab.launch("one")
    (run.path / "stubborn").touch()  # in the middle of a long step
    lab.sees(run, "running")
    lab.signals(run, "USR1")
    until((run.path / "told").exists)
    launch.stop(run)
    (run.path / "stubborn").unlink()
    assert lab.sees(run, "stopped").requeues == 0 and int(run.checkpoint_file.read_text()) > 0
    until(lambda: not (jobs := client.queue(lab.store)) or jobs[run.path].waits)
    assert run.path not in client.queue(lab.store) and lab.sees(run, "stopped").requeues == 0


def test_a_run_that_slurm_ends_to_queue_it_again_is_waited_for_and_goes_on(lab, cluster):
    (run,) = lab.launch("one")
    lab.sees(run, "running")
    until(lambda: "from " in run.log_tail())  # the trainer hears
    shell("scontrol", "requeue", run.recorded_status().job_id)  # as a preemption without notice does: TERM, to all at once
    until(lambda: run.recorded_status().state == "stopped")
    assert heard.may_go_on(run, run.status())
    assert lab.sees(run, "queued").requeues == 1
    cluster.start_again(run)
    (run.path / "go").touch()
    assert lab.sees(run, "finished").attempt == 2


def test_what_is_deleted_waits_in_slurm_no_more(lab, monkeypatch):
    one, two, waiting = lab.launch("one", "two", "waiting")
    (other,) = lab.launch("other", name="f")
    for run in (one, two):
        lab.sees(run, "running")
    with pytest.raises(BlockingIOError):
        launch.discard(lab.store, one.experiment)
    assert waiting.path in client.queue(lab.store), "nothing is cancelled where nothing is deleted"
    assert launch.discard(lab.store, waiting) == (1, None)

    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(lab.store.root))
    page = AppTest.from_file(str(ROOT / "dashboard" / "main.py"), default_timeout=300).run()
    page.menu_button(key="experiments_menu_f").click("Delete").run()
    assert any("1 job of it that waits in Slurm is cancelled" in text.value for text in page.text)
    page.button(key="trash_delete").click().run()
    assert not page.exception and not other.experiment.exists()
    until(lambda: set(client.queue(lab.store)) == {one.path, two.path})
    for lost in trash.contents(lab.store):
        assert trash.restore(lab.store, lost).exists()
    assert [run.recorded_status().state for run in (waiting, other)] == ["stopped", "stopped"]


def test_what_slurm_refuses_is_told_in_its_words_and_leaves_nothing(lab):
    settings.keep(lab.store, {"partition": "nowhere"})
    with pytest.raises(ValueError, match=r"Slurm refuses: .*Invalid partition"):
        lab.launch("one")
    assert not lab.store.experiments()
    settings.keep(lab.store, {"partition": ""})
    (run,) = lab.launch("one", name="f")
    lab.sees(run, "running")
    launch.stop(run)
    stopped = lab.sees(run, "stopped")
    settings.keep(lab.store, {"partition": "nowhere"})
    with pytest.raises(ValueError, match="Invalid partition"):
        launch.resume(run)
    assert run.recorded_status() == stopped


def test_jobs_that_ended_without_a_word_are_told_without_any_accounting(lab):
    broken, killed = lab.launch("broken", "killed")
    (cancelled,) = lab.launch("cancelled", name="f")
    for run in (broken, killed):
        lab.sees(run, "running")
    lab.sees(cancelled, "queued")
    shell("scancel", cancelled.recorded_status().job_id)
    (broken.path / "break").touch()
    os.kill(killed.recorded_status().pid, signal.SIGKILL)
    assert "exit code 3" in lab.sees(broken, "failed").error
    assert read_json(killed.exit_file) == {"code": 137, "job_id": killed.recorded_status().job_id}
    assert "is gone" in lab.sees(killed, "interrupted").error
    assert "cancelled there, or lost" in lab.sees(cancelled, "interrupted").error


def test_where_there_is_accounting_it_says_how_jobs_ended(accounted, lab):
    killed, running, cancelled = lab.launch("a", "b", "c")
    for run in (killed, running):
        lab.sees(run, "running")
    lab.sees(cancelled, "queued")
    ids = {run: run.recorded_status().job_id for run in (killed, running, cancelled)}
    until(lambda: "RUNNING" in shell("sacct", "-X", "--format=State", f"--jobs={ids[running]}"))
    assert not client.fates([ids[running]]), "it has not ended"
    shell("scancel", ids[cancelled])
    os.kill(killed.recorded_status().pid, signal.SIGKILL)
    until(lambda: set(client.fates(ids.values())) == {ids[killed], ids[cancelled]})  # its database hears of it later
    assert "Slurm's accounting says FAILED." in lab.sees(killed, "interrupted").error
    assert f"Slurm's accounting says CANCELLED by {os.getuid()}." in lab.sees(cancelled, "interrupted").error
    (running.path / "go").touch()
    lab.sees(running, "finished")


def test_a_run_that_does_not_stop_is_cancelled(lab):
    (run,) = lab.launch("one")
    (run.path / "stubborn").touch()
    pid = lab.sees(run, "running").pid
    launch.stop(run)
    lab.look(grace=60)
    assert run.path in client.queue(lab.store)
    lab.look(grace=0)
    assert "Stopped as asked" in lab.sees(run, "interrupted").error
    until(lambda: not process_is(pid, run.recorded_status().pid_started))


def test_the_launch_form_offers_slurm_keeps_its_settings_and_submits(lab, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(lab.store.root))
    page = AppTest.from_file(str(ROOT / "dashboard" / "main.py"), default_timeout=300).run()
    page.switch_page("views/new.py")
    page.query_params.update({"new_preset": "quick", "title": "From the form"})
    page.run()
    page.selectbox(key="new_engine").set_value("slurm").run()
    page.text_input(key="cluster_time").set_value("2")
    page.button(key="cluster_keep").click().run()
    assert any("leave time to train" in error.value for error in page.error) and settings.read(lab.store).time == ""
    page.text_input(key="cluster_time").set_value("1-0")
    page.number_input(key="cluster_cpus").set_value(2.5)
    page.button(key="cluster_keep").click().run()
    assert any("must be a whole number" in error.value for error in page.error) and settings.read(lab.store).cpus == 1
    page.number_input(key="cluster_cpus").set_value(1)
    page.button(key="cluster_keep").click().run()
    assert not page.error and settings.read(lab.store) == settings.Settings(cpus=1, time="1-0")
    page.button(key="new_launch").click().run()
    assert not page.exception
    experiment = lab.store.experiment("from-the-form")
    assert "--engine slurm" in experiment.spec().command
    assert set(client.queue(lab.store)) == {run.path for run in experiment.runs()} and len(experiment.runs()) == 3


# -- A network, from the command line, with the real agent -----------------------------------------

DIGITS = """
base:
  {device: cpu, devices: 2, dataset: digits, image_size: 8, epochs: 8, batch_size: 256, evaluate.knn_every: 0,
   evaluate.sample: 64, evaluate.labels: false, evaluate.heads: false}
axes:
  evaluate.log_every: [1, 2]
"""


@pytest.fixture
def store(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(tmp_path / "store"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # of what is killed something stays there
    (tmp_path / "digits.yaml").write_text(DIGITS)
    yield (store := Store())
    who = read_json(folder(store) / "agent.json") or {}
    if process_is(who.get("pid"), who.get("pid_started")):
        psutil.Process(who["pid"]).kill()
    shell("scancel", "--me", "--partition=gpu")


def test_a_preempted_training_on_two_nodes_ends_with_the_weights_of_an_undisturbed_one(two_nodes, store, tmp_path):
    assert main(["slurm", "--set", "cpus=1", "extra=--nodes=2"]) == 0
    command = [
        sys.executable,
        "-m",
        "sslcore",
        "launch",
        str(tmp_path / "digits.yaml"),
        "--name",
        "e",
        "--engine",
        "slurm",
        "--wait",
    ]
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    runs = until(lambda: store.experiment("e").runs())
    until(lambda: all(run.metrics() for run in runs))
    agent = read_json(folder(store) / "agent.json")
    psutil.Process(agent["pid"]).kill()  # `launch --wait` starts another

    ranks = [
        process
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [])[-2:] == ["rank", str(runs[0].path)]
    ]
    assert {process.environ()["SLURMD_NODENAME"] for process in ranks} == {two_nodes.node, f"{two_nodes.node}-2"}
    # Of a node's 16, of which a run has 2.
    shell("sbatch", "--partition=high", "--cpus-per-task=13", "--output=/dev/null", "--wrap=sleep 1")
    disturbed = until(lambda: next((run for run in runs if run.status().state == "queued"), None))
    assert disturbed.recorded_status().requeues == 1 and disturbed.checkpoint_file.exists()
    two_nodes.start_again(disturbed)

    said = waiting.communicate(timeout=900)[0]
    assert waiting.returncode == 0, said
    assert "requeued" in said and all(run.status().state == "finished" for run in runs)
    step, total = map(int, re.search(r"resumed after step (\d+) of (\d+)", disturbed.log_tail()).groups())
    assert 0 < step < total
    one, two = (load_file(run.encoder_file) for run in runs)
    assert all((one[name] == two[name]).all() for name in one)


def test_a_run_whose_time_is_up_keeps_a_checkpoint_and_is_queued_again(short, cluster):
    lab, run, *_ = short
    until(lambda: "made room" in run.log_tail(), 120)
    assert run.recorded_status().requeues >= 1 and int(run.checkpoint_file.read_text()) > 0
    (run.path / "go").touch()
    cluster.start_again(run)
    lab.sees(run, "finished")
    assert int(re.findall(r"from (\d+)", run.log_tail())[-1]) > 0


def test_a_run_that_is_ended_since_its_time_is_up_is_queued_again_if_it_kept_a_checkpoint(short):
    lab, _, measured, stuck = short
    until(lambda: lab.look() or measured.recorded_status().requeues == 1, 120)
    assert "TIME LIMIT" in lab.sees(stuck, "interrupted").error and stuck.recorded_status().requeues == 0
    jobs.cancel(measured)


# -- When Slurm itself fails: last, since all jobs of the node suffer ---------------------------


def test_jobs_of_a_dead_node_are_queued_again_and_go_on(lab, cluster):
    (run,) = lab.launch("one")
    status = lab.sees(run, "running")
    until(lambda: "from 0" in run.log_tail())
    cluster.kill(f"slurmd-{cluster.node}")
    trainer = psutil.Process(status.pid)
    for process in [*trainer.parents()[1::-1], trainer]:  # Slurm's watch over the job, the script, the trainer
        with suppress(psutil.NoSuchProcess):
            process.kill()
    shell("scontrol", "update", f"nodename={cluster.node}", "state=down", "reason=test")
    until(lambda: lab.look() or run.status().requeues == 1)
    assert lab.sees(run, "queued").job_id == status.job_id and lab.words(run).startswith("requeued, ")
    cluster.forget()
    cluster.up()
    cluster.start_again(run)
    (run.path / "go").touch()
    assert lab.sees(run, "finished").attempt == 2 and run.recorded_status().requeues == 1


def test_a_controller_that_is_down_is_told_and_changes_nothing(lab, cluster, monkeypatch):
    one, _, waiting = lab.launch("one", "two", "waiting")
    for run in (one, waiting):
        lab.sees(run, "running" if run is one else "queued")
    before = [run.recorded_status() for run in (one, waiting)]
    cluster.kill("slurmctld")
    monkeypatch.setattr(client, "ANSWER_SECONDS", 1.0)
    monkeypatch.setattr(jobs, "SUBMIT_SECONDS", 1.0)
    began = time.monotonic()
    for _ in range(2):
        lab.look()
    assert time.monotonic() - began < 20, "nobody waits for a dead controller"
    assert "state unknown: Slurm does not answer" in lab.words(waiting) and lab.words(one) == ""
    assert [run.status().state for run in (one, waiting)] == ["running", "queued"]
    with pytest.raises(RuntimeError, match="does not answer"):
        launch.stop(waiting)
    with pytest.raises(RuntimeError, match="does not answer"):
        lab.launch("more", name="f")
    assert not lab.store.experiment("f").exists() and waiting.recorded_status() == before[1]
    cancelled, problem = launch.discard(lab.store, waiting)
    assert (
        not cancelled and problem.startswith("Slurm does not answer") and f"{before[1].job_id}; scancel takes them out" in problem
    )
    trash.restore(lab.store, trash.contents(lab.store)[0])
    assert waiting.recorded_status() == before[1], "its job waits still"
    (one.path / "go").touch()
    until(lambda: one.status().state == "finished")  # it needs no controller to say so
    monkeypatch.undo()
    cluster.up()
    lab.look()
    assert "unknown" not in lab.words(waiting)
    shell("scancel", "--me", "--partition=gpu")
    until(lambda: not client.queue(lab.store))
