"""A server's memory: less for the garbage collector to look through, and less that lies free."""

import ctypes
import functools
import gc
from contextlib import suppress

ARENA_MAX = -8  # glibc's malloc.h


def limit_arenas() -> None:
    """Limit glibc to two arenas of memory.

    Each run of a page is a thread, glibc keeps up to eight arenas a core, and no other arena uses what is free in one.
    """
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(ARENA_MAX, 2)


@functools.cache
def set_aside(page: str) -> None:
    """Let the collector pass over what exists now. Once a page, after it was first shown.

    Streamlit collects after each run of a page or of a part of it, and most of what it looks through are imported
    modules: a tenth of a second, five times a second for each reader of a Watch page. What belongs to a reader at this
    moment is passed over with them, and if it is in a cycle it stays for good; so this happens once a page, not more often.
    """
    gc.collect()
    gc.freeze()
