"""A picture of what the network sees, drawn by a process of its own and kept by its settings."""

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from sslcore import datasets
from sslcore.config import RunConfig
from sslcore.notation import settings_words

LIMIT_SECONDS = 600  # a data set may have to be downloaded first


def draw(config: RunConfig) -> Path:
    """The path of the picture for this data set and these augmentations.

    Raises ValueError, in one line, where it cannot be drawn.
    """
    settings = settings_of(config)
    seen = json.dumps([settings, datasets.fingerprint(config.dataset)], sort_keys=True)
    key = hashlib.sha256(seen.encode(errors="surrogateescape")).hexdigest()[:16]
    path = Path(tempfile.gettempdir()) / f"triptych-views-{os.getuid()}" / f"{key}.webp"
    if path.is_file():
        return path
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        drawn = Path(folder) / "views.webp"
        command = [sys.executable, "-m", "sslcore", "views", "--out", str(drawn)]
        command += ["--set", *settings_words(settings)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_SECONDS, cwd=Path(__file__).parents[1])
        except subprocess.TimeoutExpired:
            raise ValueError(f"no picture after {LIMIT_SECONDS // 60} minutes; is the data set being downloaded?") from None
        if done.returncode or not drawn.is_file():
            said = done.stderr.strip().splitlines()
            raise ValueError(said[-1] if said else f"python -m sslcore views ended with code {done.returncode}")
        drawn.replace(path)
    return path


def settings_of(config: RunConfig) -> dict[str, object]:
    """The settings on which the picture depends."""
    flat = config.flat()
    return {name: value for name, value in flat.items() if name in ("dataset", "image_size") or name.startswith("augment.")}
