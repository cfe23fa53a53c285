"""Which process is which, whether it lives, and which one holds a folder: on one machine, or on several that share a store.

A process is named by its machine's boot, its pid namespace, its pid and its start in ticks after that boot: no clock
that is set, no restart and no reused pid makes it another one. Processes of other machines show their life by a
heartbeat; it must go on, by the onlooker's own monotonic clock.

A folder is held by two means at once, as neither is enough everywhere. `flock` is let go by the kernel when its holder
dies, however it dies; but some network file systems refuse it, and others keep it to one machine. A claim, a file that
is made only where there is none and names its holder, works everywhere; but others must find out when its holder is dead.
"""

import errno
import fcntl
import functools
import hashlib
import json
import math
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

import psutil

from sslcore.files import no_link, own_folder, room_for

HEARTBEAT_SECONDS = 2.0
HEARTBEAT_LIMIT = 30.0  # a process on another machine that is silent for longer is lost
NO_LOCKS = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL}  # what file systems without flock say
NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}  # and those without hard links


# -- Processes -----------------------------------------------------------------


@functools.cache
def _here() -> str:
    """This boot of this machine, and the pid namespace: where a pid means something."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot}/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:  # no Linux
        return f"{socket.gethostname()}/{psutil.boot_time():.0f}"


def process_name(pid: int) -> str | None:
    """boot/namespace/pid/start: a name that no other process has, ever; None where there is no such process."""
    try:
        ticks = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19].decode()  # proc(5): starttime
    except OSError:
        try:
            ticks = f"{psutil.Process(pid).create_time():.0f}"  # no Linux
        except psutil.Error:
            return None
    return f"{_here()}/{pid}/{ticks}"


def lives(name: str) -> bool | None:
    """Whether that very process runs; None where that cannot be seen from here, as of another machine's."""
    here, pid = name.split("/")[:-2], name.split("/")[-2:-1]
    if here != _here().split("/"):
        return None
    try:
        if (now := process_name(int(pid[0]))) is None:
            os.kill(int(pid[0]), 0)
        return now == name and psutil.Process(int(pid[0])).status() != psutil.STATUS_ZOMBIE
    except PermissionError:
        return None  # another user's, which /proc hides (hidepid)
    except (ValueError, OverflowError, OSError, psutil.Error):
        return False


def process_is(pid: int | None, started: float | None) -> bool:
    """Whether the process of this machine with this pid and start (in seconds since 1970) runs."""
    if pid is None or started is None:
        return False
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except (TypeError, ValueError, OverflowError, psutil.Error):  # the first three of what no process can have
        return False


_seen: dict[Path, tuple[float, float]] = {}  # whose heartbeat -> (what it was, when this process saw it come, monotonic)


def beats(whose: Path, heartbeat: float, limit: float | None = None) -> bool:
    """Whether the heartbeat (seconds since 1970) of another machine's process goes on.

    Seen for the first time, it counts if it is less than `limit` (HEARTBEAT_LIMIT) seconds old by the two machines' clocks.
    From then on it must advance within that time by this machine's monotonic clock, whatever those say.
    """
    now, limit = time.monotonic(), HEARTBEAT_LIMIT if limit is None else limit
    last, came = _seen.get(whose, (math.inf, now))
    if heartbeat > last:
        came = now
    elif heartbeat < last:  # seen for the first time, or set back
        came = now if time.time() - heartbeat < limit else -math.inf
    _seen[whose] = heartbeat, came
    return now - came < limit


# -- Locks among the processes of one machine ------------------------------------


