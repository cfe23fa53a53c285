"""A store that commands find, what must not start, and folders that cannot be used."""

import numpy as np
import psutil
import pytest
from PIL import Image

from sslcore.experiment import Store
from sslcore.files import read_json
from sslcore.launch.slots import folder
from sslcore.locks import process_is
from tests.cli.shell import ROOT


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store in a folder that does not exist yet; agents and runs that were started for it are ended afterwards."""
    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(tmp_path / "store"))
    monkeypatch.setenv("TRIPTYCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    store = Store()
    yield store
    who = read_json(folder(store) / "agent.json") or {}
    processes = [(who.get("pid"), who.get("pid_started"))]
    processes += [(status.pid, status.pid_started) for status in (run.recorded_status() for run in store.runs())]
    for pid, started in processes:
        if process_is(pid, started):
            psutil.Process(pid).kill()


@pytest.fixture
def nothing_starts(monkeypatch):
    monkeypatch.setattr("sslcore.launch.start", lambda store: None)


@pytest.fixture
def pictures(tmp_path):
    """Folders of images that cannot be used, each in a way of its own."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "bare").mkdir()
    for k in range(5):
        Image.fromarray(np.full((16, 16, 3), 20 * k, np.uint8)).save(tmp_path / "bare" / f"{k}.png")
    for name, classes in {"single": ["cat"], "few": ["cat", "dog"]}.items():
        for kind in classes:
            (tmp_path / name / kind).mkdir(parents=True)
            for k in range(6):
                Image.fromarray(np.full((16, 16, 3), 20 * k, np.uint8)).save(tmp_path / name / kind / f"{k}.png")
    return tmp_path
