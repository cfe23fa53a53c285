"""Cores: those that the system allows, and those that a container's quota is worth."""

import os
import subprocess
import sys

import psutil
import pytest

from sslcore import cores

COUNTS = """
import os, sys
from pathlib import Path
from sslcore import cores
cores.QUOTA = Path(sys.argv[1])
os.sched_getaffinity = lambda _: {0, 1, 2, 3}
cores.limit_threads(*map(int, sys.argv[2:]))
import numba, torch
print(torch.get_num_threads(), numba.get_num_threads())
"""


@pytest.mark.parametrize(
    ("said", "allowed", "usable"),
    [
        ("max 100000\n", 8, 8),
        ("250000 100000\n", 8, 3),  # two and a half are worth three threads
        ("50000 100000\n", 8, 1),
        ("1600000 100000\n", 8, 8),
        ("nonsense\n", 8, 8),
        (None, 8, 8),
    ],
)
def test_a_quota_is_worth_so_many_cores(tmp_path, monkeypatch, said, allowed, usable):
    monkeypatch.setattr(cores, "QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)))
    monkeypatch.setattr(os, "environ", {})
    if said is not None:
        cores.QUOTA.write_text(said, encoding="utf-8")
    assert cores.cores() == usable
    cores.limit_threads()
    assert [os.environ.get(name) for name in cores.THREADS] == [str(usable) if usable < allowed else None] * 2


def test_memory_is_what_the_container_may_take(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "LIMIT", tmp_path / "memory.max")
    every = psutil.virtual_memory().total
    assert cores.memory() == every
    for said, bytes_ in (("max\n", every), ("1000000\n", 1_000_000), (f"{2 * every}\n", every)):
        cores.LIMIT.write_text(said, encoding="utf-8")
        assert cores.memory() == bytes_


def test_torch_and_numba_keep_to_it_unless_one_has_chosen(tmp_path):
    (quota := tmp_path / "cpu.max").write_text("100000 100000\n", encoding="utf-8")
    own = {name: value for name, value in os.environ.items() if name not in cores.THREADS}

    def threads(*of_the_run: str, **chosen: str) -> list[str]:
        command = [sys.executable, "-c", COUNTS, str(quota), *of_the_run]
        return subprocess.run(command, env=own | chosen, capture_output=True, text=True, check=True).stdout.split()

    assert threads(OMP_NUM_THREADS="2") == ["2", "1"]
    assert threads("1", OMP_NUM_THREADS="2", NUMBA_NUM_THREADS="2") == ["1", "1"], "the run's own setting is the nearest"
