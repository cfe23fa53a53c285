"""The experiment folder: the only file that knows what files a run has.

A store is a folder of experiments, an experiment a folder of runs; see
`experiments/README.md` for every file and key. Whatever is read here may have
been written by another process, another version or another person: readers skip
what they cannot read, and nothing is ever unpickled.
"""

import errno
import json
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from sslcore.config import RunConfig, first_problem, flatten
from sslcore.files import (
    Stamp,
    finite,
    is_utf8,
    logged_rows,
    no_link,
    read_json,
    read_object,
    regular_file,
    replacing,
    room_for,
    stamp,
    text_of,
    unlinked_file,
    write_json,
)
from sslcore.locks import Claim, beats, holding, lives, process_is
from sslcore.naming import folder_name, slug
from sslcore.results import usable
from sslcore.status import Moment, Status
from sslcore.wording import series

SCHEMA_VERSION = 1
JOB_HEARTBEAT_LIMIT = 600.0  # of a Slurm job: Slurm takes minutes to find a node dead, and then queues its jobs again
EDIT_SECONDS = 30.0  # for which an editor waits for another

# -- A run ---------------------------------------------------------------------


def _file(name: str) -> property:
    """The path of a file in a run's folder, made when it is asked for: a store may have thousands of runs."""
    return property(lambda run: run.path / name)


def _is_there(file: Path) -> bool:
    """Whether there is such a file; False in a folder that may not be read, which must not keep anybody from reading others."""
    try:
        return file.is_file()
    except OSError:
        return False


