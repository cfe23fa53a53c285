"""Every test has a store of its own and all share one data cache, so that nothing is left in the tree or at home."""

import os
import random
import signal
import sys
from functools import cache

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("triptych", deadline=None, derandomize=True)  # the same verdict each time, on slow machines too
settings.load_profile("triptych")

os.environ["OMP_NUM_THREADS"] = "1"  # for torch here and in every process that a test starts: small nets gain nothing from more
os.environ |= {"NUMBA_NUM_THREADS": "1", "NUMBA_THREADING_LAYER": "workqueue"}  # nor small layouts; and this one survives a fork

# A shell has its background jobs ignore these two, and so would every process that a test sends them to.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


LONG = ["test_faults.py", "test_newcomer.py", "test_jobs.py", "test_agent.py", "test_distributed.py", "test_process.py"]


def pytest_collection_modifyitems(items):
    """The longest files come first: each is one worker's, and the others would wait for one that came last.

    Faults before all: their runs are forks of this process, and PyTorch may refuse to train in them after other tests.
    """
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


def pytest_terminal_summary(terminalreporter):
    """A test that passed when run again tells why it had failed."""
    for report in terminalreporter.getreports("rerun"):
        terminalreporter.section(f"why {report.nodeid} was run again")
        terminalreporter.line(report.longreprtext)
        for name, content in report.sections:
            terminalreporter.line(f"--- {name} ---\n{content}")


@pytest.fixture(scope="session", autouse=True)
def packages_are_looked_through_once():
    """A page that a test opens takes a fifth of the time: Streamlit looks for components in all packages, each time anew."""
    from streamlit import get_option
    from streamlit.components.v2 import manifest_scanner

    get_option("server.address")  # the configuration is that of the folder in which it is first asked for; tests go elsewhere
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture(scope="session", autouse=True)
def data_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIPTYCH_DATA", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(autouse=True)
def own_store(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(tmp_path_factory.mktemp("store")))


@pytest.fixture(autouse=True)
def the_same_random_numbers():
    """Whichever tests came before in this process."""
    random.seed(0)
    np.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture
def handlers():
    """This process's signal handlers, which a run replaces, are put back."""
    before = {name: signal.getsignal(name) for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for name, handler in before.items():
        signal.signal(name, handler)


@pytest.fixture(scope="session")
def shapes(tmp_path_factory) -> str:
    """A small labelled data set, as the path of an .npz: 96 + 48 images of 16 px, three classes told apart by a pattern."""
    random = np.random.default_rng(0)

    def images(n):
        labels = np.arange(n) % 3
        rows, columns = np.mgrid[:16, :16]
        patterns = np.stack([rows % 4 < 2, columns % 4 < 2, (rows + columns) % 6 < 3])  # (3, 16, 16)
        x = patterns[labels][..., None] * random.integers(80, 160, (n, 1, 1, 3)) + random.integers(0, 60, (n, 16, 16, 3))
        return x.astype(np.uint8), labels

    path = tmp_path_factory.mktemp("shapes") / "shapes.npz"
    (x_train, y_train), (x_test, y_test) = images(96), images(48)
    np.savez(path, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return str(path)
