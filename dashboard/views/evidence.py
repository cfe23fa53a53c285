"""Evidence: which differences the runs bear out, at what cost, at equal budgets, and on which images."""

from html import escape

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import embeddings, link, pictures, tables, words
from dashboard.figures import evidence, probe, style
from dashboard.figures.ablation import said as say_value
from dashboard.figures.ablation import title as say_setting
from dashboard.plot import plot
from dashboard.printed import printed
from sslcore.analysis import budget, pairs, stats
from sslcore.config import OPTIONS, get, varying
from sslcore.experiment import ACTIVE
from sslcore.methods import METHODS

ALL = "all, paired"
COSTS = {"seconds": "training time", "images_seen": "images seen", "flops": "operations", "energy_joules": "energy, kJ"}
TESTS = {"seeds": "paired t over seeds", "images": "McNemar over images", "none": "–"}
SHARES = {"25 %": 0.25, "50 %": 0.5, "100 %": 1.0}
PICTURES = 12  # a side
MAX_CLASSES = 30

experiment, runs = link.header("Evidence")
states = {run.id: run.status().state for run in runs}
probed = [run for run in runs if pairs.accuracy(run, "linear") is not None]
probed = tables.in_order(probed)
varied = varying(run.config for run in probed)

if not probed:
    notes = [result["note"] for run in runs if (result := run.results()) and result.get("note")]
    if notes:
        st.info(words.plain(str(notes[0])), icon=":material/label_off:")
        st.text(
            "Without labels nothing can be probed, so no method can be said to be more accurate than another. What needs no "
            "labels is on Compare."
        )
        link.page_link("compare", "Compare")
    elif any(state in ACTIVE for state in states.values()):
        st.info(
            "No run has finished yet. A run is probed when its training ends; Watch shows how far it is.",
            icon=":material/hourglass_empty:",
        )
        link.page_link("watch", "Watch")
    else:
        st.info(
            "No run of this experiment got as far as being probed. Watch says why, and can resume them.", icon=":material/info:"
        )
        link.page_link("watch", "Watch")
    st.stop()

# -- What the reader chooses -----------------------------------------------------------------

can_differ = [name for name in ("method", *varied, "experiment") if len(pairs.contestants(probed, name)) > 1]


def in_words(name: str) -> str:
    return name if name in ("method", "experiment") else say_setting(name)


def value_in_words(name: str, value: object) -> str:
    return METHODS[value].title if name == "method" else str(value) if name == "experiment" else say_value(name, value)


with st.container(border=True):
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        measure = st.segmented_control(
            "Accuracy by",
            list(pairs.MEASURES),
            default="linear",
            required=True,
            format_func=pairs.MEASURES.get,
            key="evidence_measure",
            bind="query-params",
        )
        by = "method"
        if can_differ:
            first = can_differ[0]
            by = (
                st.selectbox(
                    "Compare by",
                    can_differ,
                    index=None,
                    format_func=in_words,
                    placeholder=in_words(first),
                    key="evidence_by",
                    bind="query-params",
                    width=200,
                )
                or first
            )
        equal = [name for name in ("method", *varied) if name != by]
        for name in [name for name in equal if len(pairs.contestants(probed, name)) > 1]:
            values = {value_in_words(name, value): value for value in pairs.contestants(probed, name)}
            at = st.selectbox(
                in_words(name)[:1].upper() + in_words(name)[1:],
                list(values),
                index=None,
                placeholder=ALL,
                key=f"evidence_at_{name}",
                bind="query-params",
                width=170,
                help="One value, or all: each is then compared with its like, and a seed's differences are averaged.",
            )
            if at is not None:
                probed = [run for run in probed if pairs.value(run, name) in (values[at], pairs.ANY)]
probed = [run for run in probed if pairs.accuracy(run, measure) is not None]
if not probed:
    st.info(f"No run has an accuracy by {pairs.MEASURES[measure]}.", icon=":material/info:")
    st.stop()
said = [f"{words.count(len(probed), 'probed run')} compared", *words.lacking(states[run.id] for run in runs if not run.results())]
st.caption(" · ".join([*said, f"accuracy by {pairs.MEASURES[measure]} on h, on all test images"]))
link.say_damaged(runs)

named = tables.named(probed)
rows = [row for row in tables.summary(probed) if row[measure] is not None]
of_label = probe.by_label(rows)

# -- Methods, with spread and cost -------------------------------------------------------------

