"""What the commands of `python -m sslcore` do: each takes the parsed arguments and returns an exit code.

Imports stand inside the commands, so that `status` does not wait for what only `launch` needs.
"""

import argparse
import json
import logging
import shlex
import sys
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from sslcore.config import OPTIONS, ConfigError, RunConfig, flatten, is_anothers, resolve
from sslcore.cores import limit_threads
from sslcore.experiment import Run, Spec, Store
from sslcore.files import is_utf8
from sslcore.methods import METHODS
from sslcore.naming import folder_name
from sslcore.notation import axes_of, launch_words, option_words, pairs, settings_of
from sslcore.shape import shape
from sslcore.status import ACTIVE, RESUMABLE
from sslcore.wording import count, in_bytes

PROGRAM = "python -m sslcore"


def launch(args: argparse.Namespace) -> int:
    from sslcore import launch, progress

    settings, axes = found_anywhere(settings_of(args.set)), found_anywhere(axes_of(args.vary))
    spec, configs, warnings = asked(args.preset, settings, axes)
    store = Store(args.root)
    if args.name is not None and not folder_name(args.name):
        raise ConfigError(
            {
                "--name": f"nothing of {args.name!r} can be in a folder's name, which here has ASCII letters, digits, dots, "
                "dashes and underscores; --title takes any letters"
            }
        )
    if args.title and not is_utf8(args.title):
        raise ConfigError({"--title": "it is not UTF-8, in which files are written"})
    title = (args.title or "").strip() or own_title(args.preset, spec) or args.name or spec.title
    spec = spec.model_copy(update={"title": title})
    while True:
        name = folder_name(args.name) if args.name is not None else store.free_name(Path(args.preset).stem)
        spec = spec.model_copy(update={"command": again(args, name, spec, settings, axes)})
        try:
            experiment = launch.launch(store, name, spec, configs, args.engine)
            break
        except FileExistsError:
            if args.name is not None:  # else somebody else got the free name at this moment
                raise
    for warning in warnings:
        print(f"warning: {warning}", file=sys.stderr)
    out = progress.console()
    out.print(f"{count(len(configs), 'run')} queued in {experiment.path}", soft_wrap=True)
    root = root_words(args)
    browser = f"python -m dashboard{root}" if root else "make app"  # which opens the store that no --root names
    if not args.wait:
        out.print(f"watch: {PROGRAM} status {name}{root}   or in the browser: {browser}", soft_wrap=True)
        return 0
    try:
        finished = progress.wait(experiment, out)
    except KeyboardInterrupt:
        print(f"\nThe runs go on. Look: {PROGRAM} status {name}{root}   Stop: {PROGRAM} stop {name}{root}", file=sys.stderr)
        return 130
    if not (runs := experiment.runs()):
        raise RuntimeError(f"{experiment.path} was deleted before its runs had finished")
    out.print(progress.results(runs))
    progress.say_warnings({run.name: run.status() for run in runs}, out)
    out.print(f"Everything is in {experiment.path}; see it in the browser: {browser}", soft_wrap=True)
    return 0 if finished else 1


def root_words(args: argparse.Namespace) -> str:
    """What a command that is told must end with, so that it finds the store."""
    return f" {shlex.join(option_words('--root', args.root))}" if args.root else ""


def asked(
    preset: str, settings: Mapping[str, Any], axes: Mapping[str, list[Any]]
) -> tuple[Spec, dict[str, RunConfig], list[str]]:
    """The experiment of a preset, with what --set and --vary change; its runs; warnings. Raises ValueError if none can start."""
    from sslcore import plan

    if both := set(settings) & set(axes):
        raise ConfigError(dict.fromkeys(sorted(both), "given to --set and to --vary; it can be fixed or varied"))
    spec = plan.read(preset)
    own = {method: found_anywhere(flatten(settings)) for method, settings in spec.by_method.items()}
    spec = spec.model_copy(
        update={"base": found_anywhere(flatten(spec.base)), "by_method": own, "axes": found_anywhere(spec.axes)}
    )
    spec = plan.change(spec, settings, axes)
    planned = plan.plan(spec)
    if planned.problems:
        raise ConfigError(planned.problems)
    methods = {config.method for config in planned.configs.values()}
    idle = [name for name in flatten(settings) if all(is_anothers(name, method) for method in methods)]
    whose = {name: METHODS[name.partition(".")[0]].title for name in idle}
    said = [f"{name} is set, and no run is {title}'s: it makes no difference" for name, title in whose.items()]
    return spec, planned.configs, planned.warnings + said


