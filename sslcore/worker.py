"""One run in a process of its own: `python -m sslcore train RUN_FOLDER`.

Holds the run, tells its status while it lives, and records how it ended. torch is
imported only after the status says that the run has started.
"""

import _thread
import errno
import os
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import Any

import psutil

from sslcore import ranks
from sslcore.cores import limit_threads
from sslcore.endings import Failed, Stoppable, Stopped
from sslcore.experiment import Run
from sslcore.files import DiskFull, no_link, room_for
from sslcore.locks import HEARTBEAT_LIMIT, HEARTBEAT_SECONDS, Claim, process_name
from sslcore.notation import seconds_of
from sslcore.status import NOT_AGAIN, PRETRAIN_SHARE, State

FINISHED, FAILED, BAD_INPUT, STOPPED = 0, 1, 2, 75  # exit codes; 75 is sysexits' "try again"
MADE_ROOM = 76  # stopped by Slurm and recorded as queued: its job's script has Slurm queue it again
RESERVE = 64 * 1024  # bytes kept back in the folder, so that a run on a full disk can say that it is full
PATIENCE = 10.0  # seconds for which a job waits for whoever changes its run's status; see launch/slurm/record.py


class Pulse(Stoppable):
    """Tells the run's status while this process holds it, and hears the request to stop."""

    def __init__(self, run: Run, claim: Claim | None = None, evaluate_only: bool = False):
        self.run, self.claim = run, claim
        self.trains = False  # whether this attempt has trained, not measured alone
        self.requeued = False  # Slurm queues it again: it was told to make room, or its time is up
        self.status = run.status()
        over = evaluate_only or run.has_checkpoint()  # its training is; else it begins anew
        self.again = over and self.status.state == "finished"  # then it stays finished
        self.trained_on = self.status.host
        self.warned: set[str] = set()  # what this process has warned of: each is said once
        self.writing = threading.Lock()
        self.silent = threading.Event()
        self.beating = threading.Thread(target=self.beat, daemon=True)

    def start(self) -> None:
        with room_for(self.run.reserve_file, RESERVE):
            self.run.reserve_file.unlink(missing_ok=True)
            with open(self.run.reserve_file, "xb") as reserve:
                reserve.write(bytes(RESERVE))
        me = psutil.Process()
        now = time.time()
        self.write(
            state="running",
            stage="pretrain",
            measured_again=self.again,
            attempt=self.status.attempt + 1,
            host=socket.gethostname(),
            pid=me.pid,
            pid_started=me.create_time(),
            process=process_name(me.pid),
            inode=self.run.path.stat().st_ino,
            slot=os.environ.get("TRIPTYCH_SLOT"),
            **({"engine": None} if self.again else job()),
            started_at=now,
            ended_at=None,
            error=None,
            warnings=[words for words in self.status.warnings if not words.startswith(NOT_AGAIN)] if self.goes_on() else [],
        )
        self.beating.start()

    def goes_on(self) -> bool:
        """Whether this attempt continues the work that earlier ones warned of."""
        return self.again or self.run.has_checkpoint()

    def what_is_left(self) -> str:
        """What a stop leaves, in words."""
        if self.again:
            return "what was measured before is kept"
        return (
            "resume goes on from the checkpoint"
            if self.run.has_checkpoint()
            else "there was no checkpoint yet, so resume begins anew"
        )

    def beat(self) -> None:
        """Tell others that this process lives. Where it cannot for long, they take it for dead, so it ends."""
        written = time.monotonic()
        while not self.silent.wait(HEARTBEAT_SECONDS):
            if self.run.stopping(self.status) and not self.stop_requested:  # the agent tells it sooner, where it is here
                self.stop_requested = True
                _thread.interrupt_main(signal.SIGTERM)  # runs its handler, in the main thread
            try:
                self.write()
                self.claim.touch()
                written = time.monotonic()
            except OSError as error:
                print(f"status.json could not be written: {error}", file=sys.stderr, flush=True)
                if time.monotonic() - written > HEARTBEAT_LIMIT:
                    with suppress(OSError):
                        self.end("failed", f"status.json could not be written for {HEARTBEAT_LIMIT:.0f} s: {error}")
                    self.give_up(f"its folder could not be written to for {HEARTBEAT_LIMIT:.0f} s: {error}")

    def give_up(self, why: str) -> None:
        """End at once, with all processes that this one started, in the middle of whatever they are doing."""
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()
        with suppress(OSError):
            print(f"{self.run.id}: {why}", file=sys.stderr, flush=True)
        os._exit(FAILED)

    def check_claim(self) -> None:
        """End at once where the run is no longer this process's."""
        if self.claim and self.claim.lost():
            self.give_up("its folder was deleted or moved, or another process holds it; this one ends and writes nothing more")

    def write(self, **changes: Any) -> None:
        with self.writing:
            self.check_claim()
            self.status = self.status.model_copy(update={**changes, "heartbeat": time.time()})
            self.run.write_status(self.status)

    def hush(self) -> None:
        """No heartbeat from here on."""
        self.silent.set()
        if self.beating.is_alive() and threading.current_thread() is not self.beating:
            self.beating.join()  # it must not take a claim that was let go for a lost one
        self.run.reserve_file.unlink(missing_ok=True)

    def end(self, state: State, error: str | None = None) -> None:
        self.hush()
        self.status = self.status.ended(state, error, time.time())
        self.write(**({"host": self.trained_on} if self.again else {}))

    def gives_way(self) -> bool:
        """Record a stopped run as queued where it was Slurm that stopped it. Whether it was."""
        if not self.requeued or self.run.stopping(self.status):
            return False
        if self.status.stage != "pretrain" and not self.trains and time_is_up():
            self.warn(
                "its time was up before it was measured, in a job that did nothing else: give Slurm more time, then resume it"
            )
            return False
        self.hush()
        self.write(state="queued", eta_seconds=None, queued_at=time.time(), requeues=self.status.requeues + 1)
        self.say("made room; Slurm queues the run again, and it goes on from the checkpoint")
        return True

    # What the loop says

    def training(self, share: float, seconds_left: float) -> None:
        """Progress of pre-training; goes out with the next heartbeat."""
        with self.writing:
            self.check_claim()
            self.trains = True
            self.status = self.status.model_copy(update={"progress": PRETRAIN_SHARE * share, "eta_seconds": seconds_left})

    def stage(self, stage: str, progress: float) -> None:
        self.write(stage=stage, progress=progress, eta_seconds=None)

    def warn(self, words: str) -> None:
        if words not in self.status.warnings:  # a run that is measured again may have it already
            self.write(warnings=[*self.status.warnings, words])
        if words not in self.warned:
            self.warned.add(words)
            self.say(f"warning: {words}")

    def say(self, words: str) -> None:
        """A line for log.txt, and for the terminal where the run is in the foreground."""
        line = f"{time.strftime('%H:%M:%S')} {words}"
        with room_for(self.run.log_file):
            try:
                print(line, flush=True)
            except OSError as error:
                if error.errno not in (errno.EPIPE, errno.EIO):
                    raise
                # Nobody reads any more, or the terminal was closed; log.txt has it all the same.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if not self.logged_already():
                with open(self.run.log_file, "a", encoding="utf-8", opener=no_link) as log:
                    log.write(line + "\n")

    def logged_already(self) -> bool:
        """Whether standard output is log.txt itself, as the agent has it."""
        try:
            return os.path.samestat(os.fstat(sys.stdout.fileno()), self.run.log_file.stat())
        except (OSError, ValueError):
            return False


