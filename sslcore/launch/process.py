"""A run's process: whether it lives, how to end it, and how it ended."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

import sslcore
from sslcore.experiment import Run
from sslcore.locks import lives, process_is, process_name
from sslcore.worker import STOPPED

TRAIN = (sys.executable, "-m", "sslcore", "train")


def python_path() -> str:
    """PYTHONPATH with which `python -m sslcore` is this very code, from any folder."""
    return os.pathsep.join(filter(None, [str(Path(sslcore.__file__).parents[1]), os.environ.get("PYTHONPATH")]))


def detached(command: Sequence[str], log: IO | int, **more: Any) -> subprocess.Popen:
    """A process in a session of its own that writes to `log`, and leaves no zombie when it ends before this one."""
    said = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT, "start_new_session": True}
    process = subprocess.Popen(command, **said, **more)
    threading.Thread(target=process.wait, daemon=True).start()
    return process


@dataclass
class Watch:
    """A run on this host whose process is, or was, alive."""

    run: Run
    pid: int
    pid_started: float
    process: str | None = None  # the same by `locks.process_name`; the contract asks for no more than pid and start
    child: subprocess.Popen | None = None  # None for a run that another process started
    asked_to_stop: float | None = None  # time.monotonic() of the SIGTERM

    def alive(self) -> bool:
        """False, too, of a process from before this machine was restarted."""
        return bool(lives(self.process)) if self.process else process_is(self.pid, self.pid_started)

    def of_this_boot(self) -> bool:
        return lives(self.process) is not None if self.process else self.pid_started > psutil.boot_time()

    def reused(self) -> bool:
        """Whether the pid belongs to another process by now."""
        if self.process:
            return process_name(self.pid) not in (None, self.process)
        try:
            return abs(psutil.Process(self.pid).create_time() - self.pid_started) >= 1
        except psutil.Error:
            return False

    def works_on_it(self, process: psutil.Process) -> bool:
        """Whether a process was started for the run, which others may have written: what a status names may be anybody's."""
        if self.child:
            return True
        words, here = process.cmdline(), process.cwd()
        if self.run.id in words or {"sslcore", "evaluate"} <= set(words):  # which may measure all runs that there are
            return True
        return any(Path(here, word).resolve() == self.run.path for word in words)

    def left(self) -> Iterator[psutil.Process]:
        """The run's processes that live: its own, and the others in the session that it leads or led."""
        if not self.of_this_boot() or self.reused():
            return
        for process in psutil.process_iter():
            with suppress(OSError, ValueError, psutil.Error):
                of_it = self.alive() if process.pid == self.pid else os.getsid(process.pid) == self.pid
                if of_it and self.works_on_it(process):
                    yield process

    def kill(self) -> None:
        for process in self.left():
            with suppress(psutil.Error):
                process.kill()

    def terminate(self) -> None:
        with suppress(ValueError, psutil.Error):
            if self.alive() and self.works_on_it(process := psutil.Process(self.pid)):
                process.terminate()


def last_words(run: Run) -> str:
    """The last line of its log, as a sentence."""
    lines = [line.strip() for line in run.log_tail().splitlines() if line.strip()]
    return f" Its last words: {lines[-1][:300]}" if lines else ""


def how_it_ended(watch: Watch) -> tuple[str, str | None]:
    """(state, what is wrong) of a run whose process is gone without having written an end."""
    code = watch.child.returncode if watch.child else None
    last = last_words(watch.run)
    if code is not None and code > 0 and code != STOPPED:
        return "failed", f"The run's process ended with exit code {code} before it could say why.{last}"
    if watch.asked_to_stop is not None:
        if code == -signal.SIGTERM:
            return "stopped", None  # while it was still starting: it has nothing to keep
        if watch.run.recorded_status().stage in ("probe", "embed"):
            return "stopped", None  # the training is over, and kept
        return "interrupted", f"Stopped as asked, but before it could write a checkpoint.{last}"
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        may = {
            "SIGKILL": " (the machine may have run out of memory)",
            "SIGBUS": " (a file that it reads was cut or lost, such as its data set's)",
        }.get(name, "")
        return "interrupted", f"The run's process was ended by {name}{may}.{last}"
    if not watch.of_this_boot():
        return "interrupted", f"The machine was restarted while it ran.{last}"
    return "interrupted", f"The run's process is gone and recorded no end.{last}"
