"""Which runs are on the same images."""

from collections.abc import Iterable
from typing import NamedTuple

from sslcore.experiment import Run


class Seen(NamedTuple):
    """What is known of the images of a run."""

    dataset: str
    image_size: int
    checksum: str  # of the pixels at that size; "" where it is not on record
    counts: tuple[str, str]  # of training and test images


def data_sets(runs: Iterable[Run]) -> dict[Run, str]:
    """Each run -> its data set, by the path that the first of the runs on it has; of other images at one path, with a checksum.

    At one image size the checksum on record decides, for a teammate's folder lies elsewhere, and a folder's content may
    change. At different sizes the pixels differ: there, and where no checksum is on record, the path decides.
    """
    seen = {run: _seen(run) for run in runs}
    sets: list[list[Seen]] = []
    for one in sorted(dict.fromkeys(seen.values()), key=lambda one: not one.checksum):
        own = next(
            (of for of in sets if any(_same(one, other) for other in of) and not any(_other(one, its) for its in of)), None
        )
        if own is None:
            sets.append(own := [])
        own.append(one)
    of = {one: k for k, own in enumerate(sets) for one in own}
    names: dict[int, str] = {}
    for one in seen.values():
        if of[one] not in names:
            taken = one.dataset in names.values()
            names[of[one]] = f"{one.dataset} ({one.checksum[:6]})" if taken else one.dataset
    return {run: names[of[one]] for run, one in seen.items()}


def _seen(run: Run) -> Seen:
    config, said = run.config, run.images()
    counts = str(said.get("train")), str(said.get("test"))
    return Seen(config.dataset, config.image_size, str(said.get("checksum") or ""), counts)


def _same(one: Seen, other: Seen) -> bool:
    if not (one.checksum and other.checksum):
        return one.dataset == other.dataset
    if one.image_size == other.image_size:
        return one.checksum == other.checksum
    return (one.dataset, one.counts) == (other.dataset, other.counts)


def _other(one: Seen, other: Seen) -> bool:
    return one.image_size == other.image_size and "" not in (one.checksum, other.checksum) and one.checksum != other.checksum