def job() -> dict[str, Any]:
    """What status.json says of the Slurm job that this process is; its script, see launch/slurm/script.py, names it."""
    said = os.environ.get
    if not said("TRIPTYCH_JOB"):
        return dict.fromkeys(("engine", "job_id", "script", "partition")) | {"requeues": 0}
    return {
        "engine": "slurm",
        "job_id": said("TRIPTYCH_JOB"),
        "script": said("TRIPTYCH_SCRIPT"),
        "partition": said("SLURM_JOB_PARTITION"),
        "requeues": int(said("SLURM_RESTART_COUNT") or 0),
    }


def time_is_up() -> bool:
    """Whether this Slurm job is so near the end of its time, as its script found it, that it was told of that.

    Else it makes room for others.
    """
    ends = os.environ.get("TRIPTYCH_ENDS", "")  # in words where it has no limit
    return ends.isdecimal() and time.time() >= int(ends) - int(os.environ["TRIPTYCH_NOTICE"])


def main(run: Run, evaluate_only: bool = False) -> int:
    """Train (or resume) a run and measure it; with `evaluate_only`, measure it again. Returns the exit code."""
    finished = run.recorded_status().state == "finished"
    try:
        seconds_of("TRIPTYCH_CHECKPOINT_SECONDS")  # raises where it is no number
        several = run.config.devices > 1 and not evaluate_only  # raises what is wrong with the config
        if several:
            ranks.command(run, os.environ)  # raises where so many cannot be had here
        if not evaluate_only:
            run.check_goes_on()
            if finished and not job()["job_id"]:
                from sslcore import datasets

                datasets.info(run.config.dataset)  # raises where it is gone
    except ValueError as error:
        print(f"python -m sslcore: error: {error}", file=sys.stderr)
        return BAD_INPUT
    try:
        with run.hold(PATIENCE if job()["job_id"] else 0.0, elsewhere=HEARTBEAT_LIMIT + 2 * HEARTBEAT_SECONDS) as claim:
            if job()["job_id"]:
                if is_over(run):
                    return FINISHED
                run.stop_file.unlink(missing_ok=True)  # of an earlier process
            return hold_and_work(run, claim, evaluate_only, several)
    except BlockingIOError:
        print(f"python -m sslcore: error: {run.id} is being trained by another process", file=sys.stderr)
        return BAD_INPUT