st.subheader("Each one's accuracy and cost")


def images_seen(name: str) -> float:
    seen = tables.logged(named[name]).last("images_seen")
    return np.nan if seen is None else seen


def spent(row: dict, what: str) -> float:
    """What one run's training took, in seconds, joules, images or operations; NaN where that is not known."""
    if what in ("seconds", "energy_joules"):
        return np.nan if row[what] is None else row[what]
    return images_seen(row["run"]) * (1.0 if what == "images_seen" else tables.flops_per_image(named[row["run"]]))


def mean(values: list) -> float | None:
    made = stats.aggregate(value for value in values if value is not None and np.isfinite(value))
    return made and made.mean


def line(label: str, own: list[dict]) -> dict[str, str]:
    shown = stats.aggregate((row[measure] for row in own), 0, 1)
    seen = mean([spent(row, "images_seen") for row in own])
    return {
        "Method": label,
        "N": str(shown.n),
        "Mean ± std": tables.share(shown.mean, shown.std),
        "95 % interval of the mean": "–" if shown.low is None else f"{100 * shown.low:.1f} – {100 * shown.high:.1f} %",
        "Training": words.duration(mean([row["seconds"] for row in own])),
        "Images/s": words.rate(mean([row["images_per_second"] for row in own])).removesuffix(" images/s"),
        "Peak memory": words.size(mean([row["peak_memory_bytes"] for row in own])),
        "Images seen": "–" if seen is None else f"{seen:,.0f}",
        "Operations": words.operations(mean([spent(row, "flops") for row in own])),
        "Energy": words.energy(mean([row["energy_joules"] for row in own])),
    }


printed([line(label, own) for label, own in of_label.items()], "Accuracy and cost of each", strong="Mean ± std")
st.caption(
    f"N: runs that differ in their seed alone; {stats.AGGREGATE.removeprefix('mean over the N seeds; ')}. Costs are means over "
    "the seeds."
)
cost = next(filter(None, (embeddings.measured(run, "cost") for run in probed)), {})
with st.expander("How these numbers are obtained", key="evidence_how", bind="query-params"):
    protocol = embeddings.measured(probed[0], measure).get("protocol")
    for what in (
        protocol,
        cost.get("protocol"),
        cost.get("flops_protocol") or "operations: not counted for these runs; python -m sslcore evaluate counts them",
        cost.get("device"),
    ):
        if what:
            st.text(str(what))

# -- Every pair ---------------------------------------------------------------------------------

st.subheader("Every pair")
groups = pairs.contestants(probed, by)
names = {
    value: value_in_words(by, value) if by in ("method", "experiment") else f"{in_words(by)} {value_in_words(by, value)}"
    for value in groups
}
compared = pairs.compare(groups, names, equal, measure)
apart = pairs.unpaired(groups, names, equal, measure)


def tone(pair: pairs.Pair) -> str:
    """The colour of who is ahead, where methods are compared."""
    return style.colour(pair.a) if by == "method" else style.PALETTE[4]


def p_value(p: float | None) -> str:
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def name_of(pair: pairs.Pair) -> str:
    return f"{names[pair.a]} − {names[pair.b]}"


if not compared:
    if len(groups) < 2:
        st.info(f"There is one {in_words(by)} alone: nothing to compare it with.", icon=":material/info:")
    else:
        st.info(
            "No two of these have a run of the same seed, data set and other settings, so that no difference can be read fairly.",
            icon=":material/info:",
        )
        st.caption("\n\n".join(map(words.plain, apart)))
