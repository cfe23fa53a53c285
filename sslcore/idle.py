"""Options that make no difference to a run, as its others stand: whoever varies them trains the same weights again."""

from collections.abc import Mapping

from sslcore.config import RunConfig
from sslcore.wording import count


def idle(config: RunConfig) -> dict[str, str]:
    """Option -> where it makes no difference, such as {"moco.queue_size": "with moco.negatives=batch"}.

    The options of other methods are not among them.
    """
    found: dict[str, str] = {}
    if config.method == "supervised":  # one view, and no head between h and the classes
        found |= dict.fromkeys(("augment.solarize", "head.kind", "head.hidden", "head.dim"), "with method=supervised")
    elif config.head.kind == "none":
        found |= dict.fromkeys(("head.hidden", "head.dim"), "with head.kind=none")
    elif config.head.kind == "linear":
        found["head.hidden"] = "with head.kind=linear"
    if config.method == "moco" and config.moco.negatives != "queue":
        found["moco.momentum"] = f"with moco.negatives={config.moco.negatives}"
        if config.moco.negatives == "batch":
            found["moco.queue_size"] = "with moco.negatives=batch"
    if config.batch_size == 256:
        found["lr_scaling"] = "with batch_size=256"
    if config.warmup_epochs >= config.epochs / 2:
        found["warmup_epochs"] = "from half of the training on"
    return found


def effective(config: RunConfig) -> dict[str, object]:
    """{option: value} of every option that makes a difference; of those that several values say alike, what they say."""
    alike = {
        "micro_batch_size": config.micro_batches,
        "moco.bn_splits": min(config.moco.bn_splits, config.bn_splits_at_a_time * config.devices * config.micro_batches),
        "simclr.negatives": config.negatives,
    }
    without = idle(config)
    return {option: value for option, value in (config.flat() | alike).items() if option not in without}


def twins(configs: Mapping[str, RunConfig]) -> list[str]:
    """What is to be said of runs, by name, that train the same weights: a sentence for each option in which they differ."""
    first: dict[tuple, str] = {}  # by what decides its weights, the run that trains them first
    found: dict[str, list[str]] = {}  # what makes no difference, and where -> the runs that train what others do
    for name, config in configs.items():
        twin = first.setdefault(tuple(effective(config).items()), name)
        other = configs[twin].flat()
        for option, value in config.flat().items():
            if value != other[option]:
                where = idle(config).get(option) or f"between {other[option]} and {value}, with batch_size={config.batch_size}"
                found.setdefault(f"{option} makes no difference {where}", []).append(f"{name} as {twin}")
    return [f"{what}: {count(len(of), 'run')} would train the same weights as another one, {of[0]}" for what, of in found.items()]
