"""The experiment that would bring a claim's evidence, as a link to the form that launches it."""

from collections.abc import Iterable
from textwrap import shorten
from typing import Any

from dashboard.draft import Asked
from dashboard.figures import style
from dashboard.sections.new import what
from sslcore import datasets, plan
from sslcore.analysis.claims import Claim
from sslcore.config import get
from sslcore.experiment import Run

KEPT = ("image_size", "encoder", "threads")  # as the runs that are looked at have it


def form(claim: Claim, runs: Iterable[Run]) -> dict[str, str | list[str]]:
    """Query parameters of the New-experiment page, on the images of these runs and for their encoder; the claim must say what to
    `make`.
    """
    make, runs = claim.make, list(runs)
    axes = plan.read(make.preset).axes if make.vary is None else make.vary
    axes = {name: values for name, values in axes.items() if name not in plan.IN_EVERY_NAME or name == "batch_size"}
    asked = Asked(
        title=shorten(claim.claim, 80, placeholder=" …"),
        question=shorten(f"Is it so? {claim.claim}", 300, placeholder=" …"),
        seeds=claim.seeds,
        settings={name: value for name, value in _of_all(runs).items() if name not in axes} | make.settings,
        axes={name: _no_larger(values, runs) if name == "batch_size" else values for name, values in axes.items()},
    )
    methods = {"new_methods": [style.title(method) for method in make.methods]} if make.methods else {}
    return {
        "new_preset": make.preset,
        **methods,
        **what.params(runs),
        **{name: words for name, words in asked.params().items() if words},
    }


def _of_all(runs: list[Run]) -> dict[str, Any]:
    """What KEPT is in all of the runs, where they agree."""
    values = {name: {get(run.config, name) for run in runs} for name in KEPT}
    return {name: of.pop() for name, of in values.items() if len(of) == 1 and of != {None}}


def _no_larger(sizes: list[int], runs: list[Run]) -> list[int]:
    """The batch sizes that the runs' images fill; all where that is not known, or none would be left."""
    try:
        least = min(datasets.info(name).train for name in {run.config.dataset for run in runs})
    except ValueError:
        return sizes
    return [size for size in sizes if size <= least] or sizes
