"""Experiments: every question in the store, its runs' states and best numbers, and the way to its pages."""

from collections import Counter

import streamlit as st

from dashboard import access, change, details, forms, link, menu, metrics, share, study, tables, trash, words
from dashboard.draft import Draft, Start
from dashboard.figures import labels, spark, style
from dashboard.printed import printed
from dashboard.sections.new.runs import launch
from sslcore import datasets, plan
from sslcore.analysis.images import data_sets
from sslcore.analysis.order import by_method
from sslcore.analysis.summary import by_seed, kind, untrained, vote
from sslcore.experiment import Experiment, Run, Spec, Store
from sslcore.methods import METHODS
from sslcore.naming import told_apart
from sslcore.status import ACTIVE
from sslcore.wording import series

PAGE = 20  # experiments shown at a time
MANY = 6  # experiments, above which the reader can search and filter
FIRST = "photos"  # the preset behind the one button of an empty store
MENU = {  # what else can be done with an experiment
    "Details and notes": ":material/edit_note:",
    "Share": ":material/ios_share:",
    "Copy": ":material/content_copy:",
    "Archive": ":material/archive:",
    "Delete": ":material/delete:",
}

link.name_tab("Experiments")
store = Store()
may_change = access.rights().change
if may_change:
    trash.empty_old(store.root)
experiments = {experiment.name: (experiment, experiment.spec()) for experiment in store.experiments()}


def dialogs() -> None:
    """What the reader asked for on this page stands above it."""
    details.answer(store)
    share.answer(store)
    trash.answer(store)


@st.fragment(run_every=10)
def news() -> None:
    """What was begun elsewhere, in a shell say: not shown unasked, for the reader may be typing."""
    new = {experiment.name for experiment in store.experiments()} - experiments.keys()
    if new and st.button(f"Show {words.count(len(new), 'new experiment')}", icon=":material/refresh:", key="experiments_news"):
        st.rerun()


# -- An empty store -----------------------------------------------------------------


def offer_study() -> None:
    """To an empty store, and to one with a single experiment, which may take its time to show something."""
    if (
        study.FILE.is_file()
        and study.FILE.stem not in experiments
        and st.button("Look at a finished study", icon=":material/menu_book:", key="experiments_study", **access.lock())
    ):
        try:
            link.go("compare", experiment=change.bring_in(store, study.FILE).name)
        except (OSError, ValueError) as error:
            st.error(f"It could not be opened: {words.plain(str(error))}")


def start_first_comparison() -> None:
    spec = plan.read(FIRST)
    draft = Draft(Start(spec, FIRST), spec.title, spec.question)
    planned = plan.plan(spec)
    if planned.problems:
        raise ValueError("; ".join(planned.problems.values()))
    launch(store, store.free_name(FIRST), draft, planned)


if not experiments:
    configs = plan.plan(plan.read(FIRST)).configs
    info = datasets.info(FIRST)
    titles = [METHODS[config.method].title for config in configs.values()]
    epochs = max(config.epochs for config in configs.values())
    st.title("Which self-supervised method suits your images?")
    st.text(
        "Triptych trains MoCo, SimCLR and BYOL on the same images, shows them side by side while they learn, "
        "and measures what each has learned."
    )
    with st.container(border=True):
        st.header("See it work")
        st.text(
            f"Trains {series(titles)} for {epochs} epochs on {info.train:,} crops of photographs that "
            "came with the installation, then measures each with a linear probe and nearest neighbours. This takes some two "
            "minutes on two processor cores, up to six on older ones. It downloads nothing, and you can stop it at any time."
        )
        if st.button(
            "Run the two-minute comparison",
            type="primary",
            icon=":material/play_arrow:",
            key="experiments_first",
            **access.lock(),
        ):
            try:
                start_first_comparison()
            except (OSError, ValueError, RuntimeError) as error:
                st.error(f"It could not be started: {words.plain(str(error))}")
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        offer_study()
        link.page_link("new", "Choose your own images and settings")
        if st.button("Import", type="tertiary", icon=":material/upload:", key="experiments_import", **access.lock()):
            share.ask(None)
    st.caption(f"Experiments are kept in {words.plain(str(store.root))}.")
    news()
    trash.contents(store)
    dialogs()
    st.stop()


# -- Which ones -------------------------------------------------------------------------

with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
    st.title("Experiments", width="content")
    with st.container(horizontal=True, width="content"):
        if st.button(
            "Import",
            icon=":material/upload:",
            key="experiments_import",
            **access.lock(help="Add the zip file of a teammate's experiment."),
        ):
            share.ask(None)
        if st.button("New experiment", type="primary", icon=":material/add:", key="experiments_new"):
            link.go("new")