def take(lock_file: Path) -> int | None:
    """A descriptor that holds a lock of this machine, or None where another process holds it.

    Children may inherit it; the kernel lets go when the last holder is gone. What is written into it says who holds it.
    Where the file system knows no locks, a file in the machine's temporary folder stands for this one.
    """
    descriptor = no_link(os.fspath(lock_file), os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError as error:
        os.close(descriptor)
        if error.errno not in NO_LOCKS or lock_file == stand_in(lock_file):
            raise
        return take(stand_in(lock_file))


def taken(lock_file: Path) -> str | None:
    """What the holder of such a lock wrote into it; None where nobody holds it. Makes no file."""
    try:
        with lock_file.open(encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
    except BlockingIOError:
        return lock_file.read_text(encoding="utf-8").strip() or None
    except OSError as error:
        return taken(stand_in(lock_file)) if error.errno in NO_LOCKS and lock_file != stand_in(lock_file) else None


def stand_in(lock_file: Path) -> Path:
    folder = own_folder("locks")
    if lock_file.parent == folder:
        return lock_file
    return folder / hashlib.sha256(os.fsencode(lock_file.absolute())).hexdigest()[:32]


# -- Holding a folder ------------------------------------------------------------


class Claim:
    """This process's claim to a folder: the file `.held` in it, which names this process and is touched while it lives.

    Under another name it is a claim to a dead process's claim, see `_take_away`.
    """

    def __init__(self, folder: Path, name: str = ".held"):
        self.file = folder / name
        who = {"host": socket.gethostname(), "process": process_name(os.getpid()), "claim": uuid.uuid4().hex}
        self.content = json.dumps(who).encode()

    def make(self) -> bool:
        """False where another living process has one. What a dead one left is taken away."""
        return self._take_away() and self._put()

    def _put(self) -> bool:
        """Make the file, whole from its first moment, as a torn claim would not say whose it is. False where there is one."""
        own = self.file.with_name(f".held.{uuid.uuid4().hex}")
        try:
            with room_for(self.file, len(self.content)):
                own.write_bytes(self.content)
            os.link(own, self.file)
        except FileExistsError:  # another process has it; or this one, where NFS asked twice and heard the second answer
            with suppress(OSError):
                return self.file.read_bytes() == self.content
            return False
        except FileNotFoundError:  # another process has it, and has swept `own` away
            return False
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            with suppress(FileExistsError), self.file.open("xb") as file:
                file.write(self.content)
                return True
            return False
        finally:
            own.unlink(missing_ok=True)
        return True

    def _take_away(self) -> bool:
        """Take a dead process's claim away. False where the holder lives, or another process is taking it away.

        Of several that judge a claim dead, the last could take away the new claim that has replaced it by then. So whichever
        does it first makes a claim to that one dead claim, and then looks again.
        """
        try:
            judged, touched = self.file.read_bytes(), self.file.stat().st_mtime
        except FileNotFoundError:
            return True
        name = claimant(judged)
        known = lives(name) if name else None
        if known or (known is None and beats(self.file, touched)):
            return False
        heir = Claim(self.file.parent, f".held.{hashlib.sha256(judged).hexdigest()[:32]}")
        if not heir.make():
            return False
        try:
            with suppress(FileNotFoundError):
                if self.file.read_bytes() == judged:
                    self.file.unlink()
        finally:
            heir.file.unlink(missing_ok=True)
        return True

    def touch(self) -> None:
        os.utime(self.file)

    def lost(self) -> bool:
        """Whether the folder is gone (deleted, moved, another in its place) or another process holds it."""
        try:
            return self.file.read_bytes() != self.content
        except OSError as error:
            return error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)

    def release(self, directory: int) -> None:
        """Let go, wherever the folder lies by now; `directory` is its descriptor."""
        with suppress(OSError):
            descriptor = os.open(".held", os.O_RDONLY, dir_fd=directory)
            with open(descriptor, "rb") as file:
                ours = file.read() == self.content
            if ours:
                os.unlink(".held", dir_fd=directory)


def claimant(content: bytes) -> str | None:
    """The process that a claim names."""
    try:
        name = json.loads(content)["process"]
    except (ValueError, TypeError, KeyError):
        return None  # made a moment ago, or torn
    return name if isinstance(name, str) and name.count("/") >= 3 else None


@contextmanager
def holding(folder: Path, patience: float = 0.0, elsewhere: float = 0.0) -> Iterator[Claim]:
    """Hold a folder: one process at a time.

    Raises BlockingIOError where another process holds it for longer than `patience` seconds, or than `elsewhere`
    seconds if it is another machine's: whether that one lives takes HEARTBEAT_LIMIT to see.
    """
    began = time.monotonic()
    claim = Claim(folder)
    with ExitStack() as held:
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        held.callback(os.close, directory)
        lock = held.enter_context(open(folder / ".lock", "a", encoding="utf-8", opener=no_link))
        while not (_locked(lock) and claim.make()):
            waits = max(patience, elsewhere) if elsewhere and _is_elsewhere(claim.file) else patience
            if time.monotonic() - began >= waits:
                raise BlockingIOError(f"{folder} is held by another process")
            time.sleep(0.02)
        held.callback(claim.release, directory)
        for left in folder.glob(".held.*"):  # by processes that were killed as they made or took away a claim
            left.unlink(missing_ok=True)
        yield claim


@contextmanager
def beating(claim: Claim) -> Iterator[None]:
    """Touch a claim while the block lasts, so that other machines see its holder live."""
    over = threading.Event()

    def beat() -> None:
        while not (over.wait(HEARTBEAT_SECONDS) or claim.lost()):
            with suppress(OSError):
                claim.touch()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _locked(lock: IO) -> bool:
    """True, too, where the file system knows no locks: the claim must do."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
    return True


def _is_elsewhere(claim: Path) -> bool:
    try:
        name = claimant(claim.read_bytes())
    except OSError:
        return False
    return name is not None and lives(name) is None
