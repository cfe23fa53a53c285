"""The further probes as tables: with few labels, h against z, on other images.

A table is a list of rows {column: cell}; a cell is text, or a share's mean and standard deviation over seeds (None where
there is none). `rows` and `results` are those of figures/labels.py.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean

from dashboard import words
from dashboard.figures import labels
from dashboard.figures.labels import Results, Rows
from dashboard.figures.probe import by_label
from sslcore.analysis.stats import aggregate, of_each_seed
from sslcore.naming import told_apart
from sslcore.results import number, part

Cell = str | tuple[float | None, float | None]
Table = list[dict[str, Cell]]


def pixels(results: Results) -> list[str]:
    """How the kNN of the pixels was obtained, as `words.once` says it."""
    baselines = {run: part(result, "baselines", "pixels") for run, result in results.items()}
    sides = {run: number(one, "side") for run, one in baselines.items() if number(one, "knn") is not None}
    how = {run: baselines[run].get("protocol", "the same kNN on the raw values of the pixels") for run in sides}
    return words.once((run, how[run] if side is None else f"{how[run]}, of images {side} px wide") for run, side in sides.items())


def all_of(rows: Rows, results: Results) -> dict[str, Table]:
    """Title -> table, of what was measured."""
    found = {labels.FEW[name]: few_labels(rows, results, name) for name in labels.FEW}
    found |= {"h against z": heads(rows, results), "On other images": transfers(rows, results)}
    return {title: table for title, table in found.items() if table}


def few_labels(rows: Rows, results: Results, name: str) -> Table:
    """Accuracy at each share of the labels, a row a label, and last what it is compared with. `name`: one of labels.FEW."""
    if not labels.has(results, name):
        return []
    groups = by_label(labels.by_tuning(rows, results, name))
    lines = {label: labels.by_share(group, results, name, "accuracy") for label, group in groups.items()}
    lines |= {words.capital(said): line for said, line in labels.references(rows, results, name).items()}
    shares = sorted({share for line in lines.values() for share in line})
    images = labels.labelled(rows, results, name)
    return [
        {"": label, "N": str(max(map(len, line.values())))}
        | {
            f"{share:.0%}".replace("%", " %") + labels.how_many(images.get(share)): _over_seeds(line.get(share, ()))
            for share in shares
        }
        for label, line in lines.items()
        if line
    ]


def heads(rows: Rows, results: Results) -> Table:
    """The classes, and how an image was changed, read from h and from z; a row a label, and last chance."""
    if not labels.has(results, "heads", "linear") and not labels.forgotten(results):
        return []
    what = {"classes": "heads.linear", **{said: f"heads.forgets.{task}" for task, said in labels.TASKS.items()}}
    table: Table = []
    for label, group in by_label(rows).items():
        values = {
            f"{said}, {side}": of_each_seed((row["seed"], number(results[row["run"]], f"{where}.{side}")) for row in group)
            for said, where in what.items()
            for side in "hz"
        }
        if n := max(map(len, values.values())):
            table.append({"": label, "N": str(n)} | {column: _over_seeds(of) for column, of in values.items()})
    by_chance: dict[str, Cell] = {}
    for said, where in what.items():
        known = [value for result in results.values() if (value := number(result, f"{where}.chance")) is not None]
        by_chance |= {f"{said}, {side}": (fmean(known) if known else None, None) for side in "hz"}
    if any(cell != (None, None) for cell in by_chance.values()):
        table.append({"": "Chance", "N": ""} | by_chance)
    return [
        {column: cell for column, cell in line.items() if any(other[column] != (None, None) for other in table)} for line in table
    ]


def transfers(rows: Rows, results: Results) -> Table:
    """The encoders on other data sets, a row a label and data set."""
    columns = {
        "Linear probe": "linear.accuracy",
        "kNN": "knn.accuracy",
        "Untrained: linear": "random_encoder.linear",
        "Untrained: kNN": "random_encoder.knn",
        "Pixels: kNN": "pixels.knn",
    }
    called = told_apart(name for result in results.values() for name in part(result, "transfer"))
    table: Table = []
    for label, group in by_label(rows).items():
        moved = [(row["seed"], part(results[row["run"]], "transfer")) for row in group]
        for dataset in dict.fromkeys(name for _, entries in moved for name in entries):
            measured = [(seed, entries[dataset]) for seed, entries in moved if isinstance(entries.get(dataset), Mapping)]
            if measured:
                tested = {n for _, entry in measured if (n := number(entry, "linear.n_test")) is not None}
                line: dict[str, Cell] = {
                    "Encoder": label,
                    "On": called[dataset],
                    "Test images": f"{tested.pop():,.0f}" if len(tested) == 1 else "–",
                    "N": str(len({seed for seed, _ in measured})),
                }
                line |= {
                    column: _over_seeds(of_each_seed((seed, number(entry, where)) for seed, entry in measured))
                    for column, where in columns.items()
                }
                table.append(line | {"Pixels: kNN": (line["Pixels: kNN"][0], None)})  # which no seed changes
    return table


def _over_seeds(values: Sequence[float]) -> tuple[float | None, float | None]:
    made = aggregate(values)
    return (made.mean, made.std) if made else (None, None)