def methods(spec: Spec) -> list[str]:
    """The methods that an experiment is about, in the registry's order."""
    own = Start(spec, None).methods
    return [method for method in METHODS if method in own]


def find() -> list[str]:
    """The names of the experiments that suit what the reader looks for."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input(
            "Search", type="search", placeholder="title, question, tag, folder", key="experiments_text", bind="query-params"
        )
        tags = sorted({tag for _, spec in experiments.values() for tag in spec.tags})
        wanted = st.multiselect("Tags", tags, key="experiments_tags", bind="query-params", placeholder="any") if tags else []
        states = st.multiselect("State", list(words.STATES), key="experiments_states", bind="query-params", placeholder="any")
        about = st.multiselect(
            "Method", list(METHODS), format_func=style.title, key="experiments_methods", bind="query-params", placeholder="any"
        )

    def suits(experiment: Experiment, spec: Spec) -> bool:
        said = " ".join([experiment.name, spec.title, spec.question, *spec.tags]).lower()
        return (
            all(word in said for word in (text or "").lower().split())
            and set(wanted) <= set(spec.tags)
            and set(about) <= set(methods(spec))
            and (not states or any(run.status().state in states for run in experiment.runs()))
        )

    return [name for name, found in experiments.items() if suits(*found)]


names = find() if len(experiments) > MANY else list(experiments)
archived = [name for name in names if experiments[name][1].archived]
if archived and not st.toggle(f"Show {len(archived)} archived", key="experiments_archived", bind="query-params"):
    names = [name for name in names if name not in archived]
if not names:
    st.info(
        "All of these are archived; the switch above shows them." if archived else "Nothing suits that search.",
        icon=":material/search_off:",
    )

page = 1
if len(names) > PAGE:
    page = st.pagination(-(-len(names) // PAGE), key="experiments_page", bind="query-params")
shown = [experiments[name][0] for name in names[(page - 1) * PAGE : page * PAGE]]


# -- The list ---------------------------------------------------------------------------


def best_numbers(rows: list[dict]) -> list[dict[str, str]]:
    """Lines of a table: each method's setting with the best linear probe (else kNN), over N seeds; and their encoders, untrained.

    Of several data sets each has lines of its own, and each kind of encoder, image size and kNN among them an untrained one.
    """
    best: dict[tuple[str, str], dict] = {}
    for folded in by_seed(rows):
        known = best.get(key := (folded["dataset"], folded["method"]))
        if (folded["linear_n"] or folded["knn_n"]) and (known is None or worth(folded) > worth(known)):
            best[key] = folded
    sets = told_apart(dataset for dataset, _ in best)
    on = {dataset: f" on {name}" if len(sets) > 1 else "" for dataset, name in sets.items()}
    lines = [
        line(style.title(method) + on[dataset] if len(sets) > 1 else folded["label"], folded, "linear", "knn")
        for (dataset, method), folded in best.items()
    ]
    told, votes = labels.kinds(list(best.values())), {(kind(folded), vote(folded)) for folded in best.values()}
    beside = [
        line(f"Untrained{''.join(told[kind(folded)])}{words.vote(*vote(folded))}", folded, "random_linear", "random_knn")
        for folded in untrained(rows)
        if folded["random_knn_n"] and (kind(folded), vote(folded)) in votes
    ]
    return lines + beside


def worth(folded: dict) -> tuple[float, float]:
    return folded["linear"] or 0.0, folded["knn"] or 0.0


def line(name: str, folded: dict, linear: str, knn: str) -> dict[str, str]:
    n = max(folded[f"{linear}_n"], folded[f"{knn}_n"])
    numbers = {
        column: words.share(folded[measure], folded[f"{measure}_std"]) + words.fewer(folded[f"{measure}_n"], n)
        for column, measure in (("linear probe", linear), ("kNN", knn))
    }
    return {"Method": name, **numbers, "N": str(n)}


def act(experiment: Experiment, action: str) -> None:
    """Do what was chosen in the menu."""
    if action == "Details and notes":
        details.ask(experiment)
    elif action == "Share":
        share.ask(experiment)
    elif action == "Copy":
        link.go("new", clone=experiment.name)
    elif action == "Delete":
        trash.ask(experiment)
    else:
        try:
            with change.editing(experiment) as spec:
                spec.archived = action == "Archive"
        except (OSError, ValueError) as error:
            st.toast(words.plain(str(error)), icon=":material/error:")
            return
        st.rerun()


def card(experiment: Experiment) -> None:
    spec, runs = experiment.spec(), experiment.runs()
    statuses = [run.status() for run in runs]
    active = [status for status in statuses if status.state in ACTIVE]
    seen = [run for run in runs if run.name not in spec.hidden]
    with st.container(border=True):
        about, measured, curve = st.columns([5, 7, 2.6], gap="small", vertical_alignment="center")
        with about:
            st.header(words.plain(spec.title or experiment.name), anchor=False)
            if spec.question:
                st.text(spec.question)
            badges(Counter(status.state for status in statuses), spec)
            axes = {name: len(values) for name, values in spec.axes.items() if name != "method" and len(values) > 1}
            varied = [f"{forms.label(name).lower()} ({n})" for name, n in axes.items()]
            on = told_apart(data_sets(by_method(runs)).values())
            about_it = [
                experiment.name,
                ", ".join(on.values()),
                f"varies {', '.join(varied)}" if varied else "",
                words.date(spec.created),
            ]
            st.caption(words.plain(" · ".join(filter(None, about_it))))
        lines = best_numbers(tables.summary(seen))
        with measured:
            if lines:
                printed(lines, f"Best accuracies in {experiment.name}")
            else:
                notes = [
                    f"{result['note']}. Compare has what needs no labels."
                    for run in seen
                    if (result := run.results()) and result.get("note")
                ]
                ended = [] if active else words.lacking(status.state for status in statuses)
                to_come = "Numbers appear here once a run has been probed."
                notes.append(f"No run was probed; {'; '.join(ended)}." if ended else to_come)
                st.caption(words.plain(notes[0]))
        with curve:
            draw_curve(experiment, seen)
        if active:
            done = sum(1.0 if status.state == "finished" else status.progress for status in statuses) / len(statuses)
            st.progress(done, f"{words.count(len(active), 'run')} still to finish")
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            with st.container(horizontal=True, vertical_alignment="center", gap="medium", width="content"):
                for name in ("compare", "probe", "watch"):
                    link.page_link(name, name.capitalize(), experiment=experiment.name)
                st.link_button(
                    "Report", link.report(experiment), type="tertiary", icon=":material/open_in_new:", icon_position="right"
                )
            archive = "Archive" if not spec.archived else "Take out of the archive"
            entries = ["Details and notes", "Share", "Copy", *([archive, "Delete"] if may_change else [])]
            action = menu.menu(
                spec.title or experiment.name,
                entries,
                format_func=lambda action: f"{MENU.get(action, MENU['Archive'])} {action}",
                key=f"experiments_menu_{experiment.name}",
            )
        if action:
            act(experiment, action)


def badges(states: Counter, spec: Spec) -> None:
    """How its runs stand, and its tags."""
    with st.container(horizontal=True, gap="xsmall"):
        for state, (icon, colour) in words.STATES.items():
            if states[state]:
                st.badge(f"{states[state]} {state}", icon=icon, color=colour)
        if not states:
            st.badge("no runs", color="gray")
        if spec.archived:
            st.badge("archived", icon=":material/archive:", color="gray")
        for tag in spec.tags:
            st.badge(words.plain(tag), icon=":material/label:", color="gray")


def draw_curve(experiment: Experiment, runs: list[Run]) -> None:
    """How kNN accuracy rises, a line a run; nothing before it is measured."""
    runs = by_method(runs)
    measured = [(run.config.method, *metrics.knn(run)) for run in runs]
    accuracies = [y for _, _, y in measured if len(y)]
    if accuracies:
        end = max(*(run.config.epochs for run in runs), *(x[-1] for _, x, _ in measured if len(x)))
        st.image(spark.lines(measured, end), alt=f"How kNN accuracy rose in the runs of {experiment.name}")
        ends = [f"{100 * end:.0f}" for end in (min(y.min() for y in accuracies), max(y.max() for y in accuracies))]
        st.caption(f"kNN, {' to '.join(dict.fromkeys(ends))}\N{NO-BREAK SPACE}%")


def is_busy() -> bool:
    return any(run.status().state in ACTIVE for experiment in shown for run in experiment.runs())


busy = is_busy()


@st.fragment(run_every=5 if busy else None)
def cards() -> None:
    if busy and not is_busy():
        st.rerun()  # nothing runs any more: end the polling
    for experiment in shown:
        if experiment.exists():
            card(experiment)


news()
st.html(menu.STYLE)
cards()
if len(experiments) == 1:
    offer_study()
if names:
    st.caption(
        "Numbers: of each method the setting with the best linear probe on the test images, which flatters it the more the more "
        "settings there are; mean ± standard deviation over its N seeds. "
        "Curves: kNN accuracy of each run while it trains. Hidden runs are left out."
    )
trash.contents(store)
dialogs()
