"""The local agent: one process a store and host that trains queued runs in order.

It keeps nothing in memory that matters: what is to be done stands in the runs'
folders, and the kernel knows who holds a slot (see `slots.py`). It may therefore
die at any moment: its runs go on, and the next agent finds them.

    <root>/.agent/<host>/agent.lock    held by the agent
                         agent.json    its pid, start time and store, while it takes orders
                         agent.log
                         start.lock    held by whoever starts an agent
"""

import logging
import math
import os
import subprocess
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from sslcore.config import OPTIONS
from sslcore.experiment import Run, Store
from sslcore.files import Stamp, no_link, owner, read_object, stamp, write_json
from sslcore.launch.process import TRAIN, Watch, how_it_ended
from sslcore.launch.slots import HOST, Device, cpus, devices_for, folder, gpus, slots_for
from sslcore.launch.slurm import client, heard, record
from sslcore.locks import HEARTBEAT_SECONDS, beats, lives, process_name, take
from sslcore.notation import seconds_of
from sslcore.status import Status
from sslcore.wording import some

TICK_SECONDS = 0.3
LOOK_SHARE = 0.05  # of a core at most goes into looks: a store may be large, and the CPU has runs to train
IDLE_SECONDS = 20.0
BROKEN_SECONDS = 30.0
STRANGE_SECONDS = 10.0  # for which what another machine has queued is left alone: the agent there may just be starting

log = logging.getLogger("agent")


def announced(store: Store) -> dict[str, Any]:
    """What this host's agent says of itself while it takes orders; {} where there is none."""
    return read_object(folder(store) / "agent.json") or {}


def alive(store: Store) -> bool:
    """Whether this host's agent takes orders."""
    who = announced(store)
    try:
        if isinstance(root := who.get("root"), str) and not os.path.samefile(root, store.root):
            return False  # the agent of the store that this one is a copy of
    except OSError:
        return False  # it works where this store has been
    name = who.get("process")
    return isinstance(name, str) and bool(lives(name))


def unsuited(store: Store) -> bool:
    """Whether this host's agent would not train as is asked here: it is of an older version, which lacks an option and refuses
    what is launched now, or was started where images are kept elsewhere (TRIPTYCH_DATA).
    """
    who = announced(store)
    knows = who.get("options")
    lacks = not set(OPTIONS) <= set(map(str, knows if isinstance(knows, list) else ()))
    return lacks or who.get("data") != os.environ.get("TRIPTYCH_DATA")


def of_another_user(store: Store) -> bool:
    """Whether an agent is at work on this host that leaves alone what this user queues: it may not be able to work on it."""
    with suppress(psutil.Error, ValueError, TypeError):
        return alive(store) and psutil.Process(announced(store).get("pid")).uids().real not in (0, os.getuid())
    return False


def held_up(store: Store, queued: Iterable[Run] = ()) -> str:
    """Why this host's agent, though alive, starts nothing, or not all of what is queued for it; "" where it does."""
    with suppress(psutil.Error, ValueError, TypeError):
        process = psutil.Process(pid := announced(store).get("pid"))
        if process.status() == psutil.STATUS_STOPPED:
            return f"the agent, pid {pid}, was stopped, as by Ctrl-Z: fg, or kill -CONT {pid}, lets it go on"
        its = owner(folder(store) / "agent.json")
        left = [run.id for run in queued if owner(run.status_file) != its] if process.uids().real != 0 else []
        if left:
            return f"the agent, pid {pid}, leaves alone what another user queued ({some(left)}): resume it once that has gone"
    return ""


def works_on(store: Store, host: str) -> bool:
    """Whether the agent of another machine is at work for the store."""
    try:
        theirs = folder(store).with_name(host) / "agent.json"
        return beats(theirs, theirs.stat().st_mtime)
    except (OSError, ValueError):  # nothing is there, or that is no name
        return False


