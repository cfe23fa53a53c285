"""embeddings.npz and umap.parquet -> arrays and points. What a file says is kept until the file changes."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from sslcore.analysis import layouts
from sslcore.experiment import Run
from sslcore.files import Stamp, stamp
from sslcore.results import part


@dataclass(frozen=True)
class Embedding:
    """The evaluation sample as one run sees it: n images, a row each. Not to be changed in place."""

    index: np.ndarray  # (n,) in the data set
    h: np.ndarray  # (n, D)
    label: np.ndarray  # (n,) class, -1 where there is none
    prediction: np.ndarray  # (n,) of the linear probe, -1 where there is none
    train: np.ndarray  # (n,) whether it is a training image
    umap: dict[int, np.ndarray]  # epoch -> (n, 2), the last epoch last; {} without umap.parquet

    def rows_of(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """The rows of those of some data set indices that are in the sample, in the sample's order."""
        return np.flatnonzero(np.isin(self.index, indices))


def problem(run: Run) -> str:
    """Why a run has no embedding that can be read, in one line, with what to do; "" where it has one."""
    return _problem(run.path, stamp(run.embeddings_file))


@lru_cache(maxsize=4096)  # of 300 runs a page shows five
def _problem(folder: Path, of_embeddings: Stamp) -> str:
    try:
        _arrays(folder, of_embeddings)
    except ValueError as error:
        return str(error)
    return ""


def read(run: Run) -> Embedding:
    """Raises ValueError, with its `problem`, where a run has no embedding that can be read."""
    return _read(run.path, stamp(run.embeddings_file), stamp(run.umap_file))


@lru_cache(maxsize=16)
def _read(folder: Path, of_embeddings: Stamp, of_umap: Stamp) -> Embedding:
    index, *others = _arrays(folder, of_embeddings)
    return Embedding(index, *others, _umap(Run(folder), index))


def _arrays(folder: Path, of_embeddings: Stamp) -> tuple[np.ndarray, ...]:
    """index, h, label, prediction, train: as Embedding has them."""
    run = Run(folder)
    again = f"`python -m sslcore evaluate {shlex.quote(run.id)}` makes it again"
    if not of_embeddings[1]:
        raise ValueError(f"embeddings.npz is missing; {again}")
    try:
        with np.load(run.embeddings_file, allow_pickle=False) as kept:
            index, h, prediction = (kept[name] for name in ("index", "h", "prediction"))
            label = kept["label"] if "label" in kept else _labels(run, index)
            train = kept["train"] if "train" in kept else index < (run.images().get("train") or 0)
    except KeyError as error:
        raise ValueError(
            f"embeddings.npz has no {error.args[0].split()[0]}, perhaps because an older version wrote it; {again}"
        ) from None
    except Exception:  # whatever a foreign or torn file makes numpy raise
        raise ValueError(f"embeddings.npz cannot be read; {again}") from None
    if not label.ndim:  # an older version said of all images at once that they have none
        label = np.broadcast_to(label, index.shape)
    if (
        h.ndim != 2
        or h.dtype.kind not in "fiu"
        or not (np.abs(h) < np.finfo(np.float32).max).all()
        or any(part.dtype.kind not in "iu" for part in (index, label, prediction))
        or any(part.shape != (len(h),) for part in (index, label, prediction, train))
        or len(np.unique(index)) != len(h)
    ):
        raise ValueError(f"embeddings.npz is not one entry an image; {again}")
    return index, h.astype(np.float32), label, prediction, train.astype(bool)


def _labels(run: Run, index: np.ndarray) -> np.ndarray:
    """The class of each image (n,) by umap.parquet; -1 where that does not say."""
    try:
        rows = pd.read_parquet(run.umap_file, columns=["index", "label"], page_checksum_verification=True)
        known = rows.drop_duplicates("index").set_index("index")["label"].astype(np.int64)
        return known.reindex(index, fill_value=-1).to_numpy()
    except Exception:  # missing, torn or foreign
        return np.full(index.shape, -1)


def _umap(run: Run, index: np.ndarray) -> dict[int, np.ndarray]:
    try:
        rows = pd.read_parquet(run.umap_file, columns=["x", "y", "index", "epoch"], page_checksum_verification=True)
        own = {int(epoch): of for epoch, of in rows.groupby("epoch") if np.array_equal(of["index"], index)}
        placed = {epoch: of[["x", "y"]].to_numpy(np.float32) for epoch, of in own.items()}
    except Exception:  # missing, torn or foreign
        return {}
    return {epoch: layout for epoch, layout in placed.items() if np.isfinite(layout).all()}


def pca(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """sslcore.analysis.layouts.pca of the run's h. Raises ValueError as `read` does."""
    return _pca(run.path, stamp(run.embeddings_file), stamp(run.umap_file))


@lru_cache(maxsize=64)
def _pca(folder: Path, *stamps: Stamp) -> tuple[np.ndarray, np.ndarray]:
    return layouts.pca(_read(folder, *stamps).h)


def classes(run: Run) -> list[str]:
    """The names of the classes, in their order; [] where they are not known."""
    return part(run.results(), "linear").get("classes") or []


def called(numbers: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Class numbers as names, "" for none."""
    known = {k: "" if k < 0 else names[k] if k < len(names) else f"class {k}" for k in np.unique(numbers).tolist()}
    return np.array([known[k] for k in numbers.tolist()], dtype=object)


def points(embedding: Embedding, layout: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """For figures.embedding.panel: x, y, index, class, predicted, split (train, test), probe (right, wrong; "": unknown)."""
    right = np.where(embedding.prediction == embedding.label, "right", "wrong")
    return pd.DataFrame(
        {
            "x": layout[:, 0],
            "y": layout[:, 1],
            "index": embedding.index,
            "class": called(embedding.label, names),
            "predicted": called(embedding.prediction, names),
            "split": np.where(embedding.train, "train", "test"),
            "probe": np.where((embedding.label < 0) | (embedding.prediction < 0), "", right),
        }
    )


def laid_over(embedding: Embedding, layout: np.ndarray, reference: Embedding) -> np.ndarray:
    """A layout of `embedding`, turned, mirrored, moved, scaled as its last one must be to lie over the reference's last."""
    _, own, other = np.intersect1d(embedding.index, reference.index, return_indices=True)
    if embedding is reference or len(own) < 3 or not embedding.umap or not reference.umap:
        return layout
    last, onto = (list(e.umap.values())[-1] for e in (embedding, reference))
    return layouts.procrustes(last[own], onto[other], layout)


def at_epoch(umap: Mapping[int, np.ndarray], epoch: int | None) -> tuple[int, np.ndarray]:
    """(epoch, layout) of the last kept epoch up to `epoch`, or the first one; None means the last."""
    past = [e for e in umap if epoch is None or e <= epoch]
    chosen = past[-1] if past else next(iter(umap))
    return chosen, umap[chosen]
