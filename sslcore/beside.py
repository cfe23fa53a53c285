"""Passes without gradient (of keys and targets) run beside those with one: on a GPU, in a stream of their own."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from sslcore import distributed

_begun: set[torch.device] = set()  # devices with something under way in that stream, which nothing has waited for yet


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)


def _apart(x: Tensor) -> bool:
    return x.is_cuda and distributed.world() == 1  # several processes must exchange rows in the same order


@contextmanager
def beside(x: Tensor) -> Iterator[None]:
    """Within: no gradient and, on a GPU, a stream of its own, which first waits for all that was launched before.

    Call `join` before anything made within is used, and until then keep the tensors that it reads. Memory allocated within
    is used again only within a later `beside`, which waits for whatever still reads it.
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
    """Let what follows on x's device wait for what was begun `beside`.

    Only where something was: a CUDA graph that is being recorded cannot wait for a stream outside it.
    """
    if x.device in _begun:
        _begun.remove(x.device)
        torch.cuda.current_stream(x.device).wait_stream(_stream(x.device))
