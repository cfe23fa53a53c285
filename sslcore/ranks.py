"""One run on several devices: torchrun starts a process for each, and the one that holds the run tells how they fare.

    python -m sslcore train RUN_FOLDER    holds the run, writes status.json and log.txt, passes on a request to stop
        torchrun                          starts the ranks, and ends all when one dies
            rank 0                        trains, writes every other file; what is to be told it tells the holder
            rank 1 ...                    train

In a Slurm job of several nodes `srun` starts a torchrun on each. They meet on the first node.
"""

import json
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from sslcore.cores import cores
from sslcore.endings import Failed, Stoppable, Stopped, leave
from sslcore.experiment import Run
from sslcore.files import DiskFull
from sslcore.pulse import AnyPulse

WORDS = "TRIPTYCH_WORDS"  # environment variable: a pipe, in which ranks tell the holder
STOP = signal.SIGUSR1  # from the holder to rank 0; SIGTERM, torchrun's, ends a rank at once
LOOK_SECONDS = 0.5
MAX_BYTES = 3000  # of words, so that a message passes the pipe in one piece


# -- The process that holds the run --------------------------------------------


def train(run: Run, pulse: AnyPulse) -> tuple[str, str | None]:
    """Start the ranks and wait for them. Returns (the state in which the run ended, the reason where there is one)."""
    heard: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.mkfifo(pipe := Path(folder) / "words")
        listening = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        torchrun = subprocess.Popen(
            command(run, os.environ),
            stdin=subprocess.DEVNULL,
            process_group=0,  # a terminal's Ctrl-C is for the holder
            env={**os.environ, WORDS: str(pipe)},
        )
        try:
            rest = b""
            while True:
                code = torchrun.poll()
                rest = hear(rest + read(listening), pulse, heard)
                if code is not None:
                    break
                if pulse.stop_requested and "pid" in heard and "asked" not in heard:
                    heard["asked"] = True  # once: a rank that is ending hears no more, and would be ended by it
                    with suppress(ProcessLookupError):
                        os.kill(heard["pid"], STOP)
                select.select([listening], [], [], LOOK_SECONDS)
        finally:
            torchrun.terminate()
            torchrun.wait()
            os.close(listening)
    if code < 0:
        time.sleep(2 * LOOK_SECONDS)  # its ranks see that torchrun is gone, and end
    if "ended" in heard:
        return heard["ended"], None
    if "why" in heard:
        return "failed", heard["why"]
    if "pid" not in heard:
        return (
            "failed",
            f"torchrun ended with exit code {code} before the run's {run.config.devices} processes had begun; the log says why.",
        )
    return (
        "interrupted",
        f"One of the run's {run.config.devices} processes was ended from outside (the machine may have run out of memory); the "
        "log says which.",
    )


def read(pipe: int) -> bytes:
    with suppress(BlockingIOError):
        return os.read(pipe, 1 << 20)
    return b""


def hear(words: bytes, pulse: AnyPulse, heard: dict[str, Any]) -> bytes:
    """Pass on the whole lines that ranks wrote, and keep what is for the end. Returns the line that is not yet whole."""
    *lines, rest = words.split(b"\n")
    for line in lines:
        try:
            what, *about = json.loads(line)
        except ValueError:  # two ranks at once
            continue
        if what in ("pid", "ended", "why"):
            heard.setdefault(what, *about)  # the first to fail knows the reason
        else:
            getattr(pulse, what)(*about)
    return rest


# -- Which nodes ----------------------------------------------------------------


