"""Watch: how far each run is, its curves as they grow, what went wrong, and what the machine is doing."""

from collections import Counter

import streamlit as st

from dashboard import access, change, cluster, head, link, machine, menu, metrics, tables, trash, words
from dashboard.figures import curves
from dashboard.plot import plot
from sslcore import launch
from sslcore.analysis.order import by_method, in_order
from sslcore.experiment import Run, Store
from sslcore.launch.slots import HOST
from sslcore.launch.slurm import heard
from sslcore.methods import METHODS
from sslcore.results import number
from sslcore.status import ACTIVE, RESUMABLE, Status

EVALUATED = [name for name in curves.METRICS if name not in ("learning_rate", "images_per_second")]  # at evaluations alone
TICK = 1  # seconds between two looks at the folders, while something runs; more where there are many runs
PAGE = 20  # runs listed at a time
EARLY = ("failed", "interrupted")  # runs whose end asks for the reader come first
LIST = 530  # pixels of a long list: five runs and half of another, which tells that there are more


store = Store()
experiment = head.of_experiment("Watch")
spec = experiment.spec()
runs = {run.name: run for run in link.own_runs(experiment)}
if not runs:
    head.end_without_runs(experiment)


def statuses() -> dict[str, Status]:
    """What is true of each run now."""
    return {name: run.status() for name, run in runs.items() if run.exists()}


at_first = statuses()
active = any(status.state in ACTIVE for status in at_first.values())
tick = TICK + len(runs) // 400 if active else None


# -- What the reader does to a run ------------------------------------------------------


MARKS = {"Pin": ("pinned", True), "Unpin": ("pinned", False), "Hide": ("hidden", True), "Stop hiding": ("hidden", False)}


def mark(run: Run, kind: str, on: bool) -> None:
    """Note in the experiment that a run is pinned or hidden, or no longer."""
    with change.editing(experiment) as spec:
        names = [name for name in getattr(spec, kind) if name != run.name]
        setattr(spec, kind, [*names, run.name] if on else names)


def act(run: Run, action: str) -> None:
    """Do what was asked, or say why it cannot be done."""
    try:
        if action == "Stop":
            change.stop(run)
            off = run.recorded_status().state == "stopped"  # it was queued
            st.toast(f"{words.plain(run.name)} {'is off the queue' if off else 'stops after it has written a checkpoint'}.")
        elif action == "Resume":
            change.resume(run)
        elif action == "Copy":
            link.go("new", clone=run.id)
        elif action == "Delete":
            trash.ask(run)
        else:
            mark(run, *MARKS[action])
    except (OSError, ValueError, RuntimeError) as error:
        st.session_state["watch_refused"] = str(error)
    st.rerun()


def actions(run: Run, status: Status) -> list[str]:
    """What the reader can do with a run in this state."""
    if not access.rights().change:
        return ["Copy"]
    marks = ["Unpin" if run.name in spec.pinned else "Pin", "Stop hiding" if run.name in spec.hidden else "Hide"]
    if status.state in ACTIVE:
        return ["Stop", "Copy", *marks]
    return [*(["Resume"] if status.state in RESUMABLE and not barred(run) else []), "Copy", *marks, "Delete"]


# -- Live: the runs ------------------------------------------------------------------------


def doing(run: Run, status: Status) -> str:
    """What a run is doing, in words."""
    if status.engine == "slurm" and (says := heard.in_words(run, status)):
        return says
    if status.state == "queued":
        if status.queued_on not in (None, HOST):
            return f"waits for room on {status.queued_on}"
        return "waits for room on this machine" if launch.agent_alive(store) else "waits for the queue to be started"
    if status.state == "finished":
        seconds = number(run.results(), "cost.seconds")
        return f"finished {words.date(status.ended_at)}".rstrip() + (
            f" · {words.duration(seconds)} of training" if seconds is not None else ""
        )
    if status.state != "running":
        return f"{status.state} at {100 * status.progress:.0f} %"
    if run.stopping(status):
        return "is stopping: writes a checkpoint"
    stage = words.STAGES.get(status.stage or "", "starting")
    if status.stage == "pretrain" and (epoch := metrics.logged(run).last("epoch")) is not None:
        last = config.epochs if (config := run.readable_config) else None
        stage += f", epoch {min(int(epoch) + 1, last)} of {last}" if last else ""
    left = f" · {words.duration(status.eta_seconds)} left" if status.eta_seconds is not None else ""
    return f"{stage}{left}"


