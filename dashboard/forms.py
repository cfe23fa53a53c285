"""Options of the config model as fields of a form: label, widget, bounds and help all come from `sslcore.config`."""

import csv
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

import streamlit as st

from dashboard import words
from dashboard.defaults import follow
from sslcore import datasets
from sslcore.config import OPTIONS
from sslcore.grouping import grouped
from sslcore.shape import Shape, shape

FIRST = ("epochs", "batch_size", "learning_rate", "encoder", "image_size")  # what most readers change
TITLES = {
    "": "Training",
    "augment": "Augmentation: the random views",
    "head": "Projection head",
    "evaluate": "Evaluation",
}
SPELLING = {
    "Dataset": "Data set",
    "Lr scaling": "Learning-rate scaling",
    "Knn": "kNN",
    "Bn": "BatchNorm",
    "Dim": "Length of z",
}


# -- What an option looks like ---------------------------------------------------


def label(name: str) -> str:
    """moco.queue_size -> Queue size."""
    text = name.rpartition(".")[2].replace("_", " ").capitalize()
    if text in SPELLING:
        return SPELLING[text]
    first, _, rest = text.partition(" ")
    return f"{SPELLING.get(first, first)} {rest}".strip()


def help_text(name: str) -> str:
    """The description, the bounds, and the name by which the command line knows the option."""
    option = shape(name)
    high = f"{option.high:,}" if option.high is not None else ""
    if option.above is not None:
        bounds = f"Above {option.above:,}" + (f", up to {high}." if high else ".")
    elif option.low is not None:
        bounds = f"{option.low:,} to {high}." if high else f"At least {option.low:,}."
    else:
        bounds = ""
    return " ".join(filter(None, [OPTIONS[name].description, bounds, f"(`{name}`)"]))


def say(value: Any) -> str:
    """A value as the form shows it, and reads it back."""
    return "none" if value is None else words.setting(value)


def groups() -> dict[str, list[str]]:
    """Group -> its options, in the model's order, without what the form asks in its own way; "" is the top level."""
    asked = {"method", "dataset", "seed", *FIRST}
    return grouped((name for name in OPTIONS if name not in asked), lambda name: name.rpartition(".")[0])


# -- A field on the page ----------------------------------------------------------


def field(
    name: str, defaults: Mapping[str, Any], *, key: str, start: str, asked: Any = None, disabled: bool = False
) -> dict[str, Any]:
    """Ask for one option; {name: value} if the reader wants something else than the default, else {}.

    `defaults` has the option's value for each method. Where they differ the field stays
    empty, which leaves to each method its own.
    """
    values = list(defaults.values())
    shared = all(value == values[0] for value in values)
    default = values[0] if shared else None
    by_method = "" if shared else " · ".join(f"{method} {say(value)}" for method, value in defaults.items())
    follow(key, default, start, asked)
    value = _widget(
        name,
        key=key,
        help=help_text(name),
        placeholder=by_method or ("empty" if default is None else say(default)),
        disabled=disabled,
        persist_state="session",
    )
    if disabled or value == default or (value is None and not shape(name).optional):
        return {}
    return {name: value}


def _widget(name: str, *, placeholder: str, **common: Any) -> Any:
    option = shape(name)
    if option.choices or option.type is bool:
        options = list(option.choices) or [True, False]
        return st.selectbox(label(name), options, index=None, format_func=say, placeholder=placeholder, **common)
    if option.type in (int, float):
        return number(label(name), option.type, placeholder=placeholder, **common)
    return st.text_input(label(name), placeholder=placeholder, **common)


def number(title: str, kind: type, **common: Any) -> int | float | None:
    """What was typed for a number, whatever it is, so that it can be refused beside its field.

    Given bounds, or a whole step, a browser would keep what is beyond them to itself, or cut it, and the form go on with another
    number than it shows.
    """
    typed = st.number_input(title, value=None, step=1.0 if kind is int else 0.01, format="%g", **common)
    return int(typed) if kind is int and typed is not None and float(typed).is_integer() else typed


OWN = "own images"  # stands in a list of data sets for a path


def path(kinds: str, **common: Any) -> str:
    """The absolute path of the reader's own images, typed or as file managers copy it; "" for none. `kinds`: of what."""
    help = (
        f"On the machine where this dashboard runs: {kinds}, or an .npz file with x_train, y_train, x_test, y_test. Images that "
        "belong together, as those of a patient or a film: name their groups in groups.csv, with the columns file and group, "
        "beside the folders, or in group_train and group_test."
    )
    typed = (st.text_input("Path", placeholder="/home/me/images", help=help, **common) or "").strip()
    if typed.startswith("file://"):
        typed = unquote(typed.removeprefix("file://"))
    return datasets.canonical(typed)


def problem(box: Any, problems: Mapping[str, str], name: str, empty: bool = False) -> None:
    """Say in `box`, the container of a field, what is wrong with its value, or what it asks for while it is `empty`."""
    if name in problems:
        (box.info if empty else box.error)(words.plain(words.capital(problems[name]) if empty else problems[name]))


# -- Values typed for an axis -----------------------------------------------------


def typed(values: list[Any]) -> str:
    """The values of an axis as a reader would type them: the opposite of `values`."""
    said = [repr(value) if isinstance(value, float) else say(value) for value in values]
    return ", ".join('"{}"'.format(one.replace('"', '""')) if set(one) & set(',"') else one for one in said)


def values(text: str, name: str) -> list[Any]:
    """The values typed for an axis, such as 64, 128 or "a, b", c; what cannot be read stays text for the config to refuse."""
    parts = next(csv.reader([text], skipinitialspace=True), [])
    found = [_value(part.strip(), shape(name)) for part in parts if part.strip()]
    return [datasets.canonical(value) for value in found] if name == "dataset" else found


def _value(text: str, option: Shape) -> Any:
    if option.optional and text.lower() in ("none", "null"):
        return None
    if option.type is bool:
        return {"yes": True, "true": True, "no": False, "false": False}.get(text.lower(), text)
    if option.type in (int, float):
        try:
            return option.type(text)
        except ValueError:
            return text
    return text
