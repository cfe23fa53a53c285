"""Methods: how each works, what it needs by its paper, and what the reader's own runs measured of that."""

import streamlit as st
import yaml

from dashboard import head, link, unprobed, words
from dashboard.figures import style
from dashboard.unlike import unlike_times
from sslcore.analysis import ablation, claims, pairs
from sslcore.analysis.claims.evidence import Curve
from sslcore.analysis.claims.pair import cost_ratio
from sslcore.analysis.claims.step import times
from sslcore.analysis.stats import Difference, over_seeds
from sslcore.config import OPTIONS, get
from sslcore.idle import idle
from sslcore.methods import compared
from sslcore.results import on_cpu, part
from sslcore.wording import series

TEXTS = link.VIEWS.parent / "methods"
DESCRIBED = [name for name in compared() if (TEXTS / f"{name}.yaml").is_file()]
REFERENCE = "simclr"  # what costs are told relative to
NEEDS = {"negatives": "Negatives", "components": "Beyond encoder and head", "batch": "Dependence on the batch", "cost": "Cost"}

experiment, runs = head.of_results("Methods")
evidence = claims.Evidence(ablation.entries(experiment, runs), runs)
st.caption(
    "How MoCo, SimCLR and BYOL work, by their papers, and beside each thing they need what the runs chosen above measured of it. "
    "Intervals: 95 %, t over seeds; ratios: at equal settings and seed, but for what is named there; geometric mean."
)
head.say_cautions(runs)
if told := unlike_times([part(results, "cost") for *_, results in evidence.read]):
    st.caption(words.plain(told))
there = {config.method for config, *_ in evidence.read}
if absent := [style.title(method) for method in DESCRIBED if method not in there]:
    st.info(
        f"There is no finished run of {series(absent)} whose results can be read, so beside it stands what the papers say alone.",
        icon=":material/info:",
    )


# -- What the runs measured -----------------------------------------------------------------


def factor(ratio: Difference) -> str:
    """A log ratio as a factor with its interval."""
    interval = "" if ratio.low is None else f" ({times(ratio.low)} to {times(ratio.high)})"
    return f"{times(ratio.mean)} × {style.title(REFERENCE)}'s{interval}, N = {words.count(ratio.seeds, 'seed')}"


def mean_of(method: str, number: str, say) -> str | None:
    """A cost's mean over the method's runs, as `say` has it."""
    values = [
        entry.numbers[number] for entry in evidence.entries if entry.config.method == method and entry.numbers[number] is not None
    ]
    return f"{say(sum(values) / len(values))}, mean of {words.count(len(values), 'run')}" if values else None


def costs(method: str) -> list[str]:
    said, own = [], {}
    for number, what, say in (
        ("images_per_second", "Speed", words.rate),
        ("peak_memory_bytes", "Peak memory", words.size),
        ("flops_per_image", "Operations an image", words.operations),
        ("energy_joules", "Energy", words.energy),
    ):
        mean = mean_of(method, number, say)
        of_process = number == "peak_memory_bytes" and any(on_cpu(results) for *_, results in evidence.read)
        ratio = cost_ratio(evidence, method, REFERENCE, f"cost.{number}") if method != REFERENCE and not of_process else None
        beside = f"; {factor(ratio.difference)}" if ratio else ""
        if of_process:
            beside = "; the process's, of which Python and PyTorch are some 0.65 GB"
        said += [f"{what}: {mean}{beside}"] if mean else []
        own |= dict.fromkeys(ratio.unequal if ratio else ())
    return [*said, *filter(None, [pairs.not_equal("method", own)])]


def batch(method: str) -> list[str]:
    return gained(evidence.curve("batch_size", method, "linear"), "batches of ")


def gained(curve: Curve, what: str = "") -> list[str]:
    """How far the largest place of an axis lies above the smallest; nothing where it has one."""
    places = list(next(iter(curve.values()), ()))
    if len(places) < 2:
        return []
    gain = over_seeds([own[places[-1]] - own[places[0]] for own in curve.values()], 1)
    low, high = ("" if end is None else words.tenths(100 * end, "z") for end in (gain.low, gain.high))
    interval = f" (95 % interval {low} to {high})" if low else ""
    said = f"Linear probe with {what}{places[-1]:,} rather than {places[0]:,}: {words.tenths(100 * gain.mean, '+z')} points"
    return [f"{said}{interval}, N = {words.count(gain.seeds, 'seed')}".replace("-", "−")]


