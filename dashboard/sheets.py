"""An experiment's sample sheets: which image is on which tile."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from sslcore import datasets
from sslcore.experiment import Experiment
from sslcore.files import Stamp, stamp


def sheet(experiment: Experiment, dataset: str, checksum: str = "") -> tuple[Image.Image, dict[int, int]]:
    """(the sheet of a data set, data set index -> tile): the k-th tile is of the k-th index in its runs' embeddings.npz.

    Raises ValueError where it is not there, or not for sure: where the sheet may be of another data set of that file
    name, of another sample or of other images under that name, since the runs differ in it; or is not of this checksum.
    """
    file = experiment.sample_sheet(dataset)
    runs = [
        run for run in experiment.runs() if (config := run.readable_config) and experiment.sample_sheet(config.dataset) == file
    ]
    embedded = [run.embeddings_file for run in runs if run.embeddings_file.is_file()]
    samples = {(run.config.dataset, run.config.evaluate.sample) for run in runs}
    seen = {(run.config.image_size, str(of)) for run in runs if (of := run.images().get("checksum"))}
    alike = len(samples) == 1 and len(seen) == len({size for size, _ in seen}) and checksum in ("", *(of for _, of in seen))
    if not (file.is_file() and embedded and alike and runs[0].config.dataset == dataset):
        raise ValueError(f"{experiment.name} has no thumbnails of {dataset}")
    return _sheet(file, stamp(file), embedded[0], stamp(embedded[0]))


@lru_cache(maxsize=4)
def _sheet(file: Path, of_file: Stamp, embeddings: Path, of_embeddings: Stamp) -> tuple[Image.Image, dict[int, int]]:
    try:
        sheet = Image.open(file, formats=["WEBP"])
        with np.load(embeddings, allow_pickle=False) as kept:
            places = {int(index): k for k, index in enumerate(kept["index"])}
        side = sheet.width // datasets.SHEET_COLUMNS
        if not side or sheet.height // side != -(-len(places) // datasets.SHEET_COLUMNS):
            raise ValueError(f"it is of another sample than {embeddings}")
        sheet.load()  # of one that does not fit, which may be as large as a picture can be, only the head is read
    except Exception as error:  # whatever a foreign or torn file makes Pillow or numpy raise
        raise ValueError(f"{file}: {error}") from None
    return sheet, places
