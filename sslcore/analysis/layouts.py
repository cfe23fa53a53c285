"""Layouts in the plane: principal components, and one laid over another."""

import numpy as np


def pca(h: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal components of h (N, D): (N, 2) float32, and the shares of the variance that they hold.

    h is first scaled to unit length, because it is compared by cosine everywhere else. The sign of a component is
    such that its largest entry is positive, so that the same h gives the same picture.
    """
    x = h.astype(np.float64) / np.maximum(np.linalg.norm(h, axis=1, keepdims=True), 1e-12)
    x -= x.mean(axis=0)
    variances, directions = np.linalg.eigh(x.T @ x)  # ascending; an SVD of x gives the same directions and costs more
    first = directions[:, [-1, -2]]
    first *= np.sign(first[np.abs(first).argmax(axis=0), [0, 1]])
    total = max(variances.sum(), 1e-300)
    return (x @ first).astype(np.float32), variances[[-1, -2]] / total


def procrustes(layout: np.ndarray, onto: np.ndarray, points: np.ndarray | None = None) -> np.ndarray:
    """`layout` (N, 2) turned, mirrored, moved and scaled as a whole so that its rows lie as near as they can to those of `onto`.

    The least-squares solution (Schoenemann 1966; Gower 1975), but no layout is made a point because the other is one. With
    `points` (M, 2), they are moved in the same way instead.
    """
    centre, target = layout.mean(axis=0, dtype=np.float64), onto.mean(axis=0, dtype=np.float64)
    a, b = layout - centre, onto - target
    u, singular, vt = np.linalg.svd(a.T @ b)
    extended = np.ptp(layout, axis=0).any() and np.ptp(onto, axis=0).any()  # not if all points are one, of a collapsed encoder
    scale = singular.sum() / (a**2).sum() if extended else 1.0
    moved = layout if points is None else points
    return scale * (moved - centre) @ (u @ vt) + target