def is_over(run: Run) -> bool:
    """Whether Slurm has queued again what is not to go on: it finished at the very moment at which it was to make room, or it
    was asked to stop, as before its node was lost.
    """
    status = run.recorded_status()
    return status.state == "finished" or (status.state != "queued" and run.asked_to_stop(status))


def hold_and_work(run: Run, claim: Claim, evaluate_only: bool, several: bool) -> int:
    pulse = Pulse(run, claim, evaluate_only)

    def make_room(signum: int, frame: Any) -> None:
        pulse.requeued = True
        pulse.request_stop()

    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, pulse.request_stop)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # under nohup it goes on when its terminal ends
        signal.signal(signal.SIGHUP, pulse.request_stop)
    if job()["job_id"]:
        signal.signal(signal.SIGUSR1, make_room)
    run.sweep()
    try:
        pulse.start()
        if several:
            state, why = ranks.train(run, pulse)
            if state in ("stopped", "interrupted") and pulse.gives_way():  # Slurm may end ranks before they have heard of it
                return MADE_ROOM
            code = {"finished": FINISHED, "stopped": STOPPED}.get(state, FAILED)
            return last_words(pulse, code, f"{state}: {why}" if why else state, state, why)
        limit_threads(run.config.threads)
        from sslcore.stages import work

        try:
            work(run, pulse, evaluate_only)
            return last_words(pulse, FINISHED, "finished", "finished")
        except Stopped:
            if pulse.gives_way():
                return MADE_ROOM
            return last_words(pulse, STOPPED, f"stopped; {pulse.what_is_left()}", "stopped")
        except Failed as error:
            return last_words(pulse, FAILED, f"failed: {error}", "failed", str(error))
    except DiskFull as error:
        why = ranks.in_words(error, "evaluate" if evaluate_only else "resume")
        return last_words(pulse, FAILED, f"failed: {why}", "failed", why)
    except Exception as error:
        words = f"failed: {''.join(traceback.format_exception(error))}"
        return last_words(pulse, FAILED, words, "failed", ranks.in_words(error))


def last_words(pulse: Pulse, code: int, words: str, state: State, error: str | None = None) -> int:
    """Record how the run ended, as far as its folder takes it: gone or read-only, it is told as interrupted."""
    pulse.at_once = False  # a request to stop does not interrupt this
    try:
        pulse.end(state, error)
    except OSError as error:
        print(f"{pulse.run.id}: {words}\nThis could not be recorded: {error}", file=sys.stderr, flush=True)
        return FAILED
    with suppress(OSError):
        pulse.say(words)
    return code
