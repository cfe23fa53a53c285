"""An experiment as one zip file: to send to a teammate, and to take in what a teammate sent.

The zip holds one folder, the experiment's, with the files that `sslcore/experiment.py` knows. What comes in is taken
for hostile: names, links, sizes and every file's content are checked, nothing is unpickled, and the experiment is
added whole, under a free name, or not at all.
"""

import errno
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from sslcore import vetting
from sslcore.config import RunConfig, first_problem
from sslcore.experiment import Experiment, Run, Spec, Store, into_place
from sslcore.files import check_place, regular_file, replacing, room_for, unlinked_file
from sslcore.naming import LONGEST_NAME, folder_name
from sslcore.status import ACTIVE, OF_A_PROCESS, State, Status
from sslcore.vetting import CHUNK, FREE_BYTES, MAX_RATIO
from sslcore.wording import count, in_bytes, printable

Model = TypeVar("Model", bound=BaseModel)

FOLDER = rf"[A-Za-z0-9_][A-Za-z0-9._-]{{0,{LONGEST_NAME - 1}}}"
TOP = r"[^./\\][^/\\]{0,199}"  # the experiment's folder may have been renamed: here it gets a name of its own
PLACE = re.compile(rf"(?P<experiment>{TOP})/(?:(?P<run>{FOLDER})/)?(?P<file>[^/]+)")
SHEET = re.compile(r"sample-[A-Za-z0-9._-]{1,120}\.webp")
# What macOS and Windows put beside the files of a folder that a reader has unpacked, seen and zipped again.
LITTER = re.compile(r"__MACOSX/.*|([^/]+/)*(\._[^/]*|\.DS_Store|desktop\.ini|Thumbs\.db)")
MADE_BY = "have it made by Share, or by python -m sslcore export"
RUN_FILES = {path.name for path in Run(Path()).files()}
WEIGHTS = {path.name for path in (Run(Path()).checkpoint_file, Run(Path()).previous_checkpoint_file, Run(Path()).encoder_file)}

MAX_FILES = 50_000
LONGEST_ENTRY = 1000  # bytes of a file in the list of those inside, of which its name is most
MAX_BYTES = 50_000_000_000  # unpacked
MAX_TEXT = 1_000_000  # of a spec, a config or a status


# -- Out -----------------------------------------------------------------------


def export(experiment: Experiment, file: Path | str, checkpoints: bool = False) -> list[str]:
    """Write the experiment to a zip file, which appears when it is whole; the same folder gives the same bytes.

    Without `checkpoints` the weights stay behind: the screen shows the same, and nothing can be resumed or probed anew.
    Damaged files, which no import would take, are left out, of metrics.jsonl its damaged lines alone: returns a line about
    each.
    Raises ValueError where there is no such experiment, where the file has no place, or where no import would take the
    rest: for the name of a run's folder, or for an experiment.json or config.json that is torn.
    """
    if not experiment.exists():
        raise ValueError(f"{experiment.name}: no such experiment in {experiment.path.parent}")
    check_place(Path(file))
    top = folder_name(experiment.name) or "experiment"
    left_out = [f"{experiment.name}/{name} has no config.json, and is left out" for name in experiment.strays()]
    left_out += [f"{experiment.name}/{name} may not be looked into by this user, and is left out" for name in experiment.closed()]
    with replacing(Path(file)) as temporary:
        with zipfile.ZipFile(temporary, "w") as archive:
            for path in experiment.files():
                left_out += _add(archive, path, f"{top}/{path.name}")
            if not experiment.spec_file.exists():  # an import takes none without
                spec = Spec(title=experiment.name)
                archive.writestr(_entry(f"{top}/{experiment.spec_file.name}"), spec.model_dump_json(indent=2) + "\n")
            for run in experiment.runs():
                if not re.fullmatch(FOLDER, run.name):
                    raise ValueError(
                        f"{run.id}: rename this folder; letters, digits, dots, dashes and underscores can be exported"
                    )
                for path in run.files():
                    if path == run.status_file:  # a run whose process is gone is told as interrupted
                        told = run.status().model_copy(update=dict.fromkeys((*OF_A_PROCESS, "queued_on")))  # all of this machine
                        archive.writestr(_entry(f"{top}/{run.name}/{path.name}"), told.model_dump_json(indent=2) + "\n")
                    elif checkpoints or path.name not in WEIGHTS:
                        left_out += _add(archive, path, f"{top}/{run.name}/{path.name}")
        look(temporary)
    return left_out


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)  # dated 1980, so that the same content gives the same bytes
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    text = name.endswith((".json", ".jsonl", ".txt"))
    entry.compress_type = zipfile.ZIP_DEFLATED if text else zipfile.ZIP_STORED  # the others are packed already, or do not pack
    return entry


