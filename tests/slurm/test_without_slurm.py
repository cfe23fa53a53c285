"""What of Slurm as the engine can be seen without one: clocks, runs that are measured again, settings, the script."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from streamlit.testing.v1 import AppTest

from sslcore import launch, worker
from sslcore.__main__ import main
from sslcore.config import resolve
from sslcore.experiment import Run, Spec, Store
from sslcore.files import read_json, write_json
from sslcore.launch.slurm import client, heard, jobs, record, script, settings
from sslcore.status import Status
from tests.slurm.lab import TRAINER
from tests.waiting import until

ROOT = Path(__file__).parents[2]


# -- Clocks of several machines: what squeue says is given here ----------------------------------


@pytest.mark.parametrize("ahead", [-3600, 3600])
def test_a_clock_that_is_wrong_makes_no_state_untrue(ahead, tmp_path, monkeypatch):
    listed: dict[Path, client.Job] = {}
    cancelled: list[str] = []
    monkeypatch.setattr(record, "queue", lambda store: listed)
    monkeypatch.setattr(record, "fates", lambda ids: {})
    monkeypatch.setattr(record, "ask", lambda *words: cancelled.append(words[-1]))
    monkeypatch.setattr(record, "GONE_SECONDS", 0.5)
    store, there = Store(tmp_path / "store"), time.time() + ahead
    names = ("lost", "requeued", "cancelled", "alive", "stopping")
    runs = store.create("e", Spec(), dict.fromkeys(names, resolve({})), "slurm").runs()
    by_name = {run.name: run for run in runs}
    for number, run in enumerate(runs):
        run.update_status(state="running", job_id=f"{number}_0", pid=number, pid_started=there, heartbeat=there, queued_at=there)
    by_name["cancelled"].update_status(state="stopped", ended_at=there)
    by_name["stopping"].request_stop()
    os.utime(by_name["stopping"].stop_file, (there, there))
    for name in ("requeued", "cancelled"):
        status = by_name[name].recorded_status()
        listed[by_name[name].path] = client.Job(status.job_id, "PENDING", "BeginTime", "gpu", "", name == "requeued", "")
    listed[by_name["stopping"].path] = client.Job(by_name["stopping"].recorded_status().job_id, "RUNNING", "", "gpu", "", 0, "")
    lasting: dict[Path, record.Lasting] = {}

    def look(grace: float) -> dict[str, str]:
        by_name["alive"].update_status(heartbeat=there + time.monotonic())
        record.look(store, [(run, run.recorded_status()) for run in runs], lasting, grace)
        return {run.name: run.recorded_status().state for run in runs}

    first = {"lost": "running", "requeued": "queued", "cancelled": "stopped", "alive": "running", "stopping": "running"}
    assert look(60) == first and not cancelled
    until(lambda: look(60)["lost"] == "interrupted")
    assert look(60)["alive"] == "running" and not cancelled
    look(0)
    assert cancelled == [by_name["stopping"].recorded_status().job_id]

    told = heard.Heard(time.time() + ahead, time.time() + ahead, None, {})
    assert heard.stale(told), "an answer of another time says nothing of now"


def test_a_job_whose_script_is_not_to_be_seen_for_a_while_is_not_taken_for_gone(tmp_path, monkeypatch):
    store = Store(tmp_path / "store")
    gone, one, two = store.create("e", Spec(), dict.fromkeys(("gone", "one", "two"), resolve({})), "slurm").runs()
    home = one.experiment.path / ".slurm"
    listed = ("7_1", "1", "PENDING", "Priority", "gpu", "", "0", "N/A", str(home / "x.sh"))
    squeue = "".join(text.ljust(width) for text, width in zip(listed, client.COLUMNS.values(), strict=True))
    monkeypatch.setattr(client, "ask", lambda *words: squeue if words[0] == "squeue" else "")
    monkeypatch.setattr(record, "GONE_SECONDS", 0.0)
    monkeypatch.setattr(jobs, "ENDING_SECONDS", 0.0)
    for run, name, id in ((gone, "w.sh", "6_1"), (one, "x.sh", "7_0"), (two, "x.sh", "7_1")):
        run.update_status(job_id=id, script=name)
    for there in (False, True):
        if there:
            home.mkdir()
            (home / "x.sh").write_text(script.text(home / "x.sh", [one, two], settings.Settings()))
        assert {path: job.id for path, job in client.queue(store).items()} == {two.path: "7_1"}
        record.look(store, [(run, run.recorded_status()) for run in (gone, one, two)], {}, 60)
        assert [run.recorded_status().state for run in (gone, one, two)] == ["interrupted", "interrupted", "queued"]
        with pytest.raises(ValueError, match=r"still in Slurm, as job 7_1 \(PENDING\)"):
            jobs.check_gone([two])


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


def test_who_may_not_keep_what_slurm_says_is_shown_the_runs_all_the_same(tmp_path, monkeypatch, capsys):
    store = Store(tmp_path / "store")
    store.create("e", Spec(), {"a": resolve({})}, "slurm")
    monkeypatch.setattr(record, "missing", lambda: "")
    writable = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: path != record.folder(store) and writable(path, mode))
    monkeypatch.setattr(record, "look", lambda *_: pytest.fail("its answer has no place"))
    assert main(["status", "--root", str(store.root)]) == 0
    assert "1 queued" in (told := capsys.readouterr().out) and "What Slurm does is not known" in told


def test_of_another_users_job_nothing_is_concluded_though_its_script_is_not_to_be_seen(tmp_path, monkeypatch):
    (run,) = Store(tmp_path / "store").create("e", Spec(), {"a": resolve({})}, "slurm").runs()
    status = run.update_status(job_id="7_0", script="x.sh")
    monkeypatch.setattr(record, "queue", lambda store: {})
    monkeypatch.setattr(record, "GONE_SECONDS", 0.0)
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    record.look(run.experiment.store, [(run, status)], {}, 60)
    assert run.recorded_status() == status


# -- What the agent makes of Slurm's answers --------------------------------------------------


@pytest.fixture
def told(tmp_path, monkeypatch):
    """A run that Slurm trains as job 7_0, the jobs that squeue lists, what was asked of Slurm, and a look at it all."""
    (run,) = Store(tmp_path / "store").create("e", Spec(), {"a": resolve({})}, "slurm").runs()
    run.update_status(job_id="7_0")
    listed: dict[Path, client.Job] = {}
    asked: list[tuple[str, ...]] = []
    lasting: dict[Path, record.Lasting] = {}
    monkeypatch.setattr(record, "queue", lambda store: listed)
    monkeypatch.setattr(record, "fates", lambda ids: dict.fromkeys(ids, "TIMEOUT"))
    monkeypatch.setattr(record, "ask", lambda *words: asked.append(words))

    def look(later: float = 0.0) -> Status:
        """The run's status after a look, as if what the last ones saw were so many seconds older."""
        for path, what in lasting.items():
            lasting[path] = what._replace(since=what.since - later)
        record.look(run.experiment.store, [(run, run.recorded_status())], lasting, 60)
        return run.recorded_status()

    return run, listed, asked, look


