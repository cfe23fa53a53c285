"""What values an option takes, read from its annotation and bounds in `sslcore.config`: for the form and for the shell."""

from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Literal, get_args, get_origin

from sslcore.config import OPTIONS
from sslcore.methods import METHODS


@dataclass(frozen=True)
class Shape:
    type: type  # int, float, bool or str
    optional: bool  # may be empty
    choices: tuple[str, ...]  # () where any value of the type will do
    low: float | None  # bounds, inclusive
    high: float | None
    above: float | None  # a lower bound that itself is excluded


def shape(name: str) -> Shape:
    """The shape of an option."""
    field = OPTIONS[name]
    members = get_args(field.annotation) if isinstance(field.annotation, UnionType) else (field.annotation,)
    annotation = members[0]
    choices = get_args(annotation) if get_origin(annotation) is Literal else tuple(METHODS) if name == "method" else ()
    bound = {side: getattr(limit, side) for limit in field.metadata for side in ("ge", "le", "gt") if hasattr(limit, side)}
    kind = str if choices else annotation
    return Shape(kind, NoneType in members, choices, bound.get("ge"), bound.get("le"), bound.get("gt"))
