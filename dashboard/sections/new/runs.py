"""The runs that the form describes: what stands in their way, what they see, what they would take, and their launch."""

from collections.abc import Mapping

import pandas as pd
import streamlit as st

from dashboard import access, change, cluster, draft, forms, link, machine, words
from dashboard.plot import tame
from dashboard.sections.new.form import Form
from dashboard.sections.new.settings import SHARED
from sslcore import plan
from sslcore.config import OPTIONS, ConfigError, get
from sslcore.experiment import Store
from sslcore.launch import NotStarted, slots
from sslcore.methods import METHODS


def check(form: Form) -> plan.Plan:
    """Plan the runs. Every problem is said beside its field."""
    try:
        planned = plan.plan(form.draft.spec())
    except ConfigError as error:
        planned = plan.Plan(problems=error.problems)
    form.problems = {_field(form, name): what for name, what in planned.problems.items()} | form.problems
    for name, box in form.boxes.items():
        forms.problem(box, form.problems, name, name in form.empty)
    return planned


def _field(form: Form, name: str) -> str:
    """The field to which a problem of the plan belongs: a method's own where it has one, else the one that all share."""
    if not name.startswith("by_method."):
        return name
    method, _, shared = name.removeprefix("by_method.").partition(".")
    own = f"{method}_{shared}"
    return own if own in form.boxes else shared or name


def keep_link(form: Form) -> None:
    """The link in the address bar says all of the form that can be launched."""
    spec, problems = form.start.spec, form.problems
    link.keep(
        draft.Asked(
            title=form.title if form.title != spec.title else None,
            question=form.question if form.question != spec.question else None,
            seeds=form.seeds if form.seeds != len(form.start.seeds) else None,
            settings={name: value for name, value in form.changed.items() if name not in problems},
            by_method={
                method: {name: value for name, value in own.items() if not {name, f"{method}_{name}"} & problems.keys()}
                for method, own in form.by_method.items()
            },
            axes=form.varying if form.varying != form.start.axes else None,
        ).params()
    )


def show_views(form: Form, planned: plan.Plan) -> None:
    """What the network of the first run sees, among the augmentations."""
    with form.picture:
        if not st.toggle(
            "Show what the network sees",
            key="new_views",
            **access.lock(help="Two random views of some of the images, drawn with these settings."),
        ):
            return
        if form.problems:
            st.caption("The picture appears when the problems below are mended.")
            return
        try:
            with st.spinner("Drawing: a few seconds, longer if the images have to be fetched first"):
                picture = change.draw_views(next(iter(planned.configs.values())))
            st.image(str(picture), caption="On top an image, below it random views", width=544, alt="Images and views of them")
        except (OSError, ValueError) as error:
            st.error(words.plain(str(error)))


def show_table(form: Form, planned: plan.Plan, store: Store) -> None:
    st.header("The runs")
    for warning in planned.warnings:
        st.warning(words.plain(warning))
    configs = planned.configs
    if form.problems:
        return
    differ = [name for name in OPTIONS if len({str(get(config, name)) for config in configs.values()}) > 1]
    memory = _memory(form, planned)
    rows = [
        {
            "run": run,
            **{name: forms.say(get(config, name)) for name in differ},
            "peak learning rate": f"{config.peak_learning_rate:.4g}",
            **({"memory": words.size(memory[run])} if memory else {}),
        }
        for run, config in configs.items()
    ]
    rate = st.column_config.TextColumn(help="The highest learning rate of the training, after scaling to the batch size.")
    st.dataframe(pd.DataFrame(rows).map(tame), hide_index=True, height="auto", column_config={"peak learning rate": rate})
    if memory:
        st.caption(f"Memory: about {plan.MEMORY[0].lower()}{plan.MEMORY[1:]}")
        if not cluster.chosen():
            _compare_memory(planned, memory)
    if seconds := draft.expected_seconds(store, configs):
        together = 1 if cluster.chosen() else slots.at_once(configs.values())
        st.caption(
            f"{words.training(seconds, together)}, at the speed of the finished runs here that are most alike. Evaluation comes "
            "on top."
        )


