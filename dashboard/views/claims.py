"""Claims: what the literature says, and whether these runs bear it out."""

from dataclasses import replace

import pandas as pd
import streamlit as st

from dashboard import access, change, head, link, unprobed, words
from dashboard.claims import form
from dashboard.figures import claims as figures
from dashboard.figures.ablation import against
from dashboard.figures.axes import heading, title
from dashboard.plot import plot
from dashboard.unlike import unlike_times
from sslcore import plan
from sslcore.analysis import ablation, claims
from sslcore.analysis.claims.evidence import on_grid
from sslcore.config import ConfigError
from sslcore.experiment import Experiment, Store
from sslcore.results import part

ALL = "all"
CHART = 330  # pixels

experiment, runs = head.of_results("Claims")
evidence = claims.Evidence(ablation.entries(experiment, runs), runs)
known, problems = claims.read()
own, more = claims.read(Store().root / "claims.yaml")
for problem in [*problems, *more]:
    st.warning(f"Left out: {words.plain(problem)}", icon=":material/edit_off:")

judged = [(claim, claims.judge(claim, evidence)) for claim in [*known, *own]]
counts = {word: sum(verdict.word == word for _, verdict in judged) for word in figures.VERDICTS}
st.caption(
    "What textbooks and papers say of these methods, held against the runs chosen above. They speak of these images and this "
    f"encoder, at these lengths of training: a claim that is contradicted here may hold on ImageNet. {words.plain(claims.RULE)}."
)
head.say_cautions(runs)
if told := unlike_times([part(results, "cost") for *_, results in evidence.read]):
    st.caption(words.plain(told))
if why := unprobed.note(results for *_, results in evidence.read):
    st.info(words.plain(words.capital(why)), icon=":material/label_off:")
chosen = link.one_of(
    "Show",
    [ALL, *counts],
    default=ALL,
    key="claims_show",
    format_func=lambda word: word if word == ALL else f"{figures.VERDICTS[word][0]} {word}",  # what the address says
)
st.caption(f"{words.count(len(judged), 'claim')}: {', '.join(f'{n} {word}' for word, n in counts.items())}.")


# -- What is missing, and what brings it ---------------------------------------------------


def about(claim: claims.Claim) -> set[str]:
    """The methods that it is about, along its axis."""
    return set().union(*(part.about for part in claim.parts if isinstance(part, claims.AlongAxis)))


def wanted(claim: claims.Claim, verdict: claims.Verdict) -> tuple[dict[str, list[int]], list[str]]:
    """What would complete this experiment's own grid for the claim: seeds to add, and names of runs to make."""
    spec, methods = experiment.spec(), about(claim)
    entries = [entry for entry in evidence.entries if entry.experiment == experiment.name and entry.config.method in methods]
    if claim.axis is None or claim.axis not in ablation.axes(entries):
        return {}, []
    names = [entry.run for entry in ablation.to_run(entries)]
    if names or verdict.word != "undecided" or not verdict.by_seeds:
        return {}, names
    planned = plan.plan(spec).configs
    seeds = sorted({config.seed for config in planned.values()})
    if not 0 < len(seeds) < claim.seeds:  # 0: its grid cannot be made any more
        return {}, names
    grown = {"seed": list(range(max(seeds) + 1, max(seeds) + 1 + claim.seeds - len(seeds)))}
    try:
        after = plan.plan(plan.extend(spec, grown)).configs
    except ConfigError:
        return {}, []
    return grown, [name for name in after if name not in planned]


def queue(experiment: Experiment, grown: dict[str, list[int]], names: list[str]) -> None:
    try:
        if grown:
            change.grow(experiment, grown)
        change.complete(experiment, names)
    except (OSError, ValueError, RuntimeError) as error:
        st.session_state["claims_error"] = str(error)


if error := st.session_state.pop("claims_error", None):
    st.error(f"Not everything could be queued: {words.plain(error)}")


# -- A row a claim --------------------------------------------------------------------------


