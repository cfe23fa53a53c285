"""What went with an ablation: the learning rate, and the batch where its other images are the negatives."""

from collections.abc import Iterable, Sequence

from sslcore.analysis.ablation.entry import Entry, by_method
from sslcore.analysis.ablation.places import NEGATIVES, settled
from sslcore.config import RunConfig
from sslcore.experiment import Run
from sslcore.methods import METHODS
from sslcore.wording import series

OPTIMIZERS = {"sgd": "SGD", "lars": "LARS", "adamw": "AdamW"}


def learning_rate_rule(entries: Sequence[Entry] | Sequence[Run]) -> list[str]:
    """The rule and what it came to, such as "SGD, learning rate 0.06 × batch/256: 0.015 to 0.12", a line a rule.

    Methods that share a rule share a line, which begins with them where they are not all.
    """
    rules: dict[str, list[str]] = {}
    for method, own in by_method(entries).items():
        configs = [entry.config for entry in own]
        for optimizer, scaling in dict.fromkeys((config.optimizer, config.lr_scaling) for config in configs):
            alike = [config for config in configs if (config.optimizer, config.lr_scaling) == (optimizer, scaling)]
            rules.setdefault(f"{OPTIMIZERS[optimizer]}, {_rule(alike, scaling)}", []).append(METHODS[method].title)
    everybody = [METHODS[method].title for method in by_method(entries)]
    return [rule if methods == everybody else f"{series(methods)}: {rule}" for rule, methods in rules.items()]


def batch_as_negatives(entries: Sequence[Entry], axis: str) -> list[str]:
    """Of the methods that have more negatives along the axis by larger batches alone, that this is so; a line a method."""
    told = []
    for method, own in by_method(entries).items():
        sizes = {entry.config.batch_size for entry in own if "batch_size" in settled(entry.config, [axis])}
        if axis == NEGATIVES and len(sizes) > 1:
            told.append(
                f"{METHODS[method].title}'s are its batch's other images: with them go the batch size, {min(sizes)} to "
                f"{max(sizes)}, and the number of steps"
            )
    return told


def _rule(configs: Sequence[RunConfig], scaling: str) -> str:
    given = _span(config.learning_rate for config in configs)
    if scaling == "none":
        return (
            f"learning rate {given} at every batch size"
            if " " not in given
            else f"learning rate {given}, whatever the batch size"
        )
    factor = {"linear": "batch/256", "sqrt": "√(batch/256)"}[scaling]
    return f"learning rate {given} × {factor}: {_span(config.peak_learning_rate for config in configs)}"


def _span(values: Iterable[float]) -> str:
    values = list(values)
    low, high = f"{min(values):.3g}", f"{max(values):.3g}"
    return low if low == high else f"{low} to {high}"
