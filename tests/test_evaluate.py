"""Probe, kNN, geometry and layout, against references and against their own definitions."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from sslcore import datasets
from sslcore.analysis.stats import of_accuracy
from sslcore.augment import Views
from sslcore.config import resolve
from sslcore.encoders import build_encoder
from sslcore.endings import Failed
from sslcore.evaluate import probe as probe_module
from sslcore.evaluate.embed import faithfulness, umap_layout
from sslcore.evaluate.features import encode, features
from sslcore.evaluate.final import FinalEvaluation, shortened
from sslcore.evaluate.geometry import alignment, effective_rank, geometry, spread, uniformity
from sslcore.evaluate.knn import knn_predict
from sslcore.evaluate.online import OnlineEvaluation
from sslcore.evaluate.probe import fit_probe, minimise, score


def clusters(n: int, classes: int = 4, d: int = 20, noise: float = 1.5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    centres = torch.randn(classes, d, generator=generator)
    generator.manual_seed(seed)
    y = torch.arange(n) % classes
    return centres[y] + noise * torch.randn(n, d, generator=generator), y


# -- kNN


@pytest.mark.parametrize("k", [1, 5, 20])
def test_knn_is_scikit_learns_with_cosine_distance_and_these_weights(k):
    train, y = clusters(200)
    queries, _ = clusters(90, seed=1)
    theirs = KNeighborsClassifier(k, metric="cosine", weights=lambda d: np.exp(-d / 0.1)).fit(train.numpy(), y.numpy())
    ours = knn_predict(train, y, queries, k, 0.1, classes=4)
    assert (ours.numpy() == theirs.predict(queries.numpy())).mean() > 0.98  # ties may fall differently


def test_knn_ignores_the_length_of_h_and_takes_any_k():
    train, y = clusters(30)
    queries, _ = clusters(20, seed=1)
    longer = queries * torch.rand(20, 1) * 10
    assert torch.equal(knn_predict(train, y, queries, 5, 0.1, 4), knn_predict(train, y, longer, 5, 0.1, 4))
    assert len(knn_predict(train, y, queries, 1000, 0.1, 4)) == 20


def test_knn_takes_any_precision():
    train, y = clusters(30)
    queries, _ = clusters(20, seed=1)
    usual = knn_predict(train, y, queries, 5, 0.1, 4)
    assert torch.equal(knn_predict(train.double(), y, queries.double(), 5, 0.1, 4), usual)


def test_at_a_low_temperature_the_nearest_decides():
    random = torch.Generator().manual_seed(0)
    train, queries = torch.randn(300, 8, generator=random), torch.randn(100, 8, generator=random)
    labels = torch.randint(0, 10, (300,), generator=random)
    nearest = (torch.nn.functional.normalize(queries) @ torch.nn.functional.normalize(train).T).argmax(1)
    assert torch.equal(knn_predict(train, labels, queries, 20, 1e-4, 10), labels[nearest])


# -- Linear probe


@pytest.mark.parametrize("regularisation", [1e-1, 1e-3])
def test_the_minimum_is_scikit_learns(regularisation):
    h, y = clusters(300)
    x = torch.from_numpy(StandardScaler().fit_transform(h.numpy()))
    weight, bias = minimise(x, y, 4, regularisation)
    theirs = LogisticRegression(C=1 / (regularisation * len(x)), tol=1e-8, max_iter=2000).fit(x.numpy(), y.numpy())
    ours_p = (x @ weight.T + bias).softmax(1).numpy()
    np.testing.assert_allclose(ours_p, theirs.predict_proba(x.numpy()), atol=5e-3)


@pytest.mark.parametrize(("n", "dim", "rank"), [(300, 40, 40), (40, 64, 64), (200, 64, 3)])
def test_the_loss_is_scikit_learns_where_features_are_correlated_or_more_than_images(n, dim, rank):
    """Each lambda of the path, weak ones too, where the loss is flat along most weights and steep along some."""
    random = torch.Generator().manual_seed(0)
    x = torch.randn(n, rank, generator=random) @ (torch.randn(rank, dim, generator=random) * torch.logspace(0, -2, rank)[:, None])
    y = (x @ torch.randn(dim, 5, generator=random) + torch.randn(n, 5, generator=random)).argmax(1)
    x = torch.from_numpy(StandardScaler().fit_transform(x.numpy()))
    start = None
    for regularisation in probe_module.REGULARISATION:
        start = minimise(x, y, 5, regularisation, start)
        theirs = LogisticRegression(C=1 / (regularisation * n), tol=1e-9, max_iter=20_000).fit(x.double().numpy(), y.numpy())
        ours, best = (
            float(F.cross_entropy(x.double() @ weight.T + bias, y) + regularisation / 2 * weight.square().sum())
            for weight, bias in ([w.double() for w in start], map(torch.from_numpy, (theirs.coef_, theirs.intercept_)))
        )
        assert best * (1 - 1e-6) < ours < best * (1 + 1e-2)


@pytest.mark.parametrize("value", [0.0, 100.0, 1e20])
def test_features_that_do_not_vary_tell_nothing(value):
    """But for rounding, which grows with the value."""
    h = torch.full((600, 32), value) * (1 + 1e-7 * torch.randn(600, 32))
    h[:, 0] = torch.arange(600) % 3  # but for one, which tells the classes apart
    probe = fit_probe(h, torch.arange(600) % 3, 3)
    assert torch.equal(probe.predict(h), torch.arange(600) % 3)
    assert torch.isfinite(probe.weight).all()


def test_the_probe_standardises_by_train_and_predicts_as_well_as_scikit_learn():
    h, y = clusters(400)
    test, truth = clusters(200, seed=1)
    shift, scale = torch.randn(20) * 50, torch.rand(20) * 100 + 0.1
    probe = fit_probe(h * scale + shift, y, 4)
    theirs = LogisticRegression(max_iter=2000).fit(h.numpy(), y.numpy()).score(test.numpy(), truth.numpy())
    ours = float((probe.predict(test * scale + shift) == truth).float().mean())
    assert ours > theirs - 0.03


def test_lambda_is_chosen_on_held_out_training_images_alone(monkeypatch):
    """Pure noise: only the strongest lambda generalises; and no call ever sees the whole of train before the last."""
    torch.manual_seed(0)
    h, y = torch.randn(200, 100), torch.arange(200) % 4
    h[:, 0] += 2 * y
    sizes = []
    original = probe_module.minimise

    def spy(x, *rest):
        sizes.append(len(x))
        return original(x, *rest)

    monkeypatch.setattr(probe_module, "minimise", spy)
    chosen = fit_probe(h, y, 4).regularisation
    assert sizes == [160] * len(probe_module.REGULARISATION) + [200]
    assert chosen >= 1e-2


def test_lambda_is_chosen_on_some_of_every_class_where_images_are_few(monkeypatch):
    """Held out at random, with few images a class, the fifth has classes of which none are left to learn from."""
    seen, original = [], probe_module.minimise
    monkeypatch.setattr(probe_module, "minimise", lambda x, y, *rest: seen.append(y.bincount().tolist()) or original(x, y, *rest))
    h, y = clusters(12, noise=0.1)
    probes = [fit_probe(h[:n], y[:n], 4) for n in (12, 8, 5, 4)]
    assert seen[0] == seen[4] == [2, 2, 2, 2] and seen[6] == seen[10] == [1, 1, 1, 1], (
        "one of each class is held out, of three or of two"
    )
    assert seen[12] == [1, 1, 1, 1] and seen[17] == [2, 1, 1, 1], "never the only image of a class"
    assert len(seen) == 19 and probes[-1].regularisation == probe_module.WITHOUT_CHOICE, (
        "where none can be held out there is no choice"
    )


def test_scores_add_up_and_the_interval_is_wilsons():
    truth = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
    predicted = np.array([0, 0, 1, 1, 1, 2, 2, 2, 0, 2])
    result = score(predicted, truth, ("a", "b", "c", "never"))
    p, n, z = 0.8, 10, 1.959964
    centre, half = (p + z**2 / (2 * n)) / (1 + z**2 / n), z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert result["accuracy"] == 0.8
    assert result["ci95"] == pytest.approx([centre - half, centre + half], abs=1e-6)
    assert np.sum(result["confusion"]) == 10 and np.trace(result["confusion"]) == 8
    assert result["confusion"][0][1] == 1  # rows are the truth
    assert result["per_class"] == {"a": pytest.approx(2 / 3), "b": 1.0, "c": pytest.approx(0.8), "never": None}


# -- The encoder stays as it is


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_leaves_weights_buffers_and_mode_bit_identical(shapes, training):
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 8})
    data = datasets.load(shapes, 16)
    encoder = build_encoder("small", 16).train(training)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    views = Views(config.augment, [0.5] * 3, [0.25] * 3)
    evaluation = FinalEvaluation(config, data, views, torch.float32)
    results, _, predictions = evaluation.results(encoder, build_encoder("small", 16))
    assert encoder.training == training
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert 0 <= results["linear"]["ci95"][0] <= results["linear"]["accuracy"] <= results["linear"]["ci95"][1] <= 1
    for name in ("linear", "knn"):
        assert (predictions[name] == predictions["label"]).mean() == results[name]["accuracy"]
    assert np.array_equal(predictions["label"], data.labels(predictions["index"])) and len(predictions["index"]) == len(
        data.x_test
    )


def blind(encoder: torch.nn.Module) -> torch.nn.Module:
    """The encoder, made to say the same of every image."""
    with torch.no_grad():
        encoder.conv1.weight.zero_()
    return encoder


def test_the_baselines_are_those_of_the_untrained_encoder_and_of_pixels_as_both_see_them(shapes, monkeypatch):
    monkeypatch.setattr("sslcore.evaluate.labels.DRAWS", {1.0: 1})
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 8, "evaluate.heads": False})
    data = datasets.load(shapes, 16)
    evaluation = FinalEvaluation(config, data, Views(config.augment, [0.5] * 3, [0.25] * 3), torch.float32)
    torch.manual_seed(0)
    sees, blinded = build_encoder("small", 16), blind(build_encoder("small", 16))
    for trained, untrained in ((sees, blinded), (blinded, sees)):
        results, _, _ = evaluation.results(trained, untrained)
        alone, _, _ = evaluation.results(untrained, untrained)
        baseline = results["baselines"]["random_encoder"]
        assert baseline == {name: alone[name]["accuracy"] for name in ("knn", "linear")}
        assert abs(baseline["linear"] - results["linear"]["accuracy"]) > 0.2, "the two can be told apart"
        (of_all,) = results["label_efficiency"]
        assert (of_all["accuracy"], of_all["random_encoder"]) == (results["linear"]["accuracy"], baseline["linear"])
    (train, test), _ = evaluation.pixels()
    seen = (data.x_train.transpose(0, 3, 1, 2).reshape(96, -1) / 255 - 0.5) / 0.25
    np.testing.assert_allclose(train.numpy(), seen, rtol=1e-5, atol=1e-6)
    pixels = knn_predict(train, evaluation.y_train, test, config.evaluate.knn_k, config.evaluate.knn_temperature, 3).numpy()
    assert results["baselines"]["pixels"]["knn"] == (pixels == data.y_test).mean()


@pytest.mark.parametrize("labelled", [True, False])
def test_every_part_of_the_results_says_how_it_was_obtained(shapes, labelled):
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 8, "evaluate.labels": False})
    data, encoder = datasets.load(shapes, 16), build_encoder("small", 16)
    data = data if labelled else replace(data, y_train=None, y_test=None)
    evaluation = FinalEvaluation(config, data, Views(config.augment, [0.5] * 3, [0.25] * 3), torch.float32)
    results, _, _ = evaluation.results(encoder, encoder, torch.nn.Linear(256, 8))
    parts = {name for name, part in results.items() if isinstance(part, dict)}
    assert {"geometry", "heads"} <= parts and all(results[name]["protocol"] for name in parts)


def test_what_was_said_of_each_test_image_names_that_image_and_adds_up_to_the_accuracies(shapes):
    settings = {"evaluate.labels": False, "evaluate.heads": False, "evaluate.knn_k": 200}
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 8} | settings)
    data, encoder = datasets.load(shapes, 16), build_encoder("small", 16)
    data = replace(data, y_train=np.random.default_rng(0).permutation(data.y_train))  # of which the probes make what they will
    evaluation = FinalEvaluation(config, data, Views(config.augment, [0.5] * 3, [0.25] * 3), torch.float32)
    results, probe, said = evaluation.results(encoder, encoder, torch.nn.Linear(256, 8))
    assert not {"heads", "label_efficiency"} & results.keys(), "what was not asked for"
    assert results["linear"]["regularisation"] == probe.regularisation
    assert np.array_equal(data.images(said["index"]), data.x_test) and np.array_equal(data.labels(said["index"]), said["label"])
    for name in ("linear", "knn"):
        assert results[name]["accuracy"] == pytest.approx((said[name] == data.y_test).mean())
    assert results["linear"]["accuracy"] != results["knn"]["accuracy"], "the two can be told apart"
    assert results["knn"]["k"] == results["knn"]["n_train"] == 96, "no more can vote than there are"


def test_while_training_every_run_is_measured_on_the_same_images_and_views(shapes):
    data, encoder, seen = datasets.load(shapes, 16), build_encoder("small", 16), []
    for seed in (0, 1):
        settings = {"evaluate.knn_train": 40, "evaluate.sample": 20, "evaluate.knn_k": 3, "augment.solarize": 1.0}
        config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 8, "seed": seed, **settings})
        evaluation = OnlineEvaluation(config, data, Views(config.augment, [0.5] * 3, [0.25] * 3), torch.float32)
        assert np.array_equal(np.asarray(evaluation.x_queries), data.x_test[evaluation.queries]), "test images"
        assert np.array_equal(np.asarray(evaluation.x_neighbours), data.x_train[evaluation.neighbours])
        assert (len(set(evaluation.neighbours)), len(set(evaluation.queries))) == (40, 20), "as many as the settings say"
        for _ in range(2):
            torch.rand(seed + 1)
            seen.append((evaluation.neighbours.tolist(), evaluation.queries.tolist(), evaluation(encoder)))
    assert all(one == seen[0] for one in seen)


def test_knn_while_training_asks_test_images_for_their_own_labels(shapes):
    torch.manual_seed(2)
    data, encoder, draw = datasets.load(shapes, 16), build_encoder("small", 16), np.random.default_rng(0)
    data = replace(data, y_train=draw.permutation(data.y_train), y_test=draw.permutation(data.y_test))
    settings = {"evaluate.knn_train": 40, "evaluate.sample": 30, "evaluate.knn_k": 3, "evaluate.knn_temperature": 0.02}
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 8, **settings})
    views = Views(config.augment, [0.5] * 3, [0.25] * 3)
    online = OnlineEvaluation(config, data, views, torch.float32)
    train, test = (
        features(encoder, x[some], views, torch.float32)
        for x, some in ((data.x_train, online.neighbours), (data.x_test, online.queries))
    )
    train_labels, said = torch.from_numpy(data.y_train[online.neighbours]), online(encoder)["knn"]

    def right(k: int, temperature: float, labels: np.ndarray) -> float:
        return (knn_predict(train, train_labels, test, k, temperature, 3).numpy() == labels[online.queries]).mean()

    assert said == right(3, 0.02, data.y_test), "to the last digit: 73 of 80 are 91.2 % on every page"
    others = right(3, 0.1, data.y_test), right(20, 0.02, data.y_test), right(3, 0.02, data.y_train)
    assert all(said != pytest.approx(other) for other in others), "they can be told apart"


def test_while_training_without_labels_geometry_alone_is_measured(shapes):
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 8})
    data, views = datasets.load(shapes, 16), Views(config.augment, [0.5] * 3, [0.25] * 3)
    data = replace(data, y_train=None, y_test=None)
    measured = OnlineEvaluation(config, data, views, torch.float32)(build_encoder("small", 16))
    assert set(measured) == {"alignment", "uniformity", "effective_rank", "std"} and np.isfinite(list(measured.values())).all()


def test_geometry_is_measured_on_a_first_and_a_second_view(shapes):
    """With solarization alone, which the second view has and the first has not."""
    off = {"crop_min": 1.0, "flip": 0.0, "jitter": 0.0, "hue": 0.0, "grayscale": 0.0, "blur": 0.0}
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 8} | {f"augment.{name}": off[name] for name in off})
    data, encoder = datasets.load(shapes, 16), build_encoder("small", 16)
    alignments = []
    for share in (0.0, 1.0):
        views = Views(config.augment.model_copy(update={"solarize": share}), [0.5] * 3, [0.25] * 3)
        alignments.append(OnlineEvaluation(config, data, views, torch.float32).geometry(encoder)["alignment"])
    assert alignments[0] == pytest.approx(0, abs=1e-6) and alignments[1] > 1e-3


def test_a_set_whose_test_images_are_not_independent_says_so_beside_its_interval(shapes):
    config = resolve(
        {
            "dataset": "photos",
            "image_size": 16,
            "batch_size": 8,
            "evaluate.labels": False,
            "evaluate.heads": False,
            "evaluate.sample": 50,
        }
    )
    encoder, views = build_encoder("small", 16), Views(config.augment, [0.5] * 3, [0.25] * 3)
    for dataset, told in (("photos", True), (shapes, False)):
        data = datasets.load(dataset, 16)
        parts = ("x_train", "y_train", "x_test", "y_test", *["groups"] * told)
        few = replace(data, **{name: getattr(data, name)[::20] for name in parts})
        results, _, predicted = FinalEvaluation(config, few, views, torch.float32).results(encoder, encoder)
        for probe in ("linear", "knn"):
            interval = of_accuracy(predicted[probe] == few.y_test, few.groups)
            assert results[probe]["ci95"] == list(interval) and ("group" in predicted) == told == (few.groups is not None)
        assert ("not about other photographs" in results["linear"]["protocol"]) == told
        assert results["linear"]["protocol"].startswith("multinomial logistic regression")


def test_what_accuracy_is_out_of_reach_stands_beside_both_probes(shapes):
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 8, "evaluate.labels": False, "evaluate.heads": False})
    encoder, views = build_encoder("small", 16), Views(config.augment, [0.5] * 3, [0.25] * 3)
    data = datasets.load(shapes, 16)
    trained = data.y_train != 2
    lacking = replace(data, x_train=data.x_train[trained], y_train=data.y_train[trained])
    for of, told in ((lacking, True), (data, False)):
        results, _, _ = FinalEvaluation(config, of, views, torch.float32).results(encoder, encoder)
        for probe in ("linear", "knn"):
            assert ("16 of 48 test images cannot be got right" in results[probe]["protocol"]) == told


def test_features_do_not_depend_on_how_they_are_batched(shapes, monkeypatch):
    data = datasets.load(shapes, 16)
    encoder, views = build_encoder("small", 16), Views(resolve({}).augment, [0.5] * 3, [0.25] * 3)
    whole = features(encoder, data.x_train, views, torch.float32)
    monkeypatch.setattr("sslcore.evaluate.features.BATCH", 7)
    torch.testing.assert_close(features(encoder, data.x_train, views, torch.float32), whole)


def test_h_is_computed_in_the_runs_precision_and_given_in_float32():
    layer, x = torch.nn.Linear(64, 8), torch.rand(5, 64)
    exact, rounded = (encode(layer, x, precision) for precision in (torch.float32, torch.bfloat16))
    assert torch.equal(exact, layer(x)) and rounded.dtype == torch.float32
    assert torch.equal(rounded, rounded.bfloat16().float()) and not torch.equal(exact, exact.bfloat16().float())
    torch.testing.assert_close(rounded, exact, atol=0.02, rtol=0.02)


# -- Geometry


def test_an_h_that_overflows_is_told_and_not_measured():
    encoder = build_encoder("small", 16)
    with torch.no_grad():
        encoder.conv1.weight.fill_(1e38)
    with pytest.raises(Failed, match="h is NaN or infinite for some images"):
        features(encoder, np.full((4, 16, 16, 3), 200, np.uint8), Views(resolve({}).augment, [0.5] * 3, [0.2] * 3), torch.float32)


def test_geometry_at_its_extremes():
    spread_out, same = torch.randn(400, 32), torch.ones(400, 32)
    assert alignment(spread_out, spread_out * 3) == pytest.approx(0, abs=1e-6)
    assert alignment(spread_out, torch.randn(400, 32)) == pytest.approx(2, abs=0.05)
    # Nearer, as no angle is obtuse.
    assert alignment(spread_out.relu(), torch.randn(400, 32).relu()) == pytest.approx(2 - 2 / math.pi, abs=0.05)
    assert uniformity(same) == pytest.approx(0, abs=1e-5)
    assert uniformity(spread_out) == pytest.approx(-4, abs=0.3)
    assert effective_rank(same) == pytest.approx(1, abs=1e-2)
    assert 28 < effective_rank(spread_out) <= 32
    assert spread(same) == pytest.approx(0, abs=1e-6)
    assert spread(torch.linspace(-1, 1, 32).repeat(400, 1)) == pytest.approx(0, abs=1e-6), "over images, not within one"
    assert spread(spread_out) == pytest.approx(1, abs=0.02)
    assert spread(torch.tensor([[1.0], [-1.0]])) == 1, "never more"


def test_each_measure_of_geometry_stands_under_its_name_and_is_of_the_first_view():
    h1, h2 = torch.randn(60, 8), torch.randn(60, 8) * torch.linspace(0, 3, 8)
    assert geometry(h1, h2) == {
        "alignment": alignment(h1, h2),
        "uniformity": uniformity(h1),
        "effective_rank": effective_rank(h1),
        "std": spread(h1),
    }


def test_an_encoder_that_says_nothing_has_collapsed():
    nothing = torch.zeros(10, 4)
    assert effective_rank(nothing) == 1 and uniformity(nothing) == pytest.approx(0, abs=1e-6) and spread(nothing) == 0


def test_geometry_is_that_of_its_definition_over_all_pairs_and_singular_values(monkeypatch):
    monkeypatch.setattr("sslcore.evaluate.geometry.CHUNK", 64)
    torch.manual_seed(0)
    for n, d in ((150, 32), (40, 100)):
        h = torch.randn(n, d) * torch.linspace(0.1, 3, d)
        rows = torch.nn.functional.normalize(h.double(), dim=1)
        assert uniformity(h) == pytest.approx(float((-2 * torch.pdist(rows).square()).exp().mean().log()), abs=1e-5)
        share = torch.linalg.svdvals(rows) / torch.linalg.svdvals(rows).sum()
        assert effective_rank(h) == pytest.approx(float((-(share * share.log()).sum()).exp()), rel=1e-5)


def test_effective_rank_counts_directions():
    basis = torch.linalg.qr(torch.randn(32, 5)).Q
    h = torch.randn(500, 5) @ basis.T
    assert effective_rank(h) == pytest.approx(5, abs=0.3)
    longer = h * torch.logspace(0, 3, 500)[:, None]
    assert effective_rank(longer) == pytest.approx(effective_rank(h), abs=1e-3), "RankMe of rows of length one"


# -- Layout


def test_umap_keeps_neighbourhoods_and_is_the_same_for_the_same_h():
    h = clusters(120, noise=0.3)[0].numpy()
    layout = umap_layout(h)
    assert layout.shape == (120, 2) and np.isfinite(layout).all()
    assert np.array_equal(layout, umap_layout(h))
    assert faithfulness(h, layout) > 0.85
    assert faithfulness(h, np.random.default_rng(0).normal(size=(120, 2))) < 0.6


@pytest.mark.parametrize("n", [8, 17])
def test_umap_takes_samples_smaller_than_its_neighbourhoods(n):
    h, _ = clusters(n)
    layout = umap_layout(h.numpy())
    assert layout.shape == (n, 2) and 0 <= faithfulness(h.numpy(), layout) <= 1


@given(st.lists(st.floats(0, 2.0**100, width=32, allow_subnormal=False), min_size=1, max_size=20))
def test_shortened_numbers_are_as_precise_as_half_floats(numbers):
    h = np.array([numbers, numbers], dtype=np.float32)
    short = shortened(h)
    assert short.dtype == np.float32 and short.shape == h.shape
    np.testing.assert_allclose(short, h, rtol=2**-11)
    np.testing.assert_array_equal(shortened(short), short)


@pytest.mark.parametrize("images", [12, 40])
def test_a_feature_that_is_dead_in_training_counts_for_nothing_in_other_images(images):
    """As of a ReLU, on the images of a small share of the labels: fewer of them than features, and more."""
    h, y = clusters(images)
    test, truth = clusters(200, seed=1)
    dead = torch.rand(200, 4, generator=torch.Generator().manual_seed(2))
    probe = fit_probe(torch.cat([h, torch.zeros(images, 4)], 1), y, 4)
    with_dead, without = (probe.predict(torch.cat([test, more], 1)) for more in (dead, torch.zeros_like(dead)))
    assert torch.equal(with_dead, without)
    assert float((without == fit_probe(h, y, 4).predict(test)).float().mean()) > 0.98, "but for ties"
    assert float((without == truth).float().mean()) > 0.5


def test_of_fewer_images_than_features_the_probe_is_the_minimum_over_all_weights():
    h, y = torch.randn(6, 64, generator=torch.Generator().manual_seed(0)), torch.arange(6)
    probe = fit_probe(h, y, 6)
    x = ((h - probe.mean) / probe.std).double()
    theirs = LogisticRegression(C=1 / (probe.regularisation * 6), tol=1e-9, max_iter=20_000).fit(x.numpy(), y.numpy())
    ours, best = (
        float(F.cross_entropy(x @ weight.T + bias, y) + probe.regularisation / 2 * weight.square().sum())
        for weight, bias in (
            (probe.weight.double(), probe.bias.double()),
            map(torch.from_numpy, (theirs.coef_, theirs.intercept_)),
        )
    )
    assert ours < best * (1 + 1e-3)


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_single_image_whose_h_overflows_is_enough(wrong):

    class Broken(torch.nn.Flatten):
        def forward(self, x):
            return super().forward(x).index_fill(0, torch.tensor([1]), wrong)

    with pytest.raises(Failed, match="for some images"):
        encode(Broken(), torch.ones(3, 3, 4, 4), torch.float32)


def test_while_training_neighbours_and_queries_are_from_all_over_their_sets(shapes):
    """As they lie, images of one class may come first."""
    data = datasets.load(shapes, 16)
    config = resolve({"dataset": shapes, "image_size": 16, "batch_size": 8, "evaluate.knn_train": 30, "evaluate.sample": 20})
    made = OnlineEvaluation(config, data, Views(config.augment, [0.5] * 3, [0.25] * 3), torch.float32)
    assert made.neighbours[-1] > 60 and made.queries[-1] > 30