def job(id: str = "7_0", state: str = "PENDING", requeues: int = 0) -> client.Job:
    return client.Job(id, state, "Priority", "gpu", "", requeues, "")


def test_what_slurm_said_last_stays_while_it_does_not_answer(told, monkeypatch):
    run, listed, _, look = told
    listed[run.path] = job()
    look()
    before = heard.last(run.experiment.store)
    assert before.asked_at <= before.answered_at and before.jobs.keys() == {"e/a"} and not heard.stale(before)

    def silent(store):
        raise client.Unanswered("Slurm does not answer: squeue took longer than 10 s")

    monkeypatch.setattr(record, "queue", silent)
    assert look(3600).state == "queued", "nothing is concluded"
    now = heard.last(run.experiment.store)
    assert (now.jobs, now.answered_at) == (before.jobs, before.answered_at) and now.asked_at > before.asked_at
    assert heard.stale(now) and heard.unknown(now).startswith("Slurm does not answer: squeue took longer than 10 s, last at ")


def test_a_run_without_a_job_is_given_time_to_be_handed_over_and_one_whose_job_is_gone_is_not(told):
    run, _, _, look = told
    run.update_status(job_id=None)
    look()
    assert look(30).state == "queued"
    now = look(60)
    assert (now.state, now.error) == ("interrupted", "It was never handed over to Slurm.")
    run.update_status(state="queued", job_id="8_0", error=None)
    run.request_stop()
    assert look().state == "queued"
    now = look(30)
    assert now.state == "interrupted" and "accounting says TIMEOUT" in now.error and not run.stop_file.exists()


