"""results.json: what a run measured at its end. experiments/README.md documents every key.

Here stand the parts on which readers rely; the others may be whatever they are.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    model_config = ConfigDict(strict=True)  # readers do not turn text into numbers either


class Linear(Part):
    accuracy: Share
    ci95: Annotated[list[Share], Field(min_length=2, max_length=2)] | None = None
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
    protocol: str | None = None


class Cost(Part):
    seconds: Annotated[float, Field(ge=0)] | None = None
    images_per_second: Annotated[float, Field(ge=0)] | None = None
    peak_memory_bytes: Annotated[float, Field(ge=0)] | None = None
    energy_joules: Annotated[float, Field(ge=0)] | None = None
    threads_waiting: Annotated[float, Field(ge=0)] | None = None
    device: str | None = None
    protocol: str | None = None


class Results(Part):
    linear: Linear | None = None
    knn: KNN | None = None
    baselines: dict[str, Any] | None = None
    geometry: dict[str, Any] | None = None
    umap: dict[str, Any] | None = None
    cost: Cost | None = None
    transfer: dict[str, dict[str, Any]] | None = None
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
