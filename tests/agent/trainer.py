"""A stand-in for the trainer, which does what its run's file `does` says, and keeps a diary beside the runs."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil

from sslcore.experiment import Run

run = Run(Path(sys.argv[1]))
does = (run.path / "does").read_text()
diary = run.path.parent / "diary"


def note(word):
    with diary.open("a") as file:
        file.write(f"{word} {run.name}\n")


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