@pytest.mark.parametrize(
    ("exited", "state"),
    [
        ({"code": 1, "job_id": "7_0"}, "failed"),
        ({"code": 1, "job_id": "6_0"}, "interrupted"),  # of an earlier start
        ({"code": worker.MADE_ROOM, "job_id": "7_0"}, "interrupted"),
        ({"code": worker.STOPPED, "job_id": "7_0"}, "interrupted"),
        ({"code": 137, "job_id": "7_0"}, "interrupted"),
    ],
)
def test_how_a_run_ended_that_cannot_say_it_is_told_by_its_own_jobs_exit(told, exited, state):
    run, _, _, look = told
    run.update_status(state="running", pid=1, pid_started=1.0)
    run.log_file.write_text("first\nthe reason\n")
    write_json(run.exit_file, exited)
    look()
    now = look(30)
    assert now.state == state and now.ended_at and "Its last words: the reason" in now.error


def test_an_end_that_a_run_wrote_meanwhile_stands(told):
    run, *_ = told
    seen = run.recorded_status()
    done = run.update_status(state="finished")
    record.record_end(run, seen, "")
    record.record_waiting(run, seen, job())
    assert run.recorded_status() == done


def test_a_waiting_job_of_a_run_that_has_ended_is_taken_out_if_it_is_its_own(told):
    run, listed, asked, look = told
    run.update_status(state="finished")
    listed[run.path] = job("8_0")
    assert look().state == "finished" and not asked
    listed[run.path] = job("7_0")
    assert look().state == "finished" and asked == [("scancel", "7_0")]


def test_a_run_that_was_queued_again_is_on_record_as_waiting_as_if_nothing_had_been(told):
    run, listed, _, look = told
    listed[run.path] = job(requeues=1)
    assert look().requeues == 1, "though it was queued before"
    run.update_status(state="interrupted", error="gone", pid=5, pid_started=1.0, ended_at=9.0, eta_seconds=3.0)
    look()
    now = look(30)
    assert (now.state, now.job_id, now.partition, now.requeues) == ("queued", "7_0", "gpu", 1)
    assert (now.error, now.pid, now.pid_started, now.ended_at, now.eta_seconds) == (None,) * 5


def test_a_run_that_does_not_stop_is_cancelled_though_its_heart_beats(told):
    run, listed, asked, look = told
    run.update_status(state="running", pid=1, pid_started=1.0, heartbeat=time.time())
    run.request_stop()
    listed[run.path] = job(state="RUNNING")
    look()
    run.update_status(heartbeat=time.time() + 1)
    look(59)
    assert not asked
    run.update_status(heartbeat=time.time() + 2)
    look(2)
    assert asked == [("scancel", "7_0")]


def test_of_a_job_that_no_accounting_knows_slurms_last_words_to_it_are_told(told, monkeypatch):
    run, _, _, look = told
    monkeypatch.setattr(record, "fates", lambda ids: {})
    home = run.experiment.path / ".slurm"
    home.mkdir()
    (home / "x.sh").write_text("#!/bin/bash\n")
    (home / "x-0.out").write_text("module: loaded\n*** JOB 7 ON node1 CANCELLED DUE TO TIME LIMIT ***\n\n")
    (home / "x-1.out").write_text("another's\n")
    run.update_status(state="running", pid=1, pid_started=1.0, script="x.sh")
    look()
    assert "Slurm's last words: *** JOB 7 ON node1 CANCELLED DUE TO TIME LIMIT ***" in look(30).error


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


