"""Which runs may be held against each other: the same seed, images and settings, but for the setting that is compared.

An experiment may vary several settings at once. To compare its methods (or the values of any one setting), each run of
one is paired with the run of the other that has the same seed and the same values of all other varied settings. Where
that gives several pairs a seed, their differences are averaged first, so that a seed counts once however many settings
it was trained at: the test's N is the number of seeds. All seeds are averaged over the same settings, and a setting that
several experiments have counts once. Data sets are never averaged over: each has a comparison of its own. Methods in two
experiments must be trained equally long, on images and with encoders of one size (ALIKE); within one experiment that is as
whoever set it up wants it.
"""

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, TypeVar

import numpy as np

from sslcore.analysis.images import data_sets
from sslcore.analysis.stats import OVER_IMAGES, Difference, adjusted, over_images, over_seeds, sentence, signed
from sslcore.config import COMPUTING, OPTIONS, WATCHING, get, is_anothers, varying
from sslcore.datasets import CAUTIONS
from sslcore.experiment import Run
from sslcore.grouping import grouped
from sslcore.methods import METHODS
from sslcore.naming import told_apart
from sslcore.results import number
from sslcore.wording import series

MEASURES = {"linear": "linear probe", "knn": "kNN"}  # names in results.json and predictions.npz
VOTE = ("evaluate.knn_k", "evaluate.knn_temperature")  # by which the latter goes, and the former does not
ALIKE = ("image_size", "encoder", "epochs")  # which in two experiments are no recipe of a method
V = TypeVar("V")
ANY = object()  # the value of a setting that means nothing to the run's method: equal to every other


def value(run: Run, name: str) -> Any:
    """The run's value of a setting, or of `experiment`; ANY where it is another method's setting."""
    if name == "experiment":
        return run.path.parent.name
    return ANY if is_anothers(name, run.config.method) else get(run.config, name)


def decisive(runs: Iterable[Run], measure: str) -> list[str]:
    """The options in which runs of one method differ that decide a measure, bar the seed."""
    return [name for name in varying(run.config for run in runs) if measure == "knn" or name not in VOTE]


def place(run: Run, name: str) -> tuple:
    """Sorts runs along a setting: numbers by size, then words, then runs to whose method it means nothing."""
    own = value(run, name)
    return (2, "") if own is ANY else (0, own) if isinstance(own, (int, float)) else (1, str(own))


def contestants(runs: Iterable[Run], by: str) -> dict[Any, list[Run]]:
    """The runs by their value of the setting that is compared (their `data_sets`, not the paths), in the order of appearance."""
    runs = list(runs)
    own = data_sets(runs) if by == "dataset" else {run: value(run, by) for run in runs}
    return grouped((run for run in runs if own[run] is not ANY), own.get)


Matches = dict[int, list[tuple[Run, Run]]]  # by seed
Setting = tuple[Any, ...]  # a run's data set, and its values of what else must be equal


def settings(runs: Iterable[Run], equal: Sequence[str]) -> dict[Run, Setting]:
    """Each run -> what it has. Give all runs at once, as any of them may tell which images are the same (`data_sets`)."""
    _, *others = _names(equal)
    return {run: (on, *(value(run, name) for name in others)) for run, on in data_sets(runs).items()}


def _names(equal: Sequence[str]) -> list[str]:
    """The names of a Setting's values."""
    return ["dataset", *(name for name in equal if name != "dataset")]


def by_setting(
    a: Sequence[Run], b: Sequence[Run], have: Mapping[Run, Setting], by: str = "method"
) -> dict[int, dict[tuple[Setting, Setting], tuple[Run, Run]]]:
    """Seed -> either side's setting -> a run of each side with that seed and the same setting. `have`: as `settings` gives it;
    `by`: the setting that is compared.

    Of several pairs at one setting, one within one experiment, where there is such; and of these the first by name, so that
    nothing depends on the order in which experiments are shown.
    """
    found: dict[int, dict[tuple[Setting, Setting], tuple[Run, Run]]] = {}
    of_seed_b = grouped(b, lambda run: run.config.seed)
    for one in a:
        for other in of_seed_b.get(one.config.seed, ()):
            if _match(one, other, have, by):
                of_seed = found.setdefault(one.config.seed, {})
                setting, pair = (have[one], have[other]), (one, other)
                of_seed[setting] = min(of_seed.get(setting, pair), pair, key=_rank)
    return found


def _match(one: Run, other: Run, have: Mapping[Run, Setting], by: str) -> bool:
    same = _same_seed(one, other) and _alike(have[one], have[other])
    return same and _as_many_tested(one, other) and not _unlike(one, other, by)


def _same_seed(one: Run, other: Run) -> bool:
    return one.config.seed == other.config.seed


