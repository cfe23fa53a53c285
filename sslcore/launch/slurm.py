"""Slurm: the launcher beyond one machine.

A grid is one job array, each task `python -m sslcore train RUN_FOLDER` in the
script below, which is kept as <experiment>/.slurm/<name>.sh. The path of the
script is also the jobs' comment, and that is how they are found again: a job's
number can go to another job after the controller crashed.

Who asks Slurm? Whoever launches, resumes or stops does so once, and so hears a
refusal at once. From then on nobody has to: a run writes its own status.json
from wherever it is trained, and jobs that have to make room queue themselves
again. What a run cannot tell (why it waits, that its node died, that somebody
cancelled it) the agent asks in one `squeue` every few seconds, for all runs and
however many look on. It keeps the answer in a file, which is all that screens
and shells read, so no page waits for a controller that does not answer; and it
corrects the status of runs whose jobs are gone. When Slurm does not answer
nothing is corrected, and the answer's age is told. An agent that dies takes
nothing with it: the next one asks the same question.

    <root>/slurm.yaml                   Settings: how this cluster wants its jobs
    <root>/.agent/<host>/slurm.json     what Slurm said last: see Heard
    <experiment>/.slurm/<name>.sh       a script that was submitted
                        <name>-<k>.out  what Slurm said to its k-th task
    <run>/.exit                         the trainer's exit code, written by the script

Tried with Slurm 22.05, without accounting and with slurmdbd on MariaDB 10.11. None
is needed; where there is one, `sacct` adds the reason for which a job ended.
"""

import functools
import itertools
import logging
import math
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

import sslcore
from sslcore.config import ConfigError, RunConfig
from sslcore.experiment import Run, Status, Store, read_json, replacing, write_json
from sslcore.launch.process import last_words
from sslcore.launch.slots import folder
from sslcore.locks import HEARTBEAT_LIMIT, beats

TRAIN = (sys.executable, "-m", "sslcore", "train")
ASK_SECONDS = 5.0  # between two questions
ANSWER_SECONDS = 10.0  # a client gives up after 9 s by itself when the controller is down
SUBMIT_SECONDS = 20.0
GONE_SECONDS = 5.0  # what Slurm does not list for longer is gone; network file systems may lag behind it
SUBMITTING_SECONDS = 60.0  # a run queued for so long without a job was never submitted
ENDING_SECONDS = 5.0  # a job whose run has said its last word may take a moment to go
MAX_ARRAY = 1000  # tasks an array, as clusters allow unless they say otherwise

log = logging.getLogger("slurm")


class Unanswered(RuntimeError):
    """Slurm does not answer; nothing is known."""


# -- Settings --------------------------------------------------------------------

TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d+))?(?::(?P<third>\d+))?")


