"""Data sets have caches and downloads of their own in every test."""

import resource

import pytest

from sslcore import datasets


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Caches and downloads of a test go to its own folder."""
    monkeypatch.setenv("TRIPTYCH_DATA", str(tmp_path / "home"))
    for forget in (datasets._info, datasets._own_defaults, datasets._opened):
        forget.cache_clear()
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def any_path(monkeypatch):
    """As in a shell; in a process that has loaded the dashboard, paths are the dashboard's to allow."""
    monkeypatch.setattr(datasets.rule, "check_path", None)


@pytest.fixture
def small_files():
    """No file may grow beyond 4,000 bytes, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
