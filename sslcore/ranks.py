"""One run on several devices: a process for each, a rank, and the one that holds the run tells how they fare.

    python -m sslcore train RUN_FOLDER    holds the run, writes status.json and log.txt, passes on a request to stop
        a node's process                  starts the ranks of its machine, and ends all when one dies
            rank 0                        trains, writes every other file; what is to be told it tells the holder
            rank 1 ...                    train

In a Slurm job of several nodes `srun` starts such a process on each, and all meet on the first node. On one machine ranks meet
in a private folder: torchrun has them meet at a port, where whoever reaches the machine may have it unpickle what they like.
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
MEETING = "TRIPTYCH_MEETING"  # environment variable: a file by which the ranks of one machine meet
PARENT = "TRIPTYCH_PARENT"  # environment variable: the process that started this one, which may end before this one can ask
STOP = signal.SIGUSR1  # from the holder to rank 0; SIGTERM ends a rank at once
LOOK_SECONDS = 0.5
END_SECONDS = 10.0  # after which a rank that SIGTERM did not end is killed
MAX_BYTES = min(3000, select.PIPE_BUF - 100)  # of words, so that a message passes the pipe in one piece


# -- The process that holds the run --------------------------------------------


def train(run: Run, pulse: AnyPulse) -> tuple[str, str | None]:
    """Start the ranks and wait for them. Returns (the state in which the run ended, the reason where there is one)."""
    heard: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.mkfifo(pipe := Path(folder) / "words")
        listening = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
        start = command(run, os.environ)
        ours = {PARENT: str(os.getpid())} if start[0] == sys.executable else {}  # else srun starts it
        nodes = subprocess.Popen(
            start,
            stdin=subprocess.DEVNULL,
            process_group=0,  # a terminal's Ctrl-C is for the holder
            env={**os.environ, WORDS: str(pipe), **ours},
        )
        try:
            rest = b""
            while True:
                code = nodes.poll()
                rest = hear(rest + read(listening), pulse, heard)
                if code is not None:
                    break
                if pulse.stop_requested and "pid" in heard and "asked" not in heard:
                    heard["asked"] = True  # once: a rank that is ending hears no more, and would be ended by it
                    with suppress(ProcessLookupError):
                        os.kill(heard["pid"], STOP)
                select.select([listening], [], [], LOOK_SECONDS)
        finally:
            nodes.terminate()
            nodes.wait()
            os.close(listening)
    if code < 0:
        time.sleep(2 * LOOK_SECONDS)  # its ranks see that it is gone, and end
    if "ended" in heard:
        return heard["ended"], None
    if "why" in heard:
        return "failed", heard["why"]
    if "pid" not in heard and code != 128 + signal.SIGKILL:
        return (
            "failed",
            f"The run's {run.config.devices} processes ended with exit code {code} before they had begun; the log says why.",
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
    """What starts the ranks here, or on each node of a Slurm job. Raises ValueError where the nodes cannot share the devices."""
    devices, nodes = run.config.devices, int(environment.get("SLURM_JOB_NUM_NODES", 1))
    if devices % nodes:
        raise ValueError(
            f"devices: {devices} cannot be shared evenly by the {nodes} nodes of the Slurm job; choose a multiple of {nodes}"
        )
    start = [sys.executable, "-m", "sslcore.ranks", "node", str(devices // nodes), str(run.path)]
    if nodes == 1:
        return start
    cpus = [f"--cpus-per-task={environment['SLURM_CPUS_PER_TASK']}"] if "SLURM_CPUS_PER_TASK" in environment else []
    return ["srun", f"--nodes={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1", *cpus, *start]


def places(per_node: int, environment: Mapping[str, str]) -> list[dict[str, str]]:
    """What the variables of each rank of this node say: which it is, and where it meets the others."""
    nodes = int(environment.get("SLURM_STEP_NUM_NODES", 1))
    if nodes == 1:
        here, where = 0, {MEETING: str(Path(environment[WORDS]).with_name("meeting"))}
    else:
        here, port = int(environment["SLURM_NODEID"]), 20000 + int(environment["SLURM_JOB_ID"]) % 20000
        where = {"MASTER_ADDR": first_host(environment["SLURM_STEP_NODELIST"]), "MASTER_PORT": str(port)}
    where |= {"WORLD_SIZE": str(nodes * per_node), "LOCAL_WORLD_SIZE": str(per_node), PARENT: str(os.getpid())}
    return [where | {"RANK": str(here * per_node + k), "LOCAL_RANK": str(k)} for k in range(per_node)]


def first_host(nodelist: str) -> str:
    """The first of Slurm's list of nodes: "gpu[03-05,9],login" -> "gpu03"."""
    first = re.match(r"(?:[^,\[]|\[[^\]]*\])+", nodelist).group()
    return re.sub(r"\[([^,\-\]]+)[^\]]*\]", r"\1", first)


# -- A node's process, and the ranks --------------------------------------------


def node(per_node: int, folder: str) -> int:
    """Start this node's ranks and wait for them; when one fails the others are ended. Returns its code, as a shell has it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // per_node)))
    ranks: list[subprocess.Popen] = []
    try:
        command = [sys.executable, "-m", "sslcore.ranks", "rank", folder]
        ranks.extend(subprocess.Popen(command, env=os.environ | place) for place in places(per_node, os.environ))
        while not any(codes := [rank.poll() for rank in ranks]) and None in codes:
            time.sleep(LOOK_SECONDS / 5)
        code = next(filter(None, codes), 0)
        return code if code >= 0 else 128 - code
    finally:
        for rank in ranks:
            rank.terminate()
        for rank in ranks:
            try:
                rank.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                rank.kill()


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
        distributed.join(pick_device(run.config).type, os.environ.get(MEETING))
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
    parent = int(os.environ.get(PARENT) or os.getppid())

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(LOOK_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


def main(arguments: list[str]) -> int:
    end_with_parent()
    if arguments[0] == "node":
        return node(int(arguments[1]), arguments[2])
    return rank(Run(Path(arguments[1])))


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
