"""New experiment: choose data and methods, vary and change settings, see the resulting runs, launch."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import access, change, cluster, draft, forms, link, words
from sslcore import datasets, plan
from sslcore.config import OPTIONS, ConfigError, flatten, get, resolve
from sslcore.methods import METHODS

OWN = "own images"  # stands in the list of data sets for a path
SHARED = [name for name in OPTIONS if name.partition(".")[0] not in METHODS and name not in ("method", "dataset", "seed")]

store = link.store()
st.title("New experiment")


# -- Where the form starts from ---------------------------------------------------

clone = st.query_params.get("clone")
if clone:
    try:
        start = draft.from_clone(store, clone)
    except ValueError as error:
        st.error(f"There is nothing to copy. {words.plain(str(error))}")
        link.page_link("new", "Start from a preset")
        st.stop()
    origin = f"copy of {clone}"
    st.text(f"This is a copy of {clone}. Nothing of the original changes.")
    link.page_link("new", "Start from a preset instead")
else:
    forms.follow("new_preset", "photos", "")
    preset = (
        st.selectbox(
            "Start from the preset",
            list(plan.presets()),
            index=None,
            key="new_preset",
            bind="query-params",
            help="A preset fills in the form with settings that are known to work. Change below what you like.",
        )
        or "photos"
    )
    try:
        start = draft.from_preset(preset)
    except ValueError as error:
        st.error(words.plain(str(error)))
        st.stop()
    origin = f"preset {preset}"

try:
    asked = draft.Asked.from_params(link.params("title", "question", "seeds", "set", "own", "vary"))
except ConfigError as error:
    st.warning(f"The link asks for what cannot be, so its changes are left out: {words.plain(str(error))}")
    asked = draft.Asked()

boxes: dict[str, Any] = {}  # by setting: the place where its problems are said
problems: dict[str, str] = {}
settings: dict[str, Any] = {}
axes: dict[str, list[Any]] = {}
by_method: dict[str, dict[str, Any]] = {}


# -- The question, the images, the methods -----------------------------------------

title_box, question_box = st.columns([1, 2])
forms.follow("new_title", start.spec.title, origin, asked.title)
title = title_box.text_input("Title", key="new_title", max_chars=80, persist_state="session").strip()
if not title:
    problems["title"] = "give the experiment a title"
    forms.problem(title_box, problems, "title")
forms.follow("new_question", start.spec.question, origin, asked.question)
question = question_box.text_input(
    "Question", key="new_question", max_chars=300, persist_state="session", placeholder="What is to be found out?"
)

data_box, methods_box, seeds_box = st.columns([3, 3, 1])
with data_box:
    built_in = start.dataset in datasets.NAMES
    forms.follow("new_dataset", start.dataset if built_in else OWN, origin)
    dataset = (
        st.selectbox("Data set", [*datasets.NAMES, OWN], index=None, key="new_dataset", bind="query-params") or start.dataset
    )
    if dataset == OWN:
        forms.follow("new_path", "" if built_in else start.dataset, origin)
        path = st.text_input(
            "Path",
            key="new_path",
            bind="query-params",
            placeholder="/home/me/images",
            help="On the machine where this dashboard runs: a folder with a folder of images for each class (with or without "
            "train/ and test/ above them), a folder of images without labels, or an .npz file with x_train, y_train, x_test, "
            "y_test.",
        )
        dataset = datasets.canonical(path.strip()) if path and path.strip() else ""
    boxes["dataset"] = st.container()
    if dataset:
        try:
            info = datasets.info(dataset)
        except ValueError as error:
            problems["dataset"] = str(error)
        else:
            sides = f", {info.shape[1]} × {info.shape[0]} px" if info.shape else ""
            classes = words.count(len(info.classes), "class") if info.classes else "no labels"
            about = f"{datasets.NAMES[dataset]}. " if dataset in datasets.NAMES else ""
            st.caption(f"{about}{info.train:,} training and {info.test:,} test images{sides}, {classes}.")
    else:
        problems["dataset"] = "type the path of your images"

with methods_box:
    forms.follow("new_methods", [method for method in start.methods if method in METHODS], origin)
    chosen = st.pills(
        "Methods",
        list(METHODS),
        selection_mode="multi",
        format_func=lambda method: METHODS[method].title,
        key="new_methods",
        bind="query-params",
        help="Each trains with its own recipe. Supervised is a reference: the same encoder, trained with the labels.",
    )
    methods = [method for method in METHODS if method in chosen]
    boxes["method"] = st.container()
    if not methods:
        problems["method"] = "choose at least one"

with seeds_box:
    forms.follow("new_seeds", len(start.seeds), origin, asked.seeds)
    seeds = forms.number(
        "Seeds",
        int,
        key="new_seeds",
        placeholder=str(len(start.seeds)),
        persist_state="session",
        help="How often every run is repeated, each time with other random numbers. Three or more give a mean and a spread.",
    )
    boxes["seeds"] = st.container()
    most = max(draft.MAX_SEEDS, len(start.seeds))
    if seeds is not None and seeds not in range(1, most + 1):
        problems["seeds"] = f"must be a number from 1 to {most}, not {seeds}"
    if seeds is None or "seeds" in problems:
        seeds = len(start.seeds)

if dataset and dataset != start.dataset:
    settings["dataset"] = dataset
if methods and set(methods) != set(start.methods):
    axes["method"] = methods
if seeds != len(start.seeds):
    axes["seed"] = list(range(min(start.seeds), min(start.seeds) + seeds))


# What each field shows until it is changed: the start's setting, else the recipe of method and data set.
usual = {}
for method in methods or start.methods:
    base = {name: value for name, value in flatten(start.spec.base).items() if name not in start.axes}
    own = flatten(start.spec.by_method.get(method, {}))
    try:
        usual[method] = resolve({**base, **own, **settings, "method": method})
    except ConfigError as error:
        st.error(f"The {words.plain(origin)} cannot be used: {words.plain(str(error))}")
        st.stop()


# -- What varies ----------------------------------------------------------------------

forms.follow("new_vary", list(start.axes), origin, None if asked.axes is None else list(asked.axes))
varied = st.multiselect(
    "Vary",
    [name for name in OPTIONS if name not in ("method", "seed")],
    key="new_vary",
    persist_state="session",
    format_func=lambda name: f"{forms.label(name)} ({name})",
    placeholder="Nothing: the methods alone are compared",
    help="Settings to try with several values. Every combination of methods, seeds and these values becomes a run.",
)
varying: dict[str, list[Any]] = {}
with st.container(), st.grid("auto", min_column_width=260):  # always there, so that what is below stays in place
    for name in varied:
        with st.container():
            wanted = (asked.axes or {}).get(name)
            forms.follow(
                f"new_values_{name}",
                forms.typed(start.axes.get(name, [])),
                origin,
                None if wanted is None else forms.typed(wanted),
            )
            text = st.text_input(
                f"{forms.label(name)}: its values, with commas",
                key=f"new_values_{name}",
                persist_state="session",
                placeholder=f"such as {forms.say(get(next(iter(usual.values())), name))}, …",
                help=forms.help_text(name),
            )
            boxes[name] = st.container()
            values = forms.values(text, name)
            varying[name] = values
            if not values:
                problems[name] = "type at least one value"
            elif values != start.axes.get(name):
                axes[name] = values
for name, values in start.axes.items():
    if name not in varied:
        settings[name] = values[0]


# -- Settings ----------------------------------------------------------------------------


def fields(names: list[str], configs: dict[str, Any], asked: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Fields side by side; what the reader changed, by name. `configs` has those whose values are shown, by method;
    `asked` what a link wants changed. A method's own fields have a `prefix`."""
    changed: dict[str, Any] = {}
    with st.grid("auto", min_column_width=190):
        for name in names:
            with st.container():
                shown = {METHODS[method].title: get(config, name) for method, config in configs.items()}
                fixed = name in varied
                changed |= forms.field(
                    name, shown, key=f"new_set_{prefix}{name}", start=origin, asked=asked.get(name), disabled=fixed
                )
                if prefix + name not in boxes:
                    boxes[prefix + name] = st.container()
    return changed


