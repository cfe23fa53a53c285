"""The dashboard's command: what it says as it starts, and of words that it cannot follow."""

import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

import dashboard
from tests import synthetic

DASHBOARD = Path(dashboard.__file__).parent


def test_a_dashboard_that_others_can_reach_says_that_it_is_read_only_and_answers_to_its_name(tmp_path):
    from tests.browser.conftest import free_port

    port, log = free_port(), tmp_path / "log"
    with log.open("w") as said:
        server = subprocess.Popen(
            [sys.executable, "-m", "dashboard", "--port", str(port), "--host", "lab.example", "--root", str(tmp_path)],
            stdout=said,
            stderr=said,
            cwd=DASHBOARD.parent,
        )
    try:
        deadline = time.monotonic() + 120
        while "Read-only" not in log.read_text() and time.monotonic() < deadline and server.poll() is None:
            time.sleep(0.1)
        assert "Read-only" in log.read_text()
        answers = {}
        for name in ("lab.example", "127.0.0.1", "evil.example"):
            connection = HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", "/_stcore/health", headers={"Host": f"{name}:{port}"})
            answers[name] = connection.getresponse().status
        assert answers == {"lab.example": 200, "127.0.0.1": 200, "evil.example": 403}
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=60) == 0 and "Traceback" not in log.read_text(), "interrupted is how it ends"
    finally:
        server.terminate()
        server.wait()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--address 203.0.113.1", "cannot listen there"),
        (f"--address {'a' * 300}", "cannot be the name of a machine"),
        ("--port 0", "--port 0: choose"),
        ("nosuch", "nosuch"),
        ("report", "EXPERIMENT"),
        ("report tiny --format pdf", "pdf"),
    ],
)
def test_words_that_it_cannot_follow_are_told_in_one_line(words, says, capsys):
    from dashboard.__main__ import main

    try:
        code = main(words.split())
    except SystemExit as ended:  # argparse ends by itself
        code = ended.code
    (line,) = capsys.readouterr().err.splitlines()
    assert code == 2 and says in line


def test_a_report_is_written_though_nobody_reads_its_name(tmp_path):
    synthetic.store(tmp_path / "store", methods=("moco",), seeds=(0,), steps=5)
    command = [sys.executable, "-m", "dashboard", "report", "photos", "--root", str(tmp_path / "store"), "--out"]
    for out, code in (("/dev/full", 2), (None, 128 + signal.SIGPIPE)):
        file = tmp_path / f"{code}.html"
        with subprocess.Popen(
            [*command, str(file)],
            cwd=DASHBOARD.parent,
            stdout=open(out, "w") if out else subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as report:
            if report.stdout:
                report.stdout.close()
            said = report.stderr.read()
            assert report.wait(60) == code and "Traceback" not in said and file.stat().st_size > 1000


def test_a_report_that_is_interrupted_ends_with_a_word(monkeypatch, capsys):
    from dashboard import __main__ as shell

    monkeypatch.setattr("sslcore.experiment.Store.find", lambda *_: signal.raise_signal(signal.SIGINT))
    assert shell.main(["report", "photos"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