def _add(archive: zipfile.ZipFile, path: Path, name: str) -> list[str]:
    """A file as it is at this moment; nothing where there is none. Returns a line about what is damaged and left out.

    Raises ValueError, in one line, where it is one that an experiment cannot do without.
    """
    known = path.name in ("experiment.json", "config.json")  # in every field, so that a link to something else is found out
    try:
        source = open(path, "rb", opener=regular_file if known else unlinked_file)
    except FileNotFoundError:
        return []
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ELOOP):
            raise
        return [f"{name}: a link, a pipe or a device, which may lead to anything; left out"]
    with source:
        try:
            with _naming(name):
                vetting.check(path)
        except ValueError as error:
            if path.name == "experiment.json":
                raise ValueError(f"{error}; mend this file, without which there is no experiment") from None
            if path.name == "config.json":
                anew = "python -m sslcore complete writes it anew, or " if Run(path.parent).config_is_lost() else ""
                raise ValueError(f"{error}; {anew}delete the run") from None
            if path.suffix != ".jsonl":
                return [f"{error}; this file is left out"]
            archive.writestr(_entry(name), b"".join(filter(_sound, source)))
            return [f"{error}; damaged lines are left out"]
        entry = _entry(name)
        entry.file_size = os.fstat(source.fileno()).st_size
        with archive.open(entry, "w") as target:
            left = entry.file_size  # a running run's metrics may grow meanwhile
            while left and (chunk := source.read(min(CHUNK, left))):
                target.write(chunk)
                left -= len(chunk)
    return []


def _sound(line: bytes) -> bool:
    """Whether a line of metrics.jsonl is one that an import takes."""
    with suppress(Exception):
        vetting.check_row(line)
        return len(line) <= CHUNK
    return False


# -- What is inside ------------------------------------------------------------


@dataclass(frozen=True)
class RunInside:
    name: str
    method: str
    state: State


@dataclass(frozen=True)
class Contents:
    """What a zip file says it holds."""

    name: str  # the experiment's folder; it may get another name here
    title: str
    question: str
    runs: tuple[RunInside, ...]
    n_bytes: int  # unpacked
    checkpoints: bool

    def in_words(self) -> str:
        """One line for a terminal: what it is, how many runs, how much."""
        states = ", ".join(f"{n} {state}" for state, n in Counter(run.state for run in self.runs).items())
        runs = count(len(self.runs), "run") + (f" ({states})" if states else "")
        title = printable(self.title) or self.name
        return f"{title}: {runs}, {'with' if self.checkpoints else 'without'} checkpoints, {in_bytes(self.n_bytes)} unpacked"


def look(file: Path | str | BinaryIO) -> Contents:
    """What is inside a zip file; writes nothing.

    Raises ValueError, in one line, for anything hostile or foreign that names, headers, specs, configs and states show;
    every other byte is read and checked by `bring_in`.
    """
    with _opened(file) as archive:
        return _contents(archive, _members(archive))


