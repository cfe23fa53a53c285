"""Statements of the literature, held against the reader's own runs.

A claim (claims.yaml, or the store's own) says what must come out ahead of what, by rules with parameters. A rule turns
runs into steps: differences, one a seed, positive as the claim has it, each with the paired t interval of
sslcore.analysis.stats. The claim is *supported* where every step is told apart from zero the claimed way,
*contradicted* where one is told apart the other way, and *undecided* otherwise, and wherever there are fewer seeds than
the claim asks for. Every step must be as claimed, so that the first errs no more often than one step does (Berger 1982,
Technometrics 24, 295); one step the other way is enough for the second, so that its p-value is adjusted by Holm's method
over the steps. Where a rule needs the best of several values, it is chosen for each seed by the other seeds, so that the
choice does not make the difference. No verdict stands in any file.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from sslcore.analysis.claims.along import (
    Ahead,
    AlongAxis,
    Fails,
    GainMore,
    GainThenSaturates,
    InteriorBest,
    SensitivityOrder,
    SlowAhead,
    WorksWithout,
)
from sslcore.analysis.claims.evidence import Evidence
from sslcore.analysis.claims.pair import CostOrder, PairAhead, ResultAhead
from sslcore.analysis.claims.rule import Method, Rule
from sslcore.analysis.claims.step import Lacking, Step
from sslcore.analysis.pairs import not_equal
from sslcore.analysis.stats import adjusted
from sslcore.config import first_problem
from sslcore.notation import yaml_of

CLAIMS = Path(__file__).parent / "claims.yaml"
RULE = (
    "A claim is supported where every difference that it needs is told apart from zero, the claimed way; contradicted where one "
    "is told apart the other way, its p-value adjusted by Holm's method over a claim's differences; undecided otherwise, and "
    "wherever there are fewer seeds than it asks for. Paired t intervals over seeds. Where the best of several values counts, "
    "the other seeds choose it for each seed, so that the choice does not make the difference"
)

AnyRule = Annotated[
    SensitivityOrder
    | GainMore
    | GainThenSaturates
    | InteriorBest
    | SlowAhead
    | WorksWithout
    | Fails
    | Ahead
    | PairAhead
    | CostOrder
    | ResultAhead,
    Field(discriminator="rule"),
]


def rules() -> dict[str, str]:
    """Each rule's name, and what it asks, in a sentence."""
    return {
        get_args(rule.model_fields["rule"].annotation)[0]: rule.__doc__.split("\n")[0] for rule in get_args(get_args(AnyRule)[0])
    }


class Make(BaseModel):
    """The experiment that would bring the evidence: a preset and what to change of it."""

    model_config = ConfigDict(extra="forbid")

    preset: str
    methods: list[Method] = []  # those of the preset
    settings: dict[str, Any] = Field({}, alias="set")
    vary: dict[str, list[Any]] | None = None  # what the preset varies


class Claim(BaseModel):
    model_config = ConfigDict(extra="forbid")

    claim: str
    source: str
    needs: str = ""  # the evidence, in a sentence
    seeds: int = Field(3, ge=2, le=20)  # that it should have
    parts: list[AnyRule] = Field(min_length=1)
    make: Make | None = None
    note: str = ""  # what the rule leaves out

    @field_validator("parts")
    @classmethod
    def _of_one_kind(cls, parts: list[Rule]) -> list[Rule]:
        if len({isinstance(part, CostOrder) for part in parts}) > 1:
            raise PydanticCustomError("kinds", "costs are ratios and accuracies points; make two claims of them")
        return parts

    @property
    def units(self) -> list[str]:
        """What its numbers are of, in sentences."""
        return list(dict.fromkeys(filter(None, (part.unit for part in self.parts))))

    @property
    def axis(self) -> str | None:
        """The first axis that it is about."""
        return next((part.axis for part in self.parts if isinstance(part, AlongAxis)), None)


@dataclass(frozen=True)
class Verdict:
    word: Literal["supported", "contradicted", "undecided"]
    steps: list[Step] = field(default_factory=list)
    lacks: list[str] = field(default_factory=list)
    averaged: list[str] = field(default_factory=list)  # whose numbers are means over several runs of a seed
    left_out: list[str] = field(default_factory=list)  # what of the runs does not count
    by_seeds: bool = True  # whether more seeds of these runs could decide it

    @property
    def reasons(self) -> list[str]:
        """In sentences."""
        own = dict.fromkeys(name for step in self.steps for name in step.unequal)
        return [
            *(step.sentence for step in self.steps),
            *([f"Each seed's numbers are means: {'; '.join(self.averaged)}."] if self.averaged else []),
            *([f"Left out, so that every seed has the same: {'; '.join(self.left_out)}."] if self.left_out else []),
            *filter(None, [not_equal("method", own)]),
            *(f"Not decided: {lack}." for lack in self.lacks),
        ]


def judge(claim: Claim, evidence: Evidence) -> Verdict:
    steps, lacks, by_seeds = [], [], True
    averaged: dict[str, None] = {}
    left_out: dict[str, None] = {}
    for part in claim.parts:
        try:
            found = part.find(evidence)
            steps += found.steps
            averaged |= dict.fromkeys(found.averaged)
            left_out |= dict.fromkeys(found.left_out)
        except Lacking as lack:
            steps += lack.steps
            lacks.append(str(lack))
            by_seeds &= bool(lack.steps)
    p_values, tested = adjusted([step.difference for step in steps])
    steps = [
        replace(step, p=p, comparisons=tested) if step.difference.mean < 0 else replace(step, p=step.difference.p)
        for step, p in zip(steps, p_values)
    ]
    if any(step.difference.seeds < claim.seeds for step in steps):
        fewest = min(step.difference.seeds for step in steps)
        lacks.append(f"it takes {claim.seeds} seeds, and these runs have {fewest}")
        word = "undecided"
    elif any(step.apart and step.difference.mean < 0 for step in steps):
        word = "contradicted"
    else:
        word = "supported" if steps and not lacks and all(step.apart for step in steps) else "undecided"
    return Verdict(word, steps, lacks, list(averaged), list(left_out), by_seeds)


def read(file: Path = CLAIMS) -> tuple[list[Claim], list[str]]:
    """The claims of a YAML file (none where there is no file), and a line for each that cannot be understood."""
    try:
        content = yaml_of(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [], []
    except (OSError, ValueError) as error:
        return [], [f"{file.name} cannot be read: {' '.join(str(error).split())}"]
    if not isinstance(content, list):
        return [], [f"{file.name}: expected a list of claims, each beginning with '- claim:'"]
    claims, problems = [], []
    for k, one in enumerate(content, 1):
        try:
            claims.append(Claim.model_validate(one))
        except ValidationError as error:
            problems.append(f"{file.name}, claim {k}: {first_problem(error)}")
    return claims, problems