def negatives(method: str) -> list[str]:
    configs = [config for config, *_ in evidence.read if config.method == method]
    if not configs:
        return []
    counts = sorted({config.negatives for config in configs if config.negatives is not None})
    span = "none" if not counts else f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    said = [f"Negatives per positive: {span}, in {words.count(len(configs), 'run')}"]
    curve = evidence.curve(ablation.NEGATIVES, method, "linear")
    places = list(next(iter(curve.values()), ()))
    if len(places) > 1:
        said += gained(curve)
        few, many = (sorted({one.batch_size for one in configs if one.negatives == place}) for place in (places[0], places[-1]))
        if not {*few} & {*many}:
            said.append(
                f"Not of the negatives alone: the batch size is {series(map(str, many))} there rather than "
                f"{series(map(str, few))}"
            )
    return said


def components(method: str) -> list[str]:
    heads = sorted({config.head.kind for config, *_ in evidence.read if config.method == method})
    momentum = f"{method}.momentum"
    own = [config for config, *_ in evidence.read if config.method == method and momentum in OPTIONS.keys() - idle(config).keys()]
    moments = sorted({get(config, momentum) for config in own})
    said = [f"Projection head: {', '.join(heads)}"] if heads else []
    return said + ([f"Momentum: {', '.join(f'{value:g}' for value in moments)}"] if moments else [])


MEASURED = {
    "negatives": (negatives, "ablations", {"ablations_axis": "Negatives per positive"}, "Ablations"),
    "components": (components, "compare", {}, "settings on Compare"),
    "batch": (batch, "ablations", {"ablations_axis": "Batch size"}, "Ablations"),
    "cost": (costs, "evidence", {}, "Evidence"),
}


ALONG = {"negatives": ablation.NEGATIVES, "batch": "batch_size"}  # the axis that the page draws
varied = ablation.axes(evidence.entries)


# -- A section a method -----------------------------------------------------------------------


def show(method: str) -> None:
    text = yaml.safe_load((TEXTS / f"{method}.yaml").read_text(encoding="utf-8"))
    st.header(style.title(method), anchor=method)
    st.markdown(f"*{words.plain(text['idea'])}*")
    with st.grid(2, min_column_width=440, gap="large"):
        st.markdown("\n".join(f"{k}. {words.plain(step)}" for k, step in enumerate(text["steps"], 1)))
        diagram = (TEXTS / f"{method}.svg").read_text(encoding="utf-8")
        st.image(diagram, width="stretch", caption=text["diagram"], alt=f"Diagram of {style.title(method)}, told below")
    st.latex(text["loss"])
    st.caption(words.plain(text["where"]))
    with st.grid(2, min_column_width=340, gap="small"):
        for need, title in NEEDS.items():
            measured, page, params, label = MEASURED[need]
            with st.container(border=True, height="stretch"):
                st.markdown(f"**{title}**")
                st.text(text["needs"][need])
                found = measured(method)
                if found:
                    st.markdown("Your runs:\n" + "\n".join(f"- {words.plain(line)}" for line in found))
                    if need not in ALONG or ALONG[need] in varied:
                        link.page_link(page, f"See {label}", experiment=experiment.name, **params)
                else:
                    takes = "It takes a finished run"
                    if need == "batch":
                        why = unprobed.note(results for *_, results in evidence.read)
                        takes = f"It takes probed runs at two batch sizes or more{f'; {why}' if why else ''}"
                    st.caption(words.plain(f"Your runs: not measured here. {takes}."))
    st.caption(words.plain(f"Source: {text['source']}"))


for method in DESCRIBED:
    show(method)
    st.divider()
link.page_link("claims", "What of this do your runs bear out? See Claims", experiment=experiment.name)
