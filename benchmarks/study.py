"""A study in Markdown, by the product's own statistics: tables over seeds, every pair in a sentence, every claim's verdict.

`python -m benchmarks.study EXPERIMENT ... --root STORE --into benchmarks/study.md` writes all that stands below the line
MADE anew; without --into it is printed. Nothing here is a conclusion: what is written follows from the runs' folders.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from dashboard import questions, tables, words
from dashboard.figures import ablation as said
from sslcore.analysis import ablation, claims, pairs, stats
from sslcore.analysis.ablation import Cell
from sslcore.analysis.order import in_order
from sslcore.config import varying
from sslcore.experiment import Experiment, Run, Store
from sslcore.methods import METHODS

MADE = "<!-- Below: made by python -m benchmarks.study -->"
MEASURES = {
    "linear": "Linear probe",
    "knn": "kNN",
    "random_linear": "Linear probe of the untrained encoder",
    "random_knn": "kNN of the untrained encoder",
}


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.study", description=__doc__.partition("\n")[0])
    options.add_argument("experiments", metavar="EXPERIMENT", nargs="+")
    options.add_argument("--root", metavar="DIR", help="the store (default: $TRIPTYCH_EXPERIMENTS, else experiments/)")
    options.add_argument("--into", metavar="FILE.md", type=Path, help=f"write it there, below the line {MADE}")
    options = options.parse_args()
    store = Store(options.root)
    for name in options.experiments:
        store.find(name)  # raises where there is none
    text = "\n".join(study([store.experiment(name) for name in options.experiments]))
    if options.into:
        before = options.into.read_text().partition(MADE)[0] if options.into.exists() else ""
        options.into.write_text(f"{before}{MADE}\n\n{text}\n")
    else:
        print(text)


def study(experiments: Sequence[Experiment]) -> Iterator[str]:
    every = [run for experiment in experiments for run in experiment.runs()]
    finished = [run for run in every if run.status().state == "finished"]
    yield from [
        f"{words.count(len(every), 'run')}, {len(finished)} of them finished. {stats.AGGREGATE[0].upper()}{stats.AGGREGATE[1:]}.",
        "",
    ]
    yield from [f"- Trained on: {where}" for where in dict.fromkeys(map(environment, finished))]
    for experiment in experiments:
        yield from ["", f"## {experiment.spec().title}", "", experiment.spec().question, ""]
        yield from of_one(experiment)
    yield from ["", "## The claims", ""]
    yield from verdicts(experiments)


def environment(run: Run) -> str:
    """Where a run was trained, in a line."""
    about, packages = run.environment() or {}, (run.environment() or {}).get("packages") or {}
    return (
        f"{about.get('device')}, {words.count(about.get('threads') or 0, 'thread')}, {about.get('precision')}, Python "
        f"{about.get('python')}, torch {packages.get('torch')}"
    )


# -- One experiment ------------------------------------------------------------------------


def of_one(experiment: Experiment) -> Iterator[str]:
    runs = in_order(run for run in experiment.runs() if run.status().state == "finished")
    if not runs:
        yield "No run has finished."
        return
    entries = ablation.entries(experiment, experiment.runs())
    yield from [f"{'; '.join(ablation.learning_rate_rule(entries))}.", ""]
    for axis in ablation.axes(entries)[:1]:
        cells = ablation.cells(entries, [axis])
        for measure, title in MEASURES.items():
            yield from against(cells, axis, measure, title)
    rows = [row for row in tables.summary(runs) if row["linear"] is not None]
    for title, table in questions.all_of(rows, {name: run.results() or {} for name, run in tables.named(runs).items()}).items():
        yield from [
            f"**{title}**",
            "",
            *markdown(
                [
                    list(table[0]),
                    *([cell if isinstance(cell, str) else words.share(*cell) for cell in row.values()] for row in table),
                ]
            ),
            "",
        ]
    yield from sentences(runs)


def against(cells: Sequence[Cell], axis: str, measure: str, title: str) -> Iterator[str]:
    """A line a method, a column a place on the axis: mean ± std and how many seeds."""
    places = ablation.in_order(axis, [cell.at[0] for cell in cells])
    lines = [[f"{title}, against {said.title(axis)}", *(said.said(axis, place) for place in places)]]
    for own in ablation.lines(cells).values():
        of = {cell.at[0]: cell.measured(measure) for cell in own}
        lines.append(
            [
                said.label(own[0]),
                *(f"{words.share(of[at].mean, of[at].std)}, n = {of[at].n}" if at in of and of[at].n else "–" for at in places),
            ]
        )
    yield from [*markdown(lines), ""]


def markdown(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    head, *rest = [[" ".join(cell.split()) for cell in line] for line in lines]
    yield from [f"| {' | '.join(head)} |", f"|---{'|---:' * (len(head) - 1)}|", *(f"| {' | '.join(line)} |" for line in rest)]


def sentences(runs: Sequence[Run]) -> Iterator[str]:
    """What may be said of each pair: of methods at equal settings, and of the first varied setting's values within a method."""
    varied = varying(run.config for run in runs)
    methods = pairs.contestants(runs, "method")
    if len(methods) > 1:
        yield from pair_list(
            "Methods, at equal settings",
            pairs.compare(methods, {method: METHODS[method].title for method in methods}, varied, "linear")[0],
        )
    for method, own in methods.items():
        for name in varied[:1]:
            groups = pairs.contestants(sorted(own, key=lambda run: pairs.place(run, name)), name)
            names = {value: f"{name.rpartition('.')[2].replace('_', ' ')} {said.said(name, value)}" for value in groups}
            yield from pair_list(
                f"{METHODS[method].title}, {said.title(name)}",
                pairs.compare(groups, names, [other for other in varied if other != name], "linear")[0],
            )


def pair_list(title: str, compared: Sequence[pairs.Pair]) -> Iterator[str]:
    if compared:
        yield from [f"{title}, by the linear probe:", "", *(f"- {pair.sentence}" for pair in compared), ""]


# -- The claims --------------------------------------------------------------------------------


def verdicts(experiments: Sequence[Experiment]) -> Iterator[str]:
    """Every claim of the literature, held against all of the study's runs."""
    entries = [entry for experiment in experiments for entry in ablation.entries(experiment, experiment.runs())]
    evidence = claims.Evidence(entries, [run for experiment in experiments for run in experiment.runs()])
    judged = [(claim, claims.judge(claim, evidence)) for claim in claims.read()[0]]
    yield from [
        f"{claims.RULE}.",
        "",
        *markdown([["Claim", "Verdict"], *([claim.claim, f"**{verdict.word}**"] for claim, verdict in judged)]),
    ]
    for k, (claim, verdict) in enumerate(judged, 1):
        yield from ["", f"{k}. {claim.claim} **{verdict.word.capitalize()}.**", ""]
        yield from [f"   - {reason}" for reason in verdict.reasons]


if __name__ == "__main__":
    main()