class Run:
    """One run's folder."""

    def __init__(self, path: Path):
        self.path = Path(path)

    config_file = _file("config.json")
    status_file = _file("status.json")
    metrics_file = _file("metrics.jsonl")
    compact_file = _file("metrics.parquet")
    log_file = _file("log.txt")
    checkpoint_file = _file("checkpoint.pt")
    previous_checkpoint_file = _file("checkpoint.previous.pt")
    encoder_file = _file("encoder.safetensors")
    results_file = _file("results.json")
    predictions_file = _file("predictions.npz")
    embeddings_file = _file("embeddings.npz")
    snapshots_file = _file("snapshots.npz")
    umap_file = _file("umap.parquet")
    environment_file = _file("environment.json")
    views_file = _file("views.webp")
    stop_file = _file(".stop")
    reserve_file = _file(".reserve")
    exit_file = _file(".exit")

    def __repr__(self) -> str:
        return f"Run({self.id})"

    def has_checkpoint(self) -> bool:
        """Whether there is one to go on from."""
        return self.checkpoint_file.exists() or self.previous_checkpoint_file.exists()

    def goes_on(self) -> bool:
        """False where training would begin anew and replace what was measured, since the checkpoint is elsewhere."""
        return self.has_checkpoint() or read_object(self.results_file) is None

    def check_goes_on(self) -> None:
        """Raises ValueError, in words, where it does not, or its config is broken."""
        self.config  # noqa: B018
        if not self.goes_on():
            raise ValueError(
                f"{self.id} has been measured and its checkpoint.pt is not here, so training would begin anew and replace its "
                "results; export it with --checkpoints where it was trained, or delete its results.json to begin anew"
            )

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def id(self) -> str:
        """experiment/run, the words by which the command line and the URL name it."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def experiment(self) -> "Experiment":
        return Experiment(self.path.parent)

    def exists(self) -> bool:
        return _is_there(self.config_file)

    def files(self) -> list[Path]:
        """The files that make up the run, whether they exist or not: every *_file but the hidden ones, which are temporary."""
        every = [getattr(self, name) for name in vars(Run) if name.endswith("_file")]
        return [path for path in every if not path.name.startswith(".")]

    @cached_property
    def config(self) -> RunConfig:
        """Raises ValueError, in one line, where config.json is missing or not a valid config."""
        try:
            return _config(self.config_file, stamp(self.config_file))
        except FileNotFoundError:
            raise ValueError(f"{self.path} is not a run: it has no config.json") from None
        except (OSError, UnicodeError) as error:
            raise ValueError(f"{self.config_file} cannot be read: {error}") from None
        except ValidationError as error:
            raise ValueError(f"{self.config_file}: {first_problem(error)}") from None

    @property
    def readable_config(self) -> RunConfig | None:
        """The config; None where it cannot be read."""
        try:
            return self.config
        except ValueError:
            return None

    def config_problem(self) -> str:
        """Why no config can be read, in one line; "" where it can, and where what it held is lost (`config_is_lost`)."""
        try:
            self.config  # noqa: B018  raises
        except ValueError as error:
            return "" if self.config_is_lost() else str(error)
        return ""

    def config_is_lost(self) -> bool:
        """Whether config.json is gone, or torn: not where it holds settings that this version does not know."""
        try:
            return not isinstance(json.loads(text_of(self.config_file)), dict)
        except OSError as error:
            return isinstance(error, FileNotFoundError)
        except (ValueError, RecursionError):
            return True

    # Status

    def recorded_status(self) -> Status:
        """status.json as it stands, true or not."""
        try:
            return Status.read(json.loads(text_of(self.status_file)))
        except FileNotFoundError:
            return Status(state="interrupted", error="status.json is missing")
        except (OSError, ValueError, RecursionError):
            return Status(state="interrupted", error="status.json could not be read")

    def status(self) -> Status:
        """The status. A run whose process is gone is told as stopped where that was asked of it, else as interrupted.

        One that was being measured again is finished, as it was before.
        """
        status = self.recorded_status()
        if status.state == "running" and not self.alive(status):
            return status.ended("stopped" if self.stopping(status) else "interrupted")
        return status

    def alive(self, status: Status) -> bool:
        """Whether the process that `status` names runs, for this very folder: seen on its machine, elsewhere by its heartbeat."""
        if status.engine == "slurm":  # only Slurm knows whether a silent job is lost or queued again; the agent asks it
            return status.heartbeat is not None and beats(self.path, status.heartbeat, JOB_HEARTBEAT_LIMIT)
        if status.process and f"/{status.pid}/" in status.process:
            known = lives(status.process)
        else:  # the folder's contract asks for no more than pid and start
            known = process_is(status.pid, status.pid_started) if status.host == socket.gethostname() else None
        if known is not None:
            return known and not self.is_copy(status)
        with suppress(OSError):
            os.scandir(self.path).close()  # a network file system looks anew at a folder that is opened
            status = self.recorded_status()
        return status.heartbeat is not None and beats(self.path, status.heartbeat)

    def is_copy(self, status: Status) -> bool:
        """Whether the process that `status` names began in another folder, of which this is a copy."""
        return status.inode not in (None, stamp(self.path)[2])

    def write_status(self, status: Status) -> None:
        write_json(self.status_file, status.model_dump())

    def update_status(self, **changes: Any) -> Status:
        """Change some fields. Only for whoever holds the run: its process, else the launcher."""
        status = self.recorded_status().model_copy(update=changes)
        self.write_status(status)
        return status

    def request_stop(self) -> None:
        """Ask the agent to stop the run's process, or what Slurm makes of it if it is queued again.

        The request names the process, so that a stale one stops no later process.
        """
        status = self.recorded_status()
        write_json(self.stop_file, {"pid": status.pid, "pid_started": status.pid_started})

    def asked_to_stop(self, status: Status) -> bool:
        """Whether a stop was asked of the process that `status` names, whether or not it still runs."""
        return read_json(self.stop_file) == {"pid": status.pid, "pid_started": status.pid_started}

    def stopping(self, status: Status) -> bool:
        """Whether the process that `status` names is to stop."""
        return status.state == "running" and self.asked_to_stop(status)

    def hold(self, patience: float = 0.0, elsewhere: float = 0.0) -> AbstractContextManager[Claim]:
        """Hold the run: one process at a time trains it or changes its files.

        Raises BlockingIOError where another process holds it for longer than `patience` seconds, or than `elsewhere`
        seconds if it is another machine's. A process that dies lets go, however it dies.
        """
        return holding(self.path, patience, elsewhere)

    def sweep(self) -> None:
        """Take away what a killed process left half written. Only for whoever holds the run."""
        for file in self.files():
            for left in self.path.glob(f".{file.name}.*"):
                left.unlink(missing_ok=True)

    # What a run leaves behind

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        with room_for(self.metrics_file), open(self.metrics_file, "a", encoding="utf-8", opener=no_link) as file:
            file.write(json.dumps(finite(row), allow_nan=False) + "\n")

    def sync_metrics(self) -> None:
        """Have the rows on the disk, before a checkpoint says that they are there."""
        with suppress(FileNotFoundError), self.metrics_file.open("rb") as file:
            os.fsync(file.fileno())

    def metrics(self) -> list[dict[str, Any]]:
        """All logged rows; a torn line (the last one, after a crash) is skipped."""
        try:
            with open(self.metrics_file, "rb", opener=regular_file) as file:
                return logged_rows(file.read())
        except OSError:
            return []

    def keep_metrics_until(self, step: int) -> None:
        """Drop the rows after `step`: a resumed run will write them again."""
        if self.metrics_file.exists():
            rows = [row for row in self.metrics() if row.get("step", 0) <= step]
            self.compact_file.unlink(missing_ok=True)
            with replacing(self.metrics_file) as temporary:
                temporary.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def results(self) -> dict[str, Any] | None:
        """results.json; None where there is none, or where readers could not rely on it.

        Kept until the file changes, and not to be changed in place: a page of 300 runs asks for each several times.
        """
        file = self.results_file
        return _results(file, stamp(file))

    def environment(self) -> dict[str, Any] | None:
        return read_object(self.environment_file)

    def images(self) -> dict[str, Any]:
        """Which images it was trained on: dataset, image_size, counts and checksum; {} where that is not on record.

        `measured`: the checksum of those on which it was measured later, where these are others.

        Kept until the file changes, and not to be changed in place, as `results` is.
        """
        file = self.environment_file
        return _images(file, stamp(file))

    def log_tail(self) -> str:
        """The last 8,000 bytes of log.txt."""
        try:
            with open(self.log_file, "rb", opener=unlinked_file) as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - 8000))
                return file.read().decode(errors="replace")
        except OSError:
            return ""


@lru_cache(maxsize=4096)
def _config(file: Path, stamp: Stamp) -> RunConfig:
    return RunConfig.model_validate_json(text_of(file))


@lru_cache(maxsize=1024)
def _results(file: Path, stamp: Stamp) -> dict[str, Any] | None:
    return usable(read_object(file))


@lru_cache(maxsize=1024)
def _images(file: Path, stamp: Stamp) -> dict[str, Any]:
    said = read_object(file) or {}
    trained, again = said.get("data"), said.get("measured_again")
    if not isinstance(trained, dict):
        return {}
    data = again.get("data") if isinstance(again, dict) else None
    measured = data.get("checksum") if isinstance(data, dict) else None
    return trained | ({"measured": measured} if measured != trained.get("checksum") and measured else {})


# -- An experiment -------------------------------------------------------------


class Spec(BaseModel):
    """experiment.json: one question, and the grid of runs that is to answer it."""

    model_config = ConfigDict(extra="ignore")

    schema_version: int = SCHEMA_VERSION
    title: str = ""
    question: str = ""
    notes: str = ""  # Markdown
    tags: list[str] = Field(default_factory=list)
    archived: bool = False  # lists leave it out unless asked for
    pinned: list[str] = Field(default_factory=list)  # names of runs that come first
    hidden: list[str] = Field(default_factory=list)  # names of runs that tables and figures leave out
    base: dict[str, Any] = Field(default_factory=dict)  # settings of every run
    by_method: dict[str, dict[str, Any]] = Field(default_factory=dict)  # settings of one method's runs
    axes: dict[str, list[Any]] = Field(default_factory=dict)  # settings that vary, with their values
    created: Moment | None = None
    command: str | None = None  # how to launch it again

    @model_validator(mode="before")
    @classmethod
    def _null_says_nothing(cls, found: Any) -> Any:
        return {name: value for name, value in found.items() if value is not None} if isinstance(found, dict) else found

    @field_validator("title", "question", "notes")
    @classmethod
    def _can_be_written(cls, text: str) -> str:
        if not is_utf8(text):
            raise ValueError("it is not UTF-8, in which files are written")
        return text

    @field_validator("base", "by_method")
    @classmethod
    def _says_each_once(cls, settings: dict[str, Any]) -> dict[str, Any]:
        flatten(settings)
        return settings


def _listed(folder: Path) -> list[Path]:
    """What lies in a folder, by name: nothing hidden, nor what is not called in UTF-8, as no page, link or file could name it.

    Nor what has control characters in its name, which would steer the terminal where it is told.
    """
    names = [name for name in os.listdir(folder) if is_utf8(name) and not re.match(r"\.|.*[\x00-\x1f\x7f-\x9f]", name, re.DOTALL)]
    return sorted(folder / name for name in names)


def into_place(folder: Path, path: Path, taken: str) -> Path:
    """Rename a folder that is whole. Raises FileExistsError, with the words `taken`, where another has just got the name."""
    try:
        return folder.rename(path)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise FileExistsError(taken) from None
        raise


def _make_runs(folder: Path, configs: Mapping[str, RunConfig], engine: str | None) -> None:
    """Runs that are queued, and trained, in this order."""
    now = time.time()
    for place, (name, config) in enumerate(configs.items()):
        run = Run(folder / name)
        run.path.mkdir()
        write_json(run.config_file, config.model_dump())
        run.write_status(Status(queued_at=now + place / 1000, queued_on=socket.gethostname(), engine=engine))


class Experiment:
    """One experiment's folder."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.spec_file = self.path / "experiment.json"

    def __repr__(self) -> str:
        return f"Experiment({self.name})"

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def store(self) -> "Store":
        return Store(self.path.parent)

    def exists(self) -> bool:
        """Whether it has an experiment.json or, as where folders of runs were copied by hand, a run."""
        if _is_there(self.spec_file):
            return True
        with suppress(OSError), os.scandir(self.path) as inside:
            runs = (Run(Path(entry)) for entry in inside if entry.is_dir() and not entry.name.startswith("."))
            return any(run.exists() and run.readable_config for run in runs)  # others' folders have a config.json, too
        return False

    def spec(self) -> Spec:
        """The spec; where it is not there or cannot be read, one that says so."""
        try:
            return self.read_spec()
        except ValueError:
            what = "could not be read" if _is_there(self.spec_file) else "is not there: its runs are all that is known of it"
            return Spec(title=self.name, question=f"experiment.json {what}")

    def read_spec(self) -> Spec:
        """Raises ValueError, in one line, where it is not there or cannot be read: nothing is to be written over it."""
        try:
            return Spec.model_validate_json(text_of(self.spec_file))
        except FileNotFoundError:
            raise ValueError(f"{self.spec_file} is not there, and nothing else says what this experiment was to be") from None
        except (OSError, ValueError):
            raise ValueError(f"{self.spec_file} cannot be read, so it is not changed") from None

    def write_spec(self, spec: Spec) -> None:
        write_json(self.spec_file, spec.model_dump())

    @contextmanager
    def editing(self) -> Iterator[Spec]:
        """The spec as it stands now, to be changed in the block and written after it.

        One editor at a time, so that two who change different fields both have their way. Keys that this version does
        not know are kept. Raises ValueError where the file cannot be read (nothing is to be written over it), and
        BlockingIOError where another editor takes longer than EDIT_SECONDS.
        """
        with holding(self.path, patience=EDIT_SECONDS):
            spec, stands = self.read_spec(), read_json(self.spec_file)
            yield spec
            write_json(self.spec_file, stands | Spec.model_validate(dict(spec)).model_dump())

    def run(self, name: str) -> Run:
        return Run(self.path / name)

    def runs(self) -> list[Run]:
        """The runs, by name."""
        return [run for run in self._inside() if run.exists()]

    def strays(self) -> list[str]:
        """Names of folders that were runs, by their status, and have lost their config.json."""
        return [run.name for run in self._inside() if _is_there(run.status_file) and not run.exists()]

    def closed(self) -> list[str]:
        """Names of folders that may be runs, and that this user may not look into."""
        folders = [run for run in self._inside() if os.path.isdir(run.path) and not os.access(run.path, os.R_OK | os.X_OK)]
        return [run.name for run in folders if not run.exists()]

    def _inside(self) -> list[Run]:
        """What may be runs, by name: nothing of a folder that may not be read, or that was moved away meanwhile."""
        try:
            return [Run(path) for path in _listed(self.path)]
        except OSError:
            return []

    def files(self) -> list[Path]:
        """The experiment's own files, its runs' not among them."""
        return [self.spec_file, *sorted(self.path.glob("sample-*.webp"))]

    def add(self, configs: Mapping[str, RunConfig], engine: str | None = None) -> list[Run]:
        """More runs, queued in this order for an engine (see Status): all of them or none.

        Raises FileExistsError where one of the names is taken.
        """
        temporary = Path(tempfile.mkdtemp(dir=self.path, prefix=".new-"))
        added: list[Path] = []
        try:
            _make_runs(temporary, configs, engine)
            for name in configs:
                if os.path.lexists(self.path / name):
                    raise FileExistsError(f"{self.name}/{name} is there already")
                path = into_place(temporary / name, self.path / name, f"{self.name}/{name} is there already")
                added.append(path)  # what is in place must be known
        except BaseException:
            for path in added:
                path.rename(temporary / path.name)
            raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return [Run(path) for path in added]

    def sample_sheet(self, dataset: str) -> Path:
        """Where the thumbnails of a data set's fixed evaluation sample lie, one sheet."""
        return self.path / f"sample-{slug(Path(dataset).name) or 'data'}.webp"