def test_where_a_run_stands_in_slurm_is_said_in_words(told):
    run, *_ = told
    home = record.folder(run.experiment.store)
    home.mkdir(parents=True)

    def said(job: client.Job | None, problem: str | None = None, **status) -> str:
        jobs = {} if job is None else {run.id: asdict(job)}
        write_json(home / "slurm.json", asdict(heard.Heard(time.time(), time.time(), problem, jobs)))
        return heard.in_words(run, run.update_status(**{"state": "queued", "requeues": 0} | status))

    waits = job()
    assert said(None) == "queued in Slurm"
    assert said(waits) == "waits behind jobs of higher priority"
    assert said(waits, requeues=1) == "requeued, waits behind jobs of higher priority"
    assert said(waits, requeues=2) == "requeued 2 times, waits behind jobs of higher priority"
    assert said(replace(waits, reason="ReqNodeNotAvail, UnavailableNodes:n1")) == "waits: a node that it needs is not available"
    assert said(replace(waits, reason="Cosmic")) == "waits (Cosmic)"
    begins = replace(waits, reason="BeginTime", starts="2026-11-28T10:05:00")
    assert said(begins) == "starts at 10:05 at the earliest"
    assert said(replace(waits, state="RUNNING", nodes="node2")) == "starts on node2"
    assert said(waits, "Slurm does not answer: it sleeps").startswith("state unknown: Slurm does not answer: it sleeps, last at ")
    assert said(waits, state="finished") == ""
    assert said(waits, state="running", heartbeat=time.time()) == ""
    for damaged in ({"of a later version": 1}, None):
        write_json(home / "slurm.json", damaged)
        assert heard.last(run.experiment.store) == heard.Heard()


# -- Orders --------------------------------------------------------------------------------------


@pytest.mark.parametrize("refused", [False, True])
def test_runs_are_submitted_in_arrays_that_slurm_takes_or_not_at_all(tmp_path, monkeypatch, refused):
    monkeypatch.setattr(jobs, "MAX_ARRAY", 2)
    wanted = {name: resolve({"device": "cpu" if name == "e" else "auto"}) for name in "abcdef"}
    runs = Store(tmp_path / "my store").create("e", Spec(), wanted, "slurm").runs()
    asked: list[tuple[str, ...]] = []

    def ask(*words: str, seconds: float | None = None) -> str:
        asked.append(words)
        if refused and len(asked) == 3:
            raise ValueError("Slurm refuses: enough")
        return f"{6 + len(asked)};lab\n" if words[0] == "sbatch" else ""

    monkeypatch.setattr(jobs, "ask", ask)
    if refused:
        with pytest.raises(ValueError, match="enough"):
            jobs.submit(runs)
        assert asked[3:] == [("scancel", "7"), ("scancel", "8")] and not Path(asked[2][-1]).exists()
        assert {run.recorded_status().job_id for run in runs} == {None}
        return
    jobs.submit(runs)
    assert [run.recorded_status().job_id for run in runs] == ["7_0", "7_1", "8_0", "8_1", "10_0", "9_0"]
    for run in runs:
        path, status = script.submitted(run, run.recorded_status()), run.recorded_status()
        assert script.names(path)[int(status.job_id.rpartition("_")[2])] == run.name
        assert ("gres" in path.read_text()) == (run.name != "e")


def test_a_run_whose_job_is_on_its_way_out_may_be_queued_again_and_one_that_waits_may_not(tmp_path, monkeypatch):
    (run,) = Store(tmp_path / "store").create("e", Spec(), {"a": resolve({})}, "slurm").runs()
    monkeypatch.setattr(jobs.time, "sleep", lambda _: pytest.fail("there is nothing to wait for"))
    for state, may in (("COMPLETING", True), ("PENDING", False)):
        monkeypatch.setattr(jobs, "queue", lambda store, state=state: {run.path: job(state=state)})
        if may:
            jobs.check_gone([run])
        else:
            with pytest.raises(ValueError, match=r"e/a is still in Slurm, as job 7_0 \(PENDING\)"):
                jobs.check_gone([run])


# -- Measured again, by hand ------------------------------------------------------------------


