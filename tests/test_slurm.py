"""Slurm as the engine, on a real Slurm (tests/slurm/up.sh) of one node, or two, whose GPUs are null devices.

Most runs here are the real worker with a stand-in for the training, which counts, keeps its count as a checkpoint and
ends when it is told to; one test trains a network to the end.
"""

import math
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from safetensors.numpy import load_file
from streamlit.testing.v1 import AppTest

from sslcore import launch, trash
from sslcore.__main__ import main
from sslcore.config import resolve
from sslcore.experiment import Run, Spec, Status, Store
from sslcore.files import read_json
from sslcore.launch.slots import folder
from sslcore.launch.slurm import client, heard, jobs, record, script, settings
from sslcore.locks import process_is
from tests.waiting import until

ROOT = Path(__file__).parents[1]
UP = ROOT / "tests" / "slurm" / "up.sh"
TRAINER = """
import os, sys, time, types
from pathlib import Path
from sslcore import worker
from sslcore.experiment import Run

class Stopped(Exception): pass
class Failed(Exception): pass

def work(run, pulse, evaluate_only):
    (run.path / "gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", ""))
    count = int(run.checkpoint_file.read_text()) if run.checkpoint_file.exists() else 0
    pulse.say(f"from {count}")
    while not (run.path / "go").exists():
        if (run.path / "break").exists():
            os._exit(3)
        count += 1
        if pulse.stop_requested and not (run.path / "stubborn").exists():
            run.checkpoint_file.write_text(str(count))
            raise Stopped
        time.sleep(0.05)

sys.modules["sslcore.stages"] = types.SimpleNamespace(work=work, Stopped=Stopped, Failed=Failed)
sys.exit(worker.main(Run(Path(sys.argv[1])), evaluate_only="evaluate" in sys.argv))
"""