def show(k: int, claim: claims.Claim, verdict: claims.Verdict) -> None:
    icon, colour = figures.VERDICTS[verdict.word]
    with st.container(border=True, key=f"claims_{k}"):
        said, word = st.columns([5, 1], vertical_alignment="center")
        said.header(f"{k + 1}. {words.plain(claim.claim)}", anchor=False)
        word.badge(verdict.word, icon=icon, color=colour)
        st.caption(words.plain(claim.source))
        reasons = [*verdict.reasons, *(claim.units if verdict.steps else []), *filter(None, [claim.note])]
        st.markdown("\n".join(f"- {words.plain(reason)}" for reason in reasons))
        with st.grid(2, min_column_width=420, gap="medium"):
            if verdict.steps:
                plot(
                    figures.forest(verdict.steps),
                    key=f"claims_forest_{k}",
                    height=max(CHART if claim.axis else 0, figures.height(verdict.steps)),
                    data=figures.table(verdict.steps),
                    alt=f"The differences that the claim needs, with 95 % intervals: {' '.join(verdict.reasons)}",
                )
            draw_curve(k, claim)
        with st.container(horizontal=True, vertical_alignment="center"):
            grown, names = wanted(claim, verdict)
            if names:
                label = (
                    f"Queue {words.count(len(names), 'missing run')}"
                    if not grown
                    else f"Queue {words.count(len(grown['seed']), 'more seed')}: {words.count(len(names), 'run')}"
                )
                st.button(
                    label,
                    icon=":material/play_arrow:",
                    key=f"claims_queue_{k}",
                    on_click=queue,
                    args=(experiment, grown, names),
                    **access.lock(),
                )
            if claim.make:
                link.page_link(
                    "new",
                    "Set up the experiment that it needs" if verdict.word == "undecided" else "Try it anew",
                    **form(claim, runs),
                )
            if claim.axis and verdict.steps:
                axis = heading(on_grid(claim.axis))
                link.page_link("ablations", "See the ablation", experiment=experiment.name, ablations_axis=axis)
            if not claim.axis and verdict.steps:
                link.page_link("evidence", "See the evidence", experiment=experiment.name)
        if claim.needs:
            st.caption(words.plain(f"Evidence it needs: {claim.needs}"))


def draw_curve(k: int, claim: claims.Claim) -> None:
    """The measure along the claim's first axis, where the runs vary it."""
    if claim.axis is None:
        return
    axis, methods = on_grid(claim.axis), about(claim)
    lines = {
        method: [line for line in own if len({cell.at for cell in line}) > 1]
        for method, own in evidence.lines(claim.axis).items()
        if method in methods
    }
    cells = [
        replace(cell, rest=tuple(one for one in cell.rest if len(own) > 1 or one[0] == "dataset"))
        for own in lines.values()
        for line in own
        for cell in line
    ]
    if cells:
        rule = ablation.learning_rate_rule([entry for cell in cells for entry in cell.entries])
        plot(
            against(cells, axis, claim.parts[0].measure, notes=rule),
            key=f"claims_curve_{k}",
            height=CHART + 20 + 16 * len(rule),
            data=pd.DataFrame(ablation.records(cells, [axis])),
            alt=f"Accuracy against {title(axis)}, a line a method",
        )


for k, (claim, verdict) in enumerate(judged):
    if chosen in (ALL, verdict.word):
        show(k, claim, verdict)

with st.expander("Add a claim of your own", key="claims_add", icon=":material/add:"):
    st.markdown("Write it into `claims.yaml` in the folder that holds the experiments; it appears here. For example:")
    st.code(
        """- claim: A temperature between the ends is best for SimCLR.
  source: our group meeting
  needs: SimCLR at three temperatures or more, each with five seeds.
  seeds: 5  # that it takes, 3 unless said
  parts:
    - {rule: interior_best, axis: temperature, method: simclr, values: 3, measure: knn}  # linear unless said
  make: {preset: temperature}""",
        language="yaml",
    )
    st.caption("Rules: " + "; ".join(f"{words.plain(name)}: {words.plain(does)}" for name, does in claims.rules().items()))