def measured(run: Run) -> str:
    """A run's kNN and speed: those of its results, as other pages have them, or the latest that it logged."""
    results, logged = run.results(), metrics.logged(run)
    knn, so_far = number(results, "knn.accuracy"), logged.last("knn")
    speed = number(results, "cost.images_per_second")
    speed = logged.last("images_per_second") if speed is None else speed
    said = f"kNN {words.percent(knn)}" if knn is not None else f"kNN {words.percent(so_far)} so far" if so_far is not None else ""
    return " · ".join(filter(None, [said, words.rate(speed) if speed is not None else ""]))


def barred(run: Run) -> str:
    """Why a run that has ended cannot be resumed, in a sentence; "" where it can."""
    try:
        run.check_goes_on()
    except ValueError as error:
        return f"{error}."
    return ""


def resumed(run: Run) -> str:
    """What Resume would do with a run that has ended early, in a sentence."""
    anew = "There is no checkpoint, so Resume begins anew."
    return barred(run) or ("Resume goes on from the last checkpoint." if run.has_checkpoint() else anew)


def row(run: Run, status: Status) -> None:
    icon, colour = words.STATES[status.state]
    word = "requeued" if status.state == "queued" and status.requeues else status.state
    with st.container(border=True, gap="xsmall"):
        line = st.container(horizontal=True, vertical_alignment="center")  # of a phone, two
        name, bar, corner = line.container(width=300, gap=None), line.container(gap="xsmall"), line.container(width="content")
        with name:
            st.markdown(f"**{words.plain(run.name)}**{' :material/keep:' if run.name in spec.pinned else ''}")
            with st.container(horizontal=True, gap="xsmall"):
                st.badge(word, icon=icon, color=colour)
                if run.name in spec.hidden:
                    st.badge("hidden", icon=":material/visibility_off:", color="gray", help="Other pages leave it out.")
        bar.progress(status.progress, words.plain(" · ".join(filter(None, [doing(run, status), measured(run)]))))
        if status.engine == "slurm":
            bar.caption(words.plain(cluster.job_in_words(status)))
        with corner:
            action = menu.menu(run.name, actions(run, status), key=f"watch_menu_{run.name}")
        if action:
            act(run, action)
        if status.state == "failed":
            why = status.error or "It ended without a word; the log below may say why"
            st.error(words.plain(f"{why.rstrip('.')}. {resumed(run)}"), icon=":material/error:")
        elif status.state == "interrupted":
            why = status.error or "Its process is gone (killed, or the machine was restarted)"
            st.warning(words.plain(f"{why.rstrip('.')}. {resumed(run)}"))
        elif status.state == "finished" and not run.results():
            head.say_unreadable([run])
        elif status.state == "stopped" and (why := barred(run)):
            st.caption(words.plain(why))
        if problem := run.config_problem():
            st.warning(words.plain(f"{problem}."), icon=":material/draft:")
        elif not run.readable_config:
            head.say_damaged("config.json cannot be read", "writes it anew", "complete", experiment.name)


@st.fragment(run_every=tick)
def overview() -> None:
    now = statuses()
    if not now or (active and not any(status.state in ACTIVE for status in now.values())):
        st.rerun()  # all was deleted, or nothing runs any more: end the polling
    states = Counter(status.state for status in now.values())
    with st.container(horizontal=True, gap="small"):
        for state, (icon, colour) in words.STATES.items():
            if states[state]:
                st.badge(f"{states[state]} {state}", icon=icon, color=colour)
        if requeued := sum(status.state == "queued" and status.requeues > 0 for status in now.values()):
            st.badge(f"{requeued} of them requeued", icon=words.STATES["queued"][0], color="gray")
    waiting = {runs[name]: s.queued_on for name, s in now.items() if s.state == "queued" and s.engine != "slurm"}
    by_slurm = any(status.state in ACTIVE and status.engine == "slurm" for status in now.values())
    say_what_waits(waiting, by_slurm)
    head.say_warnings({name: now[name] for name in listed if name in now})
    if lost := experiment.strays():
        head.say_damaged(f"There is no config.json in {', '.join(lost)}", "writes it anew", "complete", experiment.name)
    if closed := experiment.closed():
        st.warning(words.plain(f"Left out, as this app's user may not look into their folders: {', '.join(closed)}"))
    with st.container(height=LIST if len(listed) > 6 else "content", border=False):
        for name in listed:
            if name in now:
                row(runs[name], now[name])