def own_title(preset: str, spec: Spec) -> str:
    """The title that a file of the reader's own gives; "" where it gives none, or is a preset."""
    from sslcore import plan

    return spec.title if preset not in plan.presets() and spec.title != Path(preset).stem else ""


def again(args: argparse.Namespace, name: str, spec: Spec, settings: dict[str, Any], axes: dict[str, list[Any]]) -> str:
    """The shell command that makes the same experiment again, wherever it runs, under the name that it got."""
    from sslcore import plan

    if args.preset in plan.presets():
        return shlex.join([*PROGRAM.split(), *launch_words(args.preset, name, spec.title, settings, axes, args.engine)])
    words = launch_words(f"{name}.yaml", name, spec.title, {}, {}, args.engine)
    return plan.with_file(spec, name, shlex.join([*PROGRAM.split(), *words]))


def found_anywhere(named: Mapping[str, Any]) -> dict[str, Any]:
    """Settings, or axes, whose data sets are named so that they are found from any folder."""
    from sslcore import datasets

    def absolute(value: Any) -> Any:
        if isinstance(value, list):
            return [absolute(one) for one in value]
        return datasets.canonical(value) if isinstance(value, str) and value else value

    return {name: absolute(value) if name == "dataset" else value for name, value in named.items()}


def train(args: argparse.Namespace) -> int:
    from sslcore import worker

    folder, store = Path(args.run_folder), Store(args.root)
    if len(folder.parts) == 1 and not folder.exists() and store.experiment(folder.name).exists():
        names = [f"{folder.name}/{run.name}" for run in store.experiment(folder.name).runs()]
        raise ValueError(f"{folder.name} is an experiment; name one of its runs: {', '.join(names) or 'it has none'}")
    of_store = len(folder.parts) == 2 and not folder.exists()
    run = store.find(args.run_folder)[0] if of_store else Run(folder.resolve())
    run.config  # noqa: B018  raises where it is no run
    return worker.main(run)


def status(args: argparse.Namespace) -> int:
    from sslcore import launch, progress, standing
    from sslcore.launch.slurm import record

    store, out, root = Store(args.root), progress.console(), root_words(args)
    store.check_place()
    if not launch.agent_alive(store):
        record.look_once(store)
    if args.name is None:
        standing.tell_experiments(store, out, root)
    else:
        standing.tell_runs(store.find(args.name), out, whole="/" not in args.name)
    standing.tell_queue(store, out, root)
    standing.tell_devices(store, out)
    return 0


def chosen(args: argparse.Namespace, suitable: Collection[str], otherwise: str) -> list[Run]:
    """The named runs (all, where none is named) in a suitable state. Raises ValueError where there are none."""
    store = Store(args.root)
    named = [run for name in args.names for run in store.find(name)] if args.names else store.runs()
    runs = list({run.path: run for run in named}.values())  # each once
    fitting = [run for run in runs if run.status().state in suitable]
    if not fitting:
        states = ", ".join(f"{run.id} is {run.status().state}" for run in runs[:3]) or f"no runs in {store.root}"
        raise ValueError(f"{otherwise}: {states}{', ...' if len(runs) > 3 else ''}")
    return fitting


