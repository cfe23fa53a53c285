"""Layouts of the sample: what is measured of them, how they are laid over each other, and snapshots through a resume."""

import sys

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.metrics import silhouette_samples

from sslcore import datasets
from sslcore.analysis.layouts import pca, procrustes
from sslcore.analysis.neighbours import nearest
from sslcore.endings import Stopped
from sslcore.evaluate import embed
from sslcore.evaluate.embed import (
    NEIGHBOURS,
    faithfulness,
    layout_once,
    measures,
    neighbourhood,
    preservation,
    read_snapshots,
    silhouette,
    umap_layout,
    umap_layouts,
)
from sslcore.evaluate.final import FinalEvaluation
from sslcore.train import take_snapshot
from sslcore.training import Training, initial
from tests.training.small import StopsAt, make_run, small_training, train


def clusters(n: int = 120, d: int = 20, noise: float = 0.4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 4
    return (np.eye(4, d)[labels] + noise * rng.normal(size=(n, d))).astype(np.float32), labels


def cosine_distances(h: np.ndarray) -> np.ndarray:
    h = h.astype(np.float64)
    distances = np.empty((len(h), len(h)))
    for i, a in enumerate(h):
        for j, b in enumerate(h):
            distances[i, j] = 1 - a @ b / np.sqrt((a @ a) * (b @ b))
    return distances


def euclidean_distances(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return np.array([[np.sqrt(((a - b) ** 2).sum()) for b in x] for a in x])


# -- Measures


@pytest.mark.parametrize("n, k", [(9, 3), (60, 15)])
def test_neighbourhood_preservation_is_its_definition(n, k):
    h, _ = clusters(n)
    layout = np.random.default_rng(1).normal(size=(n, 2)) + 3 * h[:, :2]
    shares = []
    for in_h, in_layout in zip(cosine_distances(h), euclidean_distances(layout)):
        i = len(shares)
        close = [[j for j in np.argsort(row) if j != i][:k] for row in (in_h, in_layout)]
        shares.append(len(set(close[0]) & set(close[1])) / k)
    assert preservation(h, layout) == pytest.approx(np.mean(shares), abs=1e-12)


def test_preservation_does_not_count_an_image_as_its_own_neighbour():
    """Pairs of twins in h that lie far apart in the layout: nothing is preserved but by chance."""
    h = np.repeat(np.random.default_rng(0).normal(size=(100, 30)), 2, axis=0)
    far = np.random.default_rng(1).normal(size=(200, 2))
    assert preservation(h, far) < 0.15
    assert preservation(h[::2, :2], h[::2, :2] / np.linalg.norm(h[::2, :2], axis=1, keepdims=True)) == 1


@pytest.mark.parametrize(("metric", "distances"), [("cosine", cosine_distances), ("euclidean", euclidean_distances)])
def test_silhouette_is_its_definition(metric, distances):
    x, labels = clusters(40)
    d = distances(x)
    values = []
    for i in range(len(x)):
        own = np.mean([d[i, j] for j in range(len(x)) if j != i and labels[j] == labels[i]])
        other = min(np.mean(d[i, labels == c]) for c in range(4) if c != labels[i])
        values.append((other - own) / max(own, other))
    assert silhouette(x, labels, metric) == pytest.approx(np.mean(values), abs=1e-5)
    assert silhouette(x, labels, metric) == pytest.approx(silhouette_samples(x, labels, metric=metric).mean(), abs=1e-6)


@pytest.mark.parametrize("labels", [None, np.zeros(40, int), np.arange(40)])
def test_no_silhouette_without_classes_to_compare(labels):
    assert silhouette(clusters(40)[0], labels, "cosine") is None


def test_a_good_layout_measures_better_than_a_random_one():
    h, labels = clusters()
    good, bad = measures(h, umap_layout(h), labels), measures(h, np.random.default_rng(0).normal(size=(120, 2)), labels)
    assert all(good[name] > bad[name] + 0.2 for name in good)


# -- Layouts


def test_pca_is_scikit_learns_on_unit_vectors():
    h, _ = clusters()
    unit = h / np.linalg.norm(h, axis=1, keepdims=True)
    theirs = PCA(2).fit(unit)
    layout, explained = pca(7 * h)
    np.testing.assert_allclose(np.abs(layout), np.abs(theirs.transform(unit)), atol=1e-4)
    np.testing.assert_allclose(explained, theirs.explained_variance_ratio_, rtol=1e-4)
    assert np.array_equal(layout, pca(7 * h)[0])


@given(st.integers(0, 10_000), st.floats(0, 6.28), st.booleans(), st.floats(0.01, 100), st.floats(-50, 50))
@settings(deadline=None, max_examples=50)
def test_procrustes_undoes_every_turn_mirror_scale_and_move(seed, angle, mirrored, scale, move):
    onto = np.random.default_rng(seed).normal(size=(30, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ np.diag([1, -1 if mirrored else 1])
    layout = scale * onto @ turn + move
    np.testing.assert_allclose(procrustes(layout, onto), onto, atol=1e-6)
    np.testing.assert_allclose(procrustes(layout[:10], onto[:10], layout), onto, atol=1e-6)


def test_procrustes_keeps_the_proportions_of_distances_and_is_the_nearest():
    rng = np.random.default_rng(0)
    layout, onto = rng.normal(size=(25, 2)), rng.normal(size=(25, 2))
    moved = procrustes(layout, onto)
    ratios = euclidean_distances(moved)[np.triu_indices(25, 1)] / euclidean_distances(layout)[np.triu_indices(25, 1)]
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-9)
    error = ((moved - onto) ** 2).sum()
    for _ in range(200):
        angle, grow = rng.normal(0, 0.3), np.exp(rng.normal(0, 0.2))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        assert ((grow * (moved - moved.mean(0)) @ turn + onto.mean(0) - onto) ** 2).sum() >= error - 1e-9


def test_procrustes_of_points_that_coincide_does_not_break():
    assert np.isfinite(procrustes(np.ones((8, 2)), np.random.default_rng(0).normal(size=(8, 2)))).all()


# -- Neighbours


def test_nearest_are_those_of_highest_cosine_without_the_image_itself():
    h, _ = clusters(50)
    for row in (0, 17, 49):
        order = [j for j in np.argsort(cosine_distances(h)[row], kind="stable") if j != row]
        rows, cosines = nearest(h, row, 5)
        assert rows.tolist() == order[:5]
        np.testing.assert_allclose(cosines, 1 - cosine_distances(h)[row][rows], atol=1e-5)
    assert len(nearest(h, 3, 500)[0]) == 49


# -- Large samples, and layouts that were made before


def test_trustworthiness_is_scikit_learns(monkeypatch):
    h, _ = clusters(150)
    layout = np.random.default_rng(1).normal(size=(150, 2)) + 3 * h[:, :2]
    monkeypatch.setattr(embed, "ROWS", 64)  # in several pieces
    assert faithfulness(h, layout) == pytest.approx(trustworthiness(h, layout, n_neighbors=NEIGHBOURS, metric="cosine"), abs=1e-9)
    for n, k in ((9, 3), (20, 8), (33, 15)):
        assert neighbourhood(n) == k, "as results.json says it"
        of_few = trustworthiness(h[:n], layout[:n], n_neighbors=k, metric="cosine")
        assert faithfulness(h[:n], layout[:n]) == pytest.approx(of_few, abs=1e-9)


def test_umaps_neighbours_are_the_nearest_with_the_image_itself_first(monkeypatch):
    monkeypatch.setattr(embed, "ROWS", 64)
    h = np.concatenate([clusters(140)[0], clusters(10)[0]])  # ten of them twice
    indices, distances = embed.nearest(h, 6)
    exact = np.sort(cosine_distances(h), axis=1)[:, :6]
    assert (indices[:, 0] == np.arange(150)).all() and (distances[:, 0] == 0).all()
    np.testing.assert_allclose(distances, exact, atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(cosine_distances(h), indices, axis=1), exact, atol=1e-6)


def test_a_layout_does_without_what_compiles_for_half_a_minute():
    assert umap_layout(clusters(40)[0]).shape == (40, 2)
    assert "umap" in sys.modules and not [name for name in sys.modules if name.startswith("pynndescent")]


def test_a_layout_is_made_once_for_what_it_depends_on(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_DATA", str(tmp_path))
    h, _ = clusters(40)
    made = layout_once(h)
    assert np.array_equal(made, umap_layout(h))
    (kept,) = (tmp_path / "layouts").iterdir()
    np.save(kept, made + 1)
    assert np.array_equal(layout_once(h.copy()), made + 1)
    changed = h.copy()
    changed[0, 0] += 1e-3
    for other in (layout_once(changed), layout_once(h, made), layout_once(h[:, :10])):
        assert not np.array_equal(other, made + 1)
    for damaged in (b"", kept.read_bytes()[:-9], b"no array"):
        kept.write_bytes(damaged)
        assert np.array_equal(layout_once(h), made)


def test_a_layout_is_made_where_none_can_be_kept(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TRIPTYCH_DATA", str(tmp_path / "file"))
    assert np.isfinite(layout_once(clusters(40)[0])).all()


# -- Epochs


def test_points_travel_less_than_between_layouts_that_are_only_laid_over_each_other():
    h = load_digits().data[:500].astype(np.float32)
    rng = np.random.default_rng(3)
    snapshots = {epoch: h + (3 - epoch) * rng.normal(size=h.shape).astype(np.float32) for epoch in (0, 1, 2)}
    last = umap_layout(h)
    layouts = umap_layouts(last, {epoch: x.astype(np.float16) for epoch, x in snapshots.items()})
    assert list(layouts) == [0, 1, 2] and all(x.dtype == np.float32 and np.isfinite(x).all() for x in layouts.values())

    alone = {3: last}
    for epoch in (2, 1, 0):
        alone[epoch] = procrustes(umap_layout(snapshots[epoch]), alone[epoch + 1])

    def travel(of_epoch):
        return sum(np.median(np.linalg.norm(of_epoch[epoch] - of_epoch[epoch + 1], axis=1)) for epoch in (0, 1, 2))

    assert travel(layouts | {3: last}) < 0.95 * travel(alone)
    for epoch, x in snapshots.items():
        assert faithfulness(x, layouts[epoch]) > faithfulness(x, alone[epoch]) - 0.01


def test_each_epochs_layout_starts_from_that_of_the_epoch_after_it(monkeypatch):
    rng, begun = np.random.default_rng(0), []
    last, *own = rng.normal(size=(4, 8, 2)).astype(np.float32)

    def made(h, start):
        begun.append((int(h[0, 0]), start))
        return own.pop()

    monkeypatch.setattr(embed, "layout_once", made)
    layouts = umap_layouts(last, {epoch: np.full((8, 3), epoch, np.float16) for epoch in (2, 0, 1)})
    assert [epoch for epoch, _ in begun] == [2, 1, 0] and list(layouts) == [0, 1, 2]
    for (_, start), after in zip(begun, (last, layouts[2], layouts[1])):
        np.testing.assert_array_equal(start, after)


def test_snapshots_are_h_of_their_epoch_and_survive_a_resume_bit_for_bit(shapes):
    settings = {"method": "byol", "evaluate.snapshots": 2, "epochs": 5}
    whole, parts, plain = (
        make_run(name, shapes, **settings | more)
        for name, more in (("whole", {}), ("parts", {}), ("plain", {"evaluate.snapshots": 0}))
    )
    trained = train(whole)
    for share in (0.1, 0.45, 0.8):
        with pytest.raises(Stopped):
            train(parts, StopsAt(parts, share))
    train(parts)
    kept, resumed = read_snapshots(whole), read_snapshots(parts)
    parts.snapshots_file.write_bytes(parts.snapshots_file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"^snapshots\.npz cannot be read \("):
        read_snapshots(parts)
    assert list(kept) == list(resumed) == [0, 2, 4]
    train(even := make_run("even", shapes, **settings | {"epochs": 2}))
    assert list(read_snapshots(even)) == [0], "h of the last epoch is what is measured"
    assert all(x.dtype == np.float16 and np.array_equal(x, resumed[epoch]) for epoch, x in kept.items())

    data = datasets.load(shapes, 16)
    evaluation = FinalEvaluation(whole.config, data, trained.views, trained.precision)
    untrained = evaluation.h(initial(whole.config, len(data.x_train), 3).encoder, data.images(datasets.sample(data, 48)))
    np.testing.assert_allclose(kept[0], untrained.numpy(), rtol=2e-3, atol=1e-3)

    expected = train(plain).method.state_dict()  # looking at h changes nothing in what is learnt
    assert all(torch.equal(value, expected[name]) for name, value in trained.method.state_dict().items())
    assert read_snapshots(plain) == {} and not plain.snapshots_file.exists()


def test_a_snapshot_of_h_beyond_its_numbers_is_of_the_largest_that_there_are(shapes, monkeypatch):
    training = small_training(shapes)
    monkeypatch.setattr("sslcore.train.features", lambda *_: torch.tensor([[1e6, -1e6, 0.5]]))
    take_snapshot(training, None, 0)
    assert training.snapshots[0].tolist() == [[65504.0, -65504.0, 0.5]]


def test_the_sample_has_the_predictions_that_the_probe_makes_of_the_same_images(shapes):
    run = make_run("predicted", shapes, method="simclr", epochs=1)
    training, data = train(run), datasets.load(shapes, 16)
    evaluation = FinalEvaluation(run.config, data, training.views, training.precision)
    untrained = initial(run.config, len(data.x_train), 3).encoder
    _, probe, said = evaluation.results(training.method.encoder, untrained)
    evaluation.embed(training.method.encoder, probe, run, {})
    with np.load(run.embeddings_file, allow_pickle=False) as kept:
        of_test = kept["index"][~kept["train"]]
        assert len(of_test) == 24 and np.array_equal(kept["prediction"][~kept["train"]], said["linear"][of_test - 96])
        assert np.array_equal(kept["label"], data.labels(kept["index"])) and len(set(kept["prediction"].tolist())) > 1


def test_the_embed_stage_lays_out_every_kept_epoch_and_measures_the_last(shapes):
    run = make_run("embedded", shapes, **{"method": "simclr", "evaluate.snapshots": 1})
    training: Training = train(run)
    data = datasets.load(shapes, 16)
    evaluation = FinalEvaluation(run.config, data, training.views, torch.float32)
    results = evaluation.embed(training.method.encoder, None, run, read_snapshots(run))
    layout = pd.read_parquet(run.umap_file)
    assert layout["epoch"].unique().tolist() == [0, 1, 2, 3]
    assert list(layout.columns) == ["x", "y", "index", "label", "epoch"]
    with np.load(run.embeddings_file, allow_pickle=False) as kept:
        assert all((rows["index"].to_numpy() == kept["index"]).all() for _, rows in layout.groupby("epoch"))
        assert (kept["train"] == (kept["index"] < len(data.x_train))).all()
        last = layout[layout["epoch"] == 3][["x", "y"]].to_numpy()
        again = measures(kept["h"], last, kept["label"])
        in_h = silhouette(kept["h"], kept["label"], "cosine")
    # H may be kept shorter than it was measured.
    assert {name: results["umap"][name] for name in again} == pytest.approx(again, abs=0.01)
    assert results["umap"]["k"] == 15 and results["umap"]["n"] == 48 and results["pca"]["k"] == 15
    assert sum(results["pca"]["explained_variance"]) <= 1
    assert results["umap"]["silhouette_h"] == results["pca"]["silhouette_h"] == pytest.approx(in_h, abs=0.01)
