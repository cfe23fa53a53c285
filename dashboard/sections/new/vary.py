"""What varies beside the methods and seeds."""

import streamlit as st

from dashboard import forms
from dashboard.sections.new.form import Form
from sslcore.config import OPTIONS, get


def ask(form: Form) -> None:
    asked, start = form.asked.axes, form.start.axes
    forms.follow("new_vary", list(start), form.origin, None if asked is None else list(asked))
    varied = st.multiselect(
        "Vary",
        [name for name in OPTIONS if name not in ("method", "seed")],
        key="new_vary",
        persist_state="session",
        format_func=lambda name: f"{forms.label(name)} ({name})",
        placeholder="Nothing: the methods alone are compared",
        help="Settings to try with several values. Every combination of methods, seeds and these values becomes a run.",
    )
    with st.container(), st.grid("auto", min_column_width=260):  # always there, so that what is below stays in place
        for name in varied:
            with st.container():
                _values(form, name)
    form.fixed |= {name: values[0] for name, values in start.items() if name not in varied}


def _values(form: Form, name: str) -> None:
    usual, asked = form.start.axes.get(name, []), (form.asked.axes or {}).get(name)
    forms.follow(f"new_values_{name}", forms.typed(usual), form.origin, None if asked is None else forms.typed(asked))
    text = st.text_input(
        f"{forms.label(name)}: its values, with commas",
        key=f"new_values_{name}",
        persist_state="session",
        placeholder=f"such as {forms.say(get(next(iter(form.usual.values())), name))}, …",
        help=forms.help_text(name),
    )
    form.boxes[name] = st.container()
    form.varying[name] = values = forms.values(text, name)
    if not values:
        form.problems[name] = "type at least one value"
    elif values != form.start.axes.get(name):
        form.axes[name] = values