st.subheader("Settings")
changed = fields(list(forms.FIRST), usual, asked.settings)
groups = dict(forms.groups())
for group, names in groups.items():
    if group not in METHODS:
        with st.expander(forms.TITLES.get(group, group.capitalize())):
            changed |= fields(names, usual, asked.settings)
            if group == "augment":
                strip_box = st.container()
for method in methods:
    with st.expander(f"{METHODS[method].title} only"):
        if method in groups:
            changed |= fields(groups[method], {method: usual[method]}, asked.settings)
        own = asked.by_method.get(method, {})
        forms.follow(f"new_own_{method}", [], origin, list(own) or None)
        others = st.multiselect(
            f"Settings that {METHODS[method].title} has for itself",
            SHARED,
            key=f"new_own_{method}",
            persist_state="session",
            format_func=lambda name: f"{forms.label(name)} ({name})",
            placeholder="None: it shares all others",
        )
        if others:
            try:
                shared = resolve({**usual[method].flat(), **{n: v for n, v in (settings | changed).items() if n in SHARED}})
            except ConfigError:  # which is said where it was typed
                shared = usual[method]
            by_method[method] = fields(others, {method: shared}, own, prefix=f"{method}_")
settings |= changed

# -- The runs -------------------------------------------------------------------------------

experiment = draft.Draft(start, title, question, settings, by_method, axes)
try:
    spec = experiment.spec()
    planned = plan.plan(spec)
