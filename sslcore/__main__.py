"""The command line: `python -m sslcore --help` is the manual."""

import argparse
import logging
import os
import shlex
import signal
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from sslcore.config import OPTIONS, ConfigError, flatten, resolve
from sslcore.experiment import ACTIVE, RESUMABLE, Run, Store, slug
from sslcore.launch import ENGINES
from sslcore.methods import METHODS
from sslcore.notation import axes_of, axes_words, pairs, settings_of, settings_words

PROGRAM = "python -m sslcore"
MANUAL = """\
Train MoCo, SimCLR and BYOL on your images and keep what they learn as folders.

An experiment is a question and its runs; a run is one training with one config and one seed. Both are folders
under the store: experiments/ by default, or --root DIR, or the environment variable TRIPTYCH_EXPERIMENTS.
Downloaded and decoded data sets lie in TRIPTYCH_DATA (~/.cache/triptych).
"""
EXAMPLES = """\
examples:
  {p} launch photos --wait                                   the default comparison, with progress and a table
  {p} launch photos --vary method=simclr                     SimCLR alone
  {p} launch photos --vary batch_size=64,256 seed=0,1,2      a grid: every combination, each method
  {p} launch photos --set dataset=~/pictures image_size=64   your own images
  {p} launch my.yaml --name night --set epochs=200           a preset of your own
  {p} status night                                           how far its runs are
  {p} stop night/byol-bs256-s0                               with a checkpoint, to be resumed later
  {p} resume night                                           whatever was stopped, interrupted or failed
  {p} launch photos --engine slurm                           on a cluster; how it asks for nodes: {p} slurm
  {p} export night night.zip                                 to a teammate, who runs: {p} import night.zip
  {p} profile --set method=byol                              where a training step's time goes
  {p} options                                                everything that --set and --vary can change

"{p} COMMAND --help" tells more about a command. Exit codes: 0 done, 1 a run failed or did not finish,
2 bad input (nothing was started), 75 a run in the foreground was stopped and kept a checkpoint.
"""


