"""What a grid lacks, and what it would cost."""

import math
import statistics
from collections.abc import Iterable

from sslcore import datasets
from sslcore.analysis.ablation.entry import NOT_RUN, Entry
from sslcore.config import RunConfig
from sslcore.status import PRETRAIN_SHARE, RESUMABLE
from sslcore.waiting import MANY


def to_run(entries: Iterable[Entry]) -> list[Entry]:
    """The entries that have no result and that nobody is at work on."""
    return [entry for entry in entries if entry.state in (NOT_RUN, *RESUMABLE) and not entry.measured]


def seconds_to_run(missing: Iterable[Entry], entries: Iterable[Entry]) -> float | None:
    """Estimated seconds of training, one run after the other: the images that are left to see, by the images a second of
    those finished runs that are most alike, in method, then in threads, then in batch size; of these first those whose threads
    had their cores to themselves.

    None where a missing run has no run like it (in image size and encoder) whose speed was measured here, or no data set.
    """
    measured = [entry for entry in entries if entry.numbers["images_per_second"] and not entry.imported]
    total = 0.0
    for entry in missing:
        speeds: dict[tuple, list[float]] = {}
        for other in measured:
            if _network(other.config) == _network(entry.config):
                waited = (other.numbers["threads_waiting"] or 0) >= MANY
                unlike = (waited, *_unlike(entry.config, other.config))
                speeds.setdefault(unlike, []).append(other.numbers["images_per_second"])
        try:
            size = datasets.info(entry.config.dataset).train
        except ValueError:
            return None
        if not speeds:
            return None
        batch = entry.config.batch_size
        images = size // batch * batch * entry.config.epochs  # whole batches alone are trained on
        total += images * (1 - min(1.0, entry.progress / PRETRAIN_SHARE)) / statistics.median(speeds[min(speeds)])
    return total


def _network(config: RunConfig) -> tuple[str, int]:
    """A speed holds for one of these alone: an image may cost a hundred times as much in another encoder."""
    return config.encoder, config.image_size


def _unlike(one: RunConfig, other: RunConfig) -> tuple[bool, bool, float]:
    return one.method != other.method, one.threads != other.threads, abs(math.log(one.batch_size / other.batch_size))
