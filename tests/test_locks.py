"""A folder has one holder at a time, whatever its file system lacks and however holders die (sslcore/locks.py)."""

import contextlib
import errno
import fcntl
import json
import os
import random
import re
import signal
import socket
import subprocess
import time

import psutil
import pytest

from benchmarks.faults import ended
from sslcore import locks
from sslcore.files import own_folder

OF_ANOTHER_BOOT = "0b7e0000-0000-4000-8000-000000000000/1/7/12345"


# -- Who is who ------------------------------------------------------------------------


def test_a_process_is_known_by_its_start_whoever_has_its_pid_and_lives_no_more_once_it_has_ended():
    with subprocess.Popen(["sleep", "10"]) as child:
        name, mine = locks.process_name(child.pid), locks.process_name(os.getpid())
        *here, started = name.split("/")
        seconds = (int(started) - int(mine.rpartition("/")[2])) / os.sysconf("SC_CLK_TCK")
        assert seconds == pytest.approx(psutil.Process(child.pid).create_time() - psutil.Process().create_time(), abs=0.1)
        assert locks.lives(name) and locks.lives(mine)
        assert locks.lives("/".join([*here, str(int(started) - 1)])) is False
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert locks.lives(name) is False, "nobody has asked yet how it ended"
    assert locks.lives(name) is False


def test_of_another_users_process_that_proc_hides_only_its_heartbeat_can_tell(monkeypatch):
    """hidepid: there is no /proc/7 to see, and a signal is not permitted."""

    def kill(pid: int, signum: int) -> None:
        raise error

    name = f"{locks._here()}/7/12345"
    monkeypatch.setattr(locks, "process_name", lambda pid: None)
    monkeypatch.setattr(os, "kill", kill)
    error = PermissionError()
    assert locks.lives(name) is None
    error = ProcessLookupError()
    assert locks.lives(name) is False


# -- What the dead left ----------------------------------------------------------------


def test_a_claim_that_was_made_though_the_file_system_says_it_was_there_is_held(tmp_path, monkeypatch):
    """link(2): NFS may ask its server twice, and tell the second answer."""
    link = os.link

    def twice(*names) -> None:
        link(*names)
        link(*names)

    monkeypatch.setattr(os, "link", twice)
    with locks.holding(tmp_path), pytest.raises(BlockingIOError), locks.holding(tmp_path):
        pass


def test_a_claim_that_another_has_by_now_is_lost_and_stays_his_and_a_folder_that_moved_is_let_go_where_it_lies(tmp_path):
    taken, moved = tmp_path / "taken", tmp_path / "moved"
    for folder in (taken, moved):
        folder.mkdir()
    with locks.holding(taken) as claim:
        assert not claim.lost()
        (taken / ".held").write_bytes(b"his")
        assert claim.lost()
    assert (taken / ".held").read_bytes() == b"his"
    with locks.holding(moved) as claim:
        moved.rename(tmp_path / "elsewhere")
        assert claim.lost()
    assert not (tmp_path / "elsewhere" / ".held").exists()


def test_what_a_process_of_an_earlier_boot_held_is_free_once_it_is_silent(tmp_path, monkeypatch):
    claim = tmp_path / ".held"
    claim.write_text(json.dumps({"host": socket.gethostname(), "process": OF_ANOTHER_BOOT, "claim": "x"}))
    with pytest.raises(BlockingIOError), locks.holding(tmp_path):
        pass
    monkeypatch.setattr(locks, "HEARTBEAT_LIMIT", 0.2)
    with locks.holding(tmp_path, elsewhere=10):
        assert locks.claimant(claim.read_bytes()) == locks.process_name(os.getpid())
    assert not claim.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"process": 3}', b"\xff"])
def test_a_torn_claim_holds_nothing_for_long(tmp_path, content):
    (tmp_path / ".held").write_bytes(content)
    os.utime(tmp_path / ".held", (1, 1))
    with locks.holding(tmp_path):
        pass


def test_who_is_killed_while_he_makes_a_claim_leaves_nothing_in_the_way(tmp_path, monkeypatch):
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(os, "link", lambda *_: os._exit(0))
        with locks.holding(tmp_path):
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert not (tmp_path / ".held").exists(), "a claim is there as a whole or not at all"
    with locks.holding(tmp_path):
        assert {file.name for file in tmp_path.iterdir()} == {".held", ".lock"}


