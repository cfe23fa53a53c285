"""The fixed evaluation sample in two dimensions, and how far that can be believed.

scikit-learn, umap-learn and pandas take seconds to import, so they are where they are used: training starts without them.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from types import ModuleType
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
import torch

from sslcore.analysis.layouts import procrustes
from sslcore.datasets import cache
from sslcore.experiment import Run
from sslcore.files import replacing
from sslcore.losses import normalised

if TYPE_CHECKING:
    import pandas as pd

NEIGHBOURS = 15
MIN_DIST = 0.1
METRIC = "cosine"
MANY, FEW_EPOCHS = 5000, 200  # points, and for more of them as many epochs as UMAP itself takes above 10,000
ROWS = 1024
PYNNDESCENT = {  # what umap-learn imports of it
    "pynndescent": {"NNDescent": object},
    "pynndescent.distances": {"named_distances": {METRIC: None}},
    "pynndescent.sparse": {"sparse_named_distances": {}},
}
# From another layout: gentler than UMAP's own 500 and 1, so that points travel less, and as faithful.
STARTED = {"n_epochs": 200, "learning_rate": 0.3}
LAYOUT_PROTOCOL = (
    "of the fixed evaluation sample, mean over its images; trustworthiness: Venna & Kaski 2001; neighbourhood preservation: "
    "share of the k nearest in h (cosine) that are among the k nearest in the layout; silhouette of the labels: in the layout "
    "(Euclidean) and in h (cosine)"
)


def umap_layout(h: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """UMAP (McInnes et al. 2018) of h (N, D): (N, 2) float32. The same h gives the same layout.

    It starts from the first two principal components, or from another layout (N, 2). Where an encoder has collapsed, so
    that all rows are the same, all points are: UMAP would divide by their extent.
    """
    if not np.ptp(h, axis=0).any():
        return np.zeros((len(h), 2), np.float32)
    settings = umap_settings(len(h), start is not None)
    knn = (*nearest(h, settings["n_neighbors"]), None)  # UMAP would take an index, too
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that a seed costs threads, and that transform will not work
        layout = umap_learn().UMAP(**settings, random_state=0, init="pca" if start is None else start, precomputed_knn=knn)
        return layout.fit_transform(h).astype(np.float32)


def umap_settings(n: int, started: bool) -> dict[str, Any]:
    settings = {"n_neighbors": min(NEIGHBOURS, n - 1), "min_dist": MIN_DIST, "metric": METRIC}
    return settings | ({"n_epochs": FEW_EPOCHS} if n > MANY else {}) | (STARTED if started else {})


def layout_once(h: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
    """`umap_layout`, or the one that this machine made of the same h, start, settings and UMAP, and keeps beside decoded data."""
    made_of = hashlib.sha256(repr((version("umap-learn"), umap_settings(len(h), start is not None))).encode())
    for array in (h, start):
        made_of.update(repr(None if array is None else (array.shape, array.dtype)).encode())
        made_of.update(b"" if array is None else np.ascontiguousarray(array))
    file = cache.home() / "layouts" / f"{made_of.hexdigest()}.npy"
    with suppress(OSError, ValueError, EOFError):  # there is none, or it is damaged
        kept = np.load(file, allow_pickle=False)
        if kept.shape == (len(h), 2) and np.isfinite(kept).all():
            return kept
    layout = umap_layout(h, start=start)
    with suppress(OSError):  # a layout that cannot be kept is made anew
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary, temporary.open("wb") as out:
            np.save(out, layout)
    return layout


def cosines(h: np.ndarray) -> Iterator[tuple[slice, torch.Tensor]]:
    """Some rows at a time, so that no matrix of all pairs is held: (which rows, their cosine to all rows (n, N))."""
    unit = normalised(torch.from_numpy(np.asarray(h, np.float32)))
    for start in range(0, len(h), ROWS):
        rows = slice(start, min(start + ROWS, len(h)))
        yield rows, unit[rows] @ unit.T


def nearest(h: np.ndarray, neighbours: int) -> tuple[np.ndarray, np.ndarray]:
    """(indices, cosine distances) of each row's nearest rows, itself first: (N, neighbours) each."""
    found = []
    for rows, cosine in cosines(h):
        own = torch.arange(rows.start, rows.stop)[:, None]
        found.append(cosine.scatter_(1, own, 2.0).topk(neighbours, dim=1))
    distances = 1 - torch.cat([of_rows.values for of_rows in found]).clamp(max=1)
    return torch.cat([of_rows.indices for of_rows in found]).numpy(), distances.numpy()


def umap_learn() -> ModuleType:
    """The package `umap`, sooner than by a plain import.

    It asks for pynndescent, whose import compiles for 24 s on a machine that is new to it, to find the neighbours that
    `nearest` finds here: a stand-in that knows our metric's name is enough. What numba compiles of `umap` itself is kept on
    disk, so that from the second run on a layout starts some seconds sooner.
    """
    if not {"umap", "pynndescent"} & sys.modules.keys():
        for name, content in PYNNDESCENT.items():
            sys.modules[name] = ModuleType(name)
            vars(sys.modules[name]).update(content)
        with suppress(ImportError):  # a version that asks for more gets the real one, below
            import umap
        for name in PYNNDESCENT:
            del sys.modules[name]
    import umap
    from umap import layouts, umap_

    for function in (
        umap_.smooth_knn_dist,
        umap_.compute_membership_strengths,
        layouts._nb_optimize_layout_euclidean_single_epoch,
    ):
        with suppress(RuntimeError):  # no folder to keep it in
            function.enable_caching()
    return umap


