"""A store and agents with real processes; only the trainer is a stand-in, so that a test can say what it does."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from sslcore import launch
from sslcore.config import resolve
from sslcore.experiment import Run, Spec, Store
from sslcore.launch.slots import folder
from sslcore.locks import process_is
from tests.waiting import until

ROOT = Path(__file__).parents[2]
TRAINER = Path(__file__).with_name("trainer.py")


def names(process: psutil.Process, *words: str) -> bool:
    """Whether the process's command has these words."""
    try:
        return set(words) <= set(process.cmdline())
    except psutil.Error:
        return False


class Lab:
    """A store, agents that can be killed, and runs that do as they are told."""

    def __init__(self, tmp_path: Path):
        self.store = Store(tmp_path / "store")
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
            f"Agent(Store({str(self.store.root)!r}), [sys.executable, {str(TRAINER)!r}], {idle}, {grace}).serve()"
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
