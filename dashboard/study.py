"""The finished study that comes with the repository: real runs, so that every page has something to show at once."""

from pathlib import Path

from dashboard import change
from sslcore.experiment import Experiment, Store

FILE = Path(__file__).parents[1] / "studies" / "batch-size-on-photos.zip"


def bring_in(store: Store) -> Experiment:
    """The study as an experiment of the store. Raises ValueError, in one line, where its file cannot be read."""
    return change.bring_in(store, FILE)
