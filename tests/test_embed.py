"""Layouts of the sample: what is measured of them, how they are laid over each other, and snapshots through a resume."""

import sys
from dataclasses import replace

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
    STARTED,
    faithfulness,
    keep_snapshots,
    layout_once,
    measures,
    neighbourhood,
    preservation,
    read_snapshots,
    silhouette,
    umap_layout,
    umap_layouts,
)
from sslcore.evaluate.final import FinalEvaluation, keep_predictions, shortened
from sslcore.experiment import Run
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


def test_a_layout_that_is_moved_as_a_whole_is_as_good_as_before():
    h, labels = clusters()
    layout = np.random.default_rng(1).normal(size=(120, 2)) + 3 * h[:, :2]
    before = measures(h, layout, labels)
    assert measures(h, layout + 50, labels) == pytest.approx(before, abs=1e-6)
    assert len(set(before.values())) == 3


@pytest.mark.parametrize("n", range(3, 9))
def test_few_images_have_layouts_that_can_be_measured(n):
    h, labels = clusters(n)
    assert all(-1 <= value <= 1 for value in measures(h, pca(h)[0], labels).values() if value is not None)


def test_no_layout_is_faithful_to_a_collapsed_encoder():
    """All its h are equal, so that any neighbours are as near as any others."""
    layout = np.random.default_rng(0).normal(size=(40, 2))
    told = measures(np.ones((40, 8), np.float32), layout, np.arange(40) % 2)
    assert told["trustworthiness"] is told["neighbourhood_preservation"] is None and told["silhouette"] is not None


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


def test_a_layout_that_is_a_single_place_makes_no_other_one_so():
    """A collapsed encoder's, beside which those of other runs and of earlier epochs are to be seen."""
    layout, place = np.random.default_rng(0).normal(size=(8, 2)), np.full((8, 2), 0.1)
    middle = layout.mean(0)
    np.testing.assert_allclose(procrustes(place, layout), np.tile(middle, (8, 1)))
    for moved in (procrustes(layout, place), procrustes(place, layout, layout)):
        np.testing.assert_allclose(euclidean_distances(moved), euclidean_distances(layout), atol=1e-9)


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
    assert not np.array_equal(layout_once(h, made), layout_once(h, made[::-1]))
    with monkeypatch.context() as patched:
        patched.setattr(embed, "MIN_DIST", 0.9)
        assert not np.array_equal(layout_once(h), made + 1), "with other settings"
    with monkeypatch.context() as patched:
        patched.setattr(embed, "version", lambda package: "another")
        assert np.array_equal(layout_once(h), made), "by another UMAP"
    for damaged in (b"", kept.read_bytes()[:-9], b"no array"):
        kept.write_bytes(damaged)
        assert np.array_equal(layout_once(h), made)
    np.save(kept, np.full_like(made, np.nan))  # an earlier version made those of a collapsed encoder
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


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_collapsed_encoder_has_a_layout_as_any_other(value):
    """All h alike, as where every ReLU is dead: its run failed in the embed stage. Epochs before the collapse are seen, too."""
    h, labels = clusters(40)
    collapsed = np.full_like(h, value)
    layout = umap_layout(collapsed)
    assert layout.shape == (40, 2) and np.isfinite(layout).all() and not np.ptp(layout, axis=0).any()
    assert all(measured is None or np.isfinite(measured) for measured in measures(collapsed, layout, labels).values())
    snapshots = {0: h.astype(np.float16), 1: collapsed.astype(np.float16)}
    for last in (layout, umap_layout(h)):
        layouts = umap_layouts(last, snapshots)
        assert not np.ptp(layouts[1], axis=0).any() and faithfulness(h, layouts[0]) > 0.8


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
    assert list(kept) == list(resumed) == [0, 2, 4]
    train(even := make_run("even", shapes, **settings | {"epochs": 2}))
    assert list(read_snapshots(even)) == [0], "h of the last epoch is what is measured"
    assert all(x.dtype == np.float16 and np.array_equal(x, resumed[epoch]) for epoch, x in kept.items())

    data = datasets.load(shapes, 16)
    with np.load(whole.snapshots_file, allow_pickle=False) as file:
        assert np.array_equal(file["index"], datasets.sample(data, 48)), "of which images"
    evaluation = FinalEvaluation(whole.config, data, trained.views, trained.precision)
    untrained = evaluation.h(initial(whole.config, len(data.x_train), 3).encoder, data.images(datasets.sample(data, 48)))
    np.testing.assert_allclose(kept[0], untrained.numpy(), rtol=2e-3, atol=1e-3)

    expected = train(plain).method.state_dict()  # looking at h changes nothing in what is learnt
    assert all(torch.equal(value, expected[name]) for name, value in trained.method.state_dict().items())
    assert read_snapshots(plain) == {} and not plain.snapshots_file.exists()


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "without h"])
def test_damaged_snapshots_are_told_in_words(shapes, damage):
    run = make_run("damaged", shapes)
    keep_snapshots(run, {0: np.zeros((4, 2), np.float16), 5: np.ones((4, 2), np.float16)}, np.arange(4))
    assert [int(h[0, 0]) for h in read_snapshots(run).values()] == [0, 1]
    whole = run.snapshots_file.read_bytes()
    if damage == "without h":
        np.savez(run.snapshots_file, epoch=np.arange(2))
    else:
        run.snapshots_file.write_bytes({"cut": whole[:-100], "empty": b"", "foreign": b"no array"}[damage])
    with pytest.raises(ValueError, match=r"^snapshots\.npz cannot be read \("):
        read_snapshots(run)


