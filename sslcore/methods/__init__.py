"""The registry of methods, free of torch: one entry a method, one file beside it.

`defaults` are settings, by their config names, that a method needs where nothing
else is asked for. A fourth method is one new file and one new entry here.
"""

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any


@dataclass(frozen=True)
class Entry:
    """A method's display name, where its class is, what its loss is by chance, and its own defaults."""

    title: str
    target: str  # "module:Class", imported only where a run is trained
    chance: str = "chance"  # the class's chance_loss, in words
    defaults: dict[str, Any] = field(default_factory=dict)


METHODS: dict[str, Entry] = {
    "moco": Entry("MoCo", "sslcore.methods.moco:MoCo", "chance: ln(negatives + 1)"),
    "simclr": Entry("SimCLR", "sslcore.methods.simclr:SimCLR", "chance: ln(negatives + 1)"),
    "byol": Entry("BYOL", "sslcore.methods.byol:BYOL", "unrelated vectors"),
    "supervised": Entry("Supervised", "sslcore.methods.supervised:Supervised", "chance: ln(classes)", {"head.kind": "none"}),
}


def compared() -> list[str]:
    """The methods that learn without labels; the others are references."""
    return [name for name in METHODS if name != "supervised"]


def load(name: str) -> type:
    """The class of a method (imports torch)."""
    module, _, attribute = METHODS[name].target.partition(":")
    return getattr(import_module(module), attribute)
