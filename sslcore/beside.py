"""Passes that take no gradient, on a GPU beside those that take one."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from sslcore import distributed

_begun: set[torch.device] = set()  # where something is under way that nothing has waited for


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def _apart(x: Tensor) -> bool:
    return x.is_cuda and distributed.world() == 1  # several processes exchange rows in one order


@contextmanager
def beside(x: Tensor) -> Iterator[None]:
    """Within: no gradient and, on a GPU, a stream of its own, in which x and all that was begun before are done.

    `join` it before anything made here is used, and until then keep what is used here and was made before. Memory that
    was taken here is taken again only within a later `beside`, which waits for whatever still reads it.
    """
    with torch.no_grad():
        if not _apart(x):
            yield
            return
        _begun.add(x.device)
        stream = _stream(x.device)
        stream.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(stream):
            yield


def join(x: Tensor) -> None:
    """What follows on x's device waits for what was begun `beside`, if anything: a step on record knows no other stream."""
    if x.device in _begun:
        _begun.remove(x.device)
        torch.cuda.current_stream(x.device).wait_stream(_stream(x.device))
