"""encoder.safetensors: the encoder's weights alone, by torchvision's names, with what its input must look like."""

import hashlib
import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sslcore.augment import Views
from sslcore.experiment import Run
from sslcore.files import replacing


class Statistics(NamedTuple):
    """Of the images that the encoder was trained on, scaled to [0, 1]: a number a channel."""

    mean: list[float]
    std: list[float]


def write(run: Run, encoder: nn.Module, views: Views) -> None:
    metadata = {
        "encoder": run.config.encoder,
        "image_size": str(run.config.image_size),
        "mean": " ".join(f"{v:.6f}" for v in views.mean.flatten().tolist()),
        "std": " ".join(f"{v:.6f}" for v in views.std.flatten().tolist()),
    }
    weights = {name: value.contiguous().cpu() for name, value in encoder.state_dict().items()}
    metadata["sha256"] = checksum(weights)
    with replacing(run.encoder_file, size=sum(w.nbytes for w in weights.values())) as temporary:
        save_file(weights, temporary, metadata)
        sort_metadata(temporary)


def checksum(weights: Mapping[str, Tensor]) -> str:
    """Of contiguous weights and their names, in the names' order."""
    read = hashlib.sha256()
    for name in sorted(weights):
        read.update(name.encode())
        read.update(weights[name].reshape(-1).view(torch.uint8).numpy())
    return read.hexdigest()


def sort_metadata(file: Path) -> None:
    """The same file with its metadata in order, so that equal runs leave equal bytes: safetensors has them in any."""
    with file.open("r+b") as opened:
        length = int.from_bytes(opened.read(8), "little")  # of the header, which is JSON
        header = json.loads(opened.read(length))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        opened.seek(8)
        opened.write(json.dumps(header, separators=(",", ":")).encode().ljust(length))


def check(run: Run) -> None:
    """Raises ValueError, in words, where the run has no encoder.safetensors."""
    if not run.encoder_file.exists():
        raise ValueError(
            f"{run.id}: there is no {run.encoder_file.name}; an experiment has it where it was trained, or exported with "
            "--checkpoints"
        )


def read(run: Run, encoder: nn.Module) -> Statistics:
    """Give an encoder the run's weights. Raises ValueError, in words, where they are missing, damaged, or of another network."""
    check(run)
    try:
        with safe_open(run.encoder_file, "pt") as file:
            kept, metadata = {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
        known = checksum(kept)
        if metadata.get("sha256", known) != known:  # older ones have none
            raise ValueError("its weights are not those that were written")
        encoder.load_state_dict(kept)
        if lacking := [name for name in Statistics._fields if name not in metadata]:
            raise ValueError(f"it has no {lacking[0]} of its images' channels beside the weights")
        return Statistics(*([float(number) for number in metadata[name].split()] for name in Statistics._fields))
    except (SafetensorError, RuntimeError, LookupError, TypeError, ValueError) as error:
        # torch says in its second line what it is
        said = textwrap.shorten(str(error), 160, placeholder=" …") or type(error).__name__
        raise ValueError(
            f"{run.encoder_file} cannot be read ({said}); copy it anew from where the run was trained, or train the run again"
        ) from error
