"""The settings of all runs, and those that a method has for itself."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import streamlit as st

from dashboard import defaults, forms
from dashboard.sections.new.form import Form
from sslcore.config import OPTIONS, ConfigError, RunConfig, get, resolve
from sslcore.methods import METHODS

SHARED = [name for name in OPTIONS if name.partition(".")[0] not in METHODS and name not in ("method", "dataset", "seed")]


def ask(form: Form) -> None:
    st.header("Settings")
    asked = form.asked.settings
    form.changed = _fields(form, list(forms.FIRST), form.usual, asked)
    groups = forms.groups()
    for group, names in groups.items():
        if group not in METHODS:
            with st.expander(forms.TITLES.get(group, group.capitalize())):
                form.changed |= _fields(form, names, form.usual, asked)
                if group == "augment":
                    form.picture = st.container()
    for method in form.methods:
        with st.expander(f"{METHODS[method].title} only"):
            if method in groups:
                form.changed |= _fields(form, groups[method], {method: form.usual[method]}, asked)
            _own(form, method)


def _own(form: Form, method: str) -> None:
    """Settings that all share, and that this method has for itself."""
    asked = form.asked.by_method.get(method, {})
    defaults.follow(f"new_own_{method}", [], form.origin, list(asked) or None)
    names = st.multiselect(
        f"Settings that {METHODS[method].title} has for itself",
        SHARED,
        key=f"new_own_{method}",
        select_all=False,
        persist_state="session",
        format_func=lambda name: f"{forms.label(name)} ({name})",
        placeholder="None: it shares all others",
    )
    if names:
        shared = form.usual[method]
        with suppress(ConfigError):  # which is said where it was typed
            shared = resolve({**shared.flat(), **{name: value for name, value in form.settings.items() if name in SHARED}})
        form.by_method[method] = _fields(form, names, {method: shared}, asked, prefix=f"{method}_")


def _fields(
    form: Form, names: list[str], configs: Mapping[str, RunConfig], asked: Mapping[str, Any], prefix: str = ""
) -> dict[str, Any]:
    """Fields side by side; what the reader changed, by name. `configs` has those whose values are shown, by method;
    `asked` what a link wants changed. A method's own fields have a `prefix`."""
    changed: dict[str, Any] = {}
    with st.grid("auto", min_column_width=190):
        for name in names:
            with st.container():
                changed |= forms.field(
                    name,
                    {METHODS[method].title: get(config, name) for method, config in configs.items()},
                    key=f"new_set_{prefix}{name}",
                    start=form.origin,
                    asked=asked.get(name),
                    disabled=name in form.varying,
                )
                if prefix + name not in form.boxes:
                    form.boxes[prefix + name] = st.container()
    return changed
