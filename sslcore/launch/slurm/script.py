"""The script that is submitted: what a run asks for, how it is trained, and what is read from a script later."""

import functools
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from sslcore.config import RunConfig
from sslcore.experiment import Experiment, Run
from sslcore.launch.process import TRAIN, python_path
from sslcore.launch.slurm.settings import EARLY_SECONDS, Settings
from sslcore.status import Status
from sslcore.worker import MADE_ROOM

SCRIPT = """\
#!/bin/bash
{options}

# One task a run. Slurm sends this shell USR1 shortly before the time is up, or when the job has to make room:
# the training keeps a checkpoint and exits with {made_room}, and the job is queued again, to go on from there.
# A run that does not hear of it until its time is up is queued again, too, if it has kept a checkpoint since it began.
runs=(
{names}
)
run={experiment}/${{runs[SLURM_ARRAY_TASK_ID]}}
# A shared file system may lag behind, and looks anew at a folder that is listed.
there() {{ [ -f "$run/config.json" ] && [ -f {path} ] && [ ! -L "$run/log.txt" ]; }}
for _ in 1 2 3; do there && break || {{ ls "$run" {home} >/dev/null 2>&1; sleep 1; }}; done
there || exit 0  # deleted meanwhile, never handed over as far as its sender knows, or a link to a file of somebody's
exec >>"$run/log.txt" 2>&1
rm -f "$run/.exit"  # of an earlier start
unset "${{!SQUEUE_@}}"  # by which users have answers filtered
export TRIPTYCH_JOB="${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID" TRIPTYCH_SCRIPT={name}
export OMP_NUM_THREADS="${{OMP_NUM_THREADS:-{cpus}}}"
{exports}
kept() {{ stat -c %i-%Y "$run/checkpoint.pt" 2>/dev/null; }}
before=$(kept) room= training=
time_up() {{  # it did not make room in time, and Slurm ends it
    if [ "$room" ] && [ ! -e "$run/.stop" ] && [ "$(kept)" != "$before" ] &&  # else it would get no further the next time
        [ "$(squeue --all --noheader --jobs="$TRIPTYCH_JOB" --format=%r)" = TimeLimit ]; then
        scontrol requeue "$TRIPTYCH_JOB" && room=
    fi
}}
trap 'room=1; [ -z "$training" ] || kill -USR1 "$training" 2>/dev/null' USR1
trap '[ -z "$training" ] || kill -TERM "$training" 2>/dev/null; time_up' TERM
# A preemption changes it.
TRIPTYCH_ENDS=$(SLURM_TIME_FORMAT=%s squeue --all --noheader --jobs="$TRIPTYCH_JOB" --format=%e 2>/dev/null)
export TRIPTYCH_ENDS TRIPTYCH_NOTICE={notice}
told() {{ printf '{{"code": %d, "job_id": "%s"}}\\n' "$1" "$TRIPTYCH_JOB" >"$run/.exit"; }}
trap 'told $?' EXIT  # the lines that follow may end this shell

{set_up}set +eu  # what the lines above may have set would end this shell where the training ends with another code than 0
trap - ERR
{train} "$run" &
training=$!
[ -z "$room" ] || kill -USR1 "$training"  # it came while the shell was being set up
while wait "$training"; [ $? -gt 128 ] && kill -0 "$training" 2>/dev/null; do :; done  # a signal ends the wait, too
wait "$training"
code=$?
told "$code"
if [ "$room" ] && [ "$code" -eq {made_room} -o "$code" -eq 138 ]; then  # 138: the signal came before anything had begun
    scontrol requeue "$TRIPTYCH_JOB"  # of an array's last task $SLURM_JOB_ID is the number of the whole array
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


def text(path: Path, runs: Sequence[Run], settings: Settings) -> str:
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
    exports = {"PYTHONPATH": python_path(), "TRIPTYCH_DATA": os.environ.get("TRIPTYCH_DATA")}
    return SCRIPT.format(
        options="\n".join([*lines, "#SBATCH --requeue", *(f"#SBATCH {line}" for line in settings.extra)]),
        names="\n".join(shlex.quote(run.name) for run in runs),
        experiment=shlex.quote(str(experiment.path)),
        path=shlex.quote(str(path)),
        home=shlex.quote(str(path.parent)),
        name=path.name,
        cpus=settings.cpus,
        notice=settings.notice + EARLY_SECONDS,
        exports="".join(f"export {name}={shlex.quote(value)}\n" for name, value in exports.items() if value),
        set_up=f"{settings.set_up.strip()}\n" if settings.set_up.strip() else "",
        train=shlex.join(TRAIN),
        made_room=MADE_ROOM,
    )


def _quoted(value: str) -> str:
    """A value for a line of #SBATCH."""
    if re.search(r"[\n\r\\]", value):
        raise ValueError(f"{value!r}: Slurm takes no path with a line break or a backslash in it")
    return value if re.fullmatch(r"[\w./:@,+=%-]+", value, re.ASCII) else '"' + value.replace('"', '\\"') + '"'


@functools.lru_cache(maxsize=1000)
def names(script: Path) -> tuple[str, ...]:
    """The names of the runs that a script trains, a task each. A script never changes. Raises OSError where it is not there."""
    inside = re.search(r"^runs=\(\n(.*?)^\)", script.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    if not inside:
        raise OSError(f"{script} names no runs")
    return tuple(shlex.split(inside[1]))


def tasks(script: Path) -> dict[int, str]:
    """The names of the runs that a script trains, by task.

    A file system that the nodes share may not show a script for a while, or no more: then the runs say which are its.
    """
    try:
        return dict(enumerate(names(script)))
    except OSError:
        said = [(run.name, run.recorded_status()) for run in Experiment(script.parents[1]).runs()]
        its = [(name, status.job_id or "") for name, status in said if status.script == script.name]
        return {int(task): name for name, id in its if (task := id.rpartition("_")[2]).isdecimal()}


def submitted(run: Run, status: Status) -> Path | None:
    """The script that a run was submitted with, where it is still there."""
    path = run.experiment.path / ".slurm" / Path(status.script or "").name
    return path if status.script and path.is_file() else None


def owned(run: Run, status: Status) -> bool:
    """Whether the run was submitted by this user. Of others' jobs nothing is concluded here."""
    return (submitted(run, status) or run.status_file).stat().st_uid == os.getuid()
