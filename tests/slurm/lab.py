"""A Slurm for the tests, and a store whose runs it trains."""

import math
import os
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil

from sslcore import launch
from sslcore.config import resolve
from sslcore.experiment import Run, Spec, Store
from sslcore.launch.slurm import heard, record, settings
from sslcore.status import Status
from tests.waiting import until

HERE = Path(__file__).parent
UP, TRAINER = HERE / "up.sh", HERE / "trainer.py"


def shell(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout


def is_free(port: int) -> bool:
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("127.0.0.1", port))
        return True
    return False


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

    def signals(self, run: Run, name: str) -> None:
        """Send the shell of a run's job a signal, as Slurm does: USR1 when the job has to make room."""
        until(lambda: "from " in run.log_tail())  # the trainer hears
        shell("scancel", "--batch", f"--signal={name}", run.recorded_status().job_id)

    def words(self, run: Run) -> str:
        return heard.in_words(run, run.status())
