"""Pictures that data sets are made of."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def one_line(error: pytest.ExceptionInfo, *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def save(path: Path, colour: object = "red", size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path, **options)
    return path


def class_folders(root: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        for i in range(count):
            save(root / name / f"{i}.png", colour=(len(name) * 40 % 256, i % 256, 0))
    return root


def npz(path: Path, **arrays: object) -> str:
    np.savez_compressed(path, **arrays)
    return str(path)
