"""What a report says in words and tables, of which both of its forms are made."""

import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dashboard import questions, tables, words
from dashboard.figures import curves, labels, probe, style
from dashboard.unlike import references, symmetric, unlike_times, unlike_votes, watched
from sslcore.analysis import gains, pairs, stats
from sslcore.analysis.order import in_order
from sslcore.analysis.pairs import Pair
from sslcore.analysis.summary import by_seed, kind, untrained, vote, warned
from sslcore.config import ConfigError, flatten
from sslcore.experiment import Experiment, Run
from sslcore.results import part, wording

PROTOCOLS = {  # of the further probes: title, and where a run's results say it
    "Few labels": lambda result: [wording(result, "label_efficiency_protocol")],
    "Fine-tuning": lambda result: [wording(result, "fine_tuning_protocol")],
    "h against z": lambda result: [wording(result, "heads", "protocol")],
    "On other images": lambda result: [wording(entry, "protocol") for entry in part(result, "transfer").values()],
}

ABOUT = {  # the tables of `questions`
    **dict.fromkeys(labels.FEW.values(), "Accuracy on the test images, where this share of the training labels is known."),
    "h against z": (
        "h is what the encoder puts out, z what the head makes of it for the loss. What z forgets, the loss did not need."
    ),
    "On other images": "The encoders as they are, probed on another data set.",
}
FIRST = ("dataset", "image_size", "encoder", "epochs", "batch_size")  # what a reader asks first, where it is the same in all runs


def gather(experiment: Experiment) -> dict[str, Any]:
    """What both forms say."""
    spec = experiment.spec()
    own = experiment.runs()
    chosen = in_order(run for run in own if run.name not in spec.hidden)
    compared, apart = pairs.of_methods(chosen)
    rows = tables.summary(chosen)
    folded = by_seed(rows)
    results = {name: result for name, run in tables.named(chosen).items() if (result := run.results())}
    measured = [row for row in rows if row["run"] in results]
    probed = [row for row in measured if row["linear"] is not None]
    settings, called = _settings(chosen)
    configs = [run.config for run in chosen]
    baselines = _baselines(rows)
    commonest = words.once((run, probe.commonest(part(result, "linear"))) for run, result in results.items())
    return {
        "experiment": experiment,
        "spec": spec,
        "command": "\n".join((spec.command or "").splitlines()),
        "title": spec.title or experiment.name,
        "runs": chosen,
        "n_runs": words.count(len(chosen), "run"),
        "left_out": _left_out(own, spec.hidden, len(experiment.strays()) + len(experiment.closed())),
        "states": _states(rows),
        "made": _day(time.time()),
        "begun": _day(spec.created) if spec.created else "",
        "results": results,
        "measured": measured,
        "probed": probed,
        "answer": [one | {"n": n} for one in folded if (n := _n(one))],
        "waiting": [one["label"] for one in folded if not _n(one)],
        "warnings": warned({name: run.status() for name, run in tables.named(chosen).items()}),
        "unprobed": sorted({str(result["note"]) for result in results.values() if result.get("note")}),
        "unlike": list(filter(None, [references(configs), symmetric(configs), unlike_votes(configs), unlike_times(rows)])),
        "watched": watched(chosen),
        "of_losses": f"{curves.LOSSES} {curves.MEANS}",
        "said_by": pairs.said_by(compared),
        "differences": [*(pair.sentence for pair in compared), *apart, *filter(None, [pairs.said_unequal(compared)])],
        "learnt": gains.gains(chosen),
        "baselines": baselines,
        "reading": _reading(bool(baselines)) + commonest,
        "protocol": _protocol(results)
        + [("Several seeds", stats.AGGREGATE)] * any(one["linear_n"] > 1 for one in folded)
        + _tests(compared)
        + [("What training has added", f"{gains.PROTOCOL}; {stats.OVER_SEEDS}")] * bool(probed),
        "questions": questions.all_of(measured, results),
        "about": ABOUT,
        "settings": settings,
        "same": ", ".join(f"{one['name']} {one['shared']}" for one in settings if one["name"] in FIRST and not one["differs"]),
        "labels": called,
        "environments": _environments(chosen),
    }


def _left_out(runs: Sequence[Run], hidden: Sequence[str], without_config: int) -> str:
    """How many of the runs are not in the report, and why."""
    unread = sum(run.readable_config is None for run in runs if run.name not in hidden) + without_config
    n = sum(run.name in hidden for run in runs)
    why = [f"{n} hidden by hand"] * bool(n) + [f"{unread} that cannot be read"] * bool(unread)
    return f"{n + unread} more left out ({', '.join(why)})" if why else ""


