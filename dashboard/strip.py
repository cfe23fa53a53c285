"""A picture of what the network sees, drawn by a process of its own and kept by its settings."""

import hashlib
import json
import tempfile
from pathlib import Path

from dashboard import shell
from sslcore import datasets
from sslcore.config import RunConfig
from sslcore.files import own_folder
from sslcore.notation import settings_words


def draw(config: RunConfig) -> Path:
    """The path of the picture for this data set and these augmentations.

    Raises ValueError, in one line, where it cannot be drawn.
    """
    settings = settings_of(config)
    seen = json.dumps([settings, datasets.fingerprint(config.dataset)], sort_keys=True)
    key = hashlib.sha256(seen.encode(errors="surrogateescape")).hexdigest()[:16]
    try:
        path = own_folder("views") / f"{key}.webp"
    except OSError as error:
        raise ValueError(str(error)) from error
    if path.is_file():
        return path
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        drawn = Path(folder) / "views.webp"
        shell.run("views", "--out", str(drawn), "--set", *settings_words(settings))
        drawn.replace(path)
    return path


def settings_of(config: RunConfig) -> dict[str, object]:
    """The settings on which the picture depends."""
    flat = config.flat()
    return {name: value for name, value in flat.items() if name in ("dataset", "image_size") or name.startswith("augment.")}