else:
    lines = [
        evidence.Row(
            name_of(pair),
            pair.difference,
            stats.told_apart(pair.p),
            tone(pair),
            pair.difference.why or f"adjusted p {p_value(pair.p)}, {TESTS[pair.difference.test]}",
            list(pairs.differences(pair.matches, measure).values()),
        )
        for pair in compared
    ]
    title = f"Differences in accuracy by {pairs.MEASURES[measure]}"
    plot(
        evidence.differences(
            lines, title, "bar: 95 % interval; filled: told apart; small dots: single seeds", "difference in percentage points"
        ),
        key="evidence_pairs",
        height=150 + 46 * len(lines),
        alt=f"{title}, with 95 % intervals, for every pair",
    )
    printed(
        [
            {
                "Pair": name_of(pair),
                "What may be said": pair.sentence[:1].upper() + pair.sentence[1:],
                "p, adjusted": p_value(pair.p),
                "Seeds": str(len(pair.matches)),
                "Test": TESTS[pair.difference.test],
            }
            for pair in compared
        ],
        "What may be said of each pair",
    )
    used = {pair.difference.test for pair in compared}
    told = [f"{name_of(pair)}: left out {pair.left_out}." for pair in compared if pair.left_out]
    told += (
        [f"Over seeds: {stats.OVER_SEEDS}."] * ("seeds" in used)
        + [f"Over images: {stats.OVER_IMAGES}."] * ("images" in used)
        + [f"{stats.HOLM}."] * (len(compared) > 1)
    )
    if most := max(pair.settings for pair in compared) - 1:
        told.append(
            f"Compared at equal settings: each seed's difference is the mean over {most + 1} settings (of "
            f"{', '.join(in_words(name) for name in equal)}), and counts once."
        )
    others = [name for name in OPTIONS if name not in (by, "seed", *varied)]
    unequal = [
        name
        for name in others
        if any(
            len({repr(get(run.config, name)) for run in match if pairs.value(run, name) is not pairs.ANY}) > 1
            for pair in compared
            for matches in pair.matches.values()
            for match in matches
        )
    ]
    if unequal:
        told.append(f"Not equal, since each {in_words(by)} has its own: {', '.join(unequal)}.")
    st.caption("\n\n".join(words.plain(one) for one in [*apart, *told]))

    if st.toggle("Seed by seed, on the same test images", key="evidence_seeds", bind="query-params"):
        st.text(f"{stats.OVER_IMAGES[0].upper()}{stats.OVER_IMAGES[1:]}. These p-values are not adjusted.")
        each = []
        for pair in compared:
            for seed, matches in pair.matches.items():
                for a, b in matches:
                    one = pairs.over_images_of(a, b, measure)
                    interval = "–" if one.low is None else f"{100 * one.low:+.1f} to {100 * one.high:+.1f}"
                    each.append(
                        {
                            "pair": name_of(pair),
                            "seed": seed,
                            "runs": f"{a.name} / {b.name}",
                            "points": round(100 * one.mean, 1),
                            "95 % interval": interval,
                            "McNemar's p": p_value(one.p),
                        }
                    )
        st.dataframe(
            pd.DataFrame(each), hide_index=True, alt="Difference of each matched pair of runs, tested on the test images"
        )

# -- Accuracy against cost ------------------------------------------------------------------------

st.subheader("Accuracy against cost")
with st.container(horizontal=True, gap="medium"):
    known = [name for name in COSTS if name != "energy_joules" or any(row[name] is not None for row in rows)]
    axis = st.segmented_control(
        "Cost", known, default="seconds", required=True, format_func=COSTS.get, key="evidence_cost", bind="query-params"
    )
    marks = st.segmented_control(
        "Marks", ["mean of seeds", "each run"], default="mean of seeds", required=True, key="evidence_marks", bind="query-params"
    )
points = []
for label, own in of_label.items():
    own = [(row, spent(row, axis)) for row in own]
    own = [(row, taken) for row, taken in own if np.isfinite(taken)]
    look = {"label": label, "method": own[0][0]["method"], "colour": probe.tone(rows, label)} if own else {}
    if marks == "each run":
        points += [evidence.Point(**look, cost=taken, worth=row[measure], n=1, name=row["run"]) for row, taken in own]
    elif own:
        worth, taken = stats.aggregate((row[measure] for row, _ in own), 0, 1), stats.aggregate(taken for _, taken in own)
        points.append(
            evidence.Point(
                **look, cost=taken.mean, worth=worth.mean, n=worth.n, cost_std=taken.std, low=worth.low, high=worth.high
            )
        )
if points:
    unit, said_unit = (1000.0 if axis == "energy_joules" else 1.0, COSTS[axis])
    if axis == "seconds":
        name, unit = words.time_unit(max(point.cost for point in points))
        said_unit = f"{COSTS[axis]}, {name}"
    accuracy_of = f"Accuracy by {pairs.MEASURES[measure]}"
    plot(
        evidence.cost(points, accuracy_of, said_unit, unit),
        key="evidence_cost_chart",
        height=430,
        alt=f"{accuracy_of} against {COSTS[axis]}, with the Pareto line",
    )
    st.caption(
        (
            "Marks: means over seeds; vertical bars: 95 % t interval of the mean; horizontal bars: ± one standard deviation."
            if marks == "mean of seeds"
            else "Marks: single runs."
        )
        + (" Time depends on the machine and on what else it did; images and operations do not." if axis == "seconds" else "")
        + (f" Operations: {budget.FLOPS}." if axis == "flops" else "")
    )