class Store:
    """A folder of experiments."""

    def __init__(self, root: Path | str | None = None):
        """`root` defaults to the environment variable TRIPTYCH_EXPERIMENTS, else to experiments/."""
        self.root = Path(root or os.environ.get("TRIPTYCH_EXPERIMENTS") or "experiments").resolve()

    def __repr__(self) -> str:
        return f"Store({self.root})"

    def experiment(self, name: str) -> Experiment:
        return Experiment(self.root / name)

    def experiments(self) -> list[Experiment]:
        """The experiments, the newest first."""
        return sorted(self._found(), key=lambda e: e.spec().created or 0, reverse=True)

    def runs(self) -> list[Run]:
        """All runs of all experiments, by name."""
        return [run for experiment in self._found() for run in experiment.runs()]

    def _found(self) -> list[Experiment]:
        folders = _listed(self.root) if self.root.is_dir() else []
        return [experiment for experiment in map(Experiment, folders) if experiment.exists()]

    def _called(self, name: str) -> Experiment:
        """The experiment whose folder has this name, else the one whose folder was named after it. It need not exist."""
        experiment = self.experiment(name)
        return experiment if experiment.exists() else self.experiment(folder_name(name) or name)

    def find(self, name: str) -> list[Run]:
        """The runs that EXPERIMENT or EXPERIMENT/RUN names. Raises ValueError where there are none."""
        parts = Path(name).parts
        if len(parts) in (1, 2) and not any(part.startswith(".") or part == os.sep for part in parts):
            experiment = self._called(parts[0])
            if experiment.exists():
                runs = experiment.runs() if len(parts) == 1 else [experiment.run(parts[1])]
                if not runs:
                    why = [f"{lost} has no config.json" for lost in experiment.strays()]
                    why += [f"{closed} may not be looked into by this user" for closed in experiment.closed()]
                    raise ValueError(f"{name}: this experiment has no runs{f' that can be read: {series(why)}' if why else ''}")
                if all(run.exists() for run in runs):
                    return runs
        raise ValueError(f"{name or repr(name)}: no such experiment or run in {self.root}")

    def whole(self, name: str, otherwise: str) -> Experiment:
        """The experiment of this name. Raises ValueError where there is none, and with the words `otherwise` for a run's name."""
        if len(Path(name).parts) == 1 and (experiment := self._called(name)).exists():  # also where it has no runs
            return experiment
        self.find(name)
        raise ValueError(f"{name}: {otherwise}")

    def free_name(self, wanted: str) -> str:
        """`wanted` as a folder name, with a number where it is taken."""
        base = folder_name(wanted) or "experiment"
        name, number = base, 2
        while os.path.lexists(self.root / name):  # a link to a disk that is not there has its name, too
            name, number = f"{base}-{number}", number + 1
        return name

    def check_place(self) -> None:
        """Raises NotADirectoryError, in words, where the store is, or lies in, what is no folder."""
        if any(os.path.exists(path) and not os.path.isdir(path) for path in (self.root, *self.root.parents)):
            raise NotADirectoryError(
                f"{self.root} is to hold experiments, and is or lies in a file; --root, or TRIPTYCH_EXPERIMENTS, names another "
                "folder"
            )

    def make_place(self) -> None:
        """Make its folder, where there is none. Raises NotADirectoryError, in words, where it cannot be one."""
        self.check_place()
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except FileNotFoundError:  # what /proc and its like say to a folder that they do not know
            raise NotADirectoryError(
                f"{self.root} is to hold experiments, and no folder can be made there; --root, or TRIPTYCH_EXPERIMENTS, names "
                "another folder"
            ) from None

    def create(self, name: str, spec: Spec, configs: Mapping[str, RunConfig], engine: str | None = None) -> Experiment:
        """A new experiment with its runs queued for an engine (see Status), whole or not at all.

        Raises FileExistsError where the name is taken, NotADirectoryError where the store is no folder.
        """
        self.make_place()
        if os.path.lexists(self.root / name):
            raise FileExistsError(f"{name}: an experiment of this name exists in {self.root}")
        temporary = self.root / f".new-{name}-{os.urandom(4).hex()}"
        temporary.mkdir()
        try:
            # Of a copied spec, these are the original's.
            fresh = {"created": time.time(), "archived": False, "pinned": [], "hidden": []}
            Experiment(temporary).write_spec(spec.model_copy(update=fresh))
            _make_runs(temporary, configs, engine)
            into_place(temporary, self.root / name, f"{name}: an experiment of this name exists in {self.root}")
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return self.experiment(name)