def _rank(pair: tuple[Run, Run]) -> tuple:
    one, other = pair
    return one.path.parent != other.path.parent, sorted((one.id, other.id))


def _alike(one: Setting, other: Setting) -> bool:
    return all(map(_equal, one, other))


def _unlike(one: Run, other: Run, by: str) -> list[str]:
    """What of ALIKE is not the same in runs of two experiments whose methods are compared."""
    if by != "method" or one.path.parent == other.path.parent:
        return []
    return [name for name in ALIKE if get(one.config, name) != get(other.config, name)]


def _equal(one: Any, other: Any) -> bool:
    return ANY in (one, other) or one == other


def _as_many_tested(one: Run, other: Run) -> bool:
    """False where the two were tested on different numbers of images, as after a folder has changed."""
    numbers = {number(run.results(), "linear.n_test") for run in (one, other)} - {None}
    return len(numbers) < 2


def matched(a: Sequence[Run], b: Sequence[Run], have: Mapping[Run, Setting]) -> dict[int, list[tuple[Run, Run]]]:
    """Seed -> its pairs (`by_setting`), at the same settings for all seeds (`at_shared`)."""
    return at_shared(by_setting(a, b, have))


def at_shared(found: Mapping[int, Mapping[Any, V]]) -> dict[int, list[V]]:
    """Of what each seed has, by setting: seed -> what it has at the settings that all seeds share.

    Seeds averaged over different settings would answer different questions. Shared are the settings that every seed has
    or, where there are none, those of the seed that has the most; seeds that lack one of them are left out.
    """
    at = shared(found)
    return {seed: [of[setting] for setting in at] for seed, of in sorted(found.items()) if at and set(at) <= set(of)}


def shared(found: Mapping[int, Mapping[Any, V]]) -> list[Any]:
    """The settings over which `at_shared` averages."""
    most = max((found[seed] for seed in sorted(found)), key=len, default={})
    return [setting for setting in most if all(setting in of for of in found.values())] or list(most)


def left_out(
    a: Sequence[Run], b: Sequence[Run], have: Mapping[Run, Setting], by: str, found: Mapping[int, Mapping[Any, tuple[Run, Run]]]
) -> str:
    """The runs that are in none of the pairs, counted by why; empty where there are none. `found`: as by_setting gives it."""
    counted = {run.id for of in at_shared(found).values() for pair in of for run in pair}
    paired = {run.id for of in found.values() for pair in of.values() for run in pair}
    reasons: Counter[str] = Counter()
    for run, others in [*((run, b) for run in a), *((run, a) for run in b)]:
        if run.id in counted:
            continue
        if run.id in paired:
            reasons["at settings that not every seed has"] += 1
        elif any(_match(run, other, have, by) for other in others):
            reasons["the same seed and settings again"] += 1
        else:
            reasons["without a counterpart of the same seed and settings"] += 1
    why = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
    return f"{reasons.total()} of {len(a) + len(b)} runs ({why})" if reasons else ""


def accuracy(run: Run, measure: str) -> float | None:
    """From results.json; None where the run was not probed."""
    return number(run.results(), f"{measure}.accuracy")


def predictions(run: Run) -> dict[str, np.ndarray] | None:
    """predictions.npz: index, label, linear, knn and maybe group, int64 (N,) each; None where there is none that can be read."""
    try:
        with np.load(run.predictions_file, allow_pickle=False) as kept:
            said = {name: kept[name] for name in ("index", "label", *MEASURES, *(["group"] if "group" in kept else []))}
    except Exception:  # whatever a torn or foreign file makes numpy raise
        return None
    alike = len({values.shape for values in said.values()}) == 1 and said["index"].ndim == 1
    alike &= said["index"].size > 0
    return said if alike and all(values.dtype.kind in "iu" and (values >= 0).all() for values in said.values()) else None


def same_images(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in ("index", "label"))


def groups(runs: Iterable[Run], predicted: Iterable[Mapping[str, np.ndarray]]) -> np.ndarray | None:
    """Which of their test images are much alike, int (N,), from whichever of the runs' `predictions` has it; None: none are.

    Where it is not on record, as of older versions, all are one group: any two may be much alike.
    """
    files = list(predicted)
    nothing = np.zeros_like(files[0]["index"]) if any(run.config.dataset in CAUTIONS for run in runs) else None
    return next((said["group"] for said in files if "group" in said), nothing)