def few_images(shapes: str, labelled: bool) -> tuple[Run, FinalEvaluation, torch.nn.Module]:
    """A run of 12 + 8 images, all of which are its sample, to be measured with an untrained encoder."""
    run, data = make_run("few", shapes), datasets.load(shapes, 16)
    few = replace(data, x_train=data.x_train[:12], x_test=data.x_test[:8], y_train=data.y_train[:12], y_test=data.y_test[:8])
    if not labelled:
        few = replace(few, y_train=None, y_test=None, classes=())
    training = Training(run.config, data, torch.device("cpu"))
    return run, FinalEvaluation(run.config, few, training.views, torch.float32), training.method.encoder


def test_what_the_sample_has_no_labels_and_predictions_of_is_minus_one(shapes):
    run, evaluation, encoder = few_images(shapes, labelled=False)
    results = evaluation.embed(encoder, None, run, {})
    assert (results["umap"]["n"], results["umap"]["k"], results["umap"]["silhouette"]) == (20, 8, None)
    with np.load(run.embeddings_file, allow_pickle=False) as kept:
        assert (kept["label"] == -1).all() and (kept["prediction"] == -1).all()
        assert kept["index"].tolist() == list(range(20)) and kept["train"].tolist() == 12 * [True] + 8 * [False]
    assert (pd.read_parquet(run.umap_file)["label"] == -1).all()


def test_h_is_kept_short_and_not_as_half_floats_whose_bounds_it_may_leave(shapes):
    run, evaluation, encoder = few_images(shapes, labelled=True)
    h = evaluation.h(encoder, evaluation.data.x_test) * 1e6
    evaluation.h = lambda *_: torch.cat([h, h, h])[:20]
    evaluation.embed(encoder, None, run, {})
    with np.load(run.embeddings_file, allow_pickle=False) as kept:
        np.testing.assert_allclose(kept["h"][:8], h, rtol=2**-11)
        assert h.max() > np.finfo(np.float16).max and np.array_equal(kept["h"], shortened(kept["h"]))


def test_what_cannot_be_written_leaves_what_was_there(shapes, monkeypatch):
    run, evaluation, encoder = few_images(shapes, labelled=True)
    said = {"index": np.array([0, 100_000]), "label": np.array([0, 300]), "linear": np.zeros(2), "knn": np.ones(2)}

    def write():
        keep_snapshots(run, {0: np.zeros((4, 2), np.float16)}, np.arange(4))

    writers = {
        run.snapshots_file: write,
        run.predictions_file: lambda: keep_predictions(said, run),
        run.embeddings_file: lambda: evaluation.embed(encoder, None, run, {}),
        run.umap_file: lambda: evaluation.embed(encoder, None, run, {}),
    }
    for file, write_it in writers.items():
        write_it()
        before = file.read_bytes()

        def half_way(target, *_, **__):
            target.write(b"half") if hasattr(target, "write") else target.write_bytes(b"half")
            raise RuntimeError("half way")

        with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="half way"):
            for where, name in ((np, "savez"), (np, "savez_compressed")):
                patched.setattr(where, name, half_way)
            if file == run.umap_file:
                patched.undo()
                patched.setattr(pd.DataFrame, "to_parquet", lambda frame, target, **_: half_way(target))
            write_it()
        assert file.read_bytes() == before
    with np.load(run.predictions_file, allow_pickle=False) as kept:
        assert all(np.array_equal(kept[name], values) for name, values in said.items())
    keep_predictions(None, run)
    assert not run.predictions_file.exists(), "of labels that are no more"


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
    run = make_run("embedded", shapes, **{"method": "simclr", "evaluate.snapshots": 2, "epochs": 4})
    training: Training = train(run)
    data = datasets.load(shapes, 16)
    evaluation = FinalEvaluation(run.config, data, training.views, torch.float32)
    results = evaluation.embed(training.method.encoder, None, run, read_snapshots(run))
    layout = pd.read_parquet(run.umap_file)
    assert layout["epoch"].unique().tolist() == [0, 2, 4]
    assert list(layout.columns) == ["x", "y", "index", "label", "epoch"]
    with np.load(run.embeddings_file, allow_pickle=False) as kept:
        assert all((rows["index"].to_numpy() == kept["index"]).all() for _, rows in layout.groupby("epoch"))
        assert (kept["train"] == (kept["index"] < len(data.x_train))).all()
        last, before = (layout[layout["epoch"] == epoch][["x", "y"]].to_numpy() for epoch in (4, 2))
        np.testing.assert_allclose(procrustes(before, last), before, atol=1e-3)  # it lies upon the one after it
        again = measures(kept["h"], last, kept["label"])
        of_pca = measures(kept["h"], pca(kept["h"])[0], kept["label"])
        in_h = silhouette(kept["h"], kept["label"], "cosine")
    # H may be kept shorter than it was measured.
    assert {name: results["umap"][name] for name in again} == pytest.approx(again, abs=0.01)
    assert {name: results["pca"][name] for name in of_pca} == pytest.approx(of_pca, abs=0.01)
    assert of_pca != again
    assert not STARTED.keys() & results["umap"].keys(), "the last layout starts from no other"
    assert results["umap"]["k"] == 15 and results["umap"]["n"] == 48 and results["pca"]["k"] == 15
    assert sum(results["pca"]["explained_variance"]) <= 1
    assert results["umap"]["silhouette_h"] == results["pca"]["silhouette_h"] == pytest.approx(in_h, abs=0.01)


def test_without_labels_no_predictions_of_before_are_left(shapes):
    run = make_run("p", shapes)
    keep_predictions({"index": np.arange(3)}, run)
    assert run.predictions_file.exists()
    keep_predictions(None, run)
    assert not run.predictions_file.exists()