def _n(folded: Mapping[str, Any]) -> int:
    """How many of the folded runs' seeds have results."""
    return max(folded["linear_n"], folded["knn_n"], folded["seconds_n"])


def _tests(compared: Sequence[Pair]) -> list[tuple[str, str]]:
    """How the differences were tested, and on which runs not."""
    used = {pair.difference.test for pair in compared}
    told = [("Differences over seeds", stats.OVER_SEEDS)] * ("seeds" in used) + [
        ("Differences over images", pairs.over_images_of_these(compared))
    ] * ("images" in used)
    told += [
        (f"{style.title(pair.a)} − {style.title(pair.b)}{f', {pair.on}' if pair.on else ''}", f"left out {pair.left_out}")
        for pair in compared
        if pair.left_out
    ]
    return told + [("Several differences", stats.HOLM)] * (len(compared) > 1 and bool(told))


def _day(seconds: float) -> str:
    return time.strftime("%-d %B %Y", time.localtime(seconds))


def _states(rows: Sequence[Mapping[str, Any]]) -> str:
    """6 runs: 5 finished, 1 failed."""
    states = Counter(row["state"] for row in rows)
    parts = [f"{states[state]} {state}" for state in words.STATES if states[state]]
    return f"{words.count(len(rows), 'run')}{': ' if parts else ''}{', '.join(parts)}"


def _baselines(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What needs no training, a line for each kind of images, encoder and kNN: label, n, linear and knn with spread and n."""
    lines: dict[str, dict[str, Any]] = {}
    kinds = labels.kinds(rows)
    for one in untrained(rows):
        encoder, on = kinds[kind(one)]
        for called, whose in ((f"Untrained encoder{encoder}", "random_"), ("Pixels", "pixels_")):
            label = f"{called}{on}{words.vote(*vote(one))}"
            no_probe = {"linear": None, "linear_std": None, "linear_n": 0}
            told = no_probe | {name.removeprefix(whose): value for name, value in one.items() if name.startswith(whose)}
            if (told["linear"], told["knn"]) != (None, None):
                lines[label] = told | {"label": label, "n": max(told["linear_n"], told["knn_n"])}
    return list(lines.values())


def _reading(baselines: bool) -> list[str]:
    """How the numbers of the answer are to be read."""
    return [f"Over several seeds: mean ± standard deviation; {words.WITHOUT_SPREAD}"] + [
        "Of the untrained encoder, which is the same in all runs of a seed, each seed counts once",
        f"The 95 % interval is the linear probe's: {stats.INTERVAL}",
        gains.LEARNT,
    ] * baselines


def _protocol(results: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str]]:
    """(what, how it was obtained) in the words of the runs that measured it, as `words.once` says them."""
    told = [
        (title, said)
        for title, name in (
            ("Linear probe", "linear"),
            ("kNN", "knn"),
            ("Untrained encoder", "baselines"),
            ("Alignment, uniformity, effective rank, std", "geometry"),
            ("Time, speed, memory", "cost"),
            ("UMAP", "umap"),
        )
        for said in words.protocols((run, result.get(name)) for run, result in results.items())
    ]
    told += [("Pixels", said) for said in questions.pixels(results)]
    return told + [
        (title, said)
        for title, told_by in PROTOCOLS.items()
        for said in words.once((run, one) for run, result in results.items() for one in told_by(result))
    ]


def _settings(runs: Sequence[Run]) -> tuple[list[dict[str, Any]], list[str]]:
    """(every option, as `tables.settings` has it, with its values for each label and the one that it has where none differ; the
    labels)."""
    every, differing = tables.settings(runs, every=True), tables.settings(runs).index
    lines = []
    for name, row in every.iterrows():
        shared = next((said for said in row if said != "–"), "–")
        lines.append({"name": name, "values": list(row), "shared": shared, "differs": name in differing})
    return lines, list(every)


def _environments(runs: Iterable[Run]) -> list[tuple[str, dict[str, str]]]:
    """(the runs that share it, name -> value) of each environment in which runs were trained."""
    found: dict[str, tuple[list[str], dict[str, str]]] = {}
    for run in runs:
        try:
            said = flatten(run.environment() or {})
        except ConfigError:  # it says something twice, as no file of ours does
            continue
        if said:
            flat = {
                name.removeprefix("packages."): words.setting(value)
                for name, value in said.items()
                if name not in ("command", "parameters", "peak_learning_rate") and ".data." not in f".{name}"
            }
            found.setdefault(json.dumps(flat), ([], flat))[0].append(run.name)
    return [(", ".join(names) if len(found) > 1 else "", flat) for names, flat in found.values()]
