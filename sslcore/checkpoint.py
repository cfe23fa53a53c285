"""checkpoint.pt, and the one before it: what a run goes on from.

A new one takes the other's place when it is whole and on the disk. The other stays beside it until the run has
finished, for the day when the newer turns out to be cut or damaged.
"""

import errno
import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from sslcore import memory
from sslcore.endings import Failed
from sslcore.experiment import Run
from sslcore.files import replacing


def write(run: Run, kept: dict[str, Any]) -> None:
    """Raises DiskFull where there is no room; then the last one stays as it is."""
    run.sync_metrics()
    with replacing(run.checkpoint_file, size=_size(kept)) as temporary:
        torch.save(kept, temporary)
        keep_previous(run)


def keep_previous(run: Run) -> None:
    """The last checkpoint under its second name, by a link: no copy, and at no moment without checkpoint.pt."""
    link = run.path / f".{run.previous_checkpoint_file.name}.link"
    link.unlink(missing_ok=True)
    try:
        os.link(run.checkpoint_file, link)
        link.replace(run.previous_checkpoint_file)
    except FileNotFoundError:
        return  # the first one
    except OSError:  # a file system without links
        run.checkpoint_file.replace(run.previous_checkpoint_file)


def _size(kept: Any) -> int:
    """Bytes of the tensors in it, nearly all that there is to write."""
    if isinstance(kept, torch.Tensor):
        return kept.nbytes
    return sum(map(_size, kept.values() if isinstance(kept, dict) else kept)) if isinstance(kept, (dict, list, tuple)) else 0


def read(run: Run) -> tuple[dict[str, Any], str]:
    """(what the latest whole checkpoint holds, on the CPU; what is to be said where that is not checkpoint.pt).

    Raises ValueError, in words, where there is none that is whole, Failed where one cannot be read that may be, and what
    torch raises where there is no memory for it.
    """
    wrong = []
    for file in (run.checkpoint_file, run.previous_checkpoint_file):
        if file.exists():
            try:
                return _whole(file), "; ".join([*wrong, f"{file.name} is used"]) if wrong else ""
            except Exception as error:
                if memory.is_out(error):
                    raise
                if isinstance(error, OSError) and error.errno != errno.EINVAL:  # a cut file raises EINVAL in zipfile
                    raise Failed(f"{file.name} cannot be read ({error}); it may be whole, and resume tries again") from error
                wrong.append(f"{file.name} is damaged ({' '.join(str(error).split())[:200]})")
        else:
            wrong.append(f"{file.name} is missing")
    raise ValueError("; ".join(wrong))


def _whole(file: Path) -> dict[str, Any]:
    with zipfile.ZipFile(file) as parts:  # torch.load compares no checksums
        if (damaged := parts.testzip()) is not None:
            raise ValueError(f"the checksum of {damaged} is wrong")
    return torch.load(file, map_location="cpu", weights_only=True)
