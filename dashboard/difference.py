"""Figures that change a little: what is sent is the change.

A figure that a reader has not seen is kept here under a hash of its content, and the
browser fetches it from there. When the same chart is drawn again, the socket carries
only where the new figure differs from the one that was fetched: of a curve that has
grown, its end. Once the change has become long, the figure is fetched anew.
"""

import base64
import gzip
import hashlib
import threading
from collections import OrderedDict
from collections.abc import MutableMapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.io.json import to_json_plotly

LONGEST = 20_000  # characters of a change
KEPT_BYTES = 50_000_000

_kept: OrderedDict[str, bytes] = OrderedDict()  # hash -> the figure's JSON, packed
_seen: OrderedDict[int, tuple[go.Figure, str]] = OrderedDict()  # id of a figure -> itself, so that the id stays its own, and its hash
_lock = threading.Lock()

Plain = dict[str, Any]  # a figure as dicts, its numbers as arrays


def kept(name: str) -> bytes | None:
    """The JSON of the figure of that hash, packed by gzip; None where it is not kept any more."""
    with _lock:
        if name in _kept:
            _kept.move_to_end(name)
        return _kept.get(name)


def since_last(figure: go.Figure, drawn: MutableMapping[str, tuple[go.Figure, Plain, str]], key: str) -> tuple[str, str | None]:
    """(hash of a figure that can be fetched, as JSON what turns it into `figure`: None for nothing).

    `drawn` holds what one reader's charts were last sent as a whole, by their keys; it is brought up to date.
    """
    base, plain, name = drawn.get(key, (None, None, ""))
    if plain is not None and kept(name) is not None:
        if base is figure:
            return name, None
        change = between(plain, plainly(figure))
        if change is not None and len(text := to_json_plotly(change)) <= LONGEST:
            return name, text if change else None
    name = keep(figure)
    drawn[key] = figure, plainly(figure), name
    return name, None


def keep(figure: go.Figure) -> str:
    """Let the figure be fetched; returns the hash of its content."""
    with _lock:
        known = _seen.get(id(figure))
    if known and kept(known[1]) is not None:
        return known[1]
    content = figure.to_json(validate=False).encode()
    name = hashlib.sha256(content).hexdigest()[:32]
    packed = gzip.compress(content, 1)
    with _lock:
        _kept[name] = packed
        _seen[id(figure)] = figure, name
        while len(_seen) > 64:
            _seen.popitem(last=False)
        while sum(map(len, _kept.values())) > KEPT_BYTES and len(_kept) > 1:
            _kept.popitem(last=False)
    return name


def plainly(figure: go.Figure) -> Plain:
    """A figure as dicts, with the arrays of its traces as arrays."""
    plain = figure.to_plotly_json()
    return plain | {"data": [{name: decoded(value) for name, value in trace.items()} for trace in plain["data"]]}


def between(before: Plain, after: Plain) -> Plain | None:
    """What turns one figure into another: {"layout": {name: value}, "data": {trace: {name: value or splice}}}, without what is the same.

    A value of None takes the name away. None where the figures have not the same traces.
    """
    if [trace.get("type") for trace in before["data"]] != [trace.get("type") for trace in after["data"]]:
        return None
    traces = {k: changed for k, pair in enumerate(zip(before["data"], after["data"])) if (changed := _changed(*pair))}
    layout = _changed(before["layout"], after["layout"])
    return {name: part for name, part in (("layout", layout), ("data", traces)) if part}


def _changed(before: Plain, after: Plain) -> Plain:
    changed: Plain = {name: None for name in before if name not in after}
    for name, value in after.items():
        was = before.get(name)
        if isinstance(was, np.ndarray) and isinstance(value, np.ndarray) and was.dtype == value.dtype and was.shape[1:] == value.shape[1:] and value.ndim < 3:
            if splice := _splice(was, value):
                changed[name] = splice
        elif name not in before or not _same(was, value):
            changed[name] = value
    return changed


def _same(a: Any, b: Any) -> bool:
    return a is b or to_json_plotly(a) == to_json_plotly(b)


def _splice(a: np.ndarray, b: np.ndarray) -> Plain | None:
    """Where two arrays differ: b is a with `drop` rows from row `at` on replaced by `put`. None where they are equal."""
    n = min(len(a), len(b))
    equal = (a[:n] == b[:n]) | ((a[:n] != a[:n]) & (b[:n] != b[:n]))  # NaN, a gap, is the same as NaN
    at = _leading(equal)
    if at == len(a) == len(b):
        return None
    a, b = a[at:], b[at:]
    n = min(len(a), len(b))
    equal = (a[::-1][:n] == b[::-1][:n]) | ((a[::-1][:n] != a[::-1][:n]) & (b[::-1][:n] != b[::-1][:n]))
    end = _leading(equal)
    return {"at": at, "drop": len(a) - end, "put": encoded(b[: len(b) - end])}


def _leading(equal: np.ndarray) -> int:
    """How many rows, from the first on, are true throughout."""
    rows = equal if equal.ndim == 1 else equal.all(axis=tuple(range(1, equal.ndim)))
    return len(rows) if rows.all() else int(rows.argmin())


def decoded(value: Any) -> Any:
    """An array that plotly.py has encoded, as an array; anything else as it is."""
    if not isinstance(value, dict) or "bdata" not in value:
        return value
    array = np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"])
    return array.reshape([int(n) for n in str(value["shape"]).split(",")]) if "shape" in value else array


def encoded(array: np.ndarray) -> Plain:
    """An array as plotly.js reads it."""
    spec = {"dtype": array.dtype.str[1:], "bdata": base64.b64encode(np.ascontiguousarray(array)).decode()}
    return spec if array.ndim == 1 else spec | {"shape": ", ".join(map(str, array.shape))}