def _memory(form: Form, planned: plan.Plan) -> dict[str, int]:
    """Bytes by run, where they are asked for; else nothing."""
    if not st.toggle("Count the memory that they take", key="new_memory", **access.lock()):
        return {}
    try:
        with st.spinner("Counting: a few seconds"):
            return change.count_memory(form.draft.spec(), planned.configs)
    except (OSError, ValueError) as error:
        st.error(words.plain(str(error)))
        return {}


def _compare_memory(planned: plan.Plan, memory: Mapping[str, int]) -> None:
    """Say where a step takes more than the GPU has, or on a CPU, which all processes and runs at a time share, the machine."""
    now, together = machine.load(), slots.at_once(planned.configs.values())
    of_gpu = min((gpu.memory_total for gpu in now.gpus), default=None)
    over = {}
    for run, config in planned.configs.items():
        on_gpu = of_gpu is not None and config.device != "cpu"
        taken, room = (memory[run], of_gpu) if on_gpu else (memory[run] * config.devices * together, now.memory_total)
        if taken > room:
            beside = ", with what trains beside it," if together > 1 and not on_gpu else ""
            over[f"{words.plain(run)}{beside}"] = (taken, f"{words.size(room)}{' on a GPU' if on_gpu else ''}")
    if over:
        largest, (taken, room) = max(over.items(), key=lambda one: one[1][0])
        st.warning(
            f"{largest} takes about {words.size(taken)}, and this machine has {room}. Set a micro-batch size, which "
            "keeps the loss that of the whole batch, or a smaller batch or image size."
        )


def offer_launch(form: Form, planned: plan.Plan, store: Store) -> None:
    engine, kept = cluster.ask_for_engine(store)
    action = st.container(horizontal=True, vertical_alignment="center")
    label = f"Launch {words.count(len(planned.configs), 'run')}" if not form.problems else "Launch"
    lock = access.lock(disabled=bool(form.problems) or not kept)
    wanted = action.button(label, type="primary", icon=":material/rocket_launch:", key="new_launch", **lock)
    if form.problems:
        action.markdown("Nothing can start yet:\n" + "\n".join(_problems(form)))
        return
    if not kept:
        action.text("Press Keep first: jobs are asked for by the settings that were kept last, not by those shown above.")
        return
    if wanted:
        try:
            launch(store, store.free_name(form.title), form.draft, planned, engine)
        except (OSError, ValueError, RuntimeError) as error:
            st.error(f"The experiment could not be started: {words.plain(str(error))}")
            st.stop()
    together = slots.at_once(planned.configs.values()) if engine == "local" else 1
    place = "this machine" if engine == "local" else "the cluster"
    at_a_time = f", {together} at a time" if together > 1 else ""
    action.caption(f"They wait in a queue and start as soon as {place} has room{at_a_time}. You can close the browser meanwhile.")
    with st.expander("The same from the shell", icon=":material/terminal:"):
        command = form.draft.command(store, store.free_name(form.title), engine)
        st.code(command, language="bash", wrap_lines=True)


def _problems(form: Form) -> list[str]:
    """Each in a line, by what its field is called."""
    own = {f"{method}_{name}": f"{METHODS[method].title}'s {forms.label(name)}" for method in form.methods for name in SHARED}
    names = {name: forms.label(name) for name in OPTIONS} | own
    return [f"- {names.get(name, name.capitalize())}: {words.plain(what)}" for name, what in form.problems.items()]


def launch(store: Store, name: str, asked: draft.Draft, planned: plan.Plan, engine: str = "local") -> None:
    """Ends the page by going to Watch. Raises as change.launch does, where nothing could be started."""
    spec = asked.spec().model_copy(update={"command": asked.command(None, name, engine)})
    try:
        change.launch(store, name, spec, planned.configs, engine)
    except NotStarted as error:
        st.session_state["watch_refused"] = str(error)
    link.go("watch", experiment=name)
