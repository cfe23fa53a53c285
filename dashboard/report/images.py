"""The pictures in a report: the views of a run, and the thumbnails of the images that its embeddings show."""

import base64
import io
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dashboard import tables
from dashboard.sheets import sheet
from sslcore.datasets import SHEET_COLUMNS
from sslcore.experiment import Run
from sslcore.files import unlinked_file

MAX_SHEET = 1_200_000  # bytes of a sample sheet; larger ones are drawn smaller


@dataclass(frozen=True)
class Sheet:
    """Thumbnails of a data set's evaluation sample, as one image."""

    dataset: str
    address: str  # a data: URI
    indices: str  # JSON: the data set index of each tile, in order
    columns: int = SHEET_COLUMNS


def views(runs: Sequence[Run]) -> tuple[str, str] | None:
    """(the first run that has a sheet of its augmented views, by name; the sheet's address)."""
    for name, run in tables.named(runs).items():
        with suppress(OSError), open(run.views_file, "rb", opener=unlinked_file) as file:
            head = file.read(12)
            if head[:4] == b"RIFF" and head[8:] == b"WEBP":
                return name, _address(head + file.read())
    return None


def sheets(runs: Sequence[Run]) -> list[Sheet]:
    """The sample sheets of the runs' data sets, where their tiles can be told."""
    found = []
    for dataset, experiment in {run.config.dataset: run.experiment for run in runs}.items():
        with suppress(ValueError, OSError):
            image, places = sheet(experiment, dataset)
            small = _small(experiment.sample_sheet(dataset), image)
            found.append(Sheet(dataset, _address(small), json.dumps(list(places))))
    return found


def _small(file: Path, image: Image.Image) -> bytes:
    """The sheet as it is; with smaller tiles where it is larger than MAX_SHEET."""
    content, side = file.read_bytes(), image.width // SHEET_COLUMNS
    while len(content) > MAX_SHEET and side > 8:
        side = side * 3 // 4
        rows = image.height * SHEET_COLUMNS // image.width
        packed = io.BytesIO()
        image.convert("RGB").resize((SHEET_COLUMNS * side, rows * side), Image.Resampling.BICUBIC).save(
            packed, "WEBP", quality=75
        )
        content = packed.getvalue()
    return content


def _address(webp: bytes) -> str:
    """The image itself, as a data: URI."""
    return f"data:image/webp;base64,{base64.b64encode(webp).decode()}"
