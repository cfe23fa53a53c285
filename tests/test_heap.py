"""What the garbage collector of a dashboard passes over, and from how many stocks its threads take memory."""

import gc
import re
import subprocess
import sys
import weakref

from dashboard import heap


class Ring:
    def __init__(self):
        self.itself = self


def test_a_page_is_set_aside_once_and_later_garbage_is_still_collected():
    before = Ring()
    try:
        heap.set_aside("a page of this test")
        count = gc.get_freeze_count()
        assert count > 0 and all(before is not one for one in gc.get_objects())
        heap.set_aside("a page of this test")
        assert gc.get_freeze_count() <= count  # fewer where something that was set aside has ended since
        later = weakref.ref(Ring())
        gc.collect()
        assert later() is None
    finally:
        gc.unfreeze()
        heap.set_aside.cache_clear()


STOCKS = """
import ctypes, os, threading
from dashboard import heap

heap.limit_arenas()
everybody = threading.Barrier(8)

def work():
    kept = [bytes(10_000) for _ in range(100)]
    everybody.wait()

threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
libc = ctypes.CDLL(None)
libc.fdopen.restype = ctypes.c_void_p
out = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, out)
libc.fflush(out)
"""


def test_many_threads_take_memory_from_two_stocks():
    told = subprocess.run([sys.executable, "-c", STOCKS], capture_output=True, text=True, check=True, timeout=120).stdout
    assert 1 <= len(re.findall("<heap nr=", told)) <= 2
