"""Writing files whole or not at all, on a disk that may be full; opening what others may have made; JSON that may be torn."""

import errno
import json
import math
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sslcore.wording import in_bytes

# -- Writing, and a disk that is full --------------------------------------------

FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "no file may be that large here (ulimit -f)",
}
os.umask(UMASK := os.umask(0o077))  # which can only be read by changing it


class DiskFull(OSError):
    """There is no room for a file; the message says where, and how much it takes."""


@contextmanager
def rights_told() -> Iterator[None]:
    """What fails in the block since a file or folder may not be read or written is told in words, with what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS) or not error.filename:
            raise
        path = Path(os.fsdecode(error.filename))
        raise PermissionError(
            f"{path if path.exists() else path.parent}: {error.strerror}. Whoever runs this must be allowed to read and write "
            "there; --root, or TRIPTYCH_EXPERIMENTS, names another store"
        ) from error


@contextmanager
def room_for(path: Path, size: int = 0) -> Iterator[None]:
    """What fails in the block for want of room is told as DiskFull; `size` is how many bytes `path` takes, where known."""
    try:
        yield
    except DiskFull:
        raise
    except Exception as error:
        if (why := _full(error, path, size)) is None:
            raise
        written = path.stat().st_size if path.exists() else 0
        needed = in_bytes(size) if size > written else f"more than {in_bytes(written)}"
        free = shutil.disk_usage(path.parent).free
        raise DiskFull(f"{FULL[why]}: {_called(path)} in {path.parent} takes {needed}, and {in_bytes(free)} are free") from error


def _full(error: Exception, path: Path, size: int) -> int | None:
    """The errno that says so. Libraries that write by themselves lose it: what they could not write is asked for again."""
    if isinstance(error, OSError):
        return error.errno if error.errno in FULL else None
    if not hasattr(os, "posix_fallocate"):  # on macOS
        return None
    try:
        with path.open("ab") as file:
            end = file.tell()
            os.posix_fallocate(file.fileno(), 0, max(size, end + 65536))
            file.truncate(end)  # a log, or metrics, must not grow by zeros
    except OSError as again:
        return again.errno if again.errno in FULL else None
    return None


def _called(path: Path) -> str:
    """A temporary file is called by the name that it would get."""
    return (path.name[1:].rpartition(".")[0] if path.name.startswith(".") else "") or path.name


def check_place(path: Path, flag: str = "") -> None:
    """Raise ValueError, in one line, where no file can be put there: to be asked before the work that makes it."""
    where = f"{flag} {path}".strip()
    if path.is_dir():
        raise ValueError(f"{where}: this is a folder; name a file")
    folder = path.absolute().parent
    # What is written takes its place, and the machine would be without /dev/null, or /dev/stdout, which may lead to a file.
    if folder == Path("/dev") or (path.exists() and not path.is_file()):
        raise ValueError(f"{where}: this is a device or a pipe; name a file")
    if not folder.is_dir():
        raise ValueError(f"{where}: there is no folder to put it into")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{where}: no file may be written into {folder}")


def own_folder(kind: str) -> Path:
    """A folder of this user's alone below that for temporary files, where everybody may write. Raises PermissionError."""
    folder = Path(tempfile.gettempdir(), f"triptych-{kind}-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    about = folder.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o077:
        raise PermissionError(f"{folder} is another user's, or open to others: delete it, or name another folder by TMPDIR")
    return folder


@contextmanager
def replacing(path: Path, size: int = 0) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place when the block succeeds.

    Raises DiskFull where there is no room for it; `size` is how many bytes it will take, where that is known.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        with room_for(temporary, size):
            yield temporary
            temporary.chmod(0o666 & ~UMASK)
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


# -- Opening what others may have made: openers for `open` ------------------------


def no_link(name: str, flags: int) -> int:
    """For files that are written in place: a link, which others may have put there, leads to a file of somebody's."""
    return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)


def regular_file(name: str, flags: int) -> int:
    """For files that are read. A pipe, which waits for ever, or a device, which never ends, is none: EINVAL."""
    descriptor = os.open(name, flags | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "is no file", name)
    return descriptor


def unlinked_file(name: str, flags: int) -> int:
    """The same for what is shown or sent on: a link may lead to something that nobody meant to show. ELOOP."""
    return regular_file(name, flags | os.O_NOFOLLOW)


def text_of(path: Path) -> str:
    """Raises OSError, or ValueError where it is no UTF-8."""
    with open(path, encoding="utf-8", opener=regular_file) as file:
        return file.read()


Stamp = tuple[int, int, int]


def stamp(file: Path) -> Stamp:
    """(mtime, size, inode) of a file, by which a change of it is known; zeros where there is none."""
    try:
        stat = file.stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
    except OSError:
        return 0, 0, 0


def owner(file: Path) -> int | None:
    """The user whose a file is, by number; None where there is none."""
    try:
        return file.stat().st_uid
    except OSError:
        return None


# -- JSON ----------------------------------------------------------------------


def finite(value: Any) -> Any:
    """NaN and infinity as None, at any depth: JSON has no word for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return value


def write_json(path: Path, value: Any) -> None:
    """Write atomically: a reader sees the old file or the new one."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any | None:
    """The file's value, or None where it is missing or torn."""
    try:
        return json.loads(text_of(path))
    except (OSError, ValueError, RecursionError):
        return None


def read_object(path: Path) -> dict[str, Any] | None:
    """The file's JSON object, or None where it is missing, torn or no object."""
    value = read_json(path)
    return value if isinstance(value, dict) else None


def appended(file: Path, start: int) -> bytes:
    """What a file of lines holds from a byte on, without the line that is being written. Nothing where there is no file."""
    try:
        with open(file, "rb", opener=regular_file) as opened:
            opened.seek(start)
            content = opened.read()
    except OSError:
        return b""
    return content[: content.rfind(b"\n") + 1]


def logged_rows(content: bytes) -> list[dict[str, Any]]:
    """The JSON objects, one a line; lines that are none (the last one, after a crash), or of no step, are skipped."""
    rows = []
    for line in content.decode(errors="replace").splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and isinstance(row.get("step", 0), (int, float)):
            rows.append(row)
    return rows


def is_utf8(text: str) -> bool:
    """False of what no file of ours can hold, as bytes of another encoding that come from the shell or a folder."""
    return text == text.encode(errors="replace").decode()


def as_float(value: Any) -> float:
    """NaN for what is no number, or one too large."""
    try:
        return float(value) if is_number(value) else math.nan
    except OverflowError:
        return math.nan


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
