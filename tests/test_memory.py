"""What a process does with its memory."""

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