def umap_layouts(layout: np.ndarray, snapshots: Mapping[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Epoch -> the layout (N, 2) of its h (N, D), made so that points travel little from one to the next.

    From the last epoch's, `layout`, backwards: each starts from the layout of the epoch after it and is
    then turned, mirrored, moved and scaled as a whole onto it. Where the encoder had collapsed there, nothing starts from it.
    """
    layouts = {}
    for epoch in sorted(snapshots, reverse=True):
        h = snapshots[epoch].astype(np.float32)
        start = layout if np.ptp(layout, axis=0).all() else None
        layout = layouts[epoch] = procrustes(layout_once(h, start), layout).astype(np.float32)
    return dict(sorted(layouts.items()))


def keep_snapshots(run: Run, snapshots: Mapping[int, np.ndarray], indices: np.ndarray) -> None:
    """snapshots.npz: epoch (E,), h (E, n, D) float16 of the sample, index (n,)."""
    with replacing(run.snapshots_file) as temporary, temporary.open("wb") as file:
        np.savez(file, epoch=np.array(list(snapshots)), h=np.stack(list(snapshots.values())), index=indices)


def read_snapshots(run: Run) -> dict[int, np.ndarray]:
    """Epoch -> h (n, D) float16 of the sample; {} where none were kept. Raises ValueError, in words, where they are damaged."""
    if not run.snapshots_file.exists():
        return {}
    try:
        with np.load(run.snapshots_file, allow_pickle=False) as kept:
            return dict(zip(kept["epoch"].tolist(), kept["h"]))
    except (OSError, ValueError, LookupError, EOFError, BadZipFile) as error:
        raise ValueError(f"{run.snapshots_file.name} cannot be read ({error})") from error


def layout_frame(layout: np.ndarray, indices: np.ndarray, labels: np.ndarray | None, epoch: int) -> pd.DataFrame:
    """Rows of umap.parquet: x, y, index, label (-1 without labels), epoch."""
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


def neighbourhood(n: int) -> int:
    """How many neighbours the measures of a layout of n points ask about; of few points fewer, as trustworthiness wants it."""
    return max(1, min(NEIGHBOURS, (n - 1) // 2 - 1))


def faithfulness(h: np.ndarray, layout: np.ndarray) -> float:
    """Trustworthiness (Venna & Kaski 2001, equation 2) of a layout (N, 2) of h (N, D), from 0 to 1; ranks in h are by cosine."""
    n, k = len(h), neighbourhood(len(h))
    in_layout = closest(layout, k)  # (N, k)
    excess = 0
    for rows, of_all in cosines(h):
        cosine = of_all.scatter_(1, torch.arange(rows.start, rows.stop)[:, None], -2.0).numpy()  # no image is its own neighbour
        for own in np.take_along_axis(cosine, in_layout[rows], axis=1).T:
            rank = 1 + np.count_nonzero(cosine > own[:, None], axis=1)
            excess += int((rank - k).clip(min=0).sum())
    return 1 - 2 * excess / (n * k * (2 * n - 3 * k - 1))


def preservation(h: np.ndarray, layout: np.ndarray) -> float:
    """Share of an image's neighbours in h (N, D), by cosine, that are its neighbours in the layout (N, 2): mean over images."""
    k = neighbourhood(len(h))
    in_h, in_layout = nearest(h, k + 1)[0][:, 1:], closest(layout, k)
    return float((in_h[:, :, None] == in_layout[:, None, :]).any(2).mean())


def closest(layout: np.ndarray, neighbours: int) -> np.ndarray:
    """Indices of each point's nearest points in the layout (N, 2), without itself: (N, neighbours)."""
    from sklearn.neighbors import NearestNeighbors

    return NearestNeighbors(n_neighbors=neighbours).fit(layout).kneighbors(return_distance=False)


def silhouette(x: np.ndarray, labels: np.ndarray | None, metric: str) -> float | None:
    """Silhouette (Rousseeuw 1987) of labels (N,) in x (N, D), mean over images: 1 apart, 0 mixed; None without two classes."""
    from sklearn.metrics import silhouette_score

    if labels is None or not 1 < len(np.unique(labels)) < len(x):
        return None
    return float(silhouette_score(x, labels, metric=metric))


def measures(h: np.ndarray, layout: np.ndarray, labels: np.ndarray | None) -> dict[str, float | None]:
    """How far a layout (N, 2) shows what is in h (N, D), which has labels (N,): where all h are equal, nothing can be shown."""
    told = bool(np.ptp(h, axis=0).any())
    return {
        "trustworthiness": faithfulness(h, layout) if told else None,
        "neighbourhood_preservation": preservation(h, layout) if told else None,
        "silhouette": silhouette(layout, labels, "euclidean"),
    }