def command(run: Run, environment: Mapping[str, str]) -> list[str]:
    """What starts torchrun here, or on each node of a Slurm job. Raises ValueError where the nodes cannot share the devices."""
    devices, nodes = run.config.devices, int(environment.get("SLURM_JOB_NUM_NODES", 1))
    if devices % nodes:
        raise ValueError(
            f"devices: {devices} cannot be shared evenly by the {nodes} nodes of the Slurm job; choose a multiple of {nodes}"
        )
    torchrun = [sys.executable, "-m", "sslcore.ranks", "torchrun", str(devices // nodes), str(run.path)]
    if nodes == 1:
        return torchrun
    cpus = [f"--cpus-per-task={environment['SLURM_CPUS_PER_TASK']}"] if "SLURM_CPUS_PER_TASK" in environment else []
    return ["srun", f"--nodes={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1", *cpus, *torchrun]


def meeting(environment: Mapping[str, str]) -> list[str]:
    """torchrun's arguments that say where the nodes meet."""
    nodes = int(environment.get("SLURM_STEP_NUM_NODES", 1))
    if nodes == 1:
        return ["--standalone"]
    job = int(environment["SLURM_JOB_ID"])
    return [
        f"--nnodes={nodes}",
        f"--node-rank={environment['SLURM_NODEID']}",
        f"--master-addr={first_host(environment['SLURM_STEP_NODELIST'])}",
        f"--master-port={20000 + job % 20000}",
        f"--rdzv-id={job}",
    ]


def first_host(nodelist: str) -> str:
    """The first of Slurm's list of nodes: "gpu[03-05,9],login" -> "gpu03"."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])+", nodelist).group()
    return re.sub(r"\[([^,\-\]]+)[^\]]*\]", r"\1", first)


# -- torchrun, and the ranks ------------------------------------------------------


def torchrun(per_node: int, folder: str) -> None:
    from torch.distributed.run import main

    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // per_node)))
    with tempfile.TemporaryDirectory() as logs:  # which stay empty; one that torchrun makes by itself is there for good
        main([*meeting(os.environ), f"--nproc-per-node={per_node}", f"--log-dir={logs}", "-m", "sslcore.ranks", "rank", folder])


def rank(run: Run) -> int:
    """Train as one of several. Returns the exit code."""
    pulse = RankPulse(first=os.environ["RANK"] == "0")

    import torch

    from sslcore import distributed
    from sslcore.stages import work
    from sslcore.training import pick_device

    try:
        here = int(os.environ["LOCAL_WORLD_SIZE"])
        if run.config.device != "cpu" and torch.cuda.device_count() < here:
            raise Failed(
                f"devices: {here} GPUs are needed on this machine, and PyTorch finds {torch.cuda.device_count()}; choose fewer "
                "devices, or device=cpu"
            )
        distributed.join(pick_device(run.config).type)
        work(run, pulse)
    except Stopped:
        pulse.tell("ended", "stopped")
    except Exception as error:
        print(f"rank {os.environ['RANK']}: {''.join(traceback.format_exception(error))}", file=sys.stderr, flush=True)
        if not distributed.lost(error):
            tell("why", str(error) if isinstance(error, Failed) else in_words(error))
        return 1
    else:
        pulse.tell("ended", "finished")
    return 0


def in_words(error: Exception, again: str = "resume") -> str:
    """What status.json says of an error that nobody foresaw, or of a full disk."""
    if isinstance(error, DiskFull):
        return f"{error}. Make room and {again} it"
    return f"{type(error).__name__}: {error}"


class RankPulse(Stoppable):
    """The pulse of a rank: the first one speaks to the holder of the run, and hears from it when to stop, for all."""

    def __init__(self, first: bool):
        self.first = first
        if first:
            signal.signal(STOP, self.request_stop)
            tell("pid", os.getpid())

    def tell(self, what: str, *about: Any) -> None:
        if self.first:
            tell(what, *about)

    def training(self, share: float, seconds_left: float) -> None:
        self.tell("training", share, seconds_left)

    def stage(self, stage: str, progress: float) -> None:
        self.tell("stage", stage, progress)

    def warn(self, words: str) -> None:
        self.tell("warn", words)

    def say(self, words: str) -> None:
        self.tell("say", words)


def tell(what: str, *about: Any) -> None:
    """A word to the run's holder; from another node there is no way to it."""
    cut = [a.encode()[:MAX_BYTES].decode(errors="ignore") if isinstance(a, str) else a for a in about]
    with suppress(FileNotFoundError), open(os.environ[WORDS], "a", encoding="utf-8") as pipe:
        pipe.write(json.dumps([what, *cut], ensure_ascii=False) + "\n")


def end_with_parent() -> None:
    """See to it that nothing of a run outlives the process that started it, however that one ends."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: list[str]) -> int:
    end_with_parent()
    if arguments[0] == "torchrun":
        torchrun(int(arguments[1]), arguments[2])
        return 0
    return rank(Run(Path(arguments[1])))


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
