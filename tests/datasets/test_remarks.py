"""What may be wrong with a set's images is told in words, and stands among a run's warnings."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslcore import stages
from sslcore.config import resolve
from sslcore.experiment import Spec, Store
from sslcore.worker import Pulse
from tests.datasets.pictures import save


def warnings(dataset: str) -> list[str]:
    """Of a run that has read its images, and of one that reads them once more."""
    config = resolve({"dataset": dataset, "image_size": 16, "batch_size": 2, "epochs": 1, "evaluate.knn_k": 1})
    run = Store().create("one", Spec(title="one"), {"a": config}).run("a")
    for _ in range(2):
        stages.read_data(run, Pulse(run), False)
    return [warning.removeprefix(f"{dataset}: ") for warning in run.status().warnings]


def dark(root: Path, brightest: int) -> str:
    """16-bit images, dark but for a pixel, and others beside them."""
    root.mkdir()
    for i, ending in enumerate(("tif", "png", "pgm")):
        grey = np.full((20, 20), 50 * i, np.uint16)
        grey[3, 3] = brightest - i
        Image.fromarray(grey).save(root / f"{i}.{ending}")
    for i in range(7):
        save(root / f"bright{i}.png", (255, 255, i))
    return str(root)


@pytest.mark.parametrize(("brightest", "shade"), [(200, 0), (4095, 15), (4096, None), (65535, None)])
def test_sixteen_bits_that_are_dark_throughout(brightest, shade, tmp_path):
    said = warnings(dark(tmp_path / "set", brightest))
    assert len(said) == (shade is not None)
    for words in said:
        assert words.startswith(f"no pixel of the 16-bit images is above {brightest:,}:") and f"at most {shade} of 255" in words