def dismiss(store: Store) -> bool:
    """End this host's agent; the next one takes up what it has started. False where it is none, is another user's, or stays."""
    who = announced(store)
    try:
        process = psutil.Process(who.get("pid"))
        if process_name(process.pid) != who.get("process") or not {"sslcore", "agent"} <= set(process.cmdline()):
            return False
        process.terminate()
        process.wait(10)
    except (psutil.Error, ValueError, TypeError):
        return False
    return True


class Agent:
    def __init__(
        self,
        store: Store,
        command: Sequence[str] = TRAIN,
        idle_seconds: float = IDLE_SECONDS,
        grace_seconds: float | None = None,
    ):
        """`command` trains the run whose folder is appended. `grace_seconds`, from SIGTERM to SIGKILL, are for a checkpoint.

        Raises ValueError, in words, where TRIPTYCH_STOP_GRACE, which they default to, is no number, or the runs' own variable.
        """
        seconds_of("TRIPTYCH_CHECKPOINT_SECONDS")
        self.store = store
        self.command = list(command)
        self.idle_seconds = idle_seconds
        self.grace_seconds = seconds_of("TRIPTYCH_STOP_GRACE") if grace_seconds is None else grace_seconds
        self.folder = folder(store)
        self.uid: int | None = os.getuid()  # to which what this process writes belongs: some file systems say another
        self.known: dict[Path, tuple[Stamp, Run, Status]] = {}  # as last read, with the status file's stamp
        self.watched: dict[Path, Watch] = {}
        self.slurm = threading.Thread()  # the latest question to Slurm
        self.slurm_at = -math.inf  # time.monotonic() of it
        self.slurm_lasting: dict[Path, record.Lasting] = {}  # see record.look
        self.beaten = -math.inf  # time.monotonic() of the last sign of life
        self.broken: dict[Path, float] = {}  # runs that cannot be worked with, and until when they are left alone
        self.strange: dict[tuple[Path, float | None], float] = {}  # what another machine has queued, and since when it is known

    def serve(self) -> None:
        """Work until there was nothing to do for `idle_seconds`. Returns at once where another agent is at work."""
        self.folder.mkdir(parents=True, exist_ok=True)
        came = time.monotonic()
        while (lock := take(self.folder / "agent.lock")) is None:
            if alive(self.store) or time.monotonic() - came > BROKEN_SECONDS:  # else its holder is about to go, see `retire`
                log.info("another agent is at work")
                return
            time.sleep(0.05)
        try:
            log.info("agent %d works for %s", os.getpid(), self.store.root)
            busy = well = time.monotonic()
            while True:
                began = time.process_time()
                try:
                    self.announce()
                    if self.look():
                        busy = time.monotonic()
                    elif time.monotonic() - busy > self.idle_seconds and self.retire():
                        log.info("agent %d leaves: nothing to do", os.getpid())
                        return
                    well = time.monotonic()
                except OSError as error:  # of the store's file system, which may come back
                    if not self.folder.exists() and os.fstat(lock).st_nlink:
                        log.info("agent %d leaves: the store was moved", os.getpid())
                        return
                    if time.monotonic() - well > BROKEN_SECONDS:
                        raise
                    log.warning("the store could not be looked at, which is tried again for %g s: %s", BROKEN_SECONDS, error)
                time.sleep(max(TICK_SECONDS, (time.process_time() - began) / LOOK_SHARE))
        finally:
            self.leave()
            os.close(lock)

    def announce(self) -> None:
        """Say who takes orders, again where the file that says so was deleted or damaged."""
        me = psutil.Process()
        who = {"pid": me.pid, "pid_started": me.create_time(), "process": process_name(me.pid), "host": HOST}
        who |= {"root": str(self.store.root), "options": list(OPTIONS), "data": os.environ.get("TRIPTYCH_DATA")}
        if announced(self.store) != who:
            write_json(self.folder / "agent.json", who)
        elif time.monotonic() - self.beaten > HEARTBEAT_SECONDS:
            os.utime(self.folder / "agent.json")  # for agents of other machines, see `works_on`
            self.beaten = time.monotonic()
        self.uid = owner(self.folder / "agent.json")

    def left_alone(self, run: Run, status: Status) -> bool:
        """Whether a queued run is another user's, who could not work on what this one leaves, or is for another machine, whose
        agent is at work or may just be starting.
        """
        if os.getuid() != 0 and owner(run.status_file) != self.uid:
            return True
        if status.queued_on in (None, HOST):
            return False
        known = self.strange.setdefault((run.path, status.queued_at), time.monotonic())
        return time.monotonic() - known < STRANGE_SECONDS or works_on(self.store, status.queued_on)

    def leave(self) -> None:
        """Take no more orders."""
        if announced(self.store).get("pid") == os.getpid():
            (self.folder / "agent.json").unlink(missing_ok=True)

    def retire(self) -> bool:
        """Take no more orders, unless one came at the last moment (its giver saw this agent and started no other)."""
        self.leave()
        if self.look():
            self.announce()
            return False
        return True

    def look(self) -> bool:
        """One look at every run. True while there is something to do."""
        queued, on_slurm = [], []
        for run, status in self.runs():
            if status.engine == "slurm":
                on_slurm.append((run, status))
            elif status.state == "queued" and not self.left_alone(run, status):
                queued.append((status.queued_at or 0.0, run.name, run))
            elif (
                status.state == "running"
                and status.host == HOST
                and status.pid
                and run.path not in self.watched
                and not run.is_copy(status)
            ):
                self.watched[run.path] = Watch(run, status.pid, status.pid_started or 0.0, status.process)
        for watch in list(self.watched.values()):
            with self.surviving(watch.run):
                self.attend(watch)
        taken: set[Device] = set()
        for _, _, run in sorted(queued, key=lambda entry: entry[:2]):
            if taken.issuperset({*gpus(), *cpus()}):
                break
            with self.surviving(run):
                self.find_place(run, taken)
        asking = self.ask_slurm(on_slurm)
        return bool(self.watched or queued or asking)

    def ask_slurm(self, runs: list[tuple[Run, Status]]) -> bool:
        """Ask Slurm about its runs, now and then, and in a thread, as it may not answer. True while any of them may go on."""
        if not any(record.concerns_slurm(status) for _, status in runs) or client.missing():
            return False
        if not self.slurm.is_alive() and time.monotonic() - self.slurm_at > heard.ASK_SECONDS:
            self.slurm_at = time.monotonic()
            look = [self.store, runs, self.slurm_lasting, self.grace_seconds]
            self.slurm = threading.Thread(target=record.look, args=look, daemon=True)
            self.slurm.start()
        return True

    def runs(self) -> Iterator[tuple[Run, Status]]:
        """Every run that can be worked with, and its recorded status; only what changed is read again."""
        for run in self.store.runs():
            if time.monotonic() < self.broken.get(run.path, 0):
                continue
            now = stamp(run.status_file)
            if run.path not in self.known or self.known[run.path][0] != now:
                self.known[run.path] = (now, run, run.recorded_status())
            yield self.known[run.path][1:]

    @contextmanager
    def surviving(self, run: Run) -> Iterator[None]:
        """Whatever is wrong with one folder, the other runs go on."""
        try:
            yield
        except Exception:
            log.exception("%s cannot be worked with; left alone for %g s", run, BROKEN_SECONDS)
            self.broken[run.path] = time.monotonic() + BROKEN_SECONDS
            self.watched.pop(run.path, None)

    def find_place(self, run: Run, taken: set[Device]) -> None:
        """Start a queued run where all slots that it needs are free; note in `taken` the slots that are not.

        Slots that are too few for it wait for the others: no run behind it in the queue takes them.
        """
        try:
            devices, wanted = devices_for(run.config), slots_for(run.config)
        except ValueError as error:
            if run.recorded_status().queued_on in (None, HOST):
                self.refuse(run, str(error))
            else:  # its own machine may have what it needs, though its agent is not at work
                self.broken[run.path] = time.monotonic() + BROKEN_SECONDS
            return
        free: dict[Device, int] = {}
        try:
            for device in devices:
                slot = None if device in taken else take(device.lock_file(self.store))
                if slot is None:
                    taken.add(device)
                    continue
                free[device] = slot
                if len(free) == wanted:
                    self.start(run, free)
                    return
            taken.update(free)
        finally:
            for slot in free.values():
                os.close(slot)

    def refuse(self, run: Run, why: str) -> None:
        with suppress(BlockingIOError), run.hold():
            if run.recorded_status().state == "queued":
                log.info("%s refused: %s", run.id, why)
                run.update_status(state="failed", error=why, ended_at=time.time())

    def start(self, run: Run, slots: Mapping[Device, int]) -> None:
        """Start a run that is still queued, in a session of its own; its processes inherit the slots' locks.

        The shell waits for a word before it becomes the trainer: by then the status names its pid. If the
        agent dies in between, the shell ends and nothing has begun.
        """
        child = None
        names = ",".join(dict.fromkeys(device.name for device in slots))
        visible = ",".join(filter(None, (device.visible for device in slots)))
        try:
            with run.hold():
                if run.recorded_status().state != "queued":
                    return
                with open(run.log_file, "ab", opener=no_link) as output:
                    child = subprocess.Popen(
                        ["/bin/sh", "-c", 'read go && exec "$@"', "sh", *self.command, str(run.path)],
                        stdin=subprocess.PIPE,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                        pass_fds=list(slots.values()),
                        env={**os.environ, "CUDA_VISIBLE_DEVICES": visible, "TRIPTYCH_SLOT": names},
                    )
                born, name = psutil.Process(child.pid).create_time(), process_name(child.pid)
                for slot in slots.values():
                    os.ftruncate(slot, 0)
                    os.pwrite(slot, run.id.encode(), 0)
                now = time.time()
                run.update_status(
                    state="running",
                    stage=None,
                    host=HOST,
                    pid=child.pid,
                    pid_started=born,
                    process=name,
                    inode=run.path.stat().st_ino,
                    slot=names,
                    heartbeat=now,
                    started_at=now,
                )
        except BlockingIOError:
            return  # another process holds it: it is being trained by hand
        except BaseException:
            if child:
                child.kill()
                child.wait()
            raise
        self.watched[run.path] = Watch(run, child.pid, born, name, child)
        with suppress(BrokenPipeError), child.stdin:
            child.stdin.write(b"go\n")
        log.info("%s started on %s, pid %d", run.id, names, child.pid)

    def attend(self, watch: Watch) -> None:
        """Pass on a stop; record the end of a run whose process is gone."""
        if watch.alive():
            if watch.asked_to_stop is None:
                if watch.run.stopping(watch.run.recorded_status()):
                    log.info("%s: asked to stop", watch.run.id)
                    watch.terminate()
                    watch.asked_to_stop = time.monotonic()
            elif time.monotonic() - watch.asked_to_stop > self.grace_seconds:
                log.info("%s: killed, it did not stop within %g s", watch.run.id, self.grace_seconds)
                watch.kill()
                watch.asked_to_stop = math.inf  # once
            return
        watch.kill()  # what it left behind
        if watch.child:
            watch.child.poll()
        run = watch.run
        if not run.path.is_dir():
            log.info("%s ended: its folder is gone", run.id)
            del self.watched[run.path]
            return
        try:
            with run.hold():
                status = run.recorded_status()
                if status.state == "running" and status.pid == watch.pid:
                    state, why = how_it_ended(watch)
                    run.write_status(status := status.ended(state, why, time.time()))
                run.stop_file.unlink(missing_ok=True)
                log.info("%s ended: %s", run.id, status.state)
        except BlockingIOError:
            if run.recorded_status().pid == watch.pid:
                return  # one of its processes is still on its way out; look again
        del self.watched[run.path]
