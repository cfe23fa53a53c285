"""What folders are called."""

import re
import unicodedata

LONGEST_NAME = 200  # characters of a run's folder; file systems take 255 bytes


def slug(text: str) -> str:
    """A folder name made of lower-case letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-._")[:80]


WHOLE = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ı": "i"})  # have no mark to drop


def folder_name(text: str) -> str:
    """The slug of an experiment's name, of which accents and umlauts leave the bare letter: Größe is grosse.

    Empty where no letter or digit remains. (Runs and sample sheets have plain slugs, by which old stores know them.)
    """
    letters = unicodedata.normalize("NFKD", text.casefold()).translate(WHOLE)
    name = slug("".join(letter for letter in letters if not unicodedata.combining(letter)))
    return f"{name.removesuffix('.yaml')}-yaml" if name.endswith(".yaml") else name  # a store has files of such names
