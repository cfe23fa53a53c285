"""Cores and memory: what the system allows, and what control groups leave of it, as a container's do."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sslcore import cores

COUNTS = """
import os, sys
from pathlib import Path
from sslcore import cores
cores.control_groups = lambda controller: [Path(sys.argv[1])]
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
    monkeypatch.setattr(cores, "control_groups", lambda controller: [tmp_path])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(allowed)), raising=False)  # macOS has none
    monkeypatch.setattr(os, "environ", {})
    if said is not None:
        (tmp_path / "cpu.max").write_text(said, encoding="utf-8")
    assert cores.cores() == usable
    cores.limit_threads()
    assert [os.environ.get(name) for name in cores.THREADS] == [str(usable) if usable < allowed else None] * 2


def test_memory_is_what_the_container_may_take(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "control_groups", lambda controller: [tmp_path])
    every = psutil.virtual_memory().total
    assert cores.memory() == every
    for said, bytes_ in (("max\n", every), ("1000000\n", 1_000_000), (f"{2 * every}\n", every)):
        (tmp_path / "memory.max").write_text(said, encoding="utf-8")
        assert cores.memory() == bytes_


def in_groups(root: Path, monkeypatch, own: str, **files: str) -> None:
    """This process is in these control groups, whose files say so."""
    monkeypatch.setattr(cores, "GROUPS", root)
    monkeypatch.setattr(cores, "OWN", root / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    (root / "own").write_text(own)
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)


def test_a_limit_of_any_group_around_this_process_counts(tmp_path, monkeypatch):
    """As of a service, or of a job: version 2 of control groups, without a namespace of its own."""
    files = {
        "user.slice/cpu.max": "300000 100000\n",
        "user.slice/job/cpu.max": "max 100000\n",
        "user.slice/job/memory.max": "max\n",
        "user.slice/memory.max": "5000000\n",
        "beside/cpu.max": "100000 100000\n",
    }
    in_groups(tmp_path, monkeypatch, "0::/user.slice/job\n", **files)
    assert (cores.cores(), cores.memory()) == (3, 5_000_000)


def test_a_limit_of_version_1_of_control_groups_counts(tmp_path, monkeypatch):
    files = {
        "cpu/x/cpu.cfs_quota_us": "150000\n",
        "cpu/x/cpu.cfs_period_us": "100000\n",
        "cpu/cpu.cfs_quota_us": "-1\n",
        "cpu/cpu.cfs_period_us": "100000\n",
        "memory/memory.limit_in_bytes": "7000000\n",
        "memory/memory.usage_in_bytes": "3000000\n",
        "memory/memory.stat": "active_file 1000000\ninactive_file 0\n",
    }
    in_groups(tmp_path, monkeypatch, "4:memory:/elsewhere\n3:cpu,cpuacct:/x\n0::/\n", **files)
    assert (cores.cores(), cores.memory(), cores.free_memory()) == (2, 7_000_000, 5_000_000)


def test_without_control_groups_all_is_the_machines(tmp_path, monkeypatch):
    in_groups(tmp_path, monkeypatch, "nonsense")
    assert (cores.cores(), cores.memory()) == (8, psutil.virtual_memory().total)


def test_torch_and_numba_keep_to_it_unless_one_has_chosen(tmp_path):
    (tmp_path / "cpu.max").write_text("100000 100000\n", encoding="utf-8")
    own = {name: value for name, value in os.environ.items() if name not in cores.THREADS}

    def threads(*of_the_run: str, **chosen: str) -> list[str]:
        command = [sys.executable, "-c", COUNTS, str(tmp_path), *of_the_run]
        return subprocess.run(command, env=own | chosen, capture_output=True, text=True, check=True).stdout.split()

    assert threads(OMP_NUM_THREADS="2") == ["2", "1"]
    assert threads("1", OMP_NUM_THREADS="2", NUMBA_NUM_THREADS="2") == ["1", "1"], "the run's own setting is the nearest"
