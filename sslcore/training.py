"""A training: a method, its optimizer, and the step that they take together, the same for every method.

Every random draw of step t comes from generators seeded with (seed, t), and the
order of an epoch from (seed, epoch): a resumed run draws what an uninterrupted
one would have drawn, and on a CPU ends with the same bits.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sslcore import checkpoint, distributed, memory
from sslcore.augment import Views
from sslcore.config import RunConfig
from sslcore.datasets import Data, Images
from sslcore.encoders import SplitBatchNorm2d, synchronise
from sslcore.endings import Failed
from sslcore.energy import Meter
from sslcore.experiment import Run
from sslcore.methods import load
from sslcore.methods.base import Batch, Method
from sslcore.optim import build_optimizer, learning_rate, set_learning_rate
from sslcore.stream import Resident, Streamed, fits
from sslcore.waiting import Waiting

STATISTICS_PIXELS = 50_000_000  # of images, from which their mean and spread are taken


def pick_device(config: RunConfig) -> torch.device:
    """Raises Failed where a GPU is asked for, or was given by the agent, and PyTorch finds none."""
    if config.device == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    if os.environ.get("TRIPTYCH_SLOT", "cpu") != "cpu":
        raise Failed(
            "device: nvidia-smi lists a GPU here which PyTorch cannot use, most often because its driver is older than PyTorch's "
            "CUDA; update the driver, install PyTorch for an older CUDA, or set device=cpu"
        )
    if config.device == "cuda":
        raise Failed("device: cuda was asked for, but PyTorch finds no GPU here; set device=auto or device=cpu")
    return torch.device("cpu")


def pick_precision(config: RunConfig, device: torch.device) -> torch.dtype:
    """The networks' arithmetic: what `precision` says, or for auto the faster one that is known to train as well.

    On CPUs bfloat16 pays where they multiply it in one instruction (AVX-512 BF16, and AMX, which comes with it).
    """
    if config.precision != "auto":
        return getattr(torch, config.precision)
    if device.type == "cuda":
        faster = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        faster = torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.bfloat16 if faster else torch.float32


def named(precision: torch.dtype) -> str:
    """As config and environment.json have it: float32, bfloat16."""
    return str(precision).removeprefix("torch.")


def seed_everything(*words: int) -> None:
    """Seed torch's generators, on every device, from a few numbers."""
    torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> 1))


def initial(config: RunConfig, images: int, classes: int) -> Method:
    """The method with the weights that it starts from."""
    seed_everything(config.seed, 0)
    return load(config.method)(config, images, classes)


@lru_cache(maxsize=4)  # this epoch's and the next one's, on the device and on the CPU, where images are read ahead
def order_of(seed: int, epoch: int, size: int, device: torch.device) -> Tensor:
    """The order (size,) in which an epoch takes the images."""
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, 1, epoch]).generate_state(1)[0]))
    return torch.randperm(size, generator=generator).to(device)