def stop(args: argparse.Namespace) -> int:
    from sslcore import launch
    from sslcore.launch.slurm.client import Unanswered

    runs, code, unanswered, alone = chosen(args, ACTIVE, "nothing to stop"), 0, None, None
    for run in sorted(runs, key=lambda run: run.status().state != "queued"):  # else the next would start as one ends
        status = run.status()
        if unanswered and status.state == "queued" and status.engine == "slurm":
            continue
        try:
            launch.stop(run)
        except Unanswered as error:  # those that train can be stopped all the same
            unanswered = error
        except launch.NoAgent as error:  # it was asked all the same, and so are the others
            print(f"{run.id}: asked to stop")
            alone = error
        except OSError as error:  # such as of a colleague's run
            print(f"{run.id} cannot be stopped: {error}", file=sys.stderr)
            code = 1
        except ValueError as error:
            refused = run.status().state in ACTIVE  # else it ended meanwhile
            print(error, file=sys.stderr if refused else sys.stdout)
            code = max(code, int(refused))
        else:
            print(f"{run.id}: {'stopped' if run.status().state == 'stopped' else 'stopping, once it has kept a checkpoint'}")
    if unanswered:
        raise RuntimeError(f"{unanswered}. Its jobs that wait cannot be taken out now; stop them when it does")
    if alone:
        raise RuntimeError(f"runs were asked to stop, and what does not do so is not ended by force: {alone}")
    return code


def resume(args: argparse.Namespace) -> int:
    from sslcore import launch

    runs = chosen(args, (*RESUMABLE, "queued"), "nothing to resume")
    at_once: dict[Path, list[Run]] = {}  # what Slurm trains of an experiment as one array, anything else one by one
    for run in runs:
        launch.check_resumable(run, args.engine)
        status = run.status()
        by_slurm = status.state != "queued" and (args.engine or launch.trained_by(status)) == "slurm"
        at_once.setdefault(run.experiment.path if by_slurm else run.path, []).append(run)
    denied, alone, queued = None, None, 0
    batches = list(at_once.values())
    for some in batches:
        anew = {run for run in some if not run.has_checkpoint() and run.metrics()}
        try:
            launch.resume_as_array(some) if len(some) > 1 else launch.resume(some[0], args.engine)
        except launch.NoAgent as error:  # they are queued all the same, and so are the others
            alone = error
        except (OSError, ValueError) as error:
            if len(some) > 1:  # because of one of them, perhaps
                batches += [[run] for run in some]
                continue
            if isinstance(error, ValueError) and (state := some[0].status().state) in ("running", "finished"):
                print(f"{some[0].id}: {state} already")  # since an agent is at work again
                continue
            if len(runs) > 1:  # such as a colleague's, or one that is still in Slurm, among others
                print(f"{some[0].id} cannot be resumed: {error}", file=sys.stderr)
            denied = error
            continue
        queued += len(some)
        for run in some:
            print(f"{run.id}: queued{' to begin anew: it has no checkpoint' if run in anew else ''}")
    if alone or (denied and not queued):
        raise alone or denied
    return int(bool(denied))


def complete(args: argparse.Namespace) -> int:
    from sslcore import launch, plan
    from sslcore.launch.slurm import jobs

    experiment = Store(args.root).whole(args.name, "an experiment is completed as a whole; a single run can be resumed")
    engine = args.engine or launch.engine_of(experiment)
    if engine == "slurm" and args.add:
        jobs.check(experiment.store)  # before the grid grows
    if args.add:
        more = found_anywhere(axes_of(args.add, "--add"))
        if not plan.covers(experiment.read_spec(), more):  # as it does where an earlier try has let it grow
            plan.grow(experiment, more)
    queued = launch.complete(experiment, engine=engine)
    for run in queued:
        print(f"{run.id}: queued")
    if not queued:
        print(f"{experiment.name} lacks no run of its grid")
    return 0


def evaluate(args: argparse.Namespace) -> int:
    from sslcore import datasets, weights, worker

    runs, code = chosen(args, ("finished",), "only finished runs can be evaluated again"), 0
    for run in list(runs):
        try:
            weights.check(run)
            datasets.info(run.config.dataset)
        except ValueError as error:
            if run.id in args.names or len(runs) == 1:
                raise
            print(f"left out: {error}", file=sys.stderr)
            runs.remove(run)
    for number, run in enumerate(runs, start=1):
        print(f"{run.id}: evaluating, run {number} of {len(runs)}", flush=True)
        code = max(code, worker.main(run, evaluate_only=True))
        if code == worker.STOPPED:
            break
    return code