@contextmanager
def _opened(file: Path | str | BinaryIO) -> Iterator[zipfile.ZipFile]:
    name = "the file" if hasattr(file, "read") else Path(file).name
    if not (hasattr(file, "read") or Path(file).is_file()):  # a device or a pipe may be without an end
        there = Path(file).exists()
        raise ValueError(f"{file}: {'this is a folder, a device or a pipe; name a file' if there else 'there is no such file'}")
    try:
        archive = zipfile.ZipFile(file) if few_inside(file) else None
    except Exception as error:
        raise ValueError(f"{name} is not a zip file that can be read: {_line(error)}") from None
    if archive is None:
        raise ValueError(f"{name} has more files inside than the {MAX_FILES:,} that an experiment has at most")
    with archive:
        yield archive


def few_inside(file: Path | str | BinaryIO) -> bool:
    """Whether the list of the files inside is no longer than an experiment's: zipfile would read it whole."""
    with nullcontext(file) if hasattr(file, "read") else open(file, "rb") as opened:
        end = zipfile._EndRecData(opened)  # where the list lies, found as ZipFile does; None: no zip file
    return not end or (end[zipfile._ECD_ENTRIES_TOTAL] <= MAX_FILES and end[zipfile._ECD_SIZE] <= MAX_FILES * LONGEST_ENTRY)


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The files inside by their names, all of which are an experiment's. Raises ValueError for any other."""
    if min((info.header_offset for info in archive.infolist()), default=0):  # what was found is the directory of an .npz inside
        raise ValueError("the file is cut short, or something stands before its first byte: have it sent again")
    members: dict[str, zipfile.ZipInfo] = {}
    spelled: dict[str, str] = {}  # file and folder names as a file system without upper and lower case has them
    for info in archive.infolist():
        name, folder = info.orig_filename, info.filename.endswith("/")
        if LITTER.fullmatch(name):
            continue
        shown = ascii(name)[1:-1][:200]
        place = PLACE.fullmatch(name.rstrip("/") + "/." if folder else name)
        if not place or name != info.filename or not name.isprintable():
            raise ValueError(f"{shown} is no path inside an experiment: {MADE_BY}")
        if info.flag_bits & 0x1:
            raise ValueError(f"{shown} is encrypted")
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFDIR if folder else stat.S_IFREG):
            raise ValueError(f"{shown} is a link or a device, not a file")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{shown} is packed in an unusual way; zip it again without options")
        if folder:
            if info.file_size:
                raise ValueError(f"{shown} is a folder with content of its own")
            continue
        if name in members:
            raise ValueError(f"{shown} is there twice")
        file = place["file"]
        if not (file in RUN_FILES if place["run"] else file == "experiment.json" or SHEET.fullmatch(file)):
            raise ValueError(f"{shown} is no file of an experiment: {MADE_BY}")
        for part in (name, *filter(None, (place["run"] and f"{place['experiment']}/{place['run']}/", f"{place['experiment']}/"))):
            if spelled.setdefault(part.rstrip("/").casefold(), part) != part:
                raise ValueError(f"{shown} and {spelled[part.rstrip('/').casefold()]} would be one file on some machines")
        members[name] = info
    if len({name.partition("/")[0] for name in members}) > 1:
        raise ValueError("there are several experiments inside; import them one by one")
    _check_size(archive, sum(info.file_size for info in members.values()))
    return members


def _check_size(archive: zipfile.ZipFile, n_bytes: int) -> None:
    packed = archive.fp.seek(0, os.SEEK_END)
    if n_bytes > MAX_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_BYTES / 1e9:.0f} GB")
    if n_bytes > FREE_BYTES + MAX_RATIO * packed:
        raise ValueError(f"it unpacks to more than {MAX_RATIO} times its size, as no experiment does")


