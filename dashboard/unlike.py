"""What of some runs cannot be compared, since they differ in how it was measured: in sentences."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sslcore.analysis.images import data_sets
from sslcore.analysis.pairs import VOTE
from sslcore.config import RunConfig, get
from sslcore.experiment import Run
from sslcore.results import number
from sslcore.waiting import MANY, SETTLED
from sslcore.wording import count, series

IN_OWN_VIEWS = ("effective_rank", "alignment", "uniformity", "std")  # of h, in views as the run's own augmentation draws them
VOTE_WATCHED = ("evaluate.knn_train", *VOTE)  # while a run trains; at its end all training images vote


def unlike(configs: Iterable[RunConfig], names: Iterable[str], therefore: str) -> str:
    """A sentence that names those of `names` in which runs differ, and what follows; "" where they differ in none."""
    configs = list(configs)
    values = {name: sorted({get(config, name) for config in configs}) for name in names}
    told = [f"{name} ({', '.join(f'{value:,}' for value in of)})" for name, of in values.items() if len(of) > 1]
    return f"These runs differ in {series(told)}: {therefore}." if told else ""


def unlike_samples(configs: Iterable[RunConfig], what: str = "they are") -> str:
    """That what is measured on the evaluation sample is not on the same images in all runs, in a sentence; "" where it is."""
    return unlike(configs, ("evaluate.sample",), f"{what} measured on as many images, and so not on the same ones")


def unlike_votes(configs: Iterable[RunConfig], names: Iterable[str] = VOTE) -> str:
    return unlike(configs, names, "their kNN accuracies differ by that, whatever the encoders")


def references(configs: Iterable[RunConfig]) -> str:
    """That a reference among the runs has seen the labels, in a sentence; "" where there is none."""
    if "supervised" not in {config.method for config in configs}:
        return ""
    return (
        "Supervised is a reference: all labels of the training images went into its encoder, also where its probe has "
        "few of them."
    )


def symmetric(configs: Iterable[RunConfig]) -> str:
    """That MoCo's loss is the symmetric one, in a sentence; "" where it is not, or labels say which runs have it."""
    of_moco = {config.moco.symmetric for config in configs if config.method == "moco"}
    return "MoCo's loss is symmetric here: each step compares twice the pairs, at twice the compute." if of_moco == {True} else ""


def vote(configs: Iterable[RunConfig]) -> str:
    """How kNN votes while runs train, in a sentence; "" where they differ in it."""
    ways = {tuple(get(one, name) for name in ("evaluate.sample", *VOTE_WATCHED)) for one in configs}
    if len(ways) != 1:
        return ""
    ((sample, most, k, temperature),) = ways
    return (
        f"kNN: of at most {sample:,} images, by the vote of the {k} nearest of at most {most:,} training images, at temperature "
        f"{temperature:g}; with more test images, that of all of them, at the end, is another number."
    )


def watched(runs: Sequence[Run]) -> str:
    """How curves of h are measured while runs train: whether on the same images, and whether their kNN goes by the same vote."""
    configs = [run.config for run in runs]
    samples = unlike_samples(configs)
    same = not samples and len(set(data_sets(runs).values())) == 1
    on = ", and on the same images for every run" if same else ""
    measured = f"But for learning rate and speed, measured on h, the encoder's output{on}."
    told = [measured, vote(configs), samples, unlike_votes(configs, VOTE_WATCHED), unlike_views(configs)]
    return " ".join(filter(None, told))


def unlike_views(configs: Iterable[RunConfig]) -> str:
    """That IN_OWN_VIEWS cannot be compared between these runs, in a sentence; "" where they can."""
    settings = [config.augment.model_dump() for config in configs]
    differing = [name for name in settings[0] if len({one[name] for one in settings}) > 1] if settings else []
    if not differing:
        return ""
    return (
        f"These runs augment differently ({', '.join(differing)}). Effective rank, alignment, uniformity and spread are measured "
        "in each run's own views, and tell of the augmentation as much as of the encoder: compare such runs by kNN or the probe."
    )


def unlike_times(costs: Sequence[Mapping[str, Any]]) -> str:
    """What else times of these runs tell of, in sentences. Of each: device, seconds, threads_waiting."""
    devices = sorted({cost["device"] for cost in costs if isinstance(cost.get("device"), str)})
    long = [cost for cost in costs if (number(cost, "seconds") or 0) >= SETTLED]  # as runs are warned of it
    known = [n for cost in long if (n := number(cost, "threads_waiting")) is not None]
    waited = [n for n in known if n >= MANY]
    told = []
    if len(devices) > 1:
        told.append(f"Trained on different devices ({'; '.join(devices)}): times and speeds tell of these, too.")
    if waited:
        of_some = f" that trained for {SETTLED:g} s or longer" if len(long) < len(costs) else ""
        threads = " to ".join(dict.fromkeys(f"{n:.1f}" for n in (min(waited), max(waited))))
        told.append(
            f"{len(waited)} of {count(len(known), 'run')}{of_some} waited for cores that were busy "
            f"({threads} threads at a time): times and speeds tell of that, too."
        )
    return " ".join(told)
