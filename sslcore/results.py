"""results.json: what a run measured at its end. experiments/README.md documents every key.

Here stand the parts on which readers rely; the others may be whatever they are.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from sslcore.files import as_float

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    model_config = ConfigDict(strict=True)  # readers do not turn text into numbers either


def _in_order(ends: list[float]) -> list[float]:
    if ends[0] > ends[1]:
        raise PydanticCustomError("order", "an interval must end above where it begins")
    return ends


# Of an accuracy; one that is symmetric about it, as a normal distribution's, may reach beyond what can be.
Interval = Annotated[list[Annotated[float, Field(ge=-1, le=2)]], Field(min_length=2, max_length=2), AfterValidator(_in_order)]
ByClass = dict[str, Share | None] | list[Share | None]  # None of a class without test images


class Linear(Part):
    accuracy: Share | None = None
    n_train: Count | None = None
    n_test: Count | None = None
    ci95: Interval | None = None
    per_class: ByClass | None = None
    classes: list[str] | None = None
    confusion: list[list[Annotated[int, Field(ge=0, le=2**53)]]] | None = None
    protocol: str | None = None

    @model_validator(mode="after")
    def _square(self) -> "Linear":
        sizes = {*map(len, filter(None, (self.confusion, *(self.confusion or ()), self.classes)))} if self.confusion else set()
        if len(sizes) > 1:
            raise PydanticCustomError("square", "confusion must have a row and a column for each of classes")
        return self


class KNN(Part):
    accuracy: Share | None = None
    ci95: Interval | None = None
    n_train: Count | None = None
    n_test: Count | None = None
    protocol: str | None = None


class Baseline(Part):
    linear: Share | None = None
    knn: Share | None = None


class Baselines(Part):
    random_encoder: Baseline | None = None
    pixels: Baseline | None = None


class Transfer(Part):
    linear: Linear | None = None
    knn: KNN | None = None
    random_encoder: Baseline | None = None
    pixels: Baseline | None = None


class Cost(Part):
    seconds: Annotated[float, Field(ge=0)] | None = None
    images_per_second: Annotated[float, Field(ge=0)] | None = None
    peak_memory_bytes: Annotated[float, Field(ge=0)] | None = None
    energy_joules: Annotated[float, Field(ge=0)] | None = None
    threads_waiting: Annotated[float, Field(ge=0)] | None = None
    flops_per_image: Annotated[float, Field(ge=0)] | None = None
    device: str | None = None
    protocol: str | None = None


class Results(Part):
    linear: Linear | None = None
    knn: KNN | None = None
    baselines: Baselines | None = None
    geometry: dict[str, Any] | None = None
    umap: dict[str, Any] | None = None
    cost: Cost | None = None
    transfer: dict[str, Transfer] | None = None
    heads: dict[str, Any] | None = None
    label_efficiency: list[dict[str, Any]] | None = None
    fine_tuning: list[dict[str, Any]] | None = None
    pca: dict[str, Any] | None = None
    note: str | None = None


def usable(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """As readers have it; None where the parts on which they rely are not as they must be.

    An accuracy of null is of what was not probed, and classes without names are called by their numbers.
    """
    try:
        Results.model_validate(found)
    except ValidationError:
        return None
    unprobed = [name for name in ("linear", "knn") if found.get(name) and found[name].get("accuracy") is None]
    found = found | dict.fromkeys(unprobed)
    return found | ({"linear": _with_names(found["linear"])} if found.get("linear") else {})


def _with_names(linear: dict[str, Any]) -> dict[str, Any]:
    by_class, confusion = linear.get("per_class"), linear.get("confusion")
    names = linear.get("classes")
    if not names and (by_class or confusion):
        named = isinstance(by_class, dict) and len(by_class) == len(confusion or by_class)
        names = list(by_class) if named else [str(k) for k in range(len(confusion or by_class))]
    if isinstance(by_class, list):
        by_class = dict(zip(names, by_class))
    return linear | ({"classes": names} if names else {}) | ({"per_class": by_class} if by_class else {})


# -- Reading what may not be there ---------------------------------------------

LARGEST = 1e30  # nothing that is measured comes near, and sums and squares of smaller ones are finite


def number(results: Any, dotted: str, where: Mapping[str, Any] | None = None) -> float | int | None:
    """The number under a dotted name of results.json; None where there is none. `where`: see `dig`."""
    value = dig(results, *dotted.split("."), where=where)
    return value if abs(as_float(value)) < LARGEST else None


def dig(value: Any, *keys: str, where: Mapping[str, Any] | None = None) -> Any:
    """Whatever results.json has under these keys, or None. Of a list, `where` (keys and values) picks the row."""
    for key in keys:
        if isinstance(value, list):
            value = next((row for row in value if where and isinstance(row, Mapping) and where.items() <= row.items()), None)
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def part(value: Any, *keys: str) -> Mapping[str, Any]:
    """The part of results.json under these keys; {} where it is not there, or no part at all."""
    found = dig(value, *keys)
    return found if isinstance(found, Mapping) else {}


def on_cpu(results: Any) -> bool:
    """Whether the run was trained on a CPU, be it in part: its memory is then the process's, with all that it imports."""
    return "CPU" in wording(results, "cost", "device")


def wording(value: Any, *keys: str) -> str:
    """The words under these keys; none where there are none."""
    told = dig(value, *keys)
    return told if isinstance(told, str) else ""