if axis == "seconds" and len(devices := {row["device"] for row in rows if row["device"]}) > 1:
    st.caption(words.plain(f"Trained on different machines ({', '.join(sorted(devices))}): their times cannot be compared."))
if len(uncounted := [row for row in rows if not np.isfinite(spent(row, axis))]):
    st.caption(
        f"{words.count(len(uncounted), 'run')} without this cost left out"
        + ("; `python -m sslcore evaluate` counts operations." if axis == "flops" else ".")
    )

# -- At equal budgets ---------------------------------------------------------------------------

st.subheader("At equal budgets")
with st.container(horizontal=True, gap="medium"):
    reading = st.segmented_control(
        "Read",
        ["knn", "loss"],
        default="knn",
        required=True,
        format_func={"knn": "kNN while training", "loss": "training loss"}.get,
        key="evidence_read",
        bind="query-params",
    )
    portion = SHARES[
        st.segmented_control(
            "Of the cheapest's budget", list(SHARES), default="100 %", required=True, key="evidence_share", bind="query-params"
        )
    ]
finished = {row["run"]: named[row["run"]] for row in rows if states[named[row["run"]].id] == "finished"}
by_run = {curve.run: curve for curve in tables.curves(finished.values())}


def say_budget(column: str, amount: float) -> str:
    told = {"seconds": words.duration, "flops": words.operations}.get(column, lambda n: f"{n:,.0f}" if n >= 10 else f"{n:.3g}")
    return told(amount)


columns: dict[str, dict[str, stats.Aggregate | None]] = {}
for column, called in budget.BUDGETS.items():
    least = budget.common(curve[column].astype(float) for curve in by_run.values())
    if least is None:
        continue
    heading = f"{called.capitalize()}: {say_budget(column, portion * least)}"
    columns[heading] = {}
    for label, own in of_label.items():
        readings = [
            budget.read(by_run[row["run"]][column].astype(float), by_run[row["run"]][reading].astype(float), portion * least)
            for row in own
            if row["run"] in by_run
        ]
        columns[heading][label] = stats.aggregate(one.value for one in readings if one)


def say_reading(made: stats.Aggregate | None, n: int) -> str:
    if made is None:
        return "–"
    told = (
        tables.share(made.mean, made.std) if reading == "knn" else f"{made.mean:.3g}" + (f" ± {made.std:.2g}" if made.std else "")
    )
    return told + (f" (N = {made.n})" if made.n < n else "")


if columns:
    n = {label: max(made[label].n if made[label] else 0 for made in columns.values()) for label in of_label}
    printed(
        [
            {"At equal": label, "N": str(n[label])}
            | {heading: say_reading(made[label], n[label]) for heading, made in columns.items()}
            for label in n
        ],
        "Accuracy at equal cost",
    )
    every = {"knn": "evaluate.knn_every", "loss": "evaluate.log_every"}[reading]
    intervals = sorted({get(run.config, every) for run in finished.values()})
    st.caption(
        f"{budget.PROTOCOL[0].upper()}{budget.PROTOCOL[1:]}. Means ± standard deviations over seeds; finished runs alone; N: "
        "readings; –: nothing was logged that early. "
        "A run that is read before its end is read at a learning rate that is not yet annealed, and so is understated beside one "
        "that ends there. " + f"Not read equally often ({every} {' and '.join(map(str, intervals))}): "
        "a run that is read more seldom is read further before the budget. "
        * (len(intervals) > 1)
        + "Equal operations are equal compute; equal time depends on the machine. "
        * any(column.startswith("Operations") for column in columns)
        + (
            "kNN: on h, on the evaluation sample, as Compare shows it."
            if reading == "knn"
            else "Each method's loss is its own: compare a method with itself, not with another."
        )
        + (
            ""
            if any(column.startswith("Operations") for column in columns)
            else " Equal operations need every run's count of operations; `python -m sslcore evaluate` makes it."
        )
    )
else:
    st.text("No finished run has logged anything that could be read at a budget.")

# -- Class by class, image by image ----------------------------------------------------------------

if not compared:
    st.stop()
