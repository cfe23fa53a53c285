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


class Linear(Part):
    accuracy: Share
    n_train: Count | None = None
    n_test: Count | None = None
    ci95: Annotated[list[Share], Field(min_length=2, max_length=2), AfterValidator(_in_order)] | None = None
    per_class: dict[str, Share | None] | None = None  # None of a class without test images
    classes: list[str] | None = None
    confusion: list[list[Annotated[int, Field(ge=0, le=2**53)]]] | None = None
    protocol: str | None = None

    @model_validator(mode="after")
    def _square(self) -> "Linear":
        sizes = {len(self.confusion), *map(len, self.confusion), len(self.classes or ())} if self.confusion else set()
        if len(sizes) > 1:
            raise PydanticCustomError("square", "confusion must have a row and a column for each of classes")
        return self


class KNN(Part):
    accuracy: Share
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
    """The same; None where the parts on which readers rely are not as they must be."""
    try:
        Results.model_validate(found)
    except ValidationError:
        return None
    return found


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