def say_what_waits(waiting: dict[Run, str | None], by_slurm: bool) -> None:
    """Say what keeps runs from being started, or Slurm's from being watched; where no agent is at work, offer to start one.

    `waiting`: queued runs that Slurm has not, each with the machine it is queued on, or None.
    """
    if (waiting or by_slurm) and not launch.agent_alive(store):
        if by_slurm:
            st.warning("Nothing asks Slurm how the jobs do. They go on all the same, and what they write themselves is shown.")
        if waiting:
            st.warning("Runs are queued, and nothing on this machine starts them.")
        if st.button("Start the queue" if waiting else "Ask Slurm", icon=":material/play_arrow:", **access.lock()):
            try:
                change.start_queue(store)
            except (OSError, RuntimeError) as error:
                st.session_state["watch_refused"] = str(error)
            st.rerun()
    elif waiting and (why := launch.agent.held_up(store, [run for run, host in waiting.items() if host in (None, HOST)])):
        st.warning(words.plain(f"Runs are queued, and {why}."))
    elif by_slurm:
        cluster.trouble(store)


listed = sorted(runs, key=lambda name: name not in at_first or at_first[name].state not in EARLY)
if len(runs) > PAGE:
    page = st.pagination(-(-len(runs) // PAGE), key="watch_page", bind="query-params")
    listed = listed[(page - 1) * PAGE : page * PAGE]
st.html(menu.STYLE)
refused = st.session_state.pop("watch_refused", None)
if refused:
    st.error(words.plain(refused))
overview()


# -- Live: the curves ---------------------------------------------------------------------------

ordered = in_order(runs.values())  # pinned or not, so that each line has the tone that it has on other pages


@st.fragment(run_every=tick)
def live_curves() -> None:
    logged = tables.curves(run for run in ordered if run.exists())
    if not logged:
        st.info(curves.NOTHING if active else curves.NEVER, icon=":material/hourglass_empty:")
        return
    readable = by_method(ordered)
    # kNN, but without labels there is none
    if shown := next((name for name in EVALUATED if any(curve.has(name) for curve in logged)), None):
        plot(
            curves.metric(logged, shown),
            key=f"watch_{shown}_{experiment.name}",
            alt=f"{curves.METRICS[shown][0]}, of each run",
            height=340,
        )
    elif active:
        st.caption("How good the encoders are is drawn here after the first evaluation.")
    methods = list(dict.fromkeys(run.config.method for run in readable))
    with st.grid(max(1, len(methods)), min_column_width=250, gap="medium"):
        for method in methods:
            title = METHODS[method].title
            figure = curves.loss(tuple(curve for curve in logged if curve.method == method), title=f"{title}: loss")
            plot(
                figure,
                key=f"watch_loss_{method}_{experiment.name}",
                alt=f"Training loss of {title} against its chance level",
                height=340,
            )


live_curves()


# -- Live: the machine ------------------------------------------------------------------------


@st.fragment(run_every=tick)
def this_machine() -> None:
    st.header("This machine")
    machine.draw(store)


# -- Live: one run ------------------------------------------------------------------------------


def is_active(run: Run) -> bool:
    return run.status().state in ACTIVE


@st.fragment(run_every=tick)
def log(run: Run) -> None:
    tail = run.log_tail()
    with st.container(height=340, autoscroll=True):
        st.code(tail or ("Nothing printed yet." if is_active(run) else "It printed nothing."), language=None, wrap_lines=True)


@st.fragment(run_every=tick)
def views(run: Run) -> None:
    if run.views_file.is_file():
        try:
            st.image(str(run.views_file), alt=f"Training images of {run.name}, and random views of each below it")
        except Exception:  # whatever a torn file makes Pillow raise
            st.text("The picture cannot be read: views.webp in the run's folder is damaged.")
    else:
        st.text("The picture appears when the run has started." if is_active(run) else "There is no picture of this run.")


@st.fragment(run_every=tick)
def its_job(run: Run) -> None:
    if (status := run.status()).engine == "slurm":
        cluster.job(run, status)


st.header("One run")
if st.session_state.get("watch_run") not in runs:
    st.session_state.pop("watch_run", None)
urgency = list(words.STATES)
seen = statuses()
notable = min(seen, key=lambda name: urgency.index(seen[name].state), default=next(iter(runs)))  # all may be gone by now
run = runs[link.choice("Run", list(runs), notable, key="watch_run")]
its_job(run)
log_box, views_box = st.columns([3, 2])
with log_box:
    st.caption("The end of its log")
    log(run)
with views_box:
    st.caption("What its network sees: each image, and random views of it below")
    views(run)

this_machine()
trash.answer(store)