def over_images_of(one: Run, other: Run, measure: str) -> Difference:
    """Two trained networks compared on their test images; untested, with the reason, where that is impossible."""
    a, b = predictions(one), predictions(other)
    mean = accuracy(one, measure) - accuracy(other, measure)
    missing = [run.id for run, said in ((one, a), (other, b)) if said is None]
    if missing:
        why = f"no predictions.npz, which `python -m sslcore evaluate {shlex.quote(missing[0])}` makes"
    elif not same_images(a, b):
        why = "the two were tested on different images"
    else:
        group = groups([one, other], [a, b])
        found = over_images(a[measure] == a["label"], b[measure] == b["label"], group)
        if group is None or any("group" in said for said in (a, b)):
            return found
        return replace(found, why=f"{found.why}; `python -m sslcore evaluate {shlex.quote(one.id)}` tells which are")
    return Difference(mean, None, None, None, "none", 1, why=f"one seed, and {why}")


@dataclass(frozen=True)
class Pair:
    """Two contestants, a's measure less b's, and what may be said of it. a is the one ahead."""

    a: Any
    b: Any
    difference: Difference
    p: float | None  # adjusted by Holm's method over all pairs
    sentence: str
    matches: dict[int, list[tuple[Run, Run]]]  # by seed
    left_out: str  # as the function of that name says it
    on: str = ""  # the data set, where the runs are on several

    @property
    def settings(self) -> int:
        """How many settings a seed's difference is the mean over."""
        return len(next(iter(self.matches.values())))


def over_images_of_these(found: Iterable[Pair]) -> str:
    """How differences are tested over images, and what their reader must know of the images of these."""
    matches = (match for pair in found for of_seed in pair.matches.values() for match in of_seed)
    on = {run.config.dataset for match in matches for run in match}
    return "; ".join([OVER_IMAGES, *(caution for dataset, caution in CAUTIONS.items() if dataset in on)])


def averaged_over(found: Iterable[Pair]) -> str:
    """Over how many settings each seed's difference is a mean, in words; empty where it is over one."""
    numbers = {pair.settings for pair in found}
    least, most = min(numbers, default=1), max(numbers, default=1)
    return "" if most == 1 else f"{most} settings" if least == most else f"{least} to {most} settings, by what both have"


def unequal(matches: Iterable[Mapping[int, Sequence[tuple[Run, Run]]]], by: str) -> list[str]:
    """The options, beside `by`, in which runs differ that were held against each other, for each side has its own."""
    held = [pair for of_seeds in matches for pairs in of_seeds.values() for pair in pairs]
    return [
        name
        for name in OPTIONS
        if name not in (by, "dataset", "seed", *WATCHING, *COMPUTING)
        and any(not _equal(value(one, name), value(other, name)) for one, other in held)
    ]


def not_equal(what: str, names: Iterable[str]) -> str:
    """A sentence about settings that are `unequal`, as methods' recipes are; empty where there are none."""
    told = ", ".join(names)
    return f"Not equal, since each {what} has its own: {told}." if told else ""


def said_unequal(compared: Iterable[Pair], by: str = "method", what: str = "method") -> str:
    """`not_equal` of what `compare` found; `what` is what `by` is called."""
    return not_equal(what, unequal([pair.matches for pair in compared], by))


def by_seed(matches: Mapping[int, Sequence[tuple[Run, Run]]], of: Callable[[Run, Run], float | None]) -> dict[int, float]:
    """Each seed's mean of `of` over its pairs. Seeds with a pair that lacks it (None) are left out."""
    values = {seed: [of(a, b) for a, b in pairs] for seed, pairs in matches.items()}
    return {seed: float(np.mean(own)) for seed, own in values.items() if None not in own}


def differences(matches: Mapping[int, Sequence[tuple[Run, Run]]], measure: str) -> dict[int, float]:
    """How far each seed's a lies above its b, as the mean over its pairs."""
    return by_seed(matches, lambda a, b: accuracy(a, measure) - accuracy(b, measure))


def _setting_by_setting(matches: Mapping[int, Sequence[tuple[Run, Run]]], measure: str) -> str:
    """A sentence that tells how far the difference, a mean over several settings, goes apart between them."""
    at_each = zip(*matches.values())  # of a setting, the pair of each seed
    means = [np.mean([accuracy(a, measure) - accuracy(b, measure) for a, b in of]) for of in at_each]
    return f" Setting by setting: {signed(min(means))} to {signed(max(means))} points." if len(means) > 1 else ""


def _only_at(found: Mapping[int, Mapping[tuple[Setting, Setting], V]], equal: Sequence[str]) -> str:
    """A sentence that names the settings compared where some seeds have others, too."""
    at = shared(found)
    every = [setting for of in found.values() for setting in of]
    if len(at) == len(set(every)):
        return ""
    told = []
    for k, name in enumerate(_names(equal)):
        values, of_all = ({one[k] for pair in settings for one in pair} - {ANY} for settings in (at, every))
        if values != of_all:
            told.append(f"{name} {series(map(str, sorted(values, key=lambda value: (str(type(value)), value))))}")
    return f" Compared at {', '.join(told)} alone: not every seed has the others." if told else ""


