"""metrics.jsonl as arrays. What was read is kept, and of a file that grows only what was appended is read."""

import io
import itertools
import re
import threading
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow
from pyarrow import json

from sslcore import compact
from sslcore.experiment import Run
from sslcore.files import Stamp, appended, as_float, logged_rows, stamp

PLACES = ("step", "epoch", "images_seen", "seconds")  # that every row has
MEASURED = (  # what charts show
    "loss",
    "chance_loss",
    "learning_rate",
    "images_per_second",
    "knn",
    "std",
    "alignment",
    "uniformity",
    "effective_rank",
)
METRICS = (*PLACES, *MEASURED)
SCHEMA = pyarrow.schema([(name, pyarrow.float64()) for name in METRICS])
# A block that begins so ends Arrow's reader, and this process with it: null, whatever stands before it that reads as nothing.
CRASHES = re.compile(rb"(?:\A|[\r\n])[^{\r\n]*null")
MAX_RUNS = 1000  # whose rows are kept in memory


@dataclass(frozen=True, eq=False)
class Logged:
    """A run's rows as charts need them: each metric only where a row has it. Not to be changed in place."""

    places: Mapping[str, np.ndarray]  # name of PLACES -> (n,) float32, NaN where a row lacks it
    # Name of MEASURED -> the rows that have it, and its values there, float32.
    values: Mapping[str, tuple[np.ndarray, np.ndarray]]
    number: int = field(default_factory=itertools.count().__next__)  # that no other has, by which it is known once it is gone

    def __len__(self) -> int:
        return len(self.places["step"])

    def and_then(self, more: "Logged") -> "Logged":
        """These rows and those that were appended."""
        places = {name: np.concatenate([own, more.places[name]]) for name, own in self.places.items()}
        rows = _shared(
            {name: np.concatenate([own, more.values[name][0] + np.int32(len(self))]) for name, (own, _) in self.values.items()}
        )
        return Logged(
            places, {name: (rows[name], np.concatenate([own, more.values[name][1]])) for name, (_, own) in self.values.items()}
        )

    def last(self, name: str) -> float | None:
        """The latest value of a metric; None before the first."""
        values = self.places[name] if name in PLACES else self.values[name][1]
        return float(values[-1]) if len(values) else None


@dataclass(frozen=True)
class _Read:
    """How far a metrics.jsonl was read."""

    stamp: Stamp
    end: int  # of the last whole line
    tail: bytes  # the last bytes before `end`: where others stand there, it is another file
    logged: Logged


_read: OrderedDict[Path, _Read] = OrderedDict()  # 0.4 MB a run of 10,000 rows
_reading = threading.Lock()


def logged(run: Run) -> Logged:
    """What a run has logged. Of a file that has grown only what was appended is read."""
    with _reading:
        now = stamp(run.metrics_file)
        known = _read.get(run.path)
        if known is None or known.stamp != now:
            known = _read[run.path] = _read_on(run, now, known)
        _read.move_to_end(run.path)
        if len(_read) > MAX_RUNS:
            _read.popitem(last=False)
        return known.logged


def _read_on(run: Run, now: Stamp, known: _Read | None) -> _Read:
    _, size, inode = now
    if known and known.stamp[2] == inode and _tail(run.metrics_file, known.end) == known.tail:
        lines = appended(run.metrics_file, known.end)
        end, found = known.end + len(lines), known.logged.and_then(_logged(_columns(lines))) if lines else known.logged
    elif size and (table := compact.read(run, METRICS)) is not None:
        end, found = size, _logged({name: table[name].to_numpy() for name in table.column_names})
    else:
        lines = appended(run.metrics_file, 0)
        end, found = len(lines), _logged(_columns(lines))
    return _Read(now, end, _tail(run.metrics_file, end), found)


def _tail(file: Path, end: int) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, end - 100))
            return opened.read(min(end, 100))
    except OSError:
        return b""


def _columns(lines: bytes) -> dict[str, np.ndarray]:
    """Each metric in all rows, (n,), NaN where a row lacks it."""
    if not CRASHES.search(lines):
        # Fails where there is no line, a torn one amid the file, or no number where one should be.
        with suppress(pyarrow.ArrowInvalid):
            table = json.read_json(
                io.BytesIO(lines),
                json.ReadOptions(use_threads=False),
                json.ParseOptions(explicit_schema=SCHEMA, unexpected_field_behavior="ignore"),
            )
            return {name: table[name].to_numpy() for name in METRICS}
    rows = logged_rows(lines)  # slower, and leaves it out
    return {name: np.array([as_float(row.get(name)) for row in rows], dtype=float) for name in METRICS}


def _logged(columns: Mapping[str, np.ndarray]) -> Logged:
    """Of columns of all rows, (n,) each, NaN where a row lacks it; a column that no row has may be missing."""
    n = max(map(len, columns.values()), default=0)
    columns = {name: columns[name].astype(np.float32) if name in columns else np.full(n, np.nan, np.float32) for name in METRICS}
    columns["knn"][(columns["knn"] < 0) | (columns["knn"] > 1)] = np.nan  # no accuracy, however it came there
    placed = np.isfinite(columns["step"])
    if not placed.all():
        columns = {name: column[placed] for name, column in columns.items()}
    rows = _shared(
        {name: np.flatnonzero(np.isfinite(column)).astype(np.int32) for name, column in columns.items() if name in MEASURED}
    )
    rows["chance_loss"] = rows["chance_loss"][-1:]  # it is the same throughout
    return Logged({name: columns[name] for name in PLACES}, {name: (own, columns[name][own]) for name, own in rows.items()})


def _shared(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Equal arrays as one: rows that have one metric mostly have others too."""
    known: dict[bytes, np.ndarray] = {}
    return {name: known.setdefault(own.tobytes(), own) for name, own in rows.items()}


def knn(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Epochs at which a run's kNN accuracy was measured while it trained, and what it was. Not to be changed in place."""
    known = logged(run)
    rows, values = known.values["knn"]
    epochs = known.places["epoch"][rows]
    return epochs[np.isfinite(epochs)], values[np.isfinite(epochs)]
