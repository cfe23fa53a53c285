"""Which runs are on the same images."""

import hashlib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sslcore.experiment import Run


class Seen(NamedTuple):
    """What is known of the images of a run."""

    dataset: str
    image_size: int
    checksum: str  # of the pixels at that size; "" where it is not on record
    counts: tuple[str, str]  # of training and test images


DataSet = frozenset[Seen]


def data_sets(runs: Iterable[Run]) -> dict[Run, str]:
    """Each run -> its data set, by its path (the shortest of several); where other images have the path too, with its checksum.

    At one image size the checksum on record decides, for a teammate's folder lies elsewhere, and a folder's content may
    change. At different sizes the pixels differ: there the path and the number of images decide. A run without a
    checksum is on the images that its path has, where these are one set. The order of the runs is of no matter.
    """
    seen = {run: _seen(run) for run in runs}
    of_known = _known({one for one in seen.values() if one.checksum})
    names = {one: _name(own, of_known.values()) for one, own in of_known.items()}
    by_path: dict[str, set[str]] = {}
    for one, name in names.items():
        by_path.setdefault(one.dataset, set()).add(name)
    return {run: names.get(one) or _unchecked(one.dataset, by_path.get(one.dataset, set())) for run, one in seen.items()}


def at_path(path: str, sets: Mapping[Run, str]) -> str:
    """The data set of a run at `path` that is not made yet, among `data_sets`."""
    return _unchecked(path, {name for run, name in sets.items() if run.config.dataset == path})


def _unchecked(path: str, there: set[str]) -> str:
    """The data set of a run whose checksum is not on record, where others at its path are on those sets."""
    return f"{path} (no checksum on record)" if len(there) > 1 else next(iter(there), path)


def _seen(run: Run) -> Seen:
    config, said = run.config, run.images()
    counts = str(said.get("train")), str(said.get("test"))
    checksum, measured = (str(said.get(name) or "") for name in ("checksum", "measured"))
    if checksum and measured:  # trained on the one, measured on the other: like no run that has seen one of them alone
        checksum = hashlib.sha256(f"{checksum} {measured}".encode()).hexdigest()
    return Seen(config.dataset, config.image_size, checksum, counts)


def _known(seen: Iterable[Seen]) -> dict[Seen, DataSet]:
    """Each -> its data set. All of them have a checksum."""
    alike: dict[tuple[int, str], set[Seen]] = {}
    for one in seen:
        alike.setdefault((one.image_size, one.checksum), set()).add(one)
    groups = [frozenset(group) for group in alike.values()]
    joined: list[DataSet] = []
    for group in groups:
        near = [own for own in joined if _places(own) & _places(group)]
        joined = [own for own in joined if own not in near] + [group.union(*near)]
    found = {}
    for own in joined:
        # Two checksums of one size may be joined by one of another size: nobody knows which of them that goes with, so none does.
        clear = len({one.image_size for one in own}) == len({(one.image_size, one.checksum) for one in own})
        found |= {one: own if clear else group for group in groups if group <= own for one in group}
    return found


def _places(own: DataSet) -> set[tuple[str, tuple[str, str]]]:
    return {(one.dataset, one.counts) for one in own}


def _name(own: DataSet, every: Iterable[DataSet]) -> str:
    path = min((one.dataset for one in own), key=lambda path: (len(path), path))
    others = any(one.dataset == path for other in every if other != own for one in other)
    _, checksum = min((one.image_size, one.checksum) for one in own)
    return f"{path} ({checksum[:6]})" if others else path
