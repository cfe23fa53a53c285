"""Where runs stand.

An axis is an option by its dotted name, the name of a group whose options vary together (`augment`), or a setting
that methods have each for themselves, by its last name: `momentum` is `moco.momentum` for MoCo and `byol.momentum`
for BYOL. `negatives` is what a positive is told apart from, whichever options decide it.
"""

import math
import typing
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from sslcore import datasets
from sslcore.analysis.ablation.entry import Entry, by_method
from sslcore.config import OPTIONS, RunConfig, get, is_anothers, resolve, varying_in
from sslcore.methods import METHODS

NEGATIVES = "negatives"
MECHANISM = "moco.negatives"
AS_IS = "as is"  # the place, on a group's axis, of the runs with nothing changed


def axes(entries: Sequence[Entry]) -> list[str]:
    """The axes along which runs of one method differ, in the order of the options; method and seed are none of them.

    Nor are options that merely follow another one, as a warm-up may follow the batch size.
    """
    options = varying_in(entry.settings for entry in entries)
    groups = [
        group for group in dict.fromkeys(option.partition(".")[0] for option in options if "." in option) if group not in METHODS
    ]
    grouped = {
        group for group in groups if _move_together(entries, [option for option in options if option.startswith(f"{group}.")])
    }
    found: dict[str, None] = {}
    for option in options:
        group = option.partition(".")[0]
        if group in grouped:
            found[group] = None
        elif not any(_follows(entries, option, other) for other in options if other != option):
            found[_axis(option)] = None
    if any(len({entry.config.negatives for entry in own}) > 1 for own in by_method(entries).values()):
        found[NEGATIVES] = None
    return list(found)


def _follows(entries: Sequence[Entry], option: str, other: str) -> bool:
    """Whether `other` decides `option`; where each decides the other, the one that is declared later follows."""
    if option.partition(".")[0] in METHODS or other.partition(".")[0] in METHODS:
        return False
    pairs = {(entry.config.method, entry.settings[other], entry.settings[option]) for entry in entries}
    decided = len({pair[:2] for pair in pairs}) == len(pairs)
    decides = len({pair[::2] for pair in pairs}) == len(pairs)
    declared = list(OPTIONS)
    return decided and (not decides or declared.index(other) < declared.index(option))


def _axis(option: str) -> str:
    """The axis on which an option's values lie."""
    group, _, last = option.rpartition(".")
    if option == "moco.queue_size":
        return NEGATIVES
    return last if group in METHODS and option != MECHANISM else option


def _move_together(entries: Sequence[Entry], options: Sequence[str]) -> bool:
    """Whether several options vary, and not in all combinations."""
    seen = {option: {entry.settings[option] for entry in entries} for option in options}
    combinations = {tuple(entry.settings[option] for option in options) for entry in entries}
    return len(combinations) < math.prod(map(len, seen.values()))


def place(entry: Entry, axis: str, usual: Mapping[str, Any]) -> Any:
    """Where an entry stands on an axis; None where the axis means nothing to its method.

    On a group's axis: the options, with values, that are not as `usual`.
    """
    config, method, settings = entry.config, entry.config.method, entry.settings
    if axis == NEGATIVES:
        return config.negatives
    if axis == "micro_batch_size":
        return config.micro_batch_size or config.batch_size
    if axis == "threads":
        return config.threads or "one for each core"
    if axis in OPTIONS:
        return None if is_anothers(axis, method) else settings[axis]
    if f"{method}.{axis}" in OPTIONS:
        return settings[f"{method}.{axis}"]
    within = [option for option in OPTIONS if option.startswith(f"{axis}.")]
    if not within:
        return None
    changed = {option.rpartition(".")[2]: settings[option] for option in within if settings[option] != usual[option]}
    return in_words(changed)


def in_words(changed: Mapping[str, Any]) -> str:
    """What a group's settings, by their last names, are called together: "no jitter, hue 0.2"; AS_IS where none is changed."""
    return ", ".join(_changed(name, value) for name, value in changed.items()) or AS_IS


def _changed(name: str, value: Any) -> str:
    if name == "crop_min" and value == 1:
        return "no crop"
    return f"no {name}" if not value else f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def usual(entries: Sequence[Entry]) -> dict[str, Any]:
    """Each option's most frequent value."""
    settings = [entry.settings for entry in entries]
    return {option: Counter(one[option] for one in settings).most_common(1)[0][0] for option in OPTIONS} if settings else {}


def in_order(axis: str, places: Iterable[Any]) -> list[Any]:
    """The distinct places on an axis: numbers by size, choices as the option lists them, words by the alphabet."""
    places = list(dict.fromkeys(place for place in places if place is not None))
    if is_numeric(places):
        return sorted(places)
    listed = list(typing.get_args(OPTIONS[axis].annotation)) if axis in OPTIONS else []
    return sorted(places, key=lambda place: (listed.index(place) if place in listed else -1, place != AS_IS, str(place)))


def is_numeric(places: Iterable[Any]) -> bool:
    return all(isinstance(place, (int, float)) and not isinstance(place, bool) for place in places)


def lies_on(option: str, axes: Sequence[str]) -> bool:
    """Whether an option's values lie on one of the axes."""
    return _axis(option) in axes or option.rpartition(".")[0] in axes


def settled(config: RunConfig, axes: Sequence[str]) -> set[str]:
    """The options that follow from a run's place on an axis: what suits its data set, the batch where that is its negatives.

    The learning rate is none of them: the option is the rate before it is scaled to the batch size.
    """
    found = suited(config) if "dataset" in axes else set()
    in_batch = {"moco": config.moco.negatives == "batch", "simclr": config.simclr.negatives is None}
    if NEGATIVES in axes and in_batch.get(config.method):
        found.add("batch_size")
    return found


def suited(config: RunConfig) -> set[str]:
    """The options in which a run has the value that its data set's defaults give."""
    suits = resolve({"method": config.method, "dataset": config.dataset})
    return {option for option in _suited() if get(config, option) == get(suits, option)}


@cache
def _suited() -> set[str]:
    """The options that some data set has a default of its own for."""
    return {option for name in datasets.NAMES for option in datasets.defaults(name)}