def transfer(args: argparse.Namespace) -> int:
    runs = chosen(args, ("finished",), "only the encoders of finished runs can be transferred")
    limit_threads(runs[0].config.threads)
    from sslcore import weights
    from sslcore.datasets.source import each_tenth
    from sslcore.encoders import build_encoder
    from sslcore.evaluate import transfer

    report = each_tenth(partial(print, flush=True))
    for run in runs:  # a damaged one is told before any is probed
        weights.read(run, build_encoder(run.config.encoder, run.config.image_size))
    for number, run in enumerate(runs, start=1):
        data = transfer.labelled(args.to, run.config.image_size, report)
        print(f"probing {run.id}, run {number} of {len(runs)}", flush=True)
        measured = transfer.transfer(run, args.to, data)
        transfer.keep(run, args.to, measured)
        numbers = measured["linear"]["accuracy"], measured["knn"]["accuracy"], measured["random_encoder"]["linear"]
        print("{}: linear {:.1%}, kNN {:.1%}; untrained encoder, linear {:.1%}".format(run.id, *numbers), flush=True)
    return 0


def agent(args: argparse.Namespace) -> int:
    from sslcore.launch.agent import IDLE_SECONDS, Agent

    if args.idle is not None and not args.idle >= 0:
        raise ValueError(f"--idle {args.idle}: give seconds, 0 or more (inf: stay)")
    store = Store(args.root)
    store.make_place()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    try:
        Agent(store, idle_seconds=IDLE_SECONDS if args.idle is None else args.idle).serve()
    except KeyboardInterrupt:
        print("\nThe agent leaves; what it started goes on, and the next agent takes it up.", file=sys.stderr)
        return 130
    return 0


def slurm(args: argparse.Namespace) -> int:
    from sslcore.launch.slurm import client, settings

    store = Store(args.root)
    if args.set:
        store.check_place()
        settings.keep(store, pairs(args.set, "--set"))
    print(settings.in_yaml(settings.read(store)), end="")
    print(f"# {'from' if settings.file(store).exists() else 'the defaults; --set writes'} {settings.file(store)}")
    print(f"# {client.missing() or 'Slurm is there'}")
    return 0


def export(args: argparse.Namespace) -> int:
    from sslcore import archive

    experiment = Store(args.root).whole(args.experiment, "an experiment is exported as a whole; name it without the run")
    for damaged in archive.export(experiment, Path(args.file), args.checkpoints):
        print(f"warning: {damaged}", file=sys.stderr)
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
    store = Store(args.root)
    experiment = archive.bring_in(store, args.file)
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
    limit_threads(config.threads)
    from sslcore import profiling

    print(profiling.report(config, args.steps, None if args.trace is None else Path(args.trace)))
    return 0


def memory(args: argparse.Namespace) -> int:
    _, configs, _ = asked(args.preset, found_anywhere(settings_of(args.set)), found_anywhere(axes_of(args.vary)))
    from sslcore import footprint

    held = footprint.of_runs(configs)
    if args.json:
        print(json.dumps(held))
        return 0
    for name, n_bytes in held.items():
        print(f"{in_bytes(n_bytes):>9}  {name}")
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
        print(f"{name}  ({kind_of(name)}; default {default})\n    {field.description}")
    print("\nOver these defaults go a method's own, over them a data set's, then the preset's, then --set and --vary.")
    return 0


def kind_of(name: str) -> str:
    """An option's type and bounds in words, such as "int >= 1"."""
    option = shape(name)
    if option.choices:
        return " | ".join(option.choices)
    bounds = {">": option.above, ">=": option.low, "<=": option.high}
    said = " and ".join(f"{sign} {bound}" for sign, bound in bounds.items() if bound is not None)
    return f"{option.type.__name__} {said}".strip() + " or empty" * option.optional
