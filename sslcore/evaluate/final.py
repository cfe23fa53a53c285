"""What is measured after training: results.json, predictions.npz, embeddings.npz, umap.parquet."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from sslcore import datasets, plan
from sslcore.analysis.layouts import pca
from sslcore.analysis.stats import of_accuracy
from sslcore.augment import Views
from sslcore.config import RunConfig
from sslcore.datasets import Data
from sslcore.evaluate.embed import (
    LAYOUT_PROTOCOL,
    METRIC,
    layout_frame,
    layout_once,
    measures,
    neighbourhood,
    silhouette,
    umap_layouts,
    umap_settings,
)
from sslcore.evaluate.features import batches, features
from sslcore.evaluate.heads import HEADS_PROTOCOL, forgets, project
from sslcore.evaluate.knn import knn_predict
from sslcore.evaluate.labels import EFFICIENCY_PROTOCOL, label_efficiency
from sslcore.evaluate.online import OnlineEvaluation
from sslcore.evaluate.probe import Probe, accuracy, fit_probe, score
from sslcore.experiment import Run
from sslcore.files import replacing

LINEAR_PROTOCOL = (
    "multinomial logistic regression (L-BFGS) on frozen, standardised h of the last epoch; lambda chosen on a held-out "
    "fifth of each class of train, then fitted on all of train; accuracy on the whole test set, with Wilson's 95 % interval"
)
KNN_PROTOCOL = (
    "the k training images of highest cosine in h of the last epoch vote, weighted by exp(cosine / temperature); "
    "all of train against the whole test set, with Wilson's 95 % interval"
)
RANDOM_PROTOCOL = "the same probes of the same encoder with the weights it started from"
PIXELS_PROTOCOL = "the same kNN on the values of the pixels, normalised by channel as they are for the encoder"
GEOMETRY_PROTOCOL = (
    "h in eval mode, rows scaled to unit length, of fixed test images (at most evaluate.sample), in two views that the run's own "
    "augmentation draws with a fixed seed, so that runs of different augmentations cannot be compared by them; alignment, "
    "uniformity: Wang & Isola 2020; effective rank: RankMe, Garrido et al. 2023; std: of a coordinate, times √D"
)

MOST_BYTES = 2 << 30  # of pixels that are compared, on every machine: runs of several are held against the same

Predictions = dict[str, np.ndarray]  # predictions.npz: index, label, linear, knn, maybe group, each (test images,)


class Probed(NamedTuple):
    """An encoder's h of N training and M test images, and what is told from it."""

    h_train: Tensor  # (N, D)
    h_test: Tensor  # (M, D)
    probe: Probe  # the linear one, fitted on train
    linear: np.ndarray  # the classes that it predicts of test, (M,)
    knn: np.ndarray  # those that kNN predicts, (M,)


