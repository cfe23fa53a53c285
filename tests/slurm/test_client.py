"""What Slurm says, as it is read."""

import os
import shutil
from pathlib import Path

import pytest

from sslcore.config import resolve
from sslcore.experiment import Spec, Store
from sslcore.launch.slurm import client, script, settings


def test_squeue_is_read_by_its_columns_and_of_two_jobs_of_a_run_the_one_that_stays_counts(tmp_path, monkeypatch):
    store, other = Store(tmp_path / "store"), Store(tmp_path / "other")
    for each in (store, other):
        runs = each.create("e", Spec(), dict.fromkeys(("one", "two"), resolve({})), "slurm").runs()
        home = runs[0].experiment.path / ".slurm"
        home.mkdir()
        (home / "x.sh").write_text(script.text(home / "x.sh", runs, settings.Settings()))
    ours, theirs = (each.root / "e" / ".slurm" / "x.sh" for each in (store, other))
    ending = ("6_0", "0", "COMPLETING", "None", "a", "node1", "1", "2026-11-28T09:00:00", str(ours))
    listed = [
        ("7_0", "0", "RUNNING", "None", "gpu", "node[2-3]", "2", "2026-11-28T10:00:00", str(ours)),
        ("7_0", "0", "PENDING", "Priority", "gpu", "", "", "N/A", str(ours)),
    ]
    elsewhere = [
        ("8_1", "1", "RUNNING", "None", "gpu", "node4", "0", "N/A", str(theirs)),
        ("9_1", "1", "RUNNING", "None", "gpu", "node4", "0", "N/A", "somebody's comment"),
        ("9", "N/A", "RUNNING", "None", "gpu", "node4", "0", "N/A", str(ours)),
        ("9_5", "5", "RUNNING", "None", "gpu", "node4", "0", "N/A", str(ours)),
    ]
    expected = [
        client.Job("7_0", "RUNNING", "None", "gpu", "node[2-3]", 2, "2026-11-28T10:00:00"),
        client.Job("7_0", "PENDING", "Priority", "gpu", "", 0, "N/A"),
    ]
    for row, job in zip(listed, expected):
        for rows in ([ending, row], [row, ending]):
            said = "\n".join(
                "".join(text.ljust(width) for text, width in zip(one, client.COLUMNS.values(), strict=True))
                for one in [*rows, *elsewhere]
            )
            monkeypatch.setattr(client, "ask", lambda *words, said=said: said)
            assert client.queue(store) == {store.root / "e" / "one": job}


def test_a_store_that_is_reached_by_another_path_knows_its_jobs_and_a_copy_of_it_has_none(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    runs = store.create("e", Spec(), {"one": resolve({})}, "slurm").runs()
    home = runs[0].experiment.path / ".slurm"
    home.mkdir()
    (home / "x.sh").write_text(script.text(home / "x.sh", runs, settings.Settings()))

    def listed(by: Path, root: Path) -> dict:
        row = ("7_0", "0", "PENDING", "Priority", "gpu", "", "", "N/A", str(by / "e" / ".slurm" / "x.sh"))
        said = "".join(text.ljust(width) for text, width in zip(row, client.COLUMNS.values(), strict=True))
        monkeypatch.setattr(client, "ask", lambda *words: said)
        of = Store(tmp_path)
        of.root = root  # a mount has a path of its own, which no link resolves
        return client.queue(of)

    assert list(listed(Path("/mnt/of another machine"), store.root)) == [store.root / "e" / "one"]
    (mount := tmp_path / "mount").symlink_to(store.root)
    assert list(listed(store.root, mount)) == [mount / "e" / "one"]
    shutil.copytree(store.root, tmp_path / "copy")
    assert not listed(store.root, tmp_path / "copy")
    assert not listed(Path("/mnt/of another machine"), tmp_path / "none")


@pytest.mark.parametrize(
    ("state", "waits", "trains"),
    [
        ("PENDING", True, False),
        ("REQUEUED", True, False),
        ("REQUEUE_HOLD", True, False),
        ("RUNNING", False, True),
        ("COMPLETING", False, False),
    ],
)
def test_a_job_waits_or_trains_or_is_on_its_way_out(state, waits, trains):
    job = client.Job("7_0", state, "", "gpu", "", 0, "")
    assert (job.waits, job.trains) == (waits, trains)


def test_what_a_user_has_squeue_leave_out_is_asked_for_all_the_same(tmp_path, monkeypatch):
    (tmp_path / "squeue").write_text('#!/bin/sh\necho "$@"; env\n')
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for name in ("SQUEUE_STATES", "SQUEUE_PARTITION", "SLURM_TIME_FORMAT", "SLURM_CONF"):
        monkeypatch.setenv(name, "x")
    seen = client.ask("squeue")
    assert "SQUEUE" not in seen and "TIME_FORMAT" not in seen and "SLURM_CONF=x" in seen
    asked = []
    monkeypatch.setattr(client, "ask", lambda *words: asked.append(words) or "")
    client.queue(Store(tmp_path))
    assert "--all" in asked[0], "of hidden partitions, too"


@pytest.mark.parametrize(
    ("does", "error", "says"),
    [
        (
            "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1",
            ValueError,
            "Slurm refuses: invalid partition specified: x",
        ),
        ("exit 3", ValueError, "Slurm refuses: squeue ended with exit code 3"),
        (
            "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1",
            client.Unanswered,
            "Slurm does not answer: Unable to contact slurm controller (connect failure)",
        ),
        (
            "echo 'slurm_load_jobs error: Zero Bytes were transmitted or received' >&2; exit 1",
            client.Unanswered,
            "Slurm does not answer: Zero Bytes",
        ),
        ("exec sleep 60", client.Unanswered, "Slurm does not answer: squeue took longer than"),
    ],
)
def test_a_refusal_is_told_apart_from_no_answer(does, error, says, tmp_path, monkeypatch):
    (tmp_path / "squeue").write_text(f"#!/bin/sh\n{does}\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(error) as told:
        client.ask("squeue", seconds=0.5 if "sleep" in does else 30)
    assert str(told.value).startswith(says)


def test_the_accounting_is_believed_of_jobs_that_have_ended(monkeypatch):
    said = "7_0|TIMEOUT\n7_1|RUNNING\n7_2|CANCELLED by 1000\n7_3|PENDING\nno line of a job\n"
    monkeypatch.setattr(client, "ask", lambda *words: said)
    assert client.fates(["7_0", "7_1", "7_2", "7_3"]) == {"7_0": "TIMEOUT", "7_2": "CANCELLED by 1000"}
    monkeypatch.setattr(client, "ask", lambda *words: (_ for _ in ()).throw(ValueError("there is no sacct")))
    assert client.fates(["7_0"]) == {}