def channel_statistics(images: Images) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel of uint8 (N, S, S, 3), scaled to [0, 1].

    Of 10,000 images or more, where there are so many; of large ones fewer.
    """
    enough = max(1, min(10_000, STATISTICS_PIXELS // (images.shape[1] * images.shape[2])))
    some = images[:: max(1, len(images) // enough)]
    counts = np.zeros((3, 256))  # of each value
    for start in range(0, len(some), 256):
        part = np.asarray(some[start : start + 256])
        counts += [np.bincount(part[..., channel].ravel(), minlength=256) for channel in range(3)]
    value, share = np.arange(256) / 255, counts / counts.sum(1, keepdims=True)
    mean = share @ value
    std = np.sqrt((share * (value - mean[:, None]) ** 2).sum(1))
    return mean.tolist(), np.maximum(std, 1e-3).tolist()


class Training:
    """A method, its optimizer and how far they have come: what a checkpoint holds."""

    def __init__(self, config: RunConfig, data: Data, device: torch.device):
        self.config, self.device = config, device
        # All steps have the same shapes, so it is worth looking for the fastest way to compute each convolution.
        torch.backends.cudnn.benchmark = True
        if config.threads:
            torch.set_num_threads(config.threads)
        self.precision = pick_precision(config, device)
        self.size = len(data.x_train)
        resident = fits(data.x_train.nbytes, device)
        self.images = Resident(data.x_train, device) if resident else Streamed(data.x_train, device, self.own_rows)
        self.labels = None if data.y_train is None else torch.from_numpy(np.array(data.y_train)).to(device)
        self.views = Views(config.augment, *channel_statistics(data.x_train), device=device)
        method = initial(config, self.size, len(data.classes))
        if distributed.world() > 1:
            synchronise(method)
        self.method = method.to(device, memory_format=torch.channels_last).train()
        distributed.copy_first(self.method.state_dict().values())
        self.split_norms = [module for module in self.method.modules() if isinstance(module, SplitBatchNorm2d)]
        self.optimizer = build_optimizer(self.method, config)
        self.compiled = False  # whether the networks are
        # the passes of a step, where a GPU has them on record (sslcore/recording.py)
        self.graph: Callable[[Tensor, Batch], tuple[Tensor, tuple[Tensor, ...]]] | None = None
        self.steps_per_epoch = self.size // config.batch_size
        self.total = config.epochs * self.steps_per_epoch
        self.step = 0  # optimizer steps taken
        self.finite = torch.ones((), dtype=torch.bool, device=device)  # whether every loss was
        self.seconds = 0.0  # spent in training, evaluation left out
        self.peak_memory = 0  # bytes, as of the last checkpoint
        self.trained_on: list[str] = []  # names of the devices, in turn
        here = device.type == "cuda" and config.devices <= torch.cuda.device_count()  # other nodes' GPUs cannot be read
        gpus = range(config.devices) if here else ()
        self.meter = Meter([f"GPU-{torch.cuda.get_device_properties(gpu).uuid}" for gpu in gpus])
        self.waiting = Waiting()
        self.snapshots: dict[int, Tensor] = {}  # epoch -> h (n, D) float16 of the evaluation sample

    # -- One step

    def taken_at(self, step: int, device: torch.device) -> Tensor:
        """Which images all processes together take at a step: (N,), on a device."""
        epoch, place = divmod(step, self.steps_per_epoch)
        order = order_of(self.config.seed, epoch, self.size, device)
        return order[place * self.config.batch_size :][: self.config.batch_size]

    def own_rows(self, step: int) -> Tensor | None:
        """Which images this process takes at a step, on the CPU; None after the last step."""
        return distributed.own(self.taken_at(step, torch.device("cpu"))) if step < self.total else None

    def take_step(self) -> tuple[Tensor, Tensor]:
        """Train on the next batch. Returns (the loss, z (N, D)), both detached and on the device."""
        config = self.config
        seed_everything(config.seed, 2, self.step)
        indices = self.taken_at(self.step, self.device)
        batch = Batch(indices, None if self.labels is None else self.labels[indices])
        images = self.images.take(self.step, distributed.own(indices))

        rate = learning_rate(self.step, self.total, config.warmup_epochs * self.steps_per_epoch, config.peak_learning_rate)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.zero_grad()
        loss, rows = (self.graph or self.passes)(images, batch)
        self.finite &= torch.isfinite(loss)
        self.optimizer.step()
        # Each process has seen its own groups alone: average their running statistics.
        statistics = [b for norm in self.split_norms for b in (norm.running_mean, norm.running_var)]
        distributed.add_up(statistics, 1 / distributed.world())
        self.step += 1
        with torch.no_grad():
            self.method.after_step(rows, batch, self.step, self.total)
        return loss, rows[0]

    def passes(self, images: Tensor, batch: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
        """From uint8 images (n, S, S, 3) to the weights' gradients. Returns (the loss, the rows of the whole batch), detached."""
        with torch.compiler.set_stance("default") if self.compiled else nullcontext():
            with distributed.one_batch():
                view1 = self.views(images)
                view2 = view1 if self.method.one_view else self.views(images, second=True)
            return self.backward(view1, view2, batch)

    def embed(self, view1: Tensor, view2: Tensor) -> tuple[Tensor, ...]:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16):
            return self.method.embed(view1, view2)

    def backward(self, view1: Tensor, view2: Tensor, batch: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The gradient of the loss over the whole batch, in one pass or in micro-batches.

        In micro-batches the gradient is that of the whole batch's loss, negatives
        included (GradCache, Gao et al. 2021, section 3): first all rows without
        gradient, then the loss's gradient at the rows, then each micro-batch again,
        with it. Only BatchNorm differs: it sees a micro-batch at a time, and takes
        each twice into its running statistics.
        """
        count = self.config.micro_batches
        if count == 1:
            rows = tuple(distributed.gather(row) for row in self.embed(view1, view2))
            loss = self.method.loss(rows, batch)
            loss.backward()
            self.add_up_gradients()
            return loss.detach(), tuple(row.detach() for row in rows)

        parts = list(zip(view1.tensor_split(count), view2.tensor_split(count)))
        with torch.no_grad():
            pieces = [self.embed(*part) for part in parts]
        rows = tuple(distributed.gather(torch.cat(row)).requires_grad_() for row in zip(*pieces))  # each (N, ...)
        loss = self.method.loss(rows, batch)
        loss.backward()
        gradients = (torch.zeros_like(row) if row.grad is None else row.grad for row in rows)
        gradients = zip(*(distributed.own(gradient).tensor_split(count) for gradient in gradients))
        for part, of_part in zip(parts, gradients):
            with_gradient = [(row, g.to(row.dtype)) for row, g in zip(self.embed(*part), of_part) if row.requires_grad]
            torch.autograd.backward(*zip(*with_gradient))
        self.add_up_gradients()
        return loss.detach(), tuple(row.detach() for row in rows)

    @contextmanager
    def rehearsal(self) -> Iterator[tuple[Tensor, Batch]]:
        """Black images and their batch, as `passes` takes them. Passes within leave no gradients and no statistics behind."""
        size, batch_size = self.config.image_size, self.config.batch_size
        images = torch.zeros(batch_size // distributed.world(), size, size, 3, dtype=torch.uint8, device=self.device)
        batch = Batch(
            torch.arange(batch_size, device=self.device), None if self.labels is None else self.labels[:batch_size].clone()
        )
        before = [(buffer, buffer.clone()) for buffer in self.method.buffers()]
        try:
            yield images, batch
        finally:
            for buffer, value in before:
                buffer.copy_(value)
            self.method.zero_grad()

    def check_finite(self, run: Run) -> None:
        """Raises Failed where a loss was not. Waits for the device."""
        if not self.finite:
            kept = "the last good checkpoint is kept" if run.has_checkpoint() else "there was no checkpoint yet"
            raise Failed(
                f"the loss became NaN or infinite before step {self.step}; {kept}. "
                "Try a lower learning_rate, a longer warmup_epochs, or precision=float32"
            )

    def add_up_gradients(self) -> None:
        """Each process has the gradient through its own rows of the batch; their sum is the whole."""
        distributed.add_up([p.grad for p in self.method.parameters() if p.grad is not None])

    # -- Checkpoints

    def save(self, run: Run) -> None:
        self.peak_memory = max(self.peak_memory, memory.peak(self.device))
        checkpoint.write(
            run,
            {
                "step": self.step,
                "seconds": self.seconds,
                "joules": self.meter.joules,
                "waited": self.waiting.seconds,
                "peak_memory": self.peak_memory,
                "trained_on": self.trained_on,
                "precision": named(self.precision),
                "method": self.method.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "snapshots": self.snapshots,
            },
        )

    def restore(self, run: Run) -> str:
        """Go on from the latest checkpoint that is whole. Returns what is to be said where that is not checkpoint.pt.

        Raises Failed where there is none, it is of another network, or it cannot be read.
        """
        try:
            kept, said = checkpoint.read(run)
            self.method.load_state_dict(kept["method"])
            self.optimizer.load_state_dict(kept["optimizer"])
            self.step = kept["step"]
            if self.config.precision == "auto":  # decided once, on the device where the run began
                began = kept.get("precision") or (run.environment() or {}).get("precision")  # older versions kept it there alone
                both = (torch.float32, torch.bfloat16)
                self.precision = next((dtype for dtype in both if named(dtype) == began), self.precision)
            self.restore_cost(kept)
            self.snapshots = kept.get("snapshots", {})
        except Exception as error:
            if memory.is_out(error) or isinstance(error, Failed):
                raise
            raise Failed(
                f"checkpoint.pt cannot be resumed ({error}); delete it and checkpoint.previous.pt to start this run again"
            ) from error
        if said:
            run.checkpoint_file.unlink(missing_ok=True)  # damaged, it is not to become the previous one
        return said

    def restore_cost(self, kept: dict[str, Any]) -> None:
        """What the training has taken until a checkpoint."""
        self.seconds = kept["seconds"]
        over = kept["step"] == self.total
        if over or self.meter.joules is not None:  # known of all attempts, or of none
            self.meter.joules = kept.get("joules")
        if over or self.waiting.seconds is not None:
            self.waiting.seconds = kept.get("waited")
        self.peak_memory = kept.get("peak_memory") or memory.peak(self.device)
        self.trained_on = kept.get("trained_on") or []