class Settings(BaseModel):
    """slurm.yaml: how jobs are asked for on this cluster. Whatever is empty is left to the cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: str = Field("", description="Partition to queue in (sinfo lists them).")
    account: str = Field("", description="Account that is charged.")
    qos: str = Field("", description="Quality of service.")
    time: str = Field("", description="Time limit of a job as Slurm writes it: minutes, hours:minutes:seconds, days-hours. A run that needs longer is no worse off: it goes on in another job.")
    notice: int = Field(120, ge=10, le=3600, description="Seconds before the time is up at which a run keeps its checkpoint and makes room.")
    gpus: int = Field(8, ge=0, le=64, description="GPUs that a node has. A run asks for as many as its devices, on several nodes where those are more; with 0, or device=cpu, for none.")
    gpu_type: str = Field("", description="Kind of GPU, such as a100.")
    cpus: int = Field(4, ge=1, le=256, description="CPU cores for each of a run's devices.")
    memory: str = Field("", description="Memory of a node for a run, such as 16G.")
    extra: tuple[str, ...] = Field((), description="More options of sbatch, such as --constraint=a100 or --exclude=node7.")
    set_up: str = Field("", description="Shell lines before the training, such as module load cuda.")

    @field_validator("partition", "account", "qos", "gpu_type")
    @classmethod
    def _is_a_word(cls, text: str) -> str:
        if not re.fullmatch(r"[\w.,:+@%-]*", text):
            raise PydanticCustomError("word", "Input should be one word, as Slurm knows it")
        return text

    @field_validator("time")
    @classmethod
    def _is_a_time(cls, text: str) -> str:
        if text and not minutes(text):
            raise PydanticCustomError("time", "Input should be a time such as 90, 8:00:00 or 2-12")
        return text

    @field_validator("memory")
    @classmethod
    def _is_a_size(cls, text: str) -> str:
        if not re.fullmatch(r"(\d+[KMGT]?)?", text):
            raise PydanticCustomError("memory", "Input should be a size such as 16G")
        return text

    @field_validator("extra", mode="before")
    @classmethod
    def _one_is_enough(cls, value: Any) -> Any:
        if isinstance(value, str):
            with suppress(yaml.YAMLError):
                value = yaml.load(value, yaml.BaseLoader) or ()
        return [value] if isinstance(value, str) else value

    @field_validator("extra")
    @classmethod
    def _are_options(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        for line in lines:
            if not re.fullmatch(r"--?[A-Za-z][^\r\n]*", line):
                raise PydanticCustomError("extra", "Input should be options of sbatch that begin with a dash")
        return lines

    @model_validator(mode="after")
    def _time_to_train(self) -> "Settings":
        if self.time and minutes(self.time) * 60 <= self.notice:
            raise PydanticCustomError("time", "Input should leave time to train before the notice of {notice} s", {"notice": self.notice})
        return self


def minutes(time: str) -> float:
    """A time as Slurm writes it, in minutes; 0 where it is none."""
    found = TIME.fullmatch(time)
    if not found:
        return 0.0
    parts = [int(part) for part in found.group("first", "second", "third") if part]
    if found["days"]:
        hours, minutes, seconds = [*parts, 0, 0][:3]
    else:
        hours, minutes, seconds = {1: [0, *parts, 0], 2: [0, *parts], 3: parts}[len(parts)]
    return int(found["days"] or 0) * 1440 + hours * 60 + minutes + seconds / 60


def settings_file(store: Store) -> Path:
    return store.root / "slurm.yaml"


def settings(store: Store) -> Settings:
    """The store's slurm.yaml, or the defaults. Raises ConfigError."""
    path = settings_file(store)
    try:
        return _valid(yaml.load(path.read_text(), yaml.BaseLoader) or {})  # no 8:00:00 as a number to the base of 60
    except FileNotFoundError:
        return Settings()
    except ConfigError as error:
        raise ConfigError({f"{path}: {name}": what for name, what in error.problems.items()}) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError({str(path): " ".join(str(error).split())}) from None


def change(store: Store, changes: Mapping[str, Any]) -> Settings:
    """The settings with some of them changed, as they are then kept. Raises ConfigError."""
    changed = _valid(settings(store).model_dump() | dict(changes))
    store.root.mkdir(parents=True, exist_ok=True)
    with replacing(settings_file(store)) as temporary:
        temporary.write_text(in_yaml(changed))
    return changed


def in_yaml(settings: Settings) -> str:
    """slurm.yaml, each setting below a comment that says what it means."""
    lines = ["# How jobs are asked for on this cluster. Whatever is empty is left to the cluster."]
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        said = yaml.safe_dump({name: list(value) if name == "extra" else value}, allow_unicode=True, width=1000)
        lines += [f"# {field.description}", said.rstrip()]
    return "\n".join(lines) + "\n"


def _valid(values: Any) -> Settings:
    if not isinstance(values, Mapping):
        raise ConfigError({"slurm": "expected settings such as 'partition: gpu'"})
    if unknown := [str(name) for name in values if name not in Settings.model_fields]:
        raise ConfigError(dict.fromkeys(unknown, f"there is no such setting of Slurm; known are {', '.join(Settings.model_fields)}"))
    try:
        return Settings.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError({str(e["loc"][0]) if e["loc"] else e["type"]: e["msg"].replace("Input should", "must") for e in error.errors()}) from None


# -- Questions to Slurm ------------------------------------------------------------


def missing() -> str | None:
    """Why there is no Slurm here, or None where there is."""
    absent = [name for name in ("sbatch", "squeue", "scancel") if shutil.which(name) is None]
    return f"Slurm cannot be used from this machine: it has no {absent[0]}" if absent else None


