"""Waiting for cores: Linux's own count, of a process that must share its core and of one that need not."""

import subprocess
import sys

import pytest

from sslcore.waiting import Waiting

SHARES = """
import os, subprocess, sys, time
from sslcore.waiting import Waiting
busy = "import time\\nwhile time.process_time() < 60: pass"
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # what it starts is on the same core
others = [subprocess.Popen([sys.executable, "-c", busy]) for _ in range(3)]
waiting = Waiting()
waiting.start()
began = time.monotonic()
while time.thread_time() < 0.5:
    pass
waiting.lap()
took = time.monotonic() - began
for other in others:
    other.kill()
print(waiting.seconds, waiting.mean(took))
"""


def test_a_process_whose_core_others_keep_busy_waits():
    said = subprocess.run([sys.executable, "-c", SHARES], capture_output=True, text=True, check=True, timeout=120).stdout
    seconds, threads = map(float, said.split())
    if seconds == 0:
        pytest.skip("this system does not count it")
    assert seconds > 0.1 and 0.1 < threads <= 1.01, "one thread, which could have computed all the time"


def threads_of(folder, **schedstat):
    for thread, said in schedstat.items():
        (folder / thread).mkdir(exist_ok=True)
        (folder / thread / "schedstat").write_text(said, encoding="utf-8")
    return folder


def test_only_what_lies_between_start_and_lap_counts_of_whatever_thread_lives(tmp_path):
    waiting = Waiting(threads_of(tmp_path, t1="5 1000000000 3\n", t2="5 7000000000 3\n"))
    threads_of(tmp_path, t1="6 2000000000 4\n")
    waiting.start()
    (tmp_path / "t2" / "schedstat").unlink()  # it ended
    threads_of(tmp_path, t1="7 2500000000 5\n", t3="1 250000000 1\n")
    waiting.lap()
    assert waiting.seconds == pytest.approx(0.5 + 0.25)
    threads_of(tmp_path, t1="7 9000000000 5\n")
    waiting.start()
    waiting.lap()
    assert waiting.seconds == pytest.approx(0.75) and waiting.mean(1.5) == pytest.approx(0.5)
    assert waiting.mean(0.0) is None, "nothing was trained"


@pytest.mark.parametrize("said", [None, "0 0 0\n", "not counted\n"])
def test_where_it_is_not_counted_nothing_is_claimed(tmp_path, said):
    waiting = Waiting(threads_of(tmp_path, **({} if said is None else {"t1": said})))
    waiting.start()
    waiting.lap()
    assert waiting.seconds is None and waiting.mean(10.0) is None


def test_a_lap_after_a_lap_counts_from_there(tmp_path):
    waiting = Waiting(threads_of(tmp_path, t1="5 0 1\n"))
    for seconds in (1, 2):
        threads_of(tmp_path, t1=f"5 {seconds}000000000 1\n")
        waiting.lap()
    assert waiting.seconds == pytest.approx(2.0)
