"""What folders are called."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

LONGEST_NAME = 200  # characters of a run's folder; file systems take 255 bytes


def slug(text: str) -> str:
    """A folder name made of lower-case letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:80]


WHOLE = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"})  # no mark to take off


def folder_name(text: str) -> str:
    """The slug of an experiment's name, of which accents and umlauts leave the bare letter: Größe is grosse.

    Empty where no letter or digit remains. (Runs and sample sheets have plain slugs, by which old stores know them.)
    """
    letters = unicodedata.normalize("NFKD", text.casefold()).translate(WHOLE)
    name = slug("".join(letter for letter in letters if not unicodedata.combining(letter)))
    return f"{name.removesuffix('.yaml')}-yaml" if name.endswith(".yaml") else name  # a store has files of such names


def told_apart(paths: Iterable[str]) -> dict[str, str]:
    """Each path -> its shortest end that no other path has: digits, cats/images.npz, cars/images.npz."""
    parts = {path: Path(path).parts for path in paths}
    ends = {path: [own[-n:] for n in range(1, len(own) + 1)] for path, own in parts.items()}
    seen = Counter(end for of in ends.values() for end in of)
    return {path: next((str(Path(*end)) for end in of if seen[end] == 1), path) for path, of in ends.items()}
