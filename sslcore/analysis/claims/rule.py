"""What all rules have."""

from typing import Annotated, Literal

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


class Rule(BaseModel):
    """What all rules have. `steps` raises Lacking."""

    model_config = ConfigDict(extra="forbid")

    measure: Literal["linear", "knn"] = "linear"

    @property
    def unit(self) -> str:
        """What its numbers are of, in a sentence; empty where the claim itself says it."""
        by = {"linear": "the linear probe", "knn": "kNN"}[self.measure]
        return f"Points are of accuracy by {by} on the test images."

    def steps(self, evidence: Evidence) -> list[Step]:
        raise NotImplementedError

    def averaged(self, evidence: Evidence) -> list[str]:
        """Whose numbers are means over several runs of a seed, and over how many; asked only where there are steps."""
        return []

    def left_out(self, evidence: Evidence) -> list[str]:
        """What of the runs does not count, since others lack its like; asked only where there are steps."""
        return []
