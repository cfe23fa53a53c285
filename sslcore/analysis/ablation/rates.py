"""The learning rate that went with an ablation."""

from collections.abc import Iterable, Sequence

from sslcore.analysis.ablation.entry import Entry, by_method
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
