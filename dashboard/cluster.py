"""Slurm on the screen: how its jobs are asked for, what it says of a run's job, and when it says nothing."""

import streamlit as st

from dashboard import access, change, defaults, forms, link, words
from sslcore import launch
from sslcore.config import ConfigError
from sslcore.experiment import Run, Store
from sslcore.launch.slurm import client, heard
from sslcore.launch.slurm import settings as slurm_yaml
from sslcore.launch.slurm.script import submitted
from sslcore.status import Status

IN_THE_SHELL = ("extra", "set_up")  # commands that run on the cluster are no field of a page


def ask_for_engine(store: Store) -> tuple[str, bool]:
    """Ask where to train, where there is a choice, and for Slurm how.

    Returns one of launch.ENGINES, and whether its jobs are asked for as the page shows.
    """
    if why := client.missing():
        st.caption(f"{words.plain(why)}.")
        return "local", True
    engine = link.choice(
        "Where to train",
        list(launch.ENGINES),
        "local",
        key="new_engine",
        say=launch.ENGINES.get,
        width=320,
        help=(
            "Slurm queues the runs on the cluster, as one job array. A run that is preempted or whose time is up goes on by "
            "itself."
        ),
    )
    if engine != "slurm":
        return engine, True
    with st.expander("How this store's jobs are asked for", icon=":material/dns:"):
        return engine, _settings(store)


def chosen() -> bool:
    """Whether a page's "Where to train", which may stand further down, says Slurm."""
    return st.session_state.get("new_engine") == "slurm"


def _settings(store: Store) -> bool:
    """slurm.yaml as a form. Returns whether what it says is what stands there."""
    try:
        stands = slurm_yaml.read(store)
    except ConfigError as error:
        st.error(words.plain(str(error)))
        return True
    typed, boxes = {}, {}
    with st.grid("auto", min_column_width=190):
        for name, field in slurm_yaml.Settings.model_fields.items():
            if name not in IN_THE_SHELL:
                with st.container():
                    typed[name] = _field(name, getattr(stands, name), f"{field.description} (`{name}`)")
                    boxes[name] = st.container()
    if st.button("Keep", key="cluster_keep", **access.lock()):
        try:
            change.set_cluster(store, typed)
        except ConfigError as error:
            for name, what in error.problems.items():
                (boxes.get(name) or st).error(words.plain(what))
        except OSError as error:
            st.error(f"They could not be kept: {words.plain(str(error))}")
        else:
            st.rerun()
    st.caption(
        "An empty field is left to the cluster; an empty number gets its default back. Shell lines before the training, and more "
        "options of sbatch, are set in the shell alone:"
    )
    st.code(
        "python -m sslcore slurm --set set_up='module load cuda' extra='[--constraint=a100]'", language="bash", wrap_lines=True
    )
    for name in IN_THE_SHELL:
        if value := getattr(stands, name):
            st.code(value if isinstance(value, str) else "\n".join(value), language="bash", wrap_lines=True)
    return typed == stands.model_dump(include=set(typed))


def _field(name: str, value: str | int, help: str) -> str | float | None:
    label = name.replace("_", " ").capitalize().replace("Qos", "QOS").replace("Gpu", "GPU").replace("Cpu", "CPU")
    key = f"cluster_{name}"
    if isinstance(value, int):
        defaults.follow(key, float(value), "")
        return forms.number(label, int, key=key, help=help)
    defaults.follow(key, value, "")
    return st.text_input(label, key=key, help=help, placeholder="the cluster's", max_chars=200).strip()


# -- Its jobs --------------------------------------------------------------------------------


def trouble(store: Store) -> None:
    """Say so where Slurm does not tell at present how its jobs do."""
    now = heard.last(store)
    if now.problem:
        st.warning(
            f"{words.plain(heard.unknown(now))}. Jobs that run go on all the same; which of those that wait have started is not "
            "known.",
            icon=":material/cloud_off:",
        )


def job_in_words(status: Status) -> str:
    """Job, node, partition and requeues on one line."""
    node = f"on {status.host}" if status.state != "queued" and status.host else ""
    times = f"requeued {words.count(status.requeues, 'time')}" if status.requeues else ""
    where = f"partition {status.partition}" if status.partition else ""
    return " · ".join(filter(None, [f"Slurm job {status.job_id}" if status.job_id else "Slurm", node, where, times]))


def job(run: Run, status: Status) -> None:
    """What is known of a run's job, and the script that was submitted."""
    attempt = f"attempt {status.attempt}, begun {words.date(status.started_at)}" if status.started_at else ""
    st.caption(words.plain(" · ".join(filter(None, [job_in_words(status), attempt]))))
    script = submitted(run, status)
    if script is None:
        st.caption("The script that was submitted is not here any more.")
        return
    with st.expander("The script that was submitted", icon=":material/terminal:"):
        st.code(script.read_text(encoding="utf-8", errors="replace"), language="bash", wrap_lines=True)
        st.caption(words.plain(str(script)))
