"""The question, the images, the methods and how often each is repeated."""

import os
from collections.abc import Iterable

import streamlit as st

from dashboard import defaults, details, draft, forms, words
from dashboard.sections.new.form import Form
from sslcore import datasets
from sslcore.config import ConfigError, flatten, resolve
from sslcore.experiment import Run
from sslcore.methods import METHODS


def params(runs: Iterable[Run]) -> dict[str, str]:
    """The query parameters by which the form has the images of these runs; none where they are on several, or not here."""
    found = {run.config.dataset for run in runs}
    dataset = found.pop() if len(found) == 1 else ""
    if dataset in datasets.NAMES:
        return {"new_dataset": dataset}
    return {"new_dataset": forms.OWN, "new_path": dataset} if os.path.exists(dataset) else {}


def ask(form: Form) -> None:
    _question(form)
    data_box, methods_box, seeds_box = st.columns([3, 3, 1])
    with data_box:
        _images(form)
    with methods_box:
        _methods(form)
    with seeds_box:
        _seeds(form)
    _look_up_recipes(form)


def _question(form: Form) -> None:
    title_box, question_box = st.columns([1, 2])
    defaults.follow("new_title", form.start.spec.title, form.origin, form.asked.title)
    form.title = title_box.text_input("Title", key="new_title", persist_state="session").strip()
    defaults.follow("new_question", form.start.spec.question, form.origin, form.asked.question)
    form.question = question_box.text_input(
        "Question", key="new_question", persist_state="session", placeholder="What is to be found out?"
    )
    form.problems |= details.problems_of({"title": form.title, "question": form.question})
    forms.problem(title_box, form.problems, "title")
    forms.problem(question_box, form.problems, "question")


def _images(form: Form) -> None:
    usual = form.start.dataset
    defaults.follow("new_dataset", usual if usual in datasets.NAMES else forms.OWN, form.images_from)
    dataset = st.selectbox("Data set", [forms.OWN, *datasets.NAMES], index=None, key="new_dataset", bind="query-params") or usual
    if dataset == forms.OWN:
        dataset = _path(form)
    form.boxes["dataset"] = st.container()
    if not dataset:
        form.problems["dataset"] = "type the path of your images"
        form.empty.add("dataset")
        return
    try:
        info = datasets.info(dataset)
    except ValueError as error:
        form.problems["dataset"] = str(error)
    else:
        sides = f", {info.shape[1]} × {info.shape[0]} px" if info.shape else ""
        classes = words.count(len(info.classes), "class") if info.classes else "no labels"
        about = f"{datasets.NAMES[dataset]}. " if dataset in datasets.NAMES else ""
        by_name = dataset not in datasets.NAMES and not info.shape
        own = " Counted by name: files that cannot be read are left out." if by_name else ""
        together = f", in {words.count(info.groups, 'group')}" if info.groups else ""
        st.caption(f"{about}{info.train:,} training and {info.test:,} test images{sides}{together}, {classes}.{own}")
    if dataset != usual:
        form.fixed["dataset"] = dataset


def _path(form: Form) -> str:
    defaults.follow("new_path", "" if form.start.dataset in datasets.NAMES else form.start.dataset, form.images_from)
    kinds = "a folder with a folder of images for each class (with or without train/ and test/ above them), a folder of images"
    return forms.path(f"{kinds} without labels", key="new_path", bind="query-params")


def _methods(form: Form) -> None:
    usual = [method for method in form.start.methods if method in METHODS]
    defaults.follow("new_methods", usual, form.origin)
    chosen = st.pills(
        "Methods",
        list(METHODS),
        default=usual,  # for pills whose code comes only after the page has run again, when Streamlit does not send their value
        selection_mode="multi",
        format_func=lambda method: METHODS[method].title,
        key="new_methods",
        bind="query-params",
        help=(
            "What the preset sets holds for all of them; what it leaves open is each method's own default. Supervised is a "
            "reference: the same encoder, trained with the labels."
        ),
    )
    form.methods = [method for method in METHODS if method in chosen]
    form.boxes["method"] = st.container()
    if not form.methods:
        form.problems["method"] = "choose at least one"
        form.empty.add("method")
    elif set(form.methods) != set(form.start.methods):
        form.axes["method"] = form.methods


def _seeds(form: Form) -> None:
    usual = form.start.seeds
    defaults.follow("new_seeds", len(usual), form.origin, form.asked.seeds)
    seeds = forms.number(
        "Seeds",
        int,
        key="new_seeds",
        placeholder=str(len(usual)),
        persist_state="session",
        help=(
            "How often every run is repeated, each time with other random numbers. Three or more give a mean and a spread. Where "
            "seeds differ by half a point, of three methods one that is a point ahead is told from both others in 4 of 100 cases "
            "with three seeds, in 27 with five, in 90 with ten."
        ),
    )
    form.boxes["seeds"] = st.container()
    most = max(draft.MAX_SEEDS, len(usual))
    if seeds is not None and seeds not in range(1, most + 1):
        form.problems["seeds"] = f"must be a number from 1 to {most}, not {seeds}"
    form.seeds = len(usual) if seeds is None or "seeds" in form.problems else seeds
    if form.seeds != len(usual):
        form.axes["seed"] = list(range(min(usual), min(usual) + form.seeds))


def _look_up_recipes(form: Form) -> None:
    """What each field shows until it is changed: the start's setting, else the recipe of method and data set."""
    spec, axes = form.start.spec, form.start.axes
    base = {name: value for name, value in flatten(spec.base).items() if name not in axes}
    for method in form.methods or form.start.methods:
        own = flatten(spec.by_method.get(method, {}))
        try:
            form.usual[method] = resolve({**base, **own, **form.fixed, "method": method})
        except ConfigError as error:
            st.error(f"The {words.plain(form.origin)} cannot be used: {words.plain(str(error))}")
            st.stop()