def compare(
    sides: Mapping[Any, Sequence[Run]], names: Mapping[Any, str], equal: Sequence[str], measure: str, by: str = "method"
) -> tuple[list[Pair], list[str]]:
    """(every pair of contestants that could be paired; of every other two a sentence: why not).

    They are tested over seeds, or with one seed over test images. `sides` as `contestants` gives them `by` a setting; `names`
    is what each is called in words.
    """
    have = settings((run for runs in sides.values() for run in runs), equal)
    sets = told_apart(dict.fromkeys(own[0] for own in have.values()))
    probed = {name: [run for run in runs if accuracy(run, measure) is not None] for name, runs in sides.items()}
    found, apart = [], []
    for a, b in combinations(sides, 2):
        for on in _data_sets(probed[a], probed[b], have):
            place = sets[on] if on and len(sets) > 1 else ""
            both = [[run for run in probed[side] if on in (None, have[run][0])] for side in (a, b)]
            paired = by_setting(*both, have, by)
            if not paired:
                where = f" on {place}" if place else ""
                apart.append(f"{names[a]} and {names[b]} could not be paired{where}: {_why_apart(*both, have, equal, by)}.")
                continue
            matches = at_shared(paired)
            difference = _difference(matches, measure)
            ahead, behind = a, b
            if difference.mean < 0:
                ahead, behind, difference = b, a, difference.turned()
                matches = {seed: [(one, other) for other, one in of] for seed, of in matches.items()}
            more = f"{_setting_by_setting(matches, measure)}{_only_at(paired, equal)}"
            found.append((ahead, behind, difference, more, matches, left_out(*both, have, by, paired), place))
    found.sort(key=lambda one: one[-1])  # by data set
    p_values, tested = adjusted([difference for _, _, difference, *_ in found])
    compared = []
    for (a, b, difference, more, *rest, place), p in zip(found, p_values):
        said = f"{sentence(names[a], names[b], difference, p, tested)}{more}"
        compared.append(Pair(a, b, difference, p, f"On {place}: {said}" if place else said, *rest, place))
    return compared, apart


def _data_sets(a: Sequence[Run], b: Sequence[Run], have: Mapping[Run, Setting]) -> list[str | None]:
    """The data sets on which either side has runs; None alone where there is none on which both have."""
    of_a, of_b = ({have[run][0]: None for run in runs} for runs in (a, b))
    return list(of_a | of_b) if of_a.keys() & of_b.keys() else [None]


def _why_apart(a: Sequence[Run], b: Sequence[Run], have: Mapping[Run, Setting], equal: Sequence[str], by: str) -> str:
    together = [(have[one], have[other]) for one in a for other in b if _same_seed(one, other)]
    if not (a and b):
        return "only one of them was trained on it"
    if not together:
        return "no seed in common"
    if alike := [(one, other) for one in a for other in b if _same_seed(one, other) and _alike(have[one], have[other])]:
        unlike = [name for name in ALIKE if any(name in _unlike(*pair, by) for pair in alike)]
        return f"different {', '.join(unlike)} in two experiments" if unlike else "tested on different numbers of images"
    names = _names(equal)
    unlike = [name for k, name in enumerate(names) if not any(_equal(one[k], other[k]) for one, other in together)]
    return f"different {', '.join(unlike)}" if unlike else f"no run at the same {', '.join(names)}"


def of_methods(runs: Iterable[Run]) -> tuple[list[Pair], list[str]]:
    """(every pair of methods in the accuracy of the linear probe; why others are not among them).

    Equal is what varies within a method; what each method has of its own is `unequal`.
    """
    probed = [run for run in runs if accuracy(run, "linear") is not None]
    sides, equal = contestants(probed, "method"), decisive(probed, "linear")
    names = {method: METHODS[method].title for method in sides}
    return compare(sides, names, equal, "linear")


def said_by(compared: Sequence[Pair]) -> str:
    """The words before the sentences of `of_methods`: the measure, and over how many settings a seed's difference is a mean."""
    own, of = unequal([pair.matches for pair in compared], "method"), averaged_over(compared)
    mean = f" (each seed's difference is the mean over {of})" if of else ""
    return f"What may be said by the linear probe on these test images{'' if own else ', at equal settings'}{mean}"


def _difference(matches: Mapping[int, list[tuple[Run, Run]]], measure: str) -> Difference:
    if len(matches) == 1:
        (pairs,) = matches.values()
        if len(pairs) == 1:
            return over_images_of(*pairs[0], measure)
    difference = over_seeds(list(differences(matches, measure).values()), 1)
    if len(matches) == 1:
        return replace(
            difference,
            why=(
                f"one seed, and the mean over {len(pairs)} settings; with one of them chosen, the two can be tested on the test "
                "images"
            ),
        )
    return difference