def ask(*words: str, seconds: float | None = None) -> str:
    """What a command of Slurm prints. Raises Unanswered, or ValueError with Slurm's own words of refusal."""
    seconds = ANSWER_SECONDS if seconds is None else seconds
    try:
        done = subprocess.run(words, capture_output=True, text=True, errors="replace", timeout=seconds, stdin=subprocess.DEVNULL)
    except OSError:
        raise ValueError(missing() or f"{words[0]} cannot be started") from None
    except subprocess.TimeoutExpired:
        raise Unanswered(f"Slurm does not answer: {words[0]} took longer than {seconds:.0f} s") from None
    if done.returncode == 0:
        return done.stdout
    said = [line.partition("error: ")[2] or line for line in done.stderr.splitlines() if line.strip()]
    refusal = said[-1].strip() if said else f"{words[0]} ended with exit code {done.returncode}"
    if re.search(r"unable to contact|connection (refused|timed out)|communication|socket|not respond", " ".join(said), re.IGNORECASE):
        raise Unanswered(f"Slurm does not answer: {refusal}")
    raise ValueError(f"Slurm refuses: {refusal}")


@dataclass(frozen=True)
class Job:
    """A line of squeue: a task of an array."""

    id: str  # 123_4
    state: str  # PENDING, RUNNING, ...
    reason: str  # why it waits: Resources, Priority, ...
    partition: str
    nodes: str
    requeues: int
    starts: str  # when Slurm means to start it, or did

    @property
    def waits(self) -> bool:
        return self.state in ("PENDING", "REQUEUED", "REQUEUE_HOLD", "REQUEUE_FED", "SPECIAL_EXIT")

    @property
    def trains(self) -> bool:
        return not self.waits and self.state != "COMPLETING"


COLUMNS = {"JobArrayID": 40, "ArrayTaskID": 12, "State": 20, "Reason": 120, "Partition": 60, "NodeList": 120, "RestartCnt": 12, "StartTime": 24, "Comment": 1000}


def queue(store: Store) -> dict[Path, Job]:
    """The user's jobs of the store's runs that Slurm lists now, by run folder. Raises Unanswered or ValueError."""
    answer = ask("squeue", "--me", "--array", "--noheader", "--Format", ",".join(f"{name}:{width}" for name, width in COLUMNS.items()))
    found: dict[Path, Job] = {}
    for line in answer.splitlines():
        starts = itertools.accumulate(COLUMNS.values(), initial=0)
        id, task, state, reason, partition, nodes, requeues, begins, comment = (
            line[start : start + width].strip() for start, width in zip(starts, COLUMNS.values())
        )
        script = Path(comment)
        if script.parent.name == ".slurm" and script.is_relative_to(store.root) and task.isdecimal():
            names = listed(script)
            job = Job(id, state, reason, partition, nodes, int(requeues or 0), begins)
            if int(task) < len(names):
                run = script.parents[1] / names[int(task)]
                if run not in found or job.trains:  # two at once only where one is on its way out
                    found[run] = job
    return found


@functools.lru_cache(maxsize=1000)
def listed(script: Path) -> tuple[str, ...]:
    """The names of the runs that a script trains, a task each; none where it is gone. A script never changes."""
    try:
        inside = re.search(r"^runs=\(\n(.*?)^\)", script.read_text(), re.DOTALL | re.MULTILINE)
    except OSError:
        return ()
    return tuple(shlex.split(inside[1])) if inside else ()


def fates(ids: Iterable[str]) -> dict[str, str]:
    """How jobs ended (TIMEOUT, OUT_OF_MEMORY, CANCELLED by 1000, ...) as far as the accounting knows; many sites have none.

    Its database hears of things some seconds after Slurm: what goes on there may have ended.
    """
    with suppress(Unanswered, ValueError):
        answer = ask("sacct", "-X", "--noheader", "--parsable2", "--format=JobID,State", "--jobs", ",".join(ids))
        told = dict(line.split("|", 1) for line in answer.splitlines() if "|" in line)
        return {job: state for job, state in told.items() if state not in ("PENDING", "RUNNING", "REQUEUED", "RESIZING", "SUSPENDED")}
    return {}


# -- Submitting ----------------------------------------------------------------------

