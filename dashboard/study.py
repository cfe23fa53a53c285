"""The finished study that comes with the repository: real runs, so that every page has something to show at once."""

from pathlib import Path

FILE = Path(__file__).parents[1] / "studies" / "batch-size-on-photos.zip"
