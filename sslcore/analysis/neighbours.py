"""The images that a representation takes for similar."""

import numpy as np


def nearest(h: np.ndarray, row: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """(rows, cosines) of the k rows of h (N, D) with the highest cosine to one row, itself left out, the nearest first."""
    lengths = np.linalg.norm(h, axis=1)
    cosines = (h @ h[row]) / np.maximum(lengths * lengths[row], 1e-12)
    others = np.delete(np.arange(len(h)), row)
    order = others[np.argsort(-cosines[others], kind="stable")][:k]
    return order, cosines[order]
