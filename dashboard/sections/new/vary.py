"""What varies beside the methods and seeds."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import streamlit as st

from dashboard import defaults, forms
from dashboard.sections.new.form import Form
from sslcore.analysis import ablation
from sslcore.config import GROUPS, OPTIONS, ConfigError, get, resolve


def ask(form: Form) -> None:
    asked, start = form.asked.axes, form.start.axes
    groups = [name for name in GROUPS if name in {*start, *(asked or {})}]
    defaults.follow("new_vary", list(start), form.origin, None if asked is None else list(asked))
    varied = st.multiselect(
        "Vary",
        [*groups, *(name for name in OPTIONS if name not in ("method", "seed"))],
        key="new_vary",
        persist_state="session",
        select_all=False,  # which who types "batch" and presses Enter would choose: three settings
        format_func=lambda name: f"{_label(name)} ({name})",
        placeholder="Nothing: the methods alone are compared",
        help="Settings to try with several values. Every combination of methods, seeds and these values becomes a run.",
    )
    with st.container():  # always there, so that what is below stays in place
        together = st.container()
        grid = st.grid("auto", min_column_width=260)
        for name in varied:
            with together if name in GROUPS else grid, st.container():
                form.varying[name] = values = _of_group(form, name) if name in GROUPS else _values(form, name)
                form.boxes[name] = st.container()
            if not values:
                form.problems[name] = f"{'choose' if name in GROUPS else 'type'} at least one value"
                form.empty.add(name)
            elif values != start.get(name):
                form.axes[name] = values
    usual = next(iter(form.usual.values()))
    left = {name: values for name, values in start.items() if name not in varied}
    fixed = {name: {} if name in GROUPS else next(iter(values), get(usual, name)) for name, values in left.items()}
    form.fixed |= fixed
    with suppress(ConfigError):  # which the plan of the runs says
        form.usual = {method: resolve(config.flat() | fixed) for method, config in form.usual.items()}


def _label(name: str) -> str:
    """Of an option, or of a group whose settings vary together."""
    return forms.TITLES.get(name, forms.label(name)).partition(":")[0]


def _values(form: Form, name: str) -> list[Any]:
    usual, asked = form.start.axes.get(name, []), (form.asked.axes or {}).get(name)
    defaults.follow(f"new_values_{name}", forms.typed(usual), form.origin, None if asked is None else forms.typed(asked))
    text = st.text_input(
        f"{forms.label(name)}: its values, with commas",
        key=f"new_values_{name}",
        persist_state="session",
        placeholder=f"such as {forms.say(get(next(iter(form.usual.values())), name))}, …",
        help=forms.help_text(name),
    )
    return forms.values(text, name)


def _of_group(form: Form, name: str) -> list[Any]:
    """The values of an axis whose settings vary together: those of the start, or a link, to be left out and taken back."""
    start, link = form.start.axes, form.asked.axes or {}
    usual, asked = _called(start.get(name, [])), _called(link.get(name, []))
    defaults.follow(f"new_values_{name}", list(usual), form.origin, list(asked) if name in link else None)
    chosen = st.multiselect(
        f"{_label(name)}: its values",
        list(usual | asked),
        key=f"new_values_{name}",
        persist_state="session",
        help=f"Each changes some of the settings below, and leaves the others as they are. (`{name}`)",
    )
    return [(usual | asked)[words] for words in chosen]


def _called(values: list[Any]) -> dict[str, Any]:
    """Values by what they are called."""
    return {ablation.in_words(value) if isinstance(value, Mapping) else str(value): value for value in values}