SCRIPT = """\
#!/bin/bash
{options}

# One task a run. Slurm sends this shell USR1 shortly before the time is up, or when the job has to make room:
# the training keeps a checkpoint and exits with 75, and the job is queued again, to go on from there.
runs=(
{names}
)
run={experiment}/${{runs[SLURM_ARRAY_TASK_ID]}}
[ -f "$run/config.json" ] || exit 0  # deleted meanwhile
exec >>"$run/log.txt" 2>&1
rm -f "$run/.exit"
export TRIPTYCH_JOB="${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID" TRIPTYCH_SCRIPT={name}
export OMP_NUM_THREADS="${{OMP_NUM_THREADS:-{cpus}}}"
{exports}
room= training=
trap 'room=1; [ -z "$training" ] || kill -USR1 "$training" 2>/dev/null' USR1
trap '[ -z "$training" ] || kill -TERM "$training" 2>/dev/null' TERM

{set_up}{train} "$run" &
training=$!
[ -z "$room" ] || kill -USR1 "$training"  # it came while the shell was being set up
while wait "$training"; [ $? -gt 128 ] && kill -0 "$training" 2>/dev/null; do :; done  # a signal ends the wait, too
wait "$training"
code=$?
printf '{{"code": %d, "job_id": "%s"}}\\n' "$code" "$TRIPTYCH_JOB" >"$run/.exit"
if [ "$room" ] && [ "$code" -eq 75 -o "$code" -eq 138 ]; then  # 138: the signal came before anything had begun
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
"""


class Need(NamedTuple):
    """What a run asks for."""

    nodes: int
    devices: int  # a node
    gpus: bool  # whether these are GPUs