except ConfigError as error:
    planned = plan.Plan(problems=error.problems)
problems = planned.problems | problems
for method, own in by_method.items():
    for name, value in own.items():
        try:
            resolve({name: value})
        except ConfigError as error:  # the method's own value is wrong, not the one that all share
            problems[f"{method}_{name}"] = error.problems.get(name, str(error))
            if name not in changed:
                problems.pop(name, None)
for name, box in boxes.items():
    forms.problem(box, problems, name)

# The link in the address bar says all of this that can be launched.
link.keep(
    draft.Asked(
        title=title if title != start.spec.title else None,
        question=question if question != start.spec.question else None,
        seeds=seeds if seeds != len(start.seeds) else None,
        settings={name: value for name, value in changed.items() if name not in problems},
        by_method={
            method: {name: value for name, value in own.items() if not {name, f"{method}_{name}"} & problems.keys()}
            for method, own in by_method.items()
        },
        axes=varying if varying != start.axes else None,
    ).params()
)

with strip_box:
    if st.toggle(
        "Show what the network sees",
        key="new_views",
        **access.lock(help="Two random views of some of the images, drawn with these settings."),
    ):
        if problems:
            st.caption("The picture appears when the problems below are mended.")
        for config in [] if problems else list(planned.configs.values())[:1]:
            try:
                with st.spinner("Drawing: a few seconds, longer if the images have to be fetched first"):
                    picture = change.draw_views(config)
                st.image(str(picture), caption="On top an image, below it random views", width=544)
            except (OSError, ValueError) as error:
                st.error(words.plain(str(error)))

st.subheader("The runs")
for warning in planned.warnings:
    st.warning(words.plain(warning))
if planned.configs and not problems:
    configs = planned.configs
    differ = [name for name in OPTIONS if len({str(get(config, name)) for config in configs.values()}) > 1]
    rows = pd.DataFrame(
        [
            {
                "run": run,
                **{name: forms.say(get(config, name)) for name in differ},
                "peak learning rate": f"{config.peak_learning_rate:.4g}",
            }
            for run, config in configs.items()
        ]
    )
    st.dataframe(
        rows,
        hide_index=True,
        height="auto",
        column_config={
            "peak learning rate": st.column_config.TextColumn(
                help=("The highest learning rate of the training, after scaling to the batch size.")
            )
        },
    )
    if seconds := draft.expected_seconds(store, configs):
        st.caption(
            f"About {words.duration(seconds)} of training, one run after another, at the speed of the finished runs here "
            "that are most alike. Evaluation comes on top."
        )

engine = cluster.ask_for_engine(store)
action = st.container(horizontal=True, vertical_alignment="center")
label = f"Launch {words.count(len(planned.configs), 'run')}" if not problems else "Launch"
if (
    action.button(
        label, type="primary", icon=":material/rocket_launch:", key="new_launch", **access.lock(disabled=bool(problems))
    )
    and not problems
):
    name = store.free_name(title)
    try:
        change.launch(
            store, name, spec.model_copy(update={"command": experiment.command(store, name, engine)}), planned.configs, engine
        )
    except (OSError, ValueError, RuntimeError) as error:
        st.error(f"The experiment could not be started: {words.plain(str(error))}")
        st.stop()
    link.go("watch", experiment=name)
if problems:
    own_names = {f"{method}_{name}": f"{METHODS[method].title}'s {forms.label(name)}" for method in methods for name in SHARED}
    names = {name: forms.label(name) for name in OPTIONS} | own_names
    lines = [f"- {names.get(name, name.capitalize())}: {words.plain(what)}" for name, what in problems.items()]
    action.markdown("Nothing can start yet:\n" + "\n".join(lines))
else:
    room = "this machine has room" if engine == "local" else "the cluster has"
    action.caption(f"They wait in a queue and start as soon as {room}. You can close the browser meanwhile.")

if not problems:
    with st.expander("The same from the shell", icon=":material/terminal:"):
        st.code(experiment.command(store, store.free_name(title), engine), language="bash", wrap_lines=True)

forms.drawn()
