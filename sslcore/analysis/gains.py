"""What training has added: the encoders of each method against those with the weights that they started from."""

from collections.abc import Iterable

import numpy as np

from sslcore.analysis import pairs
from sslcore.analysis.stats import adjusted, over_seeds, sentence
from sslcore.experiment import Run
from sslcore.methods import METHODS
from sslcore.naming import told_apart
from sslcore.results import number
from sslcore.wording import capital

PROTOCOL = (
    "each run's accuracy by the linear probe less that of the same probe of its own untrained encoder; a seed's difference is "
    "the mean over the settings that all seeds of the method have; p-values are adjusted by Holm's method over the methods"
)
LEARNT = "What a method learnt is what it has above the untrained encoder and the pixels"


def gains(runs: Iterable[Run]) -> list[str]:
    """What may be said of each method, on each data set by itself, in sentences. Adjusted by Holm's method over all of them."""
    gained = {run: gain for run in runs if (gain := _gain(run)) is not None}
    have = pairs.settings(gained, pairs.decisive(gained, "linear"))
    sets = told_apart(sorted({own[0] for own in have.values()}))
    found = []
    for on, called in sets.items():
        for method, own in pairs.contestants(gained, "method").items():
            by_setting: dict[int, dict[pairs.Setting, float]] = {}
            for run in sorted((run for run in own if have[run][0] == on), key=lambda run: run.id):  # whatever is shown first
                by_setting.setdefault(run.config.seed, {}).setdefault(have[run], gained[run])
            if by_setting:
                by_seed = [float(np.mean(values)) for values in pairs.at_shared(by_setting).values()]
                found.append((f"On {called}: " if len(sets) > 1 else "", METHODS[method].title, over_seeds(by_seed, 1)))
    p_values, tested = adjusted([difference for *_, difference in found])
    said = []
    for (where, method, difference), p in zip(found, p_values):
        sides, ahead = (method, "its untrained encoder"), difference.mean >= 0
        one, other = sides if ahead else (f"the untrained encoder of {method}", method)
        told = sentence(one, other, difference if ahead else difference.turned(), p, tested)
        said.append(f"{where}{told}" if where else capital(told))
    return said


def _gain(run: Run) -> float | None:
    trained, untrained = pairs.accuracy(run, "linear"), number(run.results(), "baselines.random_encoder.linear")
    return None if trained is None or untrained is None else trained - untrained
