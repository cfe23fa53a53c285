"""What a process does with its memory."""

import os
import subprocess
import sys

PROGRAM = """
import resource
import torch
from sslcore import memory

def new_pages() -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(2**24)  # 64 MB, 16,384 pages
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

fresh = new_pages()
memory.keep_freed()
new_pages()  # 2 to 8 of the 20 times, until the heap is as large
print(fresh, new_pages())
"""


def test_a_training_asks_for_no_page_twice():
    said = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=120).stdout
    fresh, kept = map(int, said.split())
    assert kept < fresh / 100


def test_a_peak_is_forgotten_where_the_system_can():
    """What was held before a training, as to decode its data set, is none of its memory."""
    code = (
        "import torch, numpy as np; from sslcore import memory\n"
        "cpu = torch.device('cpu'); np.ones(40_000_000); before = memory.peak(cpu)\n"
        "memory.forget_peak(cpu); print(before - memory.peak(cpu))"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120).stdout
    assert int(told) > 200e6 or not os.access("/proc/self/clear_refs", os.W_OK)
