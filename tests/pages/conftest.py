"""Pages are opened in stores whose queue nobody works off."""

import pytest

from sslcore.experiment import Store


@pytest.fixture(autouse=True)
def launched(monkeypatch) -> list[Store]:
    """The stores whose agent was asked for; none is started, so that the runs stay queued."""
    asked: list[Store] = []
    monkeypatch.setattr("sslcore.launch.start", asked.append)
    return asked
