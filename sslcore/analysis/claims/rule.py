"""What all rules have."""

from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict

from sslcore.analysis.claims.evidence import Evidence
from sslcore.analysis.claims.step import Step
from sslcore.methods import METHODS


def title(method: str) -> str:
    return METHODS[method].title


def _known(method: str) -> str:
    if method not in METHODS:
        raise ValueError(f"no method {method!r}; known are {', '.join(METHODS)}")
    return method


Method = Annotated[str, AfterValidator(_known)]


class Found(NamedTuple):
    """The steps that a rule takes, and what is to be said of the runs behind them."""

    steps: list[Step]
    averaged: list[str] = []  # whose numbers are means over several runs of a seed, and over how many
    left_out: list[str] = []  # what does not count, since others lack its like


class Rule(BaseModel):
    """What all rules have."""

    model_config = ConfigDict(extra="forbid")

    measure: Literal["linear", "knn"] = "linear"

    @property
    def unit(self) -> str:
        """What its numbers are of, in a sentence; empty where the claim itself says it."""
        by = {"linear": "the linear probe", "knn": "kNN"}[self.measure]
        return f"Points are of accuracy by {by} on the test images."

    def find(self, evidence: Evidence) -> Found:
        """Raises Lacking."""
        raise NotImplementedError