def found_anywhere(named: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, or axes, whose data sets are named so that they are found from any folder."""
    from sslcore import datasets

    def absolute(value: Any) -> Any:
        if isinstance(value, list):
            return [absolute(one) for one in value]
        return datasets.canonical(value) if isinstance(value, str) and value else value

    return {name: absolute(value) if name == "dataset" else value for name, value in named.items()}


# -- Commands: each takes the parsed arguments and returns an exit code ------------


def launch(args: argparse.Namespace) -> int:
    from sslcore import launch, plan, progress

    settings, axes = found_anywhere(settings_of(args.set)), found_anywhere(axes_of(args.vary))
    if both := set(settings) & set(axes):
        raise ConfigError(dict.fromkeys(sorted(both), "given to --set and to --vary; it can be fixed or varied"))
    spec = plan.read(args.preset)
    own = {method: found_anywhere(flatten(settings)) for method, settings in spec.by_method.items()}
    spec = spec.model_copy(update={"base": found_anywhere(flatten(spec.base)), "by_method": own, "axes": found_anywhere(spec.axes)})
    spec = plan.change(spec, settings, axes)
    planned = plan.plan(spec)
    if planned.problems:
        raise ConfigError(planned.problems)
    if not planned.configs:
        raise ValueError(f"{args.preset}: there is no run in it; an axis without values?")
    for warning in planned.warnings:
        print(f"warning: {warning}", file=sys.stderr)

    store = Store(args.root)
    if args.name is not None and not slug(args.name):
        raise ConfigError({"--name": f"{args.name!r} has no letter or digit that a folder could be called by"})
    spec = spec.model_copy(update={"title": args.title or args.name or spec.title, "command": again(args, settings, axes)})
    while True:
        name = slug(args.name) if args.name is not None else store.free_name(Path(args.preset).stem)
        try:
            experiment = launch.launch(store, name, spec, planned.configs, args.engine)
            break
        except FileExistsError:
            if args.name is not None:  # else somebody else got the free name at this moment
                raise
    out = progress.console()
    count = len(planned.configs)
    out.print(f"{count} {'run' if count == 1 else 'runs'} queued in {experiment.path}", soft_wrap=True)
    root = f" --root {shlex.quote(args.root)}" if args.root else ""
    if not args.wait:
        out.print(f"watch: {PROGRAM} status {name}{root}   or in the browser: make app", soft_wrap=True)
        return 0
    try:
        finished = progress.wait(experiment, out)
    except KeyboardInterrupt:
        print(f"\nThe runs go on. Look: {PROGRAM} status {name}{root}   Stop: {PROGRAM} stop {name}{root}", file=sys.stderr)
        return 130
    if not (runs := experiment.runs()):
        raise RuntimeError(f"{experiment.path} was deleted before its runs had finished")
    out.print(progress.results(runs))
    out.print(f"Everything is in {experiment.path}; see it in the browser: make app", soft_wrap=True)
    return 0 if finished else 1


def again(args: argparse.Namespace, settings: dict[str, Any], axes: dict[str, list[Any]]) -> str:
    """The shell command that makes the same experiment again, from any folder."""
    from sslcore import plan

    preset = args.preset if args.preset in plan.presets() else str(Path(args.preset).resolve())
    words = [*PROGRAM.split(), "launch", preset]
    words += [word for flag in ("name", "title") if getattr(args, flag) for word in (f"--{flag}", getattr(args, flag))]
    words += ["--set", *settings_words(settings)] if settings else []
    words += ["--vary", *axes_words(axes)] if axes else []
    words += ["--engine", args.engine] if args.engine != "local" else []
    return shlex.join(words)


def train(args: argparse.Namespace) -> int:
    from sslcore import worker

    run = Run(Path(args.run_folder).resolve())
    run.config  # noqa: B018  raises where it is no run
    return worker.main(run)


def status(args: argparse.Namespace) -> int:
    from rich.table import Table

    from sslcore import launch, progress
    from sslcore.analysis.summary import run_rows
    from sslcore.launch.slurm import heard, record

    store = Store(args.root)
    if not launch.agent_alive(store):
        record.look_once(store)
    table = Table()
    if args.name is not None:
        for name in ("run", "where it stands", "linear", "kNN"):
            table.add_column(name, overflow="fold")
        runs = store.find(args.name)
        for run, row in zip(runs, run_rows(runs)):
            numbers = [row["linear"], row["knn"]]
            where = run.status()
            share = f" ({100 * where.progress:.0f} %)" if where.state == "running" else ""
            table.add_row(
                run.name, progress.in_words(run, where) + share, *["–" if n is None else f"{100 * n:.1f} %" for n in numbers]
            )
    else:
        for name in ("experiment", "title", "runs"):
            table.add_column(name, overflow="fold")
        for experiment in store.experiments():
            table.add_row(experiment.name, experiment.spec().title, progress.states(experiment.runs()))
    out = progress.console()
    if table.row_count:
        out.print(table)
    else:
        out.print(f"no experiments in {store.root}; {PROGRAM} launch photos --wait makes the first", soft_wrap=True)
    active = [status for run in store.runs() if (status := run.status()).state in ACTIVE]
    if any(status.engine == "slurm" for status in active) and heard.stale(said := heard.last(store)):
        out.print(f"What Slurm does is not known: {heard.unknown(said)}", soft_wrap=True)
    if any(status.state == "queued" and status.engine != "slurm" for status in active) and not launch.agent_alive(store):
        out.print(f"Runs are queued and no agent is at work: {PROGRAM} agent, or resume one of them.", soft_wrap=True)
    for slot in launch.slots(store):
        if slot.run_id:
            out.print(f"{slot.label}: {slot.run_id}", soft_wrap=True)
    return 0


def chosen(args: argparse.Namespace, suits: Callable[[str], bool], otherwise: str) -> list[Run]:
    """The named runs (all, where none is named) in a suitable state. Raises ValueError where there are none."""
    store = Store(args.root)
    runs = [run for name in args.names for run in store.find(name)] if args.names else store.runs()
    fitting = [run for run in runs if suits(run.status().state)]
    if not fitting:
        states = ", ".join(f"{run.id} is {run.status().state}" for run in runs[:3]) or f"no runs in {store.root}"
        raise ValueError(f"{otherwise}: {states}{', ...' if len(runs) > 3 else ''}")
    return fitting


def stop(args: argparse.Namespace) -> int:
    from sslcore import launch

    runs = chosen(args, lambda state: state in ACTIVE, "nothing to stop")
    for run in sorted(runs, key=lambda run: run.status().state != "queued"):  # else the next would start as one ends
        try:
            launch.stop(run)
        except ValueError as error:
            print(error)  # it ended meanwhile
        else:
            print(f"{run.id}: {'stopped' if run.status().state == 'stopped' else 'stopping, once it has kept a checkpoint'}")
    return 0


def resume(args: argparse.Namespace) -> int:
    from sslcore import launch

    runs = chosen(args, lambda state: state in RESUMABLE or state == "queued", "nothing to resume")
    for run in runs:
        run.check_goes_on()
    for run in runs:
        launch.resume(run, args.engine)
        print(f"{run.id}: queued")
    return 0


def complete(args: argparse.Namespace) -> int:
    from sslcore import launch, plan

    experiment = Store(args.root).whole(args.name, "an experiment is completed as a whole; a single run can be resumed")
    if args.add:
        plan.grow(experiment, axes_of(args.add, "--add"))
    queued = launch.complete(experiment, engine=args.engine)
    for run in queued:
        print(f"{run.id}: queued")
    if not queued:
        print(f"{experiment.name} lacks no run of its grid")
    return 0


def evaluate(args: argparse.Namespace) -> int:
    from sslcore import datasets, weights, worker

    runs, code = chosen(args, lambda state: state == "finished", "only finished runs can be evaluated again"), 0
    for run in runs:
        weights.check(run)
        datasets.info(run.config.dataset)  # raises where it is gone
    for number, run in enumerate(runs, start=1):
        print(f"{run.id}: evaluating, run {number} of {len(runs)}", flush=True)
        code = max(code, worker.main(run, evaluate_only=True))
        if code == worker.STOPPED:
            break
    return code


def transfer(args: argparse.Namespace) -> int:
    from sslcore.evaluate import transfer

    said = ""

    def report(what: str, share: float) -> None:
        nonlocal said
        words = f"{what} {int(share * 10) * 10} %"
        if words != said:
            print(said := words, flush=True)

    runs = chosen(args, lambda state: state == "finished", "only the encoders of finished runs can be transferred")
    for number, run in enumerate(runs, start=1):
        print(f"probing {run.id}, run {number} of {len(runs)}", flush=True)
        measured = transfer.transfer(run, transfer.labelled(args.to, run.config.image_size, report))
        transfer.keep(run, args.to, measured)
        numbers = measured["linear"]["accuracy"], measured["knn"]["accuracy"], measured["random_encoder"]["linear"]
        print("{}: linear {:.1%}, kNN {:.1%}; untrained encoder, linear {:.1%}".format(run.id, *numbers), flush=True)
    return 0


def agent(args: argparse.Namespace) -> int:
    from sslcore.launch.agent import IDLE_SECONDS, Agent

    if args.idle is not None and not args.idle >= 0:
        raise ValueError(f"--idle {args.idle}: give seconds, 0 or more (inf: stay)")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        Agent(Store(args.root), idle_seconds=IDLE_SECONDS if args.idle is None else args.idle).serve()
    except KeyboardInterrupt:
        print("\nThe agent leaves; what it started goes on, and the next agent takes it up.", file=sys.stderr)
        return 130
    return 0


def slurm(args: argparse.Namespace) -> int:
    from sslcore.launch.slurm import client, settings

    store = Store(args.root)
    if args.set:
        settings.keep(store, pairs(args.set, "--set"))
    print(settings.in_yaml(settings.read(store)), end="")
    print(f"# {'from' if settings.file(store).exists() else 'the defaults; --set writes'} {settings.file(store)}")
    print(f"# {client.missing() or 'Slurm is there'}")
    return 0


def export(args: argparse.Namespace) -> int:
    from sslcore import archive

    experiment = Store(args.root).whole(args.experiment, "an experiment is exported as a whole; name it without the run")
    archive.export(experiment, Path(args.file), args.checkpoints)
    print(f"{args.file}: {archive.look(args.file).in_words()}")
    return 0


def import_(args: argparse.Namespace) -> int:
    from sslcore import archive

    inside = archive.look(args.file)
    print(inside.in_words())
    if args.look:
        for run in inside.runs:
            print(f"  {run.name}  {run.method}, {run.state}")
        return 0
    experiment = archive.bring_in(Store(args.root), args.file)
    print(f"imported as {experiment.name} into {experiment.path.parent}")
    return 0


def views(args: argparse.Namespace) -> int:
    config = resolve(settings_of(args.set))
    from sslcore import preview

    preview.write_strip(config, Path(args.out))
    return 0


def profile(args: argparse.Namespace) -> int:
    if args.steps < 1:
        raise ValueError("--steps: at least 1")
    settings = settings_of(args.set)
    if args.run:
        run, *others = Store(args.root).find(args.run)
        if others:
            raise ValueError(f"{args.run}: several runs; name one, as {run.id}")
        settings = run.config.flat() | settings
    config = resolve(settings)
    from sslcore import profiling

    print(profiling.report(config, args.steps, None if args.trace is None else Path(args.trace)))
    return 0


def presets(args: argparse.Namespace) -> int:
    from sslcore import plan

    for name, path in plan.presets().items():
        spec = plan.read(name)
        runs = len(plan.plan(spec).configs)
        print(f"{name:<16} {spec.title}{f': {spec.question}' if spec.question else ''} ({runs} runs; {path})")
    return 0


def options(args: argparse.Namespace) -> int:
    for name, field in OPTIONS.items():
        default = "empty" if field.default is None else field.default
        print(f"{name}  ({kind_of(name, field)}; default {default})\n    {field.description}")
    print("\nDefaults that a method or a data set brings along come before these; --set and --vary come before all.")
    return 0


def kind_of(name: str, field: FieldInfo) -> str:
    """An option's type and bounds in words, such as "int >= 1"."""
    if name == "method":
        return " | ".join(METHODS)
    members = [m for m in typing.get_args(field.annotation) if m is not type(None)] or [field.annotation]
    if typing.get_origin(field.annotation) is typing.Literal:
        return " | ".join(map(str, members))
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    bounds = [f"{sign} {getattr(limit, key)}" for limit in field.metadata for key, sign in signs.items() if hasattr(limit, key)]
    words = [f"{members[0].__name__} {' and '.join(bounds)}".strip()]
    return " or ".join(words + ["empty"] * (type(None) in typing.get_args(field.annotation)))


# -- The parser ------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> typing.NoReturn:
        program = " ".join(self.prog.split()[: len(PROGRAM.split())])  # without the command
        self.exit(2, f"{program}: error: {' '.join(message.split())}\n")


def quiet_in_pipes(do: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """The command, which ends quietly where nobody reads on, as in `options | head`."""

    def command(args: argparse.Namespace) -> int:
        try:
            code = do(args)
            sys.stdout.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left goes nowhere
            return 128 + signal.SIGPIPE
        return code

    return command


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(add_help=False)
    root.add_argument("--root", metavar="DIR", default=argparse.SUPPRESS, help="the store (default: $TRIPTYCH_EXPERIMENTS, else experiments/)")
    style = {"formatter_class": argparse.RawDescriptionHelpFormatter, "parents": [root]}
    main = Parser(prog=PROGRAM, description=MANUAL, epilog=EXAMPLES.format(p=PROGRAM), **style)
    commands = main.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(do: Callable[[argparse.Namespace], int], summary: str, more: str = "") -> argparse.ArgumentParser:
        sub = commands.add_parser(do.__name__.rstrip("_"), help=summary, description=f"{summary[0].upper()}{summary[1:]}.\n\n{more}".strip(), **style)
        sub.set_defaults(do=quiet_in_pipes(do))
        return sub

    settable = {"nargs": "+", "action": "extend", "default": [], "metavar": "KEY=VALUE"}
    sub = command(
        launch,
        "make an experiment from a preset and queue its runs",
        f'The runs are trained one after another (on several GPUs: side by side) by a detached agent; closing the\nterminal does not stop them. "{PROGRAM} presets" and "{PROGRAM} options" list what there is.\n'
        "--set and --vary replace what the preset says: --vary method=simclr runs SimCLR alone. Values are YAML.",
    )
    sub.add_argument("preset", metavar="PRESET|FILE.yaml", help="a preset's name, or a YAML file with the keys of experiment.json")
    sub.add_argument("--name", help="the experiment's folder (default: the preset's name, numbered where it is taken)")
    sub.add_argument("--title", help="its title on the screen")
    sub.add_argument("--set", help="fix settings: --set epochs=50 head.dim=64", **settable)
    sub.add_argument("--vary", help="vary settings, every combination a run: --vary batch_size=64,256 seed=0,1", **(settable | {"metavar": "KEY=A,B,C"}))
    sub.add_argument("--engine", choices=ENGINES, default="local", help="what trains them: this machine (local, the default) or Slurm, see \"slurm\"")
    sub.add_argument("--wait", action="store_true", help="show progress until all runs have ended, then a table of results")

    sub = command(
        train,
        "train one run in the foreground, or go on from its checkpoint",
        "What every launcher starts. SIGTERM keeps a checkpoint and ends with exit code 75. With devices=N it starts\ntorchrun, in a Slurm job of several nodes on each of them, and records how the N processes end.",
    )
    sub.add_argument("run_folder", metavar="RUN_FOLDER")

    name = "EXPERIMENT[/RUN]"
    sub = command(status, "list the experiments, or the runs of one and how far they are")
    sub.add_argument("name", metavar=name, nargs="?")
    sub = command(
        stop,
        "stop queued and running runs, with a checkpoint to resume from",
        "A run that has not ended after a grace time (30 s, or $TRIPTYCH_STOP_GRACE seconds of the agent) is killed.",
    )
    sub.add_argument("names", metavar=name, nargs="+")
    sub = command(resume, "queue runs again that were stopped, interrupted or failed", "They go on from their checkpoint.")
    sub.add_argument("names", metavar=name, nargs="+")
    sub.add_argument("--engine", choices=ENGINES, help="what trains them from now on (default: what did so before)")
    sub = command(
        complete,
        "queue the runs of an experiment's grid that have no result",
        "Runs that were never made are made; stopped, interrupted and failed ones go on. With --add the grid grows first.",
    )
    sub.add_argument("name", metavar="EXPERIMENT")
    sub.add_argument("--engine", choices=ENGINES, help="what trains them (default: Slurm where it trained one of them, else this machine)")
    sub.add_argument("--add", help="more values for an axis: --add batch_size=32,512 seed=2", **(settable | {"metavar": "KEY=A,B,C"}))
    sub = command(evaluate, "probe finished runs again, in the foreground (default: all that have finished)")
    sub.add_argument("names", metavar=name, nargs="*")
    sub = command(transfer, "probe the encoders of finished runs on another data set, in the foreground", "The result is kept in each run's results.json.")
    sub.add_argument("names", metavar=name, nargs="+")
    sub.add_argument("--to", metavar="DATASET", required=True, help="name or path of the data set to probe on")
    sub = command(
        agent,
        "work on the store's queue in the foreground",
        "launch and resume start a detached agent by themselves; this is for looking at what one does. Ctrl-C does\nnot stop the runs.",
    )
    sub.add_argument("--idle", metavar="SECONDS", type=float, help="leave after so long without work (default 20; inf: stay)")
    sub = command(
        slurm,
        "show, or change, how this store's runs are queued on a cluster",
        f'"{PROGRAM} launch PRESET --engine slurm" makes a grid one job array. What is not set is left to the cluster.\n'
        "A run that is preempted, or whose time is up, keeps a checkpoint and is queued again by itself; status, stop,\n"
        "resume and complete work as they do on one machine. The settings are kept in the store's slurm.yaml.",
    )
    sub.add_argument("--set", help="--set partition=gpu time=8:00:00 gpu_type=a100 extra='[--constraint=nvlink]' set_up='module load cuda'", **settable)
    sub = command(
        export,
        "write an experiment to one zip file, to be sent and imported elsewhere",
        "Without --checkpoints the weights stay behind: the screen shows the same, and nothing can be resumed.",
    )
    sub.add_argument("experiment", metavar="EXPERIMENT")
    sub.add_argument("file", metavar="FILE.zip")
    sub.add_argument("--checkpoints", action="store_true", help="include the weights: checkpoint.pt and encoder.safetensors")
    sub = command(
        import_,
        "add the experiment in a zip file to the store, under a free name",
        "Every file inside is checked, and nothing is unpickled; what is no experiment's is refused whole.",
    )
    sub.add_argument("file", metavar="FILE.zip")
    sub.add_argument("--look", action="store_true", help="only say what is inside")
    sub = command(views, "draw what the network sees: images, each beside random views of it")
    sub.add_argument("--out", metavar="FILE.webp", required=True)
    sub.add_argument("--set", help="settings such as dataset=digits augment.blur=0.5", **settable)
    sub = command(
        profile,
        "show where the time of a training step goes",
        "Trains a few steps with the settings of a run, or the defaults, and --set; nothing is kept and no run is changed.",
    )
    sub.add_argument("run", metavar="EXPERIMENT/RUN", nargs="?")
    sub.add_argument("--set", help="settings such as method=byol encoder=resnet18", **settable)
    sub.add_argument("--steps", type=int, default=5, help="how many are measured, after some to warm up (default 5)")
    sub.add_argument("--trace", metavar="FILE.json", help="keep a trace, which chrome://tracing and Perfetto draw")
    command(presets, "list the presets that come with Triptych")
    command(options, "list every setting: type, bounds, default, meaning")
    return main


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    args.root = getattr(args, "root", None)
    try:
        return args.do(args)
    except ConfigError as error:
        lines = [f"{name}: {what}" for name, what in error.problems.items()]
    except (ValueError, OSError) as error:
        lines = [str(error)]
    except RuntimeError as error:
        print(f"{PROGRAM}: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130
    for line in lines:
        print(f"{PROGRAM}: error: {' '.join(line.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    if sys.stdout:  # there is none where it was closed
        sys.stdout.reconfigure(errors="replace")  # a terminal that lacks a letter of a title shows ? for it
    code = main()
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    os._exit(code)  # without the second that torch takes to be torn down, for which a finished run would keep its slot