def test_a_run_that_is_measured_again_stays_slurms(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (run,) = Store(tmp_path / "store").create("e", Spec(), {"a": resolve({})}, "slurm").runs()
    run.update_status(state="finished", job_id="7_0", script="x.sh", partition="gpu", requeues=2, host="node7")
    measuring = subprocess.Popen([sys.executable, TRAINER, run.path, "evaluate"])
    now = until(lambda: (status := run.status()).state == "running" and status)
    assert now.engine is None and now.host == socket.gethostname(), "no job is at work"
    (run.path / "go").touch()
    assert measuring.wait(60) == 0
    now = run.status()
    assert (now.state, now.engine, now.job_id, now.script, now.partition, now.requeues, now.host) == (
        "finished",
        "slurm",
        "7_0",
        "x.sh",
        "gpu",
        2,
        "node7",
    )

    (run.path / "go").unlink()
    measuring = subprocess.Popen([sys.executable, TRAINER, run.path, "evaluate"])
    until(lambda: run.status().state == "running")
    measuring.kill()
    measuring.wait()
    assert run.status().state == "finished" and launch.trained_by(run.status()) == "slurm"


# -- Settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("90", 90), ("8:00:00", 480), ("5:30", 5.5), ("2-12", 3600), ("1-0:30", 1470), ("8h", 0), ("", 0), ("1-", 0)],
)
def test_times_are_read_as_slurm_reads_them(text, minutes):
    assert settings.minutes(text) == minutes


def test_what_is_kept_is_what_is_read_and_the_file_explains_itself(tmp_path, monkeypatch):
    store = Store(tmp_path)
    asked = {
        "partition": "gpu",
        "time": "8:00:00",
        "gpus": "2",
        "extra": "[--constraint=a100, --exclusive]",
        "set_up": "module load cuda\necho a: b",
    }
    kept = settings.keep(store, asked)
    assert settings.read(store) == kept and kept.extra == ("--constraint=a100", "--exclusive") and kept.time == "8:00:00"
    assert all(field.description in settings.file(store).read_text() for field in settings.Settings.model_fields.values())
    before = settings.file(store).read_bytes()
    with monkeypatch.context() as patched, pytest.raises(UnicodeEncodeError):  # what cannot be written leaves what was there
        patched.setattr(settings, "in_yaml", lambda _: "\ud800")
        settings.keep(store, {"partition": "night"})
    assert settings.file(store).read_bytes() == before
    assert settings.keep(store, {"partition": "night"}) == kept.model_copy(update={"partition": "night"}), "the rest stays"
    settings.file(store).write_text("time: 8:00:00\n")  # unquoted, as a person writes it
    assert settings.read(store).time == "8:00:00"


def test_a_job_takes_longer_than_its_notice():
    assert settings.Settings(time="3", notice=120).time == "3"
    with pytest.raises(ValidationError, match="before the notice of 120 s"):
        settings.Settings(time="2", notice=120)


@pytest.mark.parametrize(
    "word", ["time=8h", "time=1", "cpus=none", "memory=much", "extra=rm", "extra=[", "partition=a b", "gpus=-1", "queue=x"]
)
def test_settings_that_cannot_be_are_told_in_a_line(word, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(tmp_path / "store"))
    assert main(["slurm", "--set", word]) == 2
    assert capsys.readouterr().err.startswith(f"python -m sslcore: error: {word.partition('=')[0]}: ")
    assert not (tmp_path / "store").exists()


def test_a_script_asks_for_the_gpus_that_its_runs_use(tmp_path):
    chosen = settings.Settings(gpus=4, cpus=3, gpu_type="a100", account="lab", extra=("--exclusive",), set_up="module load cuda")
    needs = [
        script.need(resolve({"device": device, "devices": devices}), chosen)
        for device, devices in (("auto", 1), ("auto", 8), ("cpu", 2))
    ]
    assert needs == [(1, 1, True), (2, 4, True), (1, 2, False)]
    assert script.need(resolve({}), settings.Settings(gpus=0)) == (1, 1, False)
    with pytest.raises(ValueError, match="5 cannot be shared evenly by 2 nodes"):
        script.need(resolve({"devices": 5, "batch_size": 500}), chosen)
    config = resolve({"devices": 8})
    experiment = Store(tmp_path / "it's").create("e", Spec(), {"one": config, "two": config}, "slurm")
    text = script.text(experiment.path / ".slurm" / "x.sh", experiment.runs(), chosen)
    assert "#SBATCH --nodes=2\n" in text and "#SBATCH --gres=gpu:a100:4\n" in text and "#SBATCH --cpus-per-task=12\n" in text
    assert "#SBATCH --account=lab\n" in text and "#SBATCH --exclusive\n" in text
    assert "--partition" not in text and text.index("module load cuda") < text.index(" -m sslcore train ")
    assert subprocess.run(["bash", "-n"], input=text, text=True).returncode == 0
    (experiment.path / "x.sh").write_text(text)
    assert script.names(experiment.path / "x.sh") == ("one", "two")


