"""What this machine trains on, and how much of it a run takes."""

import fcntl
import math
import os
import subprocess

import pytest

from sslcore.config import resolve
from sslcore.experiment import Store
from sslcore.launch import slots
from sslcore.launch.slots import TRIES, folder, gpus, visible_gpus

GB = 2**30


@pytest.fixture
def eight(monkeypatch):
    """A machine of eight cores, 32 GB and no GPU."""
    monkeypatch.setattr(slots, "cores", lambda: 8)
    monkeypatch.setattr(slots, "memory", lambda: 32 * GB)
    monkeypatch.setattr(slots, "gpus", lambda: ())


def config(**settings):
    return resolve({"dataset": "digits", **settings})


@pytest.mark.parametrize(
    ("settings", "taken", "together"),
    [
        ({}, 8, 1),
        ({"threads": 1}, 1, 8),
        ({"threads": 3}, 3, 2),
        ({"threads": 16}, 8, 1),
        ({"threads": 1, "devices": 2, "device": "cpu"}, 2, 4),
    ],
)
def test_a_run_takes_the_cores_of_its_threads_and_all_where_it_does_not_say(eight, settings, taken, together):
    assert slots.slots_for(config(**settings)) == taken
    assert slots.at_once([config(**settings)] * 9) == together


def test_no_more_runs_than_the_memory_suffices_for(eight, monkeypatch):
    monkeypatch.setattr(slots, "memory", lambda: 5 * GB)
    assert slots.at_once([config(threads=1)] * 9) == 2
    monkeypatch.setattr(slots, "memory", lambda: 1 * GB)
    assert slots.at_once([config(threads=1)] * 9) == 1


def test_at_once_is_of_these_runs_whichever_take_most(eight):
    assert slots.at_once([config(threads=1)] * 3) == 3
    assert slots.at_once([config(threads=1), config(threads=4), config(threads=1)]) == 2
    assert slots.at_once([config(device="cuda")] * 3) == 1, "there is none"


def test_with_a_gpu_runs_take_no_core(eight, monkeypatch):
    monkeypatch.setattr(slots, "gpus", lambda: visible_gpus("0, GPU-aa, A\n1, GPU-bb, B\n2, GPU-cc, C\n", None))
    assert (slots.slots_for(config(threads=2)), slots.at_once([config()] * 9)) == (1, 3)
    assert (slots.slots_for(config(devices=2)), slots.at_once([config(devices=2)] * 9)) == (2, 1)


def test_the_lock_not_the_content_of_its_file_says_who_holds_a_core(eight, tmp_path):
    store = Store(tmp_path)
    folder(store).mkdir(parents=True)
    for name in ("cpu.lock", "cpu3.lock", "cpu4.lock"):
        (folder(store) / name).write_text("e/a")
    assert slots.in_use(store) == [("CPU, 8 cores", None)]
    with (folder(store) / "cpu3.lock").open() as third, (folder(store) / "cpu4.lock").open() as fourth:
        for lock in (third, fourth):
            fcntl.flock(lock, fcntl.LOCK_EX)
        assert sorted(slots.in_use(store), key=str) == [("CPU, 2 of 8 cores", "e/a"), ("CPU, 6 of 8 cores", None)]


@pytest.mark.parametrize(
    ("visible", "expected"),
    [(None, ["GPU-aa", "GPU-bb"]), ("1", ["1"]), ("GPU-b", ["GPU-b"]), ("", []), ("-1", []), ("1,0", ["1", "0"])],
)
def test_gpus_are_those_that_cuda_may_see(visible, expected):
    listing = "0, GPU-aa, Card A\n1, GPU-bb, Card B\nNo devices were found\n"
    assert [device.visible for device in visible_gpus(listing, visible)] == expected


def test_a_driver_that_fails_once_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(slots, "_listed", [])
    monkeypatch.setattr(slots, "_refused_at", -math.inf)
    (asked, answers), tool = (tmp_path / name for name in ("asked", "answers")), tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho >> {asked}\ntest -e {answers} && echo '0, GPU-aa, Card A'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert gpus() == () == gpus()
    assert len(asked.read_text()) == TRIES, "not asked again at once"
    answers.touch()
    monkeypatch.setattr(slots, "ASK_AGAIN_SECONDS", 0.0)
    assert [gpu.visible for gpu in gpus()] == ["GPU-aa"] == [gpu.visible for gpu in gpus()]
    assert len(asked.read_text()) == TRIES + 1, "an answer is kept"


def test_a_driver_that_hangs_is_not_asked_again_at_once(monkeypatch):
    asked = []

    def hangs(command, **_):
        asked.append(command)
        raise subprocess.TimeoutExpired(command, 30)

    monkeypatch.setattr(slots, "_listed", [])
    monkeypatch.setattr(slots, "_refused_at", -math.inf)
    monkeypatch.setattr(subprocess, "run", hangs)
    assert gpus() == () == gpus() and len(asked) == 1


def test_a_part_of_a_gpu_is_a_device():
    listing = "0, GPU-aa, Card A\n"
    assert [(d.name, d.visible) for d in visible_gpus(listing, "MIG-0a1b2c3d-9,0")] == [
        ("gpu0", "0"),
        ("mig-0a1b2c3d", "MIG-0a1b2c3d-9"),
    ]
