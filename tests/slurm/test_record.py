"""What becomes of a run by what Slurm says of its job, and what is told of it; what Slurm says is given here."""

import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from sslcore import launch, worker
from sslcore.__main__ import main
from sslcore.config import resolve
from sslcore.experiment import Spec, Store
from sslcore.files import write_json
from sslcore.launch.slurm import client, heard, jobs, record, script, settings
from sslcore.status import Status
from tests.waiting import until


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


@pytest.mark.parametrize("code", [0, 127])
def test_a_run_whose_job_ended_before_it_began_is_told_as_failed(told, code):
    run, _, _, look = told
    run.log_file.write_text("module: command not found\n")
    write_json(run.exit_file, {"code": code, "job_id": "7_0"})
    look()
    now = look(30)
    assert now.state == "failed" and f"exit code {code} " in now.error and "command not found" in now.error


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


def test_slurm_is_asked_for_a_while_about_a_run_that_it_ended_and_the_run_goes_on_unless_it_was_asked_to_stop(told):
    run, listed, asked, look = told
    ended = run.update_status(state="stopped", pid=5, pid_started=1.0, ended_at=time.time())
    assert record.concerns_slurm(ended) and heard.may_go_on(run, ended)
    assert heard.in_words(run, ended) == "by Slurm, which may queue it again"
    listed[run.path] = job(requeues=1)
    assert (look().state, look(30).state) == ("stopped", "queued") and not asked

    run.update_status(state="running", pid=5, pid_started=1.0)
    run.request_stop()
    ended = run.update_status(state="stopped", ended_at=time.time())
    assert record.concerns_slurm(ended) and not heard.may_go_on(run, ended) and heard.in_words(run, ended) == ""
    assert look().state == "stopped" and asked == [("scancel", "7_0")]
    long_ago = run.update_status(ended_at=time.time() - 3600)
    assert not record.concerns_slurm(long_ago) and not heard.may_go_on(run, long_ago)


def test_a_run_that_is_stopped_while_it_waits_is_not_trained_by_a_job_of_which_nobody_knew(told, monkeypatch):
    run, listed, asked, look = told
    monkeypatch.setattr("sslcore.launch.jobs.queue", lambda store: {})
    launch.stop(run)
    listed[run.path] = job("8_0")
    assert look().state == "stopped" and asked == [("scancel", "8_0")]


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


def test_where_a_run_stands_in_slurm_is_said_in_words(told, monkeypatch):
    run, *_ = told
    home = record.folder(run.experiment.store)
    home.mkdir(parents=True)

    def said(job: client.Job | None, problem: str | None = None, **status) -> str:
        jobs = {} if job is None else {run.id: job}
        write_json(home / "slurm.json", asdict(heard.Heard(time.time(), time.time(), problem, jobs)))
        return heard.in_words(run, run.update_status(**{"state": "queued", "requeues": 0} | status))

    waits = job()
    assert said(None, queued_at=time.time() + 60) == "queued in Slurm", "since it was asked"
    assert said(None, queued_at=time.time() - 60) == "Slurm lists no job of it"
    with monkeypatch.context() as theirs:
        theirs.setattr(heard, "owner", lambda file: os.getuid() + 1)
        assert said(None, queued_at=time.time() - 60) == "queued in Slurm", "another user has asked, for jobs of their own"
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
    for damaged in ({"of a later version": 1}, None, {"answered_at": "now"}, {"jobs": ["e/a"]}, {"jobs": {"e/a": {"id": 3}}}):
        write_json(home / "slurm.json", damaged)
        assert heard.last(run.experiment.store) == heard.Heard()