@pytest.fixture
def begun(tmp_path, monkeypatch):
    """Starts a run's script in a shell, as Slurm does, once it trains: (the shell, the run, what Slurm was asked to do)."""
    shells: list[subprocess.Popen] = []

    def begin(reason: str = "None", checkpoint: str = "", **chosen) -> tuple[subprocess.Popen, Run, Path]:
        monkeypatch.setattr(script, "TRAIN", (sys.executable, str(TRAINER)))
        (run,) = Store(tmp_path / "store").create("e", Spec(), {"a": resolve({})}, "slurm").runs()
        for name, does in (("scontrol", f'echo "$@" >>{tmp_path}/asked'), ("squeue", f"echo {reason}")):
            (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
            (tmp_path / name).chmod(0o755)
        (tmp_path / "x.sh").write_text(script.text(tmp_path / "x.sh", [run], settings.Settings(**chosen)))
        if checkpoint:
            run.checkpoint_file.write_text(checkpoint)
        run.stop_file.write_text("of an earlier start")
        task = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0", "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        shells.append(subprocess.Popen(["bash", tmp_path / "x.sh"], env=os.environ | task, start_new_session=True))
        until(lambda: "from " in run.log_tail())
        return shells[-1], run, tmp_path / "asked"

    yield begin
    for shell in shells:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)


@pytest.mark.parametrize("set_up", ["", "set -euo pipefail", "trap 'exit 1' ERR"])
def test_a_run_makes_room_whatever_options_the_set_up_leaves_behind(set_up, begun):
    job, run, asked = begun(set_up=set_up)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(60) == worker.MADE_ROOM
    assert read_json(run.exit_file) == {"code": worker.MADE_ROOM, "job_id": "7_0"}
    assert asked.read_text() == "requeue 7_0\n" and run.recorded_status().state == "queued"


@pytest.mark.parametrize(
    ("reason", "told", "kept", "stopped", "again"),
    [
        ("TimeLimit", True, True, False, True),
        ("TimeLimit", True, False, False, False),  # it would get no further the next time
        ("TimeLimit", True, True, True, False),
        ("TimeLimit", False, True, False, False),
        ("None", True, True, False, False),  # cancelled
    ],
)
def test_a_run_that_is_ended_since_its_time_is_up_goes_on_if_it_got_on(reason, told, kept, stopped, again, begun):
    job, run, asked = begun(reason, checkpoint="5")
    (run.path / "stubborn").touch()
    if told:
        job.send_signal(signal.SIGUSR1)
        until((run.path / "told").exists)
    if kept:
        run.checkpoint_file.unlink()
        run.checkpoint_file.write_text("500")
        os.utime(run.checkpoint_file, (1, 1))  # clocks do not matter
    if stopped:
        run.request_stop()
    job.send_signal(signal.SIGTERM)
    os.kill(run.recorded_status().pid, signal.SIGKILL)
    assert job.wait(60) > 128
    assert asked.exists() == again and (not again or asked.read_text() == "requeue 7_0\n")


def test_without_slurm_it_is_not_offered_and_nothing_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(tmp_path / "store"))
    assert main(["launch", "quick", "--engine", "slurm"]) == 2
    assert "it has no sbatch" in capsys.readouterr().err and not (tmp_path / "store").exists()
    experiment = Store(tmp_path / "there").create("e", Spec(), {"a": resolve({})})
    before = experiment.spec_file.read_bytes()
    assert main(["--root", str(tmp_path / "there"), "complete", "e", "--add", "seed=7", "--engine", "slurm"]) == 2
    assert "it has no sbatch" in capsys.readouterr().err and experiment.spec_file.read_bytes() == before
    page = AppTest.from_file(str(ROOT / "dashboard" / "views" / "new.py"), default_timeout=300).run()
    assert not page.exception and not [box for box in page.selectbox if box.label == "Where to train"]
    assert any("it has no sbatch" in caption.value for caption in page.caption)