def shell(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout


def is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


# -- The cluster -------------------------------------------------------------------------


class Cluster:
    """The Slurm that the tests use."""

    def __init__(self, accounting: bool = False, nodes: int = 1):
        self.prefix = Path(tempfile.mkdtemp(prefix="triptych-slurm-", dir="/tmp"))  # munge wants it open and its path short
        self.prefix.chmod(0o755)
        port = next(port for port in random.sample(range(10000, 30000), 1000) if all(map(is_free, range(port, port + 5))))
        self.env = os.environ | {
            "PREFIX": str(self.prefix),
            "PORT": str(port),
            "NODES": str(nodes),
            "GPUS": "2",
            "ACCT": str(int(accounting)),
        }
        self.node = socket.gethostname().partition(".")[0]

    def up(self) -> None:
        done = subprocess.run([UP], env=self.env, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr

    def down(self) -> None:
        subprocess.run([UP, "down"], env=self.env, timeout=120, check=True)
        shutil.rmtree(self.prefix)

    def kill(self, daemon: str) -> None:
        psutil.Process(int((self.prefix / "run" / f"{daemon}.pid").read_text())).kill()

    def forget(self) -> None:
        """Wait until the controller has given up telling a dead node to end its jobs, 10 s (MessageTimeout) after it went down.

        A node that comes back before that is told so after all, and ends the jobs that it has been given meanwhile: they keep
        their numbers. Slurm itself starts no job again within two minutes, for that reason.
        """
        until(lambda: shell("sinfo", "--noheader", "--Node", "--partition=gpu", "--format=%T").strip() == "down*")
        until(lambda: re.search(r"Agent queue size: +0\s+Agent count: +0\s", shell("sdiag")))

    def start_again(self, run: Run) -> None:
        """See a requeued run begin anew, without the two minutes that Slurm lets its job wait (unless they are over)."""
        job, nudged = run.recorded_status().job_id, -math.inf

        def begun() -> bool:
            nonlocal nudged
            asked = subprocess.run(
                ["squeue", "--noheader", f"--jobs={job}", "--format=%T"], capture_output=True, text=True, timeout=60
            )
            if asked.stdout.strip() == "PENDING" and time.monotonic() - nudged > 15:
                nudged = time.monotonic()
                # A node refuses a job within the second in which it was told to end it.
                for words in (["release", job], ["update", f"jobid={job}", "StartTime=now+2"]):
                    subprocess.run(["scontrol", *words], capture_output=True, timeout=60)
            status = run.recorded_status()
            return status.attempt > 1 and status.state != "queued"

        until(begun)


@pytest.fixture(scope="module")
def cluster():
    ci = os.environ.get("CI")
    if os.geteuid() != 0 and not ci:
        pytest.skip("a Slurm of the tests' own needs root")
    if shutil.which("slurmctld") is None and not ci:
        pytest.skip("Slurm is not installed (Debian: slurmctld slurmd slurm-client munge)")
    cluster = Cluster()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(cluster.prefix / "etc" / "slurm.conf"))
        cluster.up()
        yield cluster
        cluster.down()


@pytest.fixture
def accounted(cluster, monkeypatch):
    """Another Slurm, with a database in which it keeps how jobs ended."""
    if shutil.which("slurmdbd") is None or shutil.which("mariadbd") is None:
        pytest.skip("Slurm's accounting is not installed (Debian: slurmdbd slurm-wlm-mysql-plugin mariadb-server)")
    other = Cluster(accounting=True)
    monkeypatch.setenv("SLURM_CONF", str(other.prefix / "etc" / "slurm.conf"))
    other.up()
    yield other
    other.down()


@pytest.fixture
def two_nodes(cluster, monkeypatch):
    """Another Slurm, whose two nodes are both this machine."""
    other = Cluster(nodes=2)
    monkeypatch.setenv("SLURM_CONF", str(other.prefix / "etc" / "slurm.conf"))
    other.up()
    yield other
    other.down()


class Lab:
    """A store whose runs Slurm trains, and what the agent would see of them."""

    def __init__(self, root: Path):
        self.store = Store(root)
        self.lasting: dict[Path, record.Lasting] = {}
        settings.keep(self.store, {"cpus": 1})

    def launch(self, *names: str, name: str = "e", **settings) -> list[Run]:
        config = resolve({"dataset": "digits", **settings})
        experiment = launch.launch(self.store, name, Spec(), dict.fromkeys(names, config), "slurm")
        return [experiment.run(name) for name in names]

    def look(self, grace: float = 60.0) -> None:
        runs = [(run, status) for run in self.store.runs() if (status := run.recorded_status()).engine == "slurm"]
        record.look(self.store, runs, self.lasting, grace)

    def sees(self, run: Run, state: str) -> Status:
        """Wait until the run's state is this, for whoever reads it while an agent is at work."""
        until(lambda: self.look() or run.status().state == state)
        return run.status()

    def words(self, run: Run) -> str:
        return heard.in_words(run, run.status())


@pytest.fixture
def lab(cluster, tmp_path, monkeypatch):
    """The agent's part is played by the test, so that it happens when it should."""
    trainer = tmp_path / "trainer.py"
    trainer.write_text(TRAINER)
    monkeypatch.setattr(script, "TRAIN", (sys.executable, str(trainer)))
    monkeypatch.setattr(record, "GONE_SECONDS", 0.5)
    monkeypatch.setattr("sslcore.launch.start", lambda store: None)
    yield (lab := Lab(tmp_path / 'a "store" of ünits, 100%'))
    shell("scancel", "--me", "--partition=gpu")
    until(lambda: not client.queue(lab.store))


@pytest.fixture(scope="module")
def short(cluster, tmp_path_factory):
    """A run whose time is up after a minute, begun before the other tests: Slurm looks at its clock twice a minute only."""
    home = tmp_path_factory.mktemp("short")
    (home / "trainer.py").write_text(TRAINER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "TRAIN", (sys.executable, str(home / "trainer.py")))
        patch.setattr("sslcore.launch.start", lambda store: None)
        lab = Lab(home / "store")
        settings.keep(lab.store, {"time": "1", "notice": 45, "gpus": 0, "partition": "high"})
        (run,) = lab.launch("a", name="short")
    return lab, run


# -- One after the other -------------------------------------------------------------------


def test_a_grid_is_one_array_whose_runs_wait_for_free_slots(short, lab, monkeypatch):
    runs = one, two, three = lab.launch("one", "two", "three")
    number = one.recorded_status().job_id.partition("_")[0]
    assert [run.recorded_status().job_id for run in runs] == [f"{number}_{k}" for k in range(3)]
    assert len(list((one.experiment.path / ".slurm").glob("*.sh"))) == 1
    for run in (one, two):
        assert lab.sees(run, "running").host == socket.gethostname()
        until(lambda run=run: run.checkpoint_file.parent.joinpath("gpu").exists())
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
    assert any("must be a valid integer" in error.value for error in page.error) and settings.read(lab.store).cpus == 1
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
    lab, run = short
    until(lambda: "made room" in run.log_tail(), 120)
    assert run.recorded_status().requeues >= 1 and int(run.checkpoint_file.read_text()) > 0
    (run.path / "go").touch()
    cluster.start_again(run)
    lab.sees(run, "finished")
    assert int(re.findall(r"from (\d+)", run.log_tail())[-1]) > 0


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


# -- Measured again, by hand ------------------------------------------------------------------


def test_a_run_that_is_measured_again_stays_slurms(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "trainer.py").write_text(TRAINER)
    (run,) = Store(tmp_path / "store").create("e", Spec(), {"a": resolve({})}, "slurm").runs()
    run.update_status(state="finished", job_id="7_0", script="x.sh", partition="gpu", requeues=2, host="node7")
    measuring = subprocess.Popen([sys.executable, tmp_path / "trainer.py", run.path, "evaluate"])
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
    measuring = subprocess.Popen([sys.executable, tmp_path / "trainer.py", run.path, "evaluate"])
    until(lambda: run.status().state == "running")
    measuring.kill()
    measuring.wait()
    assert run.status().state == "interrupted" and launch.trained_by(run.status()) == "slurm"


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


def test_without_slurm_it_is_not_offered_and_nothing_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(tmp_path / "store"))
    assert main(["launch", "quick", "--engine", "slurm"]) == 2
    assert "it has no sbatch" in capsys.readouterr().err and not (tmp_path / "store").exists()
    page = AppTest.from_file(str(ROOT / "dashboard" / "views" / "new.py"), default_timeout=300).run()
    assert not page.exception and not [box for box in page.selectbox if box.label == "Where to train"]
    assert any("it has no sbatch" in caption.value for caption in page.caption)