def need(config: RunConfig, settings: Settings) -> Need:
    """Raises ValueError where a run's devices cannot be shared evenly by the nodes that they take."""
    if config.device == "cpu" or not settings.gpus:
        return Need(1, config.devices, False)
    nodes = -(-config.devices // settings.gpus)
    if config.devices % nodes:
        raise ValueError(f"devices: {config.devices} cannot be shared evenly by {nodes} nodes of {settings.gpus} GPUs each")
    return Need(nodes, config.devices // nodes, True)


def script(path: Path, runs: Sequence[Run], settings: Settings) -> str:
    """The script that trains these runs of one experiment, which need the same, to be kept at `path`."""
    experiment, needs = runs[0].experiment, need(runs[0].config, settings)
    options = {
        "job-name": f"triptych-{experiment.name}",
        "comment": str(path),
        "array": f"0-{len(runs) - 1}",
        "output": f"{path.with_suffix('')}-%a.out".replace("%", "%%").replace("%%a.out", "%a.out"),
        "open-mode": "append",
        "signal": f"B:USR1@{settings.notice}",
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "time": settings.time,
        "nodes": str(needs.nodes),
        "ntasks-per-node": "1",
        "gres": ":".join(filter(None, ["gpu", settings.gpu_type, str(needs.devices)])) if needs.gpus else "",
        "cpus-per-task": str(settings.cpus * needs.devices),
        "mem": settings.memory,
    }
    lines = [f"#SBATCH --{name}={_quoted(value)}" for name, value in options.items() if value]
    paths = [str(Path(sslcore.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    exports = {"PYTHONPATH": os.pathsep.join(paths), "TRIPTYCH_DATA": os.environ.get("TRIPTYCH_DATA")}
    return SCRIPT.format(
        options="\n".join([*lines, "#SBATCH --requeue", *(f"#SBATCH {line}" for line in settings.extra)]),
        names="\n".join(shlex.quote(run.name) for run in runs),
        experiment=shlex.quote(str(experiment.path)),
        name=path.name,
        cpus=settings.cpus,
        exports="".join(f"export {name}={shlex.quote(value)}\n" for name, value in exports.items() if value),
        set_up=f"{settings.set_up.strip()}\n" if settings.set_up.strip() else "",
        train=shlex.join(TRAIN),
    )


def _quoted(value: str) -> str:
    """A value for a line of #SBATCH."""
    if "\n" in value or "\r" in value:
        raise ValueError(f"{value!r}: Slurm takes no path with a line break in it")
    return value if re.fullmatch(r"[\w./:@,+=%-]+", value, re.ASCII) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def submit(runs: Sequence[Run]) -> None:
    """Have Slurm queue runs of one experiment that are recorded as queued for it: one array for all that need the same.

    All of them or none. Raises ValueError, in Slurm's words, where it refuses; ConfigError for slurm.yaml; Unanswered.
    """
    chosen = settings(runs[0].experiment.store)
    home = runs[0].experiment.path / ".slurm"
    home.mkdir(exist_ok=True)
    kinds: dict[Need, list[Run]] = {}
    for run in runs:
        kinds.setdefault(need(run.config, chosen), []).append(run)
    parts = [some[k : k + MAX_ARRAY] for some in kinds.values() for k in range(0, len(some), MAX_ARRAY)]
    submitted: list[tuple[str, Path, Sequence[Run]]] = []
    try:
        for part in parts:
            path = home / f"{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}.sh"
            with replacing(path) as temporary:
                temporary.write_text(script(path, part, chosen))
            try:
                number = ask("sbatch", "--parsable", str(path), seconds=SUBMIT_SECONDS).strip().partition(";")[0]
            except ValueError:
                path.unlink()
                raise
            submitted.append((number, path, part))
    except BaseException:
        for number, _, _ in submitted:
            with suppress(Unanswered, ValueError):
                ask("scancel", number)
        raise
    for number, path, part in submitted:
        for task, run in enumerate(part):
            with suppress(BlockingIOError), run.hold():  # else it has started already, and says so itself
                if run.recorded_status().state == "queued":
                    run.update_status(job_id=f"{number}_{task}", script=path.name)


def script_file(run: Run, status: Status) -> Path | None:
    """The script that a run was submitted with, where it is still there."""
    path = run.experiment.path / ".slurm" / Path(status.script or "").name
    return path if status.script and path.is_file() else None


def owned(run: Run, status: Status) -> bool:
    """Whether the run was submitted by this user. Of others' jobs nothing is concluded here."""
    path = script_file(run, status)
    return path is None or path.stat().st_uid == os.getuid()


def cancel(run: Run) -> None:
    """Take a run's job, whatever it does, out of Slurm. Raises ValueError or Unanswered where that is not possible."""
    if not owned(run, run.recorded_status()):
        raise ValueError(f"{run.id} was queued in Slurm by another user, who alone can stop it")
    if job := queue(run.experiment.store).get(run.path):
        ask("scancel", job.id)


def check(store: Store) -> None:
    """Raise ValueError where runs of this store cannot be submitted from here."""
    if why := missing():
        raise ValueError(why)
    settings(store)


def check_gone(runs: Sequence[Run]) -> None:
    """Raise ValueError where Slurm has a job of one of these runs that waits or trains: it will go on by itself."""
    deadline = time.monotonic() + ENDING_SECONDS
    while runs:
        jobs = queue(runs[0].experiment.store)
        left = [(run, jobs[run.path]) for run in runs if run.path in jobs and jobs[run.path].state != "COMPLETING"]
        if not left:
            return
        if any(job.waits for _, job in left) or time.monotonic() > deadline:
            run, job = left[0]
            raise ValueError(f"{run.id} is still in Slurm, as job {job.id} ({job.state}): it goes on by itself")
        time.sleep(0.3)


# -- What the agent sees -----------------------------------------------------------------


@dataclass(frozen=True)
class Heard:
    """slurm.json: what Slurm said last. Times are in seconds since 1970."""

    asked_at: float = 0.0
    answered_at: float = 0.0
    problem: str | None = None  # why there was no answer
    jobs: Mapping[str, Mapping[str, Any]] | None = None  # by run id, as of `answered_at`


def heard(store: Store) -> Heard:
    """What this machine last heard of Slurm."""
    path = folder(store) / "slurm.json"
    try:
        stat = path.stat()
        return _heard(path, stat.st_mtime_ns, stat.st_ino)
    except OSError:
        return Heard()


@functools.lru_cache(maxsize=4)
def _heard(path: Path, *stamp: int) -> Heard:
    try:
        return Heard(**(read_json(path) or {}))
    except TypeError:
        return Heard()


class Lasting(NamedTuple):
    """Something about a run that Slurm trains, and since when it has been so."""

    what: Any
    since: float  # time.monotonic()


def look(store: Store, runs: Sequence[tuple[Run, Status]], lasting: dict[Path, Lasting], grace_seconds: float) -> None:
    """Ask Slurm once, keep its answer for all to read, and correct what `runs`, those that it trains, have on record.

    `lasting` is this function's memory, by run folder, of what is to be acted on if it lasts: clocks of several machines
    stand in the records, so how long it has lasted is judged by this machine's monotonic one. A run that was asked to
    stop is cancelled after `grace_seconds`.
    """
    asked = time.time()
    home = folder(store)
    home.mkdir(parents=True, exist_ok=True)
    try:
        jobs = queue(store)
    except (Unanswered, ValueError) as error:
        write_json(home / "slurm.json", asdict(heard(store)) | {"asked_at": asked, "problem": str(error)})
        return
    ids = {str(path.relative_to(store.root)): asdict(job) for path, job in jobs.items()}
    write_json(home / "slurm.json", asdict(Heard(asked, time.time(), None, ids)))
    gone = []
    for run, status in runs:
        try:
            if run.path in jobs:
                correct(run, jobs[run.path], lasting, grace_seconds)
            elif status.state not in ("queued", "running") or not owned(run, status):
                lasting.pop(run.path, None)
            elif lasted(lasting, run, status) >= (GONE_SECONDS if status.job_id else SUBMITTING_SECONDS):  # and not a heartbeat meanwhile
                gone.append((run, status))
        except Exception:
            log.exception("%s cannot be worked with", run)
    said = fates(status.job_id for _, status in gone if status.job_id) if gone else {}
    for run, status in gone:
        try:
            record_end(run, status, said.get(status.job_id or "", ""))
        except Exception:
            log.exception("%s cannot be worked with", run)
        lasting.pop(run.path, None)


def lasted(lasting: dict[Path, Lasting], run: Run, what: Any) -> float:
    """Seconds for which the same has been so of a run, as far as was seen; 0 at first sight."""
    now = time.monotonic()
    if run.path not in lasting or lasting[run.path].what != what:
        lasting[run.path] = Lasting(what, now)
    return now - lasting[run.path].since


def look_once(store: Store) -> None:
    """What the agent would see at first sight, for a shell where none is at work."""
    runs = [(run, status) for run in store.runs() if (status := run.recorded_status()).engine == "slurm"]
    if not missing() and any(status.state in ("queued", "running") for _, status in runs):
        look(store, runs, {}, math.inf)


def correct(run: Run, job: Job, lasting: dict[Path, Lasting], grace_seconds: float) -> None:
    """What `job`, which Slurm lists, says of the run beyond its record."""
    status = run.recorded_status()
    if job.waits and status.state in ("finished", "failed") and status.job_id == job.id:
        ask("scancel", job.id)  # it ended at the very moment at which Slurm made it give way
    elif job.waits and status.state in ("stopped", "interrupted"):
        if lasted(lasting, run, status) >= GONE_SECONDS:  # else it was just cancelled
            record_waiting(run, status, job)
    elif job.waits and (status.state == "running" or (status.state == "queued" and (status.job_id, status.requeues) != (job.id, job.requeues))):
        lasting.pop(run.path, None)
        record_waiting(run, status, job)
    elif job.trains and run.stopping(status):
        if lasted(lasting, run, ("asked to stop", status.pid, status.pid_started)) >= grace_seconds:
            log.info("%s: cancelled, it did not stop within %g s", run.id, grace_seconds)
            ask("scancel", job.id)
    else:
        lasting.pop(run.path, None)


def record_waiting(run: Run, status: Status, job: Job) -> None:
    """Record as queued a run whose job waits, unless a process holds the run: then Slurm has started it since it answered."""
    with suppress(BlockingIOError), run.hold():
        if run.recorded_status() == status:
            log.info("%s: job %s waits in Slurm, requeued %d times", run.id, job.id, job.requeues)
            run.update_status(
                state="queued", engine="slurm", job_id=job.id, partition=job.partition, requeues=job.requeues,
                pid=None, pid_started=None, eta_seconds=None, ended_at=None, error=None,
            )  # fmt: skip


def record_end(run: Run, status: Status, fate: str) -> None:
    """Record how a run ended whose job is gone without its having written an end. `fate` is what sacct says."""
    with suppress(BlockingIOError), run.hold():
        if run.recorded_status() != status:
            return
        state, why = how_it_ended(run, status, fate)
        log.info("%s ended: %s", run.id, state)
        run.update_status(state=state, error=why, eta_seconds=None, ended_at=time.time())
        run.stop_file.unlink(missing_ok=True)


def how_it_ended(run: Run, status: Status, fate: str) -> tuple[str, str]:
    """(state, reason) of a run that is on record as queued or running and has no job in Slurm any more."""
    told = read_json(run.exit_file) or {}
    code = told.get("code") if told.get("job_id") == status.job_id else None
    says = f" Slurm's accounting says {fate}." if fate else f" Slurm's last words: {words}" if (words := slurm_words(run, status)) else ""
    if status.job_id is None:
        return "interrupted", "It was never handed over to Slurm."
    if status.state == "running" and run.stopping(status):
        return "interrupted", f"Stopped as asked, but before it could write a checkpoint.{says}"
    if isinstance(code, int) and 0 < code < 128 and code != 75:
        return "failed", f"The run's process ended with exit code {code} before it could say why.{last_words(run)}"
    if status.state == "queued":
        return "interrupted", f"Slurm has no job {status.job_id} any more: it was cancelled there, or lost.{says}"
    return "interrupted", f"Its job {status.job_id} is gone and the run recorded no end.{says}{last_words(run)}"


def slurm_words(run: Run, status: Status) -> str:
    """The last line that Slurm wrote to the job itself, such as CANCELLED AT ... DUE TO TIME LIMIT."""
    path = script_file(run, status)
    with suppress(OSError, AttributeError):
        output = path.with_name(f"{path.stem}-{(status.job_id or '').rpartition('_')[2]}.out")
        lines = [line for line in output.read_text(errors="replace").splitlines() if line.strip()]
        return lines[-1][:300] if lines else ""
    return ""


# -- In words --------------------------------------------------------------------------

REASONS = {
    "Resources": "waits for free resources",
    "Priority": "waits behind jobs of higher priority",
    "BeginTime": "waits for its time to begin",
    "Dependency": "waits for another job",
    "None": "is about to be looked at",
    "JobHeldUser": "is held; scontrol release lets it go",
    "JobHeldAdmin": "is held by an administrator",
    "JobArrayTaskLimit": "waits for other runs of its array",
    "PartitionDown": "waits: its partition is down",
    "PartitionInactive": "waits: its partition is inactive",
    "PartitionTimeLimit": "cannot start: it asks for more time than the partition allows",
    "PartitionNodeLimit": "cannot start: it asks for more than the partition has",
    "ReqNodeNotAvail": "waits: a node that it needs is not available",
    "NodeDown": "waits: a node that it needs is down",
    "Nodes required for job are DOWN": "waits for nodes that are down, drained or kept for others",
    "Licenses": "waits for a licence",
    "Reservation": "waits for its reservation",
    "Cleaning": "is being cleaned up after its last start",
}


def in_words(run: Run, status: Status) -> str:
    """Where a run that Slurm trains stands, as far as it does not say so itself; "" where it does."""
    now = heard(run.experiment.store)
    job = (now.jobs or {}).get(run.id) or {}
    if status.state == "running" and not beats(run.status_file, status.heartbeat or 0):
        says = f"Slurm says {job.get('state')}" if job and not stale(now) else "Slurm does not say more"
        return f"no sign of life for more than {HEARTBEAT_LIMIT:.0f} s; {says}"
    if status.state != "queued":
        return ""
    again = f"requeued{f' {status.requeues} times' if status.requeues > 1 else ''}, " if status.requeues else ""
    if stale(now):
        return f"{again}state unknown: {unknown(now)}"
    if not job:
        return f"{again}queued in Slurm" + ("" if owned(run, status) else " by another user, whose jobs are not asked for here")
    if not Job(**job).waits:
        return f"{again}starts on {job['nodes']}"
    if job["reason"] == "BeginTime" and len(job["starts"]) == 19:
        return f"{again}starts at {job['starts'][11:16]} at the earliest"
    return again + REASONS.get(job["reason"].split(",")[0], f"waits ({job['reason']})")


def stale(now: Heard) -> bool:
    """Whether what was heard says nothing of the present."""
    return now.problem is not None or abs(time.time() - now.answered_at) > 4 * ASK_SECONDS + ANSWER_SECONDS  # the clock may be set back


def unknown(now: Heard) -> str:
    """Why nothing is known of Slurm's jobs at present."""
    since = f", last at {time.strftime('%H:%M', time.localtime(now.answered_at))}" if now.answered_at else ""
    return f"{now.problem or 'Slurm has not been asked'}{since}"
