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
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
from plotly.io.json import to_json_plotly

LONGEST = 20_000  # characters of a change
KEPT_BYTES = 50_000_000
LATEST = 64  # figures, of which what was made of them is known
TYPES = ("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8")  # of numpy, that plotly.js has as well

_kept: OrderedDict[str, bytes] = OrderedDict()  # hash -> the figure's JSON, packed
_lock = threading.Lock()

Plain = dict[str, Any]  # a figure as dicts, its numbers as arrays


@dataclass(frozen=True, eq=False)
class Known:
    """A figure, not to be changed any more, and what is made of it once, for all readers."""

    figure: go.Figure

    @cached_property
    def plain(self) -> Plain:
        return plainly(self.figure)

    @cached_property
    def packed(self) -> tuple[str, bytes]:
        """(the hash of its JSON, its JSON packed by gzip)."""
        content = to_json_plotly(spelled(self.plain)).encode()  # as figure.to_json would have it, in a fifth of the time
        return hashlib.sha256(content).hexdigest()[:32], gzip.compress(content, 1)


_latest: OrderedDict[int, Known] = OrderedDict()  # by the figure's id, which stays its own as long as it is here


class Sent(NamedTuple):
    """What a reader's chart was last told."""

    base: Known  # which it has fetched
    figure: go.Figure  # which it shows
    change: str | None  # that turned the one into the other


def kept(name: str) -> bytes | None:
    """The JSON of the figure of that hash, packed by gzip; None where it is not kept any more."""
    return _kept.get(name)


def since_last(figure: go.Figure, drawn: MutableMapping[str, Sent], key: str) -> tuple[str, str | None]:
    """(the hash of a whole figure, which the browser can fetch; the JSON of what turns that one into `figure`, None for nothing).

    `drawn` holds what one reader's charts were last told, by their keys; it is brought up to date.
    """
    now, sent = known(figure), drawn.get(key)
    if sent is None:
        drawn[key] = Sent(now, figure, None)
    elif sent.figure is not figure:
        change = between(sent.base.plain, now.plain)
        text = None if change is None else to_json_plotly(change)
        drawn[key] = (
            Sent(now, figure, None) if text is None or len(text) > LONGEST else Sent(sent.base, figure, text if change else None)
        )
    return keep(drawn[key].base), drawn[key].change


def known(figure: go.Figure) -> Known:
    with _lock:
        found = _latest.setdefault(id(figure), Known(figure))
        _latest.move_to_end(id(figure))
        while len(_latest) > LATEST:
            _latest.popitem(last=False)
    return found


def keep(figure: Known) -> str:
    """Let a figure be fetched; returns the hash of its content."""
    name, packed = figure.packed
    with _lock:
        _kept[name] = packed
        _kept.move_to_end(name)
        while sum(map(len, _kept.values())) > KEPT_BYTES and len(_kept) > 1:
            _kept.popitem(last=False)
    return name


def plainly(figure: go.Figure) -> Plain:
    """A figure as dicts, with the arrays of its traces as arrays that plotly.js has, too."""
    traces = (trace.to_plotly_json() for trace in figure.data)
    return {
        "data": [{name: typed(value) for name, value in trace.items()} for trace in traces],
        "layout": figure.layout.to_plotly_json(),
    }


def spelled(value: Any) -> Any:
    """The same with its arrays as plotly.js reads them."""
    if isinstance(value, dict):
        return {name: spelled(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [spelled(part) for part in value]
    array = typed(value)
    return encoded(array) if isinstance(array, np.ndarray) else array


def between(before: Plain, after: Plain) -> Plain | None:
    """What turns one figure into another: {"layout": {name: value}, "data": {trace: {name: value or splice}}}, where it differs.

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
        if (
            isinstance(was, np.ndarray)
            and isinstance(value, np.ndarray)
            and was.dtype == value.dtype
            and was.shape[1:] == value.shape[1:]
            and value.ndim < 3
        ):
            if splice := _splice(was, value):
                changed[name] = splice
        elif name not in before or not _same(was, value):
            changed[name] = value
    return changed


def _same(a: Any, b: Any) -> bool:
    return a is b or to_json_plotly(a) == to_json_plotly(b)


def _splice(a: np.ndarray, b: np.ndarray) -> Plain | None:
    """Where two arrays differ: b is a with `drop` rows from row `at` on replaced by `put`. None where they are equal."""
    at = _alike(a, b)
    if at == len(a) == len(b):
        return None
    a, b = a[at:], b[at:]
    end = _alike(a[::-1], b[::-1])
    return {"at": at, "drop": len(a) - end, "put": encoded(b[: len(b) - end])}


def _alike(a: np.ndarray, b: np.ndarray) -> int:
    """How many rows, from the first on, are the same in both; NaN, a gap, is the same as NaN."""
    a, b = (array[: min(len(a), len(b))] for array in (a, b))
    equal = (a == b) | ((a != a) & (b != b))
    rows = equal if equal.ndim == 1 else equal.all(axis=1)
    return len(rows) if rows.all() else int(rows.argmin())


def typed(value: Any) -> Any:
    """An array in a type that JavaScript has: of wider integers the smallest one that holds them, or else a list.

    So does plotly.py send it. What is no array stays as it is.
    """
    if not isinstance(value, np.ndarray) or value.dtype.str[1:] in TYPES:
        return value
    for kind in {"i": (np.int8, np.int16, np.int32), "u": (np.uint8, np.uint16, np.uint32)}.get(value.dtype.kind, ()):
        if value.size and np.iinfo(kind).min <= value.min() and value.max() <= np.iinfo(kind).max:
            return value.astype(kind)
    return value.tolist()


def encoded(array: np.ndarray) -> Plain:
    """An array as plotly.js reads it."""
    spec = {"dtype": array.dtype.str[1:], "bdata": base64.b64encode(np.ascontiguousarray(array)).decode()}
    return spec if array.ndim == 1 else spec | {"shape": ", ".join(map(str, array.shape))}
