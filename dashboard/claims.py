"""The experiment that would bring a claim's evidence, as a link to the form that launches it."""

from collections.abc import Iterable
from textwrap import shorten

from dashboard.draft import Asked
from dashboard.figures import style
from dashboard.sections.new import what
from sslcore.analysis.claims import Claim
from sslcore.experiment import Run


def form(claim: Claim, runs: Iterable[Run]) -> dict[str, str | list[str]]:
    """Query parameters of the New-experiment page, on the images of these runs; the claim must say what to `make`."""
    make = claim.make
    asked = Asked(
        title=shorten(claim.claim, 80, placeholder=" …"),
        question=shorten(f"Is it so? {claim.claim}", 300, placeholder=" …"),
        seeds=claim.seeds,
        settings=make.settings,
        axes=make.vary,
    )
    methods = {"new_methods": [style.title(method) for method in make.methods]} if make.methods else {}
    return {
        "new_preset": make.preset,
        **methods,
        **what.params(runs),
        **{name: words for name, words in asked.params().items() if words},
    }
