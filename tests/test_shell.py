"""Commands that pages tell, and commands that pages run."""

import shlex
import subprocess

import pytest

from dashboard import shell
from sslcore.__main__ import main
from sslcore.experiment import Store
from tests import synthetic


def test_a_command_that_a_page_tells_finds_its_store(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    store = Store("my runs")
    synthetic.store(store.root, steps=20)
    words = shlex.split(shell.line(store, "status", "photos"))
    assert words[:3] == ["python", "-m", "sslcore"] and main(words[3:]) == 0
    assert "moco-bs256-s0" in capsys.readouterr().out
    assert shell.line(Store("experiments"), "status") == "python -m sslcore status", "the store that is meant unless told"


def test_of_what_does_not_end_the_page_says_so(monkeypatch):
    def forever(command, timeout, **_):
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr("subprocess.run", forever)
    with pytest.raises(ValueError, match=r"^sslcore views has not ended after 10 minutes"):
        shell.run("views")
