"""The memory that a training step takes, counted before anything is trained.

Networks and loss pass once on torch's meta device, where tensors have shapes and no numbers. What autograd keeps of
that for the way back is most of what a step holds.
"""

from collections.abc import Iterable, Mapping
from functools import cache

import torch
from torch import Tensor

from sslcore import datasets
from sslcore.config import RunConfig
from sslcore.convolution import plain
from sslcore.methods import load
from sslcore.methods.base import Batch
from sslcore.training import pick_precision

STATES = {"sgd": 1, "lars": 1, "adamw": 2}  # numbers that an optimizer keeps of each weight
PASSING = 2  # tensors as large as the largest that is kept, while a gradient is on its way
DRAWING = 7  # tensors as large as a view, while the second of two views is drawn

USUAL = RunConfig()
WITHOUT_SHAPES = (  # settings on which no tensor's shape depends: runs that differ in them alone are counted once
    "seed",
    "epochs",
    "learning_rate",
    "lr_scaling",
    "warmup_epochs",
    "weight_decay",
    "augment",
    "evaluate",
)


def of_runs(configs: Mapping[str, RunConfig]) -> dict[str, int]:
    """Bytes by run: see `step_bytes`. Raises ValueError where a data set cannot be read."""
    found = {}
    for name, config in configs.items():
        info = datasets.info(config.dataset)
        device = torch.device("cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu")
        alike = config.model_copy(update={setting: getattr(USUAL, setting) for setting in WITHOUT_SHAPES})
        found[name] = step_bytes(alike, info.train, len(info.classes), pick_precision(config, device), device.type)
    return found


@cache
def step_bytes(config: RunConfig, images: int, classes: int, precision: torch.dtype, device: str) -> int:
    """Bytes that a step holds at most on each of its devices: an estimate, benchmarks/training.md says how close.

    `images`: size of the training set; those that live on a GPU come on top. `classes`: 0 without labels. `device`: cpu or cuda.
    """
    with torch.device("meta"):
        method = load(config.method)(config, images, classes).to(memory_format=torch.channels_last)
        if device != "cpu":
            plain(method)  # convolutions that are a CPU's own keep more (convolution.py)
        labels = torch.zeros(config.batch_size, dtype=torch.long)
    trained = size(p for p in method.parameters() if p.requires_grad)
    lasting = size([*method.parameters(), *method.buffers()]) + trained * (1 + STATES[config.optimizer])
    if precision == torch.bfloat16:  # autocast, which knows nothing of this device, keeps a copy of the weights
        lasting += trained // 2
        method.bfloat16()

    kept: dict[int, torch.UntypedStorage] = {}
    weights = {p.untyped_storage()._cdata for p in method.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            kept[storage._cdata] = storage
        return tensor

    share = config.batch_size // config.devices
    view = torch.empty(-(-share // config.micro_batches), 3, config.image_size, config.image_size, device="meta")
    view = view.to(precision, memory_format=torch.channels_last)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        rows = method.embed(view, view.clone())
        whole = [row.new_empty(config.batch_size, *row.shape[1:]).requires_grad_(row.requires_grad) for row in rows]
        method.loss(tuple(whole), Batch(labels, labels))
    sizes = [storage.nbytes() for storage in kept.values()]
    of_view = 4 * share * 3 * config.image_size**2  # in float32
    return lasting + max(DRAWING * of_view, 2 * of_view + sum(sizes) + PASSING * max(sizes))


def size(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)
