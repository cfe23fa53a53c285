"""How numbers, times and states are said on the screen."""

import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sslcore.status import ACTIVE, RESUMABLE
from sslcore.wording import capital as capital  # for the pages
from sslcore.wording import count as count
from sslcore.wording import in_bytes, some, tenths

STATES = {  # state: (icon, badge colour), in the order in which a reader wants to see them
    "running": (":material/play_circle:", "blue"),
    "failed": (":material/error:", "red"),
    "interrupted": (":material/power_off:", "orange"),
    "queued": (":material/schedule:", "gray"),
    "stopped": (":material/stop_circle:", "orange"),
    "finished": (":material/check_circle:", "green"),
}
STAGES = {"pretrain": "training", "probe": "probing", "embed": "embedding"}


def plain(text: str) -> str:
    """Text from a folder, escaped so that Markdown shows it as it is written, on one line.

    Nor does an address in it become a link, or :material/skull: a picture, which escapes do not prevent: an invisible
    joiner stands in them.
    """
    unlinked = re.sub(r"(?i)(https?:(?=//)|www(?=\.)|@(?=[\w-])|:(?=[\w+-]+[/:]))", "\\1\N{WORD JOINER}", " ".join(text.split()))
    escaped = re.sub(r"([\\`*_{}\[\]()#+\-!|~$:<>&^=])", r"\\\1", unlinked)
    named = re.sub(r"(?<=\w)\\([-_])(?=\w)", r"\1", escaped)  # within a word they mean nothing, and are heard in some labels
    return re.sub(r"^(\d+)\.(?= |$)", r"\1\\.", named)  # which would begin a list


def notes(text: str) -> str:
    """Markdown that somebody wrote, with its pictures as links: to show it must fetch nothing.

    A picture begins with an exclamation mark before a bracket; nothing comes between them but, here, an invisible space.
    """
    return text.replace("![", "!\N{ZERO WIDTH SPACE}[")


def percent(share: float | None) -> str:
    """0.4137 -> 41.4 %, never broken across lines."""
    return "–" if share is None else f"{tenths(100 * share)}\N{NO-BREAK SPACE}%"


def setting(value: Any) -> str:
    """Its value as text: 0.05, sgd, yes."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def with_spread(mean: str, std: str) -> str:
    """A mean with its standard deviation over seeds, in words: 24 ± 1 s, 1.9 GB ± 25 MB; alone where that is said to be 0."""
    if not re.search("[1-9]", std):
        return mean
    number, _, unit = mean.partition(" ")
    return f"{number if std.partition(' ')[2] == unit else mean} ± {std}"


def duration(seconds: float | None, std: float | None = None) -> str:
    """As one would say it: 45 s, 2 min 5 s, 12 min, 3 h 20 min, 1 day 12 h; with its spread, 24 ± 1 s or 3 h 20 min ± 4 min."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    unit, rest = 1, max(0, round(seconds))
    for coarser, least in ((60, 600), (3600, 86400)):  # seconds no longer matter from 10 minutes on, nor minutes from a day on
        if rest >= least:
            unit, rest = coarser, coarser * round(rest / coarser)
    return with_spread(_in_units(rest), _in_units(unit * round((std or 0) / unit)))


def _in_units(seconds: int) -> str:
    days, rest = divmod(seconds, 86400)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    parts = ((days, f"{days} day{'s' * (days > 1)}"), (hours, f"{hours} h"), (minutes, f"{minutes} min"), (rest, f"{rest} s"))
    return " ".join(said for amount, said in parts if amount) or "0 s"


def training(seconds: float, together: int) -> str:
    """How long runs train that take so many seconds in all, where `together` of them are trained at a time."""
    at_a_time = f"{together} runs at a time" if together > 1 else "one run after another"
    return f"About {duration(seconds / together)} of training, {at_a_time}"


def time_unit(longest: float) -> tuple[str, float]:
    """(name, seconds) of the unit in which times up to `longest` seconds are short numbers."""
    return ("hours", 3600.0) if longest > 3 * 3600 else ("minutes", 60.0) if longest > 300 else ("seconds", 1.0)


def size(n_bytes: float | None, std: float | None = None) -> str:
    """3.1 GB, or with its spread, of a megabyte at least, 3.1 GB ± 25 MB."""
    if n_bytes is None:
        return "–"
    place = 1 if n_bytes < 1e6 else 1e6
    return with_spread(in_bytes(n_bytes), in_bytes(place * round((std or 0) / place)))


def speed(images_per_second: float | None, std: float | None = None) -> str:
    """Three digits at most: 3.1, 874, 12,300; with its spread, 874 ± 7, and no coarser than that: 12,345 ± 12."""
    if images_per_second is None:
        return "–"
    rounded = float(f"{images_per_second:.3g}")
    if 0.5 <= (std or 0) < rounded / 100:
        rounded = images_per_second
    places = 1 if rounded < 10 else 0
    return with_spread(f"{rounded:,.{places}f}", f"{std or 0:,.{places}f}")


