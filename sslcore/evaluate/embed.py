"""The fixed evaluation sample in two dimensions, and how far that can be believed.

scikit-learn, umap-learn and pandas take seconds to import, so they are where they are used: training starts without them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from sslcore.analysis.layouts import procrustes
from sslcore.experiment import Run
from sslcore.files import replacing

if TYPE_CHECKING:
    import pandas as pd

NEIGHBOURS = 15
MIN_DIST = 0.1
METRIC = "cosine"
STARTED = {"n_epochs": 200, "learning_rate": 0.3}  # from another layout: gentler than UMAP's own 500 and 1, so that points travel less, and as faithful
LAYOUT_PROTOCOL = (
    "of the fixed evaluation sample, mean over its images; trustworthiness: Venna & Kaski 2001; neighbourhood preservation: share "
    "of the k nearest in h (cosine) that are among the k nearest in the layout; silhouette of the labels: in the layout "
    "(Euclidean) and in h (cosine)"
)


def umap_layout(h: np.ndarray, seed: int = 0, start: np.ndarray | None = None) -> np.ndarray:
    """UMAP (McInnes et al. 2018) of h (N, D): (N, 2) float32. The same h gives the same layout.

    It starts from the first two principal components, or from another layout (N, 2).
    """
    keep_compiled()
    from umap import UMAP

    neighbours = min(NEIGHBOURS, len(h) - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # on the seed's one thread, and on transform, which nobody needs
        layout = UMAP(
            n_neighbors=neighbours,
            min_dist=MIN_DIST,
            metric=METRIC,
            init="pca" if start is None else start,
            **({} if start is None else STARTED),
            random_state=seed,
            precomputed_knn=nearest(h, neighbours),
        )
        return layout.fit_transform(h).astype(np.float32)


def nearest(h: np.ndarray, neighbours: int) -> tuple[np.ndarray, np.ndarray, None]:
    """(indices, cosine distances) of each row's nearest rows, itself first: (N, neighbours) each."""
    from sklearn.neighbors import NearestNeighbors

    distances, indices = NearestNeighbors(n_neighbors=neighbours, metric=METRIC).fit(h).kneighbors(h)
    return indices, distances.astype(np.float32), None


def keep_compiled() -> None:
    """Let numba keep on disk what it compiles of umap-learn: from the second run on, UMAP starts some seconds sooner."""
    from umap import layouts, umap_

    for function in (
        umap_.smooth_knn_dist,
        umap_.compute_membership_strengths,
        layouts._nb_optimize_layout_euclidean_single_epoch,
    ):
        with suppress(RuntimeError):  # no folder to keep it in
            function.enable_caching()


def umap_layouts(layout: np.ndarray, snapshots: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Epoch -> the layout (N, 2) of its h (N, D), made so that points travel little from one to the next.

    From the last epoch's, `layout`, backwards: each starts from the layout of the epoch after it and is
    then turned, mirrored, moved and scaled as a whole onto it.
    """
    layouts = {}
    for epoch in sorted(snapshots, reverse=True):
        own = umap_layout(snapshots[epoch].astype(np.float32), start=layout)
        layout = layouts[epoch] = procrustes(own, layout).astype(np.float32)
    return dict(sorted(layouts.items()))


def keep_snapshots(run: Run, snapshots: Mapping[int, np.ndarray], indices: np.ndarray) -> None:
    """snapshots.npz: epoch (E,), h (E, n, D) float16 of the sample, index (n,)."""
    with replacing(run.snapshots_file) as temporary, temporary.open("wb") as file:
        np.savez(file, epoch=np.array(list(snapshots)), h=np.stack(list(snapshots.values())), index=indices)


def read_snapshots(run: Run) -> dict[int, np.ndarray]:
    """Epoch -> h (n, D) float16 of the sample; {} where none were kept."""
    if not run.snapshots_file.exists():
        return {}
    with np.load(run.snapshots_file, allow_pickle=False) as kept:
        return dict(zip(kept["epoch"].tolist(), kept["h"]))


def layout_frame(layout: np.ndarray, indices: np.ndarray, labels: np.ndarray | None, epoch: int) -> pd.DataFrame:
    """umap.parquet: x, y, index, label (-1 without labels), epoch."""
    import pandas as pd

    return pd.DataFrame(
        {
            "x": layout[:, 0],
            "y": layout[:, 1],
            "index": indices,
            "label": labels if labels is not None else np.full(len(indices), -1),
            "epoch": epoch,
        }
    )


def faithfulness(h: np.ndarray, layout: np.ndarray) -> float:
    """Trustworthiness (Venna & Kaski 2001) of the layout's neighbourhoods, from 0 to 1."""
    from sklearn.manifold import trustworthiness

    neighbours = max(1, min(NEIGHBOURS, (len(h) - 1) // 2 - 1))
    return float(trustworthiness(h, layout, n_neighbors=neighbours, metric=METRIC))


def preservation(h: np.ndarray, layout: np.ndarray) -> float:
    """Share of each image's NEIGHBOURS nearest in h (cosine) that are among its nearest in the layout, mean over images."""
    from sklearn.neighbors import NearestNeighbors

    k = min(NEIGHBOURS, len(h) - 1)
    in_h, in_layout = (
        NearestNeighbors(n_neighbors=k, metric=metric).fit(x).kneighbors(return_distance=False)  # without the image itself
        for x, metric in ((h, METRIC), (layout, "euclidean"))
    )
    return float(np.mean([len(np.intersect1d(a, b)) / k for a, b in zip(in_h, in_layout)]))


def silhouette(x: np.ndarray, labels: np.ndarray | None, metric: str) -> float | None:
    """Silhouette (Rousseeuw 1987) of the labels in x, mean over images: 1 apart, 0 mixed; None without two classes."""
    from sklearn.metrics import silhouette_score

    if labels is None or not 1 < len(np.unique(labels)) < len(x):
        return None
    return float(silhouette_score(x, labels, metric=metric))


def measures(h: np.ndarray, layout: np.ndarray, labels: np.ndarray | None) -> dict[str, float | None]:
    """How far a layout tells what is in h."""
    return {
        "trustworthiness": faithfulness(h, layout),
        "neighbourhood_preservation": preservation(h, layout),
        "silhouette": silhouette(layout, labels, "euclidean"),
    }
