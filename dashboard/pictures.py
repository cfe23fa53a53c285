"""Images of a data set in rows, with what each run says of them. Everything that comes from folders is escaped."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import PurePath
from typing import Any
from urllib.parse import quote

from dashboard.routes import THUMBNAILS_URL
from sslcore import datasets

RIGHT, WRONG = "✓", "✗"
STYLE = """<style>
.pictures { display: flex; flex-wrap: wrap; gap: 14px 12px; }
.pictures > div { width: 112px; font-size: 0.78rem; line-height: 1.35; overflow-wrap: break-word; hyphens: auto; }
.pictures.small > div { width: 76px; }
.pictures img {
    display: block; width: 72px; height: 72px; object-fit: contain; image-rendering: pixelated;
    border-radius: 4px; margin-bottom: 3px; background: rgba(128, 136, 144, 0.15);
}
.pictures .wrong { font-weight: 600; }
.pictures .aside { opacity: 0.7; }
</style>"""


def picture(seen: Mapping[str, Any], index: int, alt: str, lines: Sequence[str]) -> str:
    """One image with lines of HTML below it, the last of them the file's name, where it was a file.

    `seen`: a run's images, as `tables.identity` has them; `alt` is plain text.
    """
    source = f"{THUMBNAILS_URL}/{quote(seen['dataset'], safe='')}/{int(index)}.png?of={quote(seen['of'], safe='')}"
    below = "".join(f"<div>{line}</div>" for line in lines)
    if file := datasets.file_of(seen["dataset"], index, seen["size"], seen["of"]):
        alt = f"{alt}, {file}"
        below += f'<div class="aside" title="{escape(file)}">{escape(PurePath(file).name)}</div>'
    return f'<div role="listitem"><img src="{source}" alt="{escape(alt)}" loading="lazy" width="72" height="72">{below}</div>'


def row(pictures: Sequence[str], alt: str, small: bool = False) -> str:
    """A list of pictures, with the style that it needs; `alt` names it for those who hear it."""
    return (
        f'{STYLE}<div role="list" class="pictures{" small" if small else ""}" '
        f'aria-label="{escape(alt)}">{"".join(pictures)}</div>'
    )


def verdict(who: str, label: str, predicted: str) -> str:
    """What a run takes an image for, as HTML: a mark, and the class where it is not the label's."""
    if not predicted:
        return f'<span class="aside">{escape(who)}: –</span>'
    if not label:
        return f"{escape(who)}: {escape(predicted)}"
    if predicted == label:
        return f"{RIGHT} {escape(who)}"
    return f'<span class="wrong">{WRONG} {escape(who)}: {escape(predicted)}</span>'


def same(label: str, other: str) -> str:
    """A neighbour's label as HTML, with a mark that says whether it is the image's own."""
    if not other:
        return '<span class="aside">no label</span>'
    return f"{RIGHT} {escape(other)}" if other == label else f'<span class="wrong">{WRONG} {escape(other)}</span>'