def test_where_a_disk_has_no_room_for_a_claim_it_is_said_which(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(locks.Path, "write_bytes", full)
    with pytest.raises(OSError, match=re.escape(f"the disk is full: .held in {tmp_path} takes ")):
        locks.Claim(tmp_path).make()


def test_where_there_are_no_hard_links_a_claim_holds_all_the_same(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with locks.holding(tmp_path):
        with pytest.raises(BlockingIOError), locks.holding(tmp_path):
            pass
        assert locks.claimant((tmp_path / ".held").read_bytes()) == locks.process_name(os.getpid())
    assert {file.name for file in tmp_path.iterdir()} == {".lock"}


# -- File systems without flock ------------------------------------------------------


def test_without_flock_a_claim_keeps_others_out(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locks.holding(tmp_path):
        with pytest.raises(BlockingIOError), locks.holding(tmp_path):
            pass
    child = os.fork()
    if child == 0:  # dies while it holds the folder
        with locks.holding(tmp_path):
            os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / ".held").exists()
    with locks.holding(tmp_path):
        pass


def test_where_flock_is_refused_a_lock_in_the_temporary_folder_stands_for_it(tmp_path, monkeypatch):
    """As network file systems do it: on their own files alone."""
    flock = fcntl.flock

    def refuse(file, how):
        number = file if isinstance(file, int) else file.fileno()
        if os.readlink(f"/proc/self/fd/{number}").startswith(str(tmp_path / "store")):
            raise OSError(errno.ENOLCK, "No locks available")
        return flock(file, how)

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    (tmp_path / "store").mkdir()
    file = tmp_path / "store" / "cpu.lock"
    descriptor = locks.take(file)
    os.pwrite(descriptor, b"e/a", 0)
    assert locks.take(file) is None and locks.taken(file) == "e/a"
    os.close(descriptor)
    assert locks.taken(file) is None


def test_where_flock_holds_on_one_machine_only_the_claim_of_another_keeps_out(tmp_path, monkeypatch):
    """Two machines on one folder, each with locks of its own: to this one, the other is a heartbeat."""
    claim = tmp_path / ".held"
    claim.write_text(json.dumps({"host": "elsewhere", "process": OF_ANOTHER_BOOT, "claim": "x"}))
    monkeypatch.setattr(locks, "HEARTBEAT_LIMIT", 0.5)
    # Ahead: at first sight a clock decides, and this machine may be slow.
    alive_until, beat = time.monotonic() + 1.5, time.time() + 60
    while time.monotonic() < alive_until:
        os.utime(claim, (beat := beat + 1, beat))
        with pytest.raises(BlockingIOError), locks.holding(tmp_path):
            pass
        time.sleep(0.05)
    with locks.holding(tmp_path, elsewhere=10):
        pass


def test_whoever_is_late_to_take_a_dead_claim_away_leaves_the_fresh_one_in_its_place(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    claim, lives = tmp_path / ".held", locks.lives
    claim.write_text(json.dumps({"process": f"{locks.process_name(os.getpid())}0", "claim": "of a process that is gone"}))
    with contextlib.ExitStack() as other:
        fresh = []

        def slowly(name: str) -> bool | None:
            known = lives(name)
            if not fresh:
                fresh.append(None)  # between this look and what follows from it, another takes the folder
                other.enter_context(locks.holding(tmp_path))
                fresh[0] = claim.stat().st_ctime_ns, claim.read_bytes()
            return known

        monkeypatch.setattr(locks, "lives", slowly)
        with pytest.raises(BlockingIOError), locks.holding(tmp_path):
            pass
        assert (claim.stat().st_ctime_ns, claim.read_bytes()) == fresh[0]
    assert {file.name for file in tmp_path.iterdir()} == {".lock"}


def test_of_many_that_want_a_folder_one_has_it(tmp_path, monkeypatch):
    """With claims alone, their holders killed at random, and others slow between seeing that and doing something about it."""
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOSYS, "Function not implemented")))
    lives, seen, chance = locks.lives, tmp_path / "seen", random.Random(0)

    def slowly(name: str) -> bool | None:
        known = lives(name)
        time.sleep(0 if known else chance.uniform(0, 0.01))
        return known

    monkeypatch.setattr(locks, "lives", slowly)
    for storm in range(5):
        seen.write_text("")
        children = []
        for number in range(4):
            child = os.fork()
            if child == 0:
                chance.seed(10 * storm + number)
                while True:
                    with contextlib.suppress(BlockingIOError), locks.holding(tmp_path, patience=0.01):
                        with seen.open("a") as file:
                            file.write(f"in {number}\n")
                        if chance.random() < 0.2:
                            os._exit(0)
                        with seen.open("a") as file:
                            file.write(f"out {number}\n")
            children.append(child)
        codes = [ended(child, 60) for child in children]
        for child in (child for child, code in zip(children, codes) if code is None):
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        assert codes == [0] * 4, "nobody waits for ever"
        lines = seen.read_text().splitlines()
        for place, (word, number) in enumerate(map(str.split, lines)):
            last = f"in {number}" not in lines[place + 1 :]
            assert word == "out" or lines[place + 1 : place + 2] == [f"out {number}"] or last, "another came in before he was out"
        assert all(lines.count(f"out {number}") + 1 == lines.count(f"in {number}") for number in range(4)), (
            "each died inside, and only there"
        )


def test_a_folder_for_temporary_files_is_this_users_alone_or_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    folder = own_folder("things")
    assert folder == own_folder("things") and folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="open to others"):
        own_folder("things")
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(PermissionError, match="another user's"):
        own_folder("things")
