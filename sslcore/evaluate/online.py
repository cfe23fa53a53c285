"""What is measured every few epochs of training, on the same images in every run; geometry on views as the run augments them."""

import numpy as np
import torch
from torch import nn

from sslcore.augment import Views
from sslcore.config import RunConfig
from sslcore.datasets import Data, Rows
from sslcore.evaluate.features import batches, encode_shared, features
from sslcore.evaluate.geometry import geometry
from sslcore.evaluate.knn import knn_predict

COLLAPSED_RANK = 2.0
RANKED = 10  # images from which on a rank below that tells of a collapse
COLLAPSED_STD = 0.05


class OnlineEvaluation:
    """kNN and geometry of h, with a fixed choice of neighbours, queries and views."""

    def __init__(self, config: RunConfig, data: Data, views: Views, precision: torch.dtype):
        self.config, self.views, self.precision = config, views, precision
        self.classes = len(data.classes)
        generator = np.random.default_rng(0)
        self.neighbours = np.sort(generator.permutation(len(data.x_train))[: config.evaluate.knn_train])
        self.queries = np.sort(generator.permutation(len(data.x_test))[: config.evaluate.sample])
        self.x_neighbours, self.x_queries = Rows(data.x_train, self.neighbours), Rows(data.x_test, self.queries)
        if data.y_train is not None:
            self.y_neighbours = torch.from_numpy(np.asarray(data.y_train)[self.neighbours]).to(views.device)
            self.y_queries = torch.from_numpy(np.asarray(data.y_test)[self.queries]).to(views.device)
        else:
            self.y_neighbours = None

    def __call__(self, encoder: nn.Module) -> dict[str, float]:
        """`knn` (where there are labels), `alignment`, `uniformity`, `effective_rank`, `std` of h."""
        measured = {}
        if self.y_neighbours is not None:
            settings = self.config.evaluate
            train = features(encoder, self.x_neighbours, self.views, self.precision)
            queries = features(encoder, self.x_queries, self.views, self.precision)
            predicted = knn_predict(train, self.y_neighbours, queries, settings.knn_k, settings.knn_temperature, self.classes)
            measured["knn"] = int((predicted == self.y_queries).sum()) / len(self.y_queries)  # as exact as at the end
        return measured | self.geometry(encoder)

    def geometry(self, encoder: nn.Module) -> dict[str, float]:
        """Of two random views of each query, the same at every call and in every run of this augmentation on such a device."""
        torch.manual_seed(0)
        h1, h2 = (
            torch.cat(
                [
                    encode_shared(encoder, self.views(x, second), self.precision)
                    for x in batches(self.x_queries, self.views.device)
                ]
            )
            for second in (False, True)
        )
        return geometry(h1, h2)