class FinalEvaluation:
    """Everything that is measured of one encoder on its data set."""

    def __init__(self, config: RunConfig, data: Data, views: Views, precision: torch.dtype):
        self.config, self.data, self.views, self.precision = config, data, views, precision
        self.labelled = data.y_train is not None
        if self.labelled:
            self.y_train = torch.from_numpy(np.array(data.y_train)).to(views.device)
            self.y_test = np.array(data.y_test)

    def h(self, encoder: nn.Module, images: np.ndarray) -> Tensor:
        return features(encoder, images, self.views, self.precision)

    # -- Stage probe

    def results(
        self, encoder: nn.Module, untrained: nn.Module, head: nn.Module | None = None
    ) -> tuple[dict, Probe | None, Predictions | None]:
        """(results.json without its cost, the linear probe of h, what the probes said of every test image).

        With the trained `head`, z is measured beside h.
        """
        settings = self.config.evaluate
        online = OnlineEvaluation(self.config, self.data, self.views, self.precision)
        geometry = {"geometry": online.geometry(encoder) | {"protocol": GEOMETRY_PROTOCOL}}
        z_too = head is not None and settings.heads
        if not self.labelled:
            nothing = dict.fromkeys(("linear", "knn", "baselines"))
            results = nothing | geometry | {"note": "the data set has no labels: nothing can be probed"}
            if z_too:
                results["heads"] = self.heads(encoder, head, None)
            return results, None, None

        trained, before = self.probed(encoder), self.probed(untrained)
        results = self.accuracies(trained, before) | geometry
        if settings.labels:
            ends = ((of.h_train, of.h_test, self.share_right(of.linear)) for of in (trained, before))
            results["label_efficiency"] = label_efficiency(*ends, self.y_train, self.y_test, len(self.data.classes))
            results["label_efficiency_protocol"] = EFFICIENCY_PROTOCOL
        if z_too:
            results["heads"] = self.heads(encoder, head, self.h_and_z(head, trained))
        predictions = {
            "index": len(self.data.x_train) + np.arange(len(self.data.x_test)),
            "label": self.y_test,
            "linear": trained.linear,
            "knn": trained.knn,
        } | ({} if self.data.groups is None else {"group": self.data.groups})
        return results, trained.probe, predictions

    def probed(self, encoder: nn.Module) -> Probed:
        h_train, h_test = self.h(encoder, self.data.x_train), self.h(encoder, self.data.x_test)
        probe = fit_probe(h_train, self.y_train, len(self.data.classes))
        return Probed(h_train, h_test, probe, probe.predict(h_test).cpu().numpy(), self.knn(h_train, h_test))

    def accuracies(self, trained: Probed, untrained: Probed) -> dict:
        """results.json's `linear`, `knn` and `baselines`."""
        lost = plan.out_of_reach(datasets.info_of(self.data, self.config.dataset), self.config.dataset)

        def with_care(protocol: str) -> dict:
            return {"protocol": "; ".join(filter(None, [protocol, self.data.caution, lost]))}

        sizes = {"n_train": len(self.data.x_train), "n_test": len(self.data.x_test)}
        settings = self.config.evaluate
        k = min(settings.knn_k, sizes["n_train"])  # of another data set there may be fewer images
        pixels, side = self.pixels()
        return {
            "linear": score(trained.linear, self.y_test, self.data.classes, self.data.groups)
            | {"regularisation": trained.probe.regularisation}
            | sizes
            | with_care(LINEAR_PROTOCOL),
            "knn": {"accuracy": self.share_right(trained.knn), "k": k, "temperature": settings.knn_temperature}
            | {"ci95": list(of_accuracy(trained.knn == self.y_test, self.data.groups))}
            | sizes
            | with_care(KNN_PROTOCOL),
            "baselines": {
                "random_encoder": {"knn": self.share_right(untrained.knn), "linear": self.share_right(untrained.linear)},
                "pixels": {"knn": self.share_right(self.knn(*pixels)), "side": side, "protocol": PIXELS_PROTOCOL},
                "protocol": RANDOM_PROTOCOL,
            },
        }

    def h_and_z(self, head: nn.Module, trained: Probed) -> dict:
        """Accuracies of the linear probe of each."""
        of_h = self.share_right(trained.linear)
        if isinstance(head, nn.Identity):
            return {"h": of_h, "z": of_h}
        z_train, z_test = project(head, trained.h_train), project(head, trained.h_test)
        return {"h": of_h, "z": accuracy(z_train, self.y_train, z_test, self.y_test, len(self.data.classes))}

    def pixels(self) -> tuple[list[Tensor], int]:
        """(Train and test as the encoder sees them, (N, 3 * side * side) each, the side): halved until they fit MOST_BYTES.

        Raw values lie in one corner of their space, where cosines tell little: normalised, they have 12 points more on photos.
        """
        sets = self.data.x_train, self.data.x_test
        side = self.config.image_size
        while side > 1 and 4 * sum(map(len, sets)) * side * side * 3 > MOST_BYTES:
            side //= 2
        flat = []
        for images in sets:
            small = (adaptive_avg_pool2d(self.views.plain(x), side) for x in batches(images, self.views.device))
            flat.append(torch.cat([x.flatten(1) for x in small]))
        return flat, side

    def heads(self, encoder: nn.Module, head: nn.Module, linear: dict | None) -> dict:
        forgotten = forgets(encoder, head, self.data, self.config.evaluate.sample, self.views, self.precision)
        return {"linear": linear, "forgets": forgotten, "protocol": HEADS_PROTOCOL}

    def knn(self, train: Tensor, test: Tensor) -> np.ndarray:
        """Predicted class of every test image."""
        settings = self.config.evaluate
        predicted = knn_predict(train, self.y_train, test, settings.knn_k, settings.knn_temperature, len(self.data.classes))
        return predicted.cpu().numpy()

    def share_right(self, predicted: np.ndarray) -> float:
        return float((predicted == self.y_test).mean())

    # -- Stage embed

    def embed(self, encoder: nn.Module, probe: Probe | None, run: Run, earlier: Mapping[int, np.ndarray]) -> dict:
        """Write embeddings.npz and umap.parquet of the fixed evaluation sample. Returns results.json's `umap` and `pca`.

        `earlier`: by epoch, h of the sample as it was then. Until all is measured, the files stay as they were.
        """
        import pandas as pd

        indices = datasets.sample(self.data, self.config.evaluate.sample)
        h = self.h(encoder, self.data.images(indices))
        predicted = probe.predict(h).cpu().numpy() if probe else np.full(len(h), -1)
        labels = self.data.labels(indices)
        h = h.cpu().numpy()
        layout = layout_once(h)
        layouts = umap_layouts(layout, earlier) | {self.config.epochs: layout}
        components, explained = pca(h)
        common = {
            "k": neighbourhood(len(h)),
            "n": len(indices),
            "silhouette_h": silhouette(h, labels, METRIC),
            "protocol": LAYOUT_PROTOCOL,
        }
        made = umap_settings(len(h), started=False)
        results = {
            "umap": measures(h, layout, labels) | made | common,
            "pca": measures(h, components, labels) | {"explained_variance": explained.tolist()} | common,
        }
        with replacing(run.embeddings_file) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file,
                h=shortened(h),
                index=indices,
                prediction=predicted,
                label=np.full(len(h), -1) if labels is None else labels,
                train=indices < len(self.data.x_train),
            )
        with replacing(run.umap_file) as temporary:
            frames = [layout_frame(points, indices, labels, epoch) for epoch, points in layouts.items()]
            pd.concat(frames, ignore_index=True).to_parquet(temporary, index=False, write_page_checksum=True)
        return results


def keep_predictions(predictions: Predictions | None, run: Run) -> None:
    """Write predictions.npz, by which two runs are compared image by image; none without labels."""
    if predictions is None:
        run.predictions_file.unlink(missing_ok=True)
        return
    with replacing(run.predictions_file) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **{name: values.astype(np.int64) for name, values in predictions.items()})


def shortened(h: np.ndarray) -> np.ndarray:
    """float32 h rounded to 10 bits of mantissa, as precise as half floats without their bounds: it packs three times smaller."""
    return ((h.view(np.uint32) + 0x1000) & 0xFFFFE000).view(np.float32)
