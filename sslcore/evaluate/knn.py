"""The k-nearest-neighbour classifier: what a representation knows without any training."""

import torch
from torch import Tensor

from sslcore import distributed
from sslcore.losses import normalised

PAIRS = 2**26  # of queries and images at a time, so that no matrix of all is held
CHUNK = 1024  # queries at a time, at most


@torch.no_grad()
def knn_predict(train: Tensor, labels: Tensor, queries: Tensor, k: int, temperature: float, classes: int) -> Tensor:
    """Predicted classes (M,) by a weighted vote of the k neighbours of highest cosine (Wu et al. 2018, section 3.4).

    train: (N, D). labels: (N,). queries: (M, D). A vote weighs exp(cosine / temperature); of
    one query all are divided by the nearest's, or at a low temperature they would overflow.
    k is cut to N where there are fewer images. Of several processes each answers its share of the queries.
    """
    train = normalised(train)
    predicted = [labels[:0]]
    for some in distributed.own(queries).split(max(1, min(CHUNK, PAIRS // len(train)))):
        cosine, neighbour = (normalised(some) @ train.T).topk(min(k, len(train)), dim=1)  # (m, k)
        votes = cosine.new_zeros(len(some), classes)
        votes.scatter_add_(1, labels[neighbour], ((cosine - cosine[:, :1]) / temperature).exp())
        predicted.append(votes.argmax(1))
    return distributed.gather_shares(torch.cat(predicted), len(queries))
