"""How numbers of things, and lists of them, are said: in sentences, in the shell, on pages."""

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_UP, Decimal


def count(n: int, thing: str) -> str:
    """1 run, 2 runs, 1,200 images."""
    plural = thing if n == 1 else thing[:-1] + "ies" if thing.endswith("y") else thing + ("es" if thing.endswith("s") else "s")
    return f"{n:,} {plural}"


def in_bytes(n: float) -> str:
    """As one would say it: 512 B, 2 kB, 48 MB, 3.1 GB, 1.2 TB, powers of ten."""
    for unit in ("B", "kB", "MB"):
        if n < 999.5:
            return f"{n:.0f} {unit}"
        n /= 1000
    return f"{n:.1f} GB" if n < 999.95 else f"{n / 1000:,.1f} TB"


def tenths(n: float, spec: str = "") -> str:
    """With one digit after the point; of halves the one further from 0, as a browser has it where one points at a curve.

    `spec`: a format's sign and z. Python's own format takes the even digit: 56.2 of 56.25.
    """
    if abs(n) > 1e20:  # no accuracy, and more digits than a Decimal has
        return f"{n:.3g}"
    return f"{Decimal(float(n)).quantize(Decimal('0.1'), ROUND_HALF_UP):{spec}}"


def capital(text: str) -> str:
    """The same with a capital, as a sentence or the name of a field begins."""
    return text[:1].upper() + text[1:]


def series(words: Iterable[str]) -> str:
    """A, B and C."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def some(names: Sequence[str]) -> str:
    """a, b, c and 4 others."""
    return ", ".join(names[:3]) + (f" and {count(len(names) - 3, 'other')}" if len(names) > 3 else "")


def printable(text: str) -> str:
    """As one line, without what would steer a terminal: escapes that colour it, clear it, or write to the clipboard."""
    return "".join(filter(str.isprintable, " ".join(text.split())))
