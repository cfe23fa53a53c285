"""scikit-learn's 1,797 handwritten digits, 8 x 8 pixels."""

from typing import Any

import numpy as np

from sslcore.datasets.source import Info, Report, Source, split


def info(name: str) -> Info:
    return Info(name, 1438, 359, tuple("0123456789"), (8, 8))


def defaults(name: str) -> dict[str, Any]:
    return {"image_size": 16, "augment.crop_min": 0.4, "augment.flip": 0.0, "augment.hue": 0.0, "augment.grayscale": 0.0}


def fingerprint(name: str) -> object:
    return name


def source(name: str, report: Report) -> Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    train, test = split(digits.target)
    order = np.concatenate([train, test])
    images = np.round(digits.images * (255 / 16)).astype(np.uint8)  # from 0 to 16
    return Source(list(images[order]), len(train), digits.target[order].astype(np.int64), tuple("0123456789"))
