"""What the processes of one run, one a device, tell each other.

Each holds the whole method and an equal share of every batch: its rows, in the order of the ranks. The rows that
the networks make are gathered, and each process computes the loss of the whole batch from them: a method's formulas
are those of one process, labels and negatives included. The gradient that reaches a process's own rows is then the
exact one, and the sum of the processes' gradients is the gradient of the whole batch.

With a single process what is given to be gathered, added up or shared comes back as it is.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

PATIENCE = timedelta(days=2)  # for a process that prepares the images; one that dies is noticed at once

control: dist.ProcessGroup | None = None  # for words, between CPUs, so that they wait for no GPU


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world() -> int:
    """How many processes train this run together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def first() -> bool:
    """Whether this is the one process that writes the run's folder."""
    return rank() == 0


def join(kind: str, meeting: str | None = None) -> None:
    """Meet the other processes; on "cuda" this one's GPU becomes the current one.

    Processes of one machine meet by a file, `meeting`, and nothing listens to other machines; else where MASTER_ADDR says.
    """
    global control
    where: dict[str, Any] = {}
    if meeting:
        rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        store = dist.FileStore(meeting, world)
        store.set_timeout(timedelta(minutes=30))  # as where they meet at a port
        where = {"store": store, "rank": rank, "world_size": world}
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo0" if sys.platform == "darwin" else "lo")
    if kind == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", device_id=device, **where)
    else:
        dist.init_process_group("gloo", **where)
    control = dist.new_group(backend="gloo", timeout=PATIENCE)


def leave() -> bool:
    """Part from the other processes. True for the one that works on, alone."""
    global control
    stays = first()
    if dist.is_initialized():
        dist.destroy_process_group()
        control = None
    return stays


def lost(error: Exception) -> bool:
    """Whether the error only says that another process is gone."""
    return world() > 1 and (
        isinstance(error, dist.DistError) or "Connection closed by peer" in str(error) or "/gloo/" in str(error)
    )


# -- Words ---------------------------------------------------------------------


def agree(word: bool) -> bool:
    """What the first process says; all wait for it."""
    if world() == 1:
        return word
    said = torch.tensor(int(word))
    dist.broadcast(said, 0, group=control)
    return bool(said)


def wait() -> None:
    """For all processes to come here."""
    if world() > 1:
        dist.barrier(group=control)


def turns() -> Iterator[bool]:
    """Two rounds, one for the first process and one for the others: True in a process's own. Each ends when all are there."""
    for of_first in (True, False):
        yield first() == of_first
        wait()


def copy_first(tensors: Iterable[Tensor]) -> None:
    """Overwrite the tensors with the first process's."""
    if world() > 1:
        for tensor in tensors:
            whole = tensor.contiguous()
            dist.broadcast(whole, 0)
            tensor.copy_(whole)


# -- Rows ----------------------------------------------------------------------


def share(total: int, of_rank: int) -> slice:
    """Which of `total` rows are a process's own; shares differ by one at most."""
    size, more = divmod(total, world())
    start = of_rank * size + min(of_rank, more)
    return slice(start, start + size + (of_rank < more))


def own(rows: Tensor) -> Tensor:
    """This process's share of rows that all have: (N, ...) -> (n, ...)."""
    return rows[share(len(rows), rank())]


class Gather(torch.autograd.Function):
    """All processes' rows, in the order of the ranks: (n, ...) -> (N, ...).

    Every process must compute the same from the result: its own rows then receive their whole gradient, and no
    gradient has to travel back.
    """

    @staticmethod
    def forward(context, rows: Tensor) -> Tensor:
        rows = rows.contiguous()
        whole = rows.new_empty(world() * len(rows), *rows.shape[1:])
        dist.all_gather(list(whole.chunk(world())), rows)
        return whole

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        return own(gradient)


def gather(rows: Tensor) -> Tensor:
    """Equal shares of rows, put together, with gradient: (n, ...) -> (N, ...), in at least float32."""
    if world() == 1:
        return rows
    return Gather.apply(rows.float() if rows.dtype == torch.bfloat16 else rows)


def gather_shares(rows: Tensor, total: int) -> Tensor:
    """The shares, equal or not, that `own` makes of `total` rows, put together, without gradient."""
    if world() == 1:
        return rows
    longest = share(total, 0).stop
    padded = rows.new_zeros(longest, *rows.shape[1:])
    padded[: len(rows)] = rows
    parts = gather(padded.detach()).split(longest) if longest else [padded]
    sizes = [len(range(total)[share(total, k)]) for k in range(world())]
    return torch.cat([part[:size] for part, size in zip(parts, sizes)])


class Exchange(torch.autograd.Function):
    """Rows that move between processes. Each process has the whole gradient of the rows that it got, and sends it back."""

    @staticmethod
    def forward(context, rows: Tensor, order: Tensor) -> Tensor:
        context.save_for_backward(order)
        return gather(rows.movedim(1, -1)).movedim(-1, 1)[own(order)]  # images lie in memory with channels last

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None]:
        (order,) = context.saved_tensors
        return exchange(gradient, order.argsort()), None


def exchange(rows: Tensor, order: Tensor) -> Tensor:
    """This process's share of all processes' rows in another order (N,), with gradient: (n, C, ...) -> (n, C, ...)."""
    if world() == 1:
        return rows[order]
    return Exchange.apply(rows, order)


sharing = False


@contextmanager
def one_batch() -> Iterator[None]:
    """Within: rows are this process's equal share of a batch, and `random_rows` draws for the whole of it."""
    global sharing
    sharing = True
    try:
        yield
    finally:
        sharing = False


def random_rows(draw: Callable[..., Tensor], n: int, *shape: int, device: torch.device) -> Tensor:
    """draw(n, *shape), random numbers for n rows; within `one_batch`, those that a single process would draw for these rows."""
    if not sharing:
        return draw(n, *shape, device=device)
    return own(draw(n * world(), *shape, device=device))


# -- Sums ----------------------------------------------------------------------


class Total(torch.autograd.Function):
    """The sum over the processes; backward, the sum of their gradients."""

    @staticmethod
    def forward(context, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous().clone()
        dist.all_reduce(gradient)
        return gradient


def add_up(tensors: list[Tensor], share: float = 1.0) -> None:
    """Replace each tensor by `share` times its sum over the processes, in one exchange."""
    if world() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors]) * share
    dist.all_reduce(flat)
    for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors])):
        tensor.copy_(total.view_as(tensor))