st.subheader("Where two of them differ")
choices = {" and ".join(names[one] for one in groups if one in (pair.a, pair.b)): pair for pair in compared}
chosen = st.selectbox(
    "Pair", list(choices), index=None, placeholder=next(iter(choices)), key="evidence_pair", bind="query-params", width=360
)
pair = choices[chosen or next(iter(choices))]
try:
    said = pairs.said(pair.matches, measure)
except ValueError as error:
    st.info(words.plain(str(error)), icon=":material/draft:")
    st.stop()
a, b = names[pair.a], names[pair.b]
one_run = pair.matches[min(pair.matches)][0][0]
classes = embeddings.classes(one_run)


def class_name(label: int) -> str:
    return classes[label] if 0 <= label < len(classes) else f"class {label}"


of_class = pairs.by_class(said)
adjusted = dict(zip(of_class, stats.holm([difference.p for difference in of_class.values()])))
most_different = sorted(of_class, key=lambda label: -abs(of_class[label].mean))[:MAX_CLASSES]
n_images = {label: int((said.label == label).sum()) for label in of_class}
lines = [
    evidence.Row(
        class_name(label),
        of_class[label],
        stats.told_apart(adjusted[label]),
        style.colour(pair.a if of_class[label].mean >= 0 else pair.b) if by == "method" else style.PALETTE[4],
        f"{n_images[label]} images, " + (of_class[label].why or f"adjusted p {p_value(adjusted[label])}"),
    )
    for label in sorted(most_different, key=lambda label: -of_class[label].mean)
]
plot(
    evidence.differences(
        lines,
        f"{style.plain(a)} − {style.plain(b)}, class by class",
        "bar: 95 % interval; filled: told apart",
        "difference in percentage points",
    ),
    key="evidence_classes",
    height=150 + 28 * len(lines),
    alt=f"Difference in accuracy between {a} and {b} on each class, with 95 % intervals",
)
test = stats.OVER_SEEDS if len(pair.matches) > 1 else stats.OVER_IMAGES if pair.settings == 1 else "no test"
st.caption(
    words.plain(
        f"{test[0].upper()}{test[1:]}; p-values adjusted by Holm's method over the {len(of_class)} classes."
        + (f" Shown: the {MAX_CLASSES} classes that differ most." if len(of_class) > MAX_CLASSES else "")
    )
)

n_runs = len(said.seed)
ahead = said.right_a - said.right_b  # (N,) trainings
dataset = one_run.config.dataset


def told(who: str, predicted: np.ndarray, label: int) -> str:
    """What one side's runs took an image for, as HTML; with several runs, how many were right and the commonest mistake."""
    right, wrong = int((predicted == label).sum()), predicted[predicted != label]
    mistake = class_name(int(np.bincount(wrong).argmax())) if len(wrong) else class_name(label)
    if n_runs == 1:
        return pictures.verdict(who, class_name(label), mistake)
    mark = pictures.RIGHT if 2 * right > n_runs else pictures.WRONG
    return f"{mark} {escape(who)}: {right} of {n_runs}" + (f", else {escape(mistake)}" if len(wrong) else "")


for better, worse, order in ((a, b, -ahead), (b, a, ahead)):
    won = np.flatnonzero(order == -n_runs)
    draw = np.random.default_rng(0).permutation(len(order))  # among images on which the two differ alike
    shown = [k for k in np.lexsort((draw, order))[:PICTURES] if order[k] < 0]
    every = "" if n_runs == 1 else f" in all {n_runs} matched trainings"
    others = "" if len(shown) <= len(won) else f"; {'after them' if len(won) else 'below'}, those in most trainings"
    st.markdown(
        f"**{words.plain(better)} right, {words.plain(worse)} wrong**{every}: {words.count(len(won), 'image')} of "
        f"{len(said.label):,}{others}"
    )
    if not shown:
        st.text("There is no such image.")
        continue
    cards = []
    for k in shown:
        label = int(said.label[k])
        lines_of_card = [
            f'<b>{escape(class_name(label))}</b> <span class="aside">{said.index[k]}</span>',
            told(a, said.a[:, k], label),
            told(b, said.b[:, k], label),
        ]
        cards.append(
            pictures.picture(dataset, int(said.index[k]), f"test image {said.index[k]}, {class_name(label)}", lines_of_card)
        )
    st.html(pictures.row(cards, f"Images that {better} gets right and {worse} wrong"))
st.caption(
    f"Of each side, the {PICTURES} test images on which the two differ most; among those on which they differ alike, a fixed "
    "draw. The number is the data set's index."
)
