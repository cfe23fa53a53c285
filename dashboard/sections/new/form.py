"""The launch form as far as it has been filled in."""

from dataclasses import dataclass, field
from typing import Any

from streamlit.delta_generator import DeltaGenerator

from dashboard import draft
from sslcore.config import RunConfig


@dataclass
class Form:
    """Each section of the page asks for some of it, and adds what the reader changed."""

    start: draft.Start
    origin: str  # the start in words; fields are filled in anew where it changes
    asked: draft.Asked  # what a link wants changed

    title: str = ""
    question: str = ""
    methods: list[str] = field(default_factory=list)
    seeds: int = 1
    usual: dict[str, RunConfig] = field(default_factory=dict)  # by method: what each field shows until it is changed
    varying: dict[str, list[Any]] = field(default_factory=dict)  # the settings that vary, with their values

    fixed: dict[str, Any] = field(default_factory=dict)  # the data set, and what varied in the start and does not here
    changed: dict[str, Any] = field(default_factory=dict)  # settings of every run
    by_method: dict[str, dict[str, Any]] = field(default_factory=dict)  # of one method's runs
    axes: dict[str, list[Any]] = field(default_factory=dict)  # in place of the start's

    problems: dict[str, str] = field(default_factory=dict)  # by setting
    empty: set[str] = field(default_factory=set)  # of these, what is not filled in yet
    boxes: dict[str, DeltaGenerator] = field(default_factory=dict)  # where they are said
    picture: DeltaGenerator | None = None  # where that of the views belongs

    @property
    def images_from(self) -> str:
        """`origin`, but all presets alike: whoever looks at one after another keeps the images chosen."""
        return "a preset" if self.origin.startswith("preset ") else self.origin

    @property
    def settings(self) -> dict[str, Any]:
        return self.fixed | self.changed

    @property
    def draft(self) -> draft.Draft:
        return draft.Draft(self.start, self.title, self.question, self.settings, self.by_method, self.axes)