def _contents(archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo]) -> Contents:
    (name,) = {name.partition("/")[0] for name in members} or {""}
    if f"{name}/experiment.json" not in members:
        raise ValueError(f"there is no experiment.json inside: {MADE_BY}")
    spec = _model(vetting.SpecInside, f"{name}/experiment.json", _bytes(archive, members[f"{name}/experiment.json"]))
    runs = []
    for run in sorted({name.split("/")[1] for name in members if name.count("/") == 2}):
        if f"{name}/{run}/config.json" not in members:
            raise ValueError(f"{name}/{run} has no config.json: it is no run")
        inside = {
            file: _bytes(archive, members[place])
            for file in ("config.json", "status.json")
            if (place := f"{name}/{run}/{file}") in members
        }
        config = _model(RunConfig, f"{name}/{run}/config.json", inside["config.json"])
        status = _model(Status, f"{name}/{run}/status.json", inside.get("status.json", b'{"state": "interrupted"}'))
        runs.append(RunInside(run, config.method, as_imported(status).state))
    return Contents(
        name=name,
        title=spec.title,
        question=spec.question,
        runs=tuple(runs),
        n_bytes=sum(info.file_size for info in members.values()),
        checkpoints=any(Path(place).name in WEIGHTS for place in members),
    )


def _bytes(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > MAX_TEXT:
        raise ValueError(f"{info.filename} is too large to be read")
    return b"".join(_chunks(archive, info))


def _chunks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """A member's content, with its checksum compared; what the reader says of a damaged one comes as ValueError."""
    with _naming(info.filename):
        try:
            with archive.open(info) as source:
                while chunk := source.read(CHUNK):
                    yield chunk
        except (zipfile.BadZipFile, zlib.error, EOFError):
            raise ValueError("it is damaged: have the file sent again") from None


def _model(model: type[Model], name: str, content: bytes) -> Model:
    with _naming(name):
        return model.model_validate(vetting.json_object(content))


@contextmanager
def _naming(name: str) -> Iterator[None]:
    """Whatever a parser has to say against a hostile file is a reason to refuse it, in one line."""
    try:
        yield
    except Exception as error:
        raise ValueError(f"{name}: {_line(error)}") from None


def _line(error: Exception) -> str:
    text = first_problem(error) if isinstance(error, ValidationError) else str(error)
    return printable(text)[:300] or type(error).__name__


# -- In ------------------------------------------------------------------------


def bring_in(store: Store, file: Path | str | BinaryIO) -> Experiment:
    """Add the experiment in a zip file to the store under a free name, whole or not at all.

    Runs that were queued or running elsewhere are interrupted here. Raises ValueError, in one line, for whatever is no
    experiment's file, hostile or damaged.
    """
    with _opened(file) as archive:
        members = _members(archive)
        contents = _contents(archive, members)
        store.make_place()
        temporary = store.root / f".import-{os.urandom(4).hex()}"
        temporary.mkdir()
        try:
            unpacked = 0
            for name, info in members.items():
                path = temporary / name.partition("/")[2]
                path.parent.mkdir(exist_ok=True)
                with room_for(path, info.file_size), path.open("xb") as target:
                    for chunk in _chunks(archive, info):
                        unpacked += len(chunk)
                        _check_size(archive, unpacked)
                        target.write(chunk)
                with _naming(name):
                    vetting.check(path)
            for run in Experiment(temporary).runs():
                run.write_status(as_imported(run.recorded_status()))
            with Experiment(temporary).editing() as spec:
                spec.archived = False  # there it may have been put aside; here it is new
            return _place(store, temporary, contents.name)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def _place(store: Store, temporary: Path, wanted: str) -> Experiment:
    while True:
        with suppress(FileExistsError):  # taken by somebody else a moment ago
            return Experiment(into_place(temporary, store.root / store.free_name(wanted), wanted))


def as_imported(status: Status) -> Status:
    """A run's status on another machine: no process of this one trains it."""
    ended = status.ended("interrupted") if status.state in ACTIVE else status
    return ended.model_copy(update=dict.fromkeys((*OF_A_PROCESS, "engine", "heartbeat")))