def rate(images_per_second: float | None) -> str:
    """`speed` with its unit: 874 images/s."""
    return "–" if images_per_second is None else f"{speed(images_per_second)} images/s"


def operations(flops: float | None, std: float | None = None) -> str:
    """Floating-point operations, with their spread: 34 MFLOP, 2.6 PFLOP."""
    return _three_digits(flops, "FLOP", std)


def energy(joules: float | None, std: float | None = None) -> str:
    """640 J, 12.3 kJ, 1.25 MJ; with its spread, 12.3 kJ ± 537 J."""
    return _three_digits(joules, "J", std)


def _three_digits(amount: float | None, unit: str, std: float | None = None) -> str:
    """The prefix is that of the rounded number: 999.7 J is 1 kJ."""
    if amount is None or not math.isfinite(amount):
        return "–"
    rounded = float(f"{amount:.3g}")
    power = min(int(math.log10(max(rounded, 1)) // 3), 6)
    said = f"{rounded / 1000**power:.3g} {('', 'k', 'M', 'G', 'T', 'P', 'E')[power]}{unit}"
    return said if std is None or std < amount / 1000 else with_spread(said, _three_digits(std, unit))


def vote(k: int | None, temperature: float | None) -> str:
    """By which one kNN accuracy goes and others do not: ", kNN at k 5, temperature 0.1"; "" where it is no news."""
    told = [f"{name} {value:g}" for name, value in (("k", k), ("temperature", temperature)) if value is not None]
    return f", kNN at {', '.join(told)}" if told else ""


def protocol(part: Any) -> str:
    """How a part of results.json was obtained, in the words and numbers of the run that measured it; "" where it says nothing."""
    if not isinstance(part, Mapping):
        return ""
    names = ("k", "temperature", "n_train", "n_test", "n_neighbors", "min_dist")
    numbers = [f"{name} {part[name]:,}" for name in names if isinstance(part.get(name), (int, float))]
    return "; ".join(filter(None, [str(part.get("protocol") or ""), ", ".join(numbers)]))


def protocols(parts: Iterable[tuple[str, Any]]) -> list[str]:
    """`protocol` of the same part of several runs' results.json, by the runs' names; as `once` says them."""
    return once((run, protocol(part)) for run, part in parts)


def once(told: Iterable[tuple[str, str]]) -> list[str]:
    """(run, what is said of it) of several runs -> each sentence once, with the names of its runs where it is not said of all."""
    of: dict[str, dict[str, None]] = {}
    for run, said in told:
        if said:
            of.setdefault(said, {})[run] = None
    every = {run for runs in of.values() for run in runs}
    return [said if len(runs) == len(every) else f"{said} ({some(list(runs))})" for said, runs in of.items()]


def date(seconds: float | None) -> str:
    """A moment, as a reader of today would say it."""
    if seconds is None:
        return ""
    then, now = time.localtime(seconds), time.localtime()
    if then[:3] == now[:3]:
        return time.strftime("today %H:%M", then)
    return time.strftime("%-d %B %H:%M" if then.tm_year == now.tm_year else "%-d %B %Y", then)


def lacking(states: Iterable[str]) -> list[str]:
    """What becomes of runs that have no result, by their states."""
    of = Counter(states)
    to_come = sum(of[state] for state in ACTIVE)
    ended = [
        f"{of[state]} {state}: Watch says why, and can resume {'it' if of[state] == 1 else 'them'}"
        for state in RESUMABLE
        if of[state]
    ]
    return [f"{to_come} still to finish"] * bool(to_come) + ended


def fewer(n: int, most: int) -> str:
    """What stands behind a number that is over n seeds, where its line is over `most`."""
    return f" (N = {n})" if 0 < n < most else ""


def share(mean: float | None, std: float | None = None) -> str:
    """Accuracies as text: 87.4 %, or 87.4 ± 0.6 % where there is a spread."""
    if mean is None:
        return "–"
    return f"{tenths(100 * mean)} %" if std is None else f"{tenths(100 * mean)} ± {tenths(100 * std)} %"


COSTS = {"seconds": duration, "images_per_second": speed, "peak_memory_bytes": size}


def cost(folded: Mapping[str, Any], name: str, most: int) -> str:
    """One of COSTS in a row that is folded over seeds, and of how many these are where its line is of `most`."""
    return COSTS[name](folded[name], folded[f"{name}_std"]) + fewer(folded[f"{name}_n"], most)


WITHOUT_SPREAD = "a cost without ± is the same over them, or spreads by less than half of the last place shown"
