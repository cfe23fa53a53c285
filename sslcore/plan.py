"""From one question to its runs: presets, the grid, and what is wrong with it before anything starts."""

import difflib
import itertools
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sslcore import datasets
from sslcore.config import (
    COMPUTING,
    GROUPS,
    OPTIONS,
    ConfigError,
    RunConfig,
    check_names,
    first_problem,
    flatten,
    get,
    is_anothers,
    resolve,
)
from sslcore.experiment import SCHEMA_VERSION, Experiment, Spec
from sslcore.idle import twins
from sslcore.methods import METHODS
from sslcore.naming import LONGEST_NAME, slug
from sslcore.notation import axes_words, yaml_of
from sslcore.wording import count

PRESETS = Path(__file__).parent / "presets"
MAX_RUNS = 2000
LEFT_OUT = 0.05  # share of the training images that an epoch may leave out without a word
MEMORY = (  # of a run, as footprint.py counts it
    "What a training step holds at most on each device, counted from the shapes of its tensors in the precision that this "
    "machine would train in. On top come Python and PyTorch, on a CPU some 0.65 GB, and on a GPU CUDA's own and the images "
    "where they fit."
)
IN_EVERY_NAME = ("method", "batch_size", "seed")  # of a run, whether they are axes or not


def presets() -> dict[str, Path]:
    """The presets that come with Triptych, by name."""
    return {path.stem: path for path in sorted(PRESETS.glob("*.yaml"))}


def read(preset: str) -> Spec:
    """The experiment that a preset's name or a YAML file describes: experiment.json's keys, in YAML.

    Raises ValueError, in one line, where there is no such preset or the file cannot be understood.
    """
    path = presets().get(preset, Path(preset))
    try:
        if path.exists() and not path.is_file():  # a device would never end
            raise OSError
        content = yaml_of(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise ValueError(f"{preset}: neither a preset ({', '.join(presets())}) nor a readable YAML file") from None
    except ValueError as error:
        raise ValueError(f"{preset}: {error}") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"{preset}: expected settings such as 'base:' and 'axes:', found {type(content).__name__}")
    unknown = set(content) - set(Spec.model_fields)
    if unknown:
        raise ValueError(f"{preset}: unknown key {sorted(map(str, unknown))[0]!r}; known are {', '.join(Spec.model_fields)}")
    try:
        spec = Spec.model_validate({"title": path.stem, **content})
    except ValidationError as error:
        raise ValueError(f"{preset}: {first_problem(error)}") from None
    if spec.schema_version > SCHEMA_VERSION:
        raise ValueError(
            f"{preset}: schema_version: {spec.schema_version} is a newer Triptych's; this one reads up to {SCHEMA_VERSION}"
        )
    return spec


def in_yaml(spec: Spec) -> str:
    """A file that `read` takes: what describes the experiment, without how it came about."""
    keys = {"title", "question", "notes", "tags", "base", "by_method", "axes"}
    return yaml.safe_dump(
        spec.model_dump(include=keys, exclude_defaults=True), sort_keys=False, allow_unicode=True, width=math.inf
    )


def with_file(spec: Spec, name: str, command: str) -> str:
    """The shell command that launches `name`.yaml, with that file before it."""
    return f"cat > {name}.yaml <<'END'\n{in_yaml(spec)}END\n{command}"


def change(spec: Spec, settings: Mapping[str, Any], axes: Mapping[str, list[Any]]) -> Spec:
    """The spec with some settings fixed and some axes varied, in place of what it says of them.

    A group (`augment: {flip: 0}`, or `{}`) fixes these of its settings, and ends an axis of the group.
    """
    changed = {*axes, *(name for name in settings if name in GROUPS)}
    settings = flatten(settings)
    check_names(settings | named(axes))
    for name, values in axes.items():
        if not values:
            raise ConfigError({name: "no values to vary over"})
    changed |= settings.keys()
    return spec.model_copy(
        update={
            "base": {n: v for n, v in flatten(spec.base).items() if n not in axes} | settings,
            "by_method": {
                method: {n: v for n, v in flatten(own).items() if n not in changed} for method, own in spec.by_method.items()
            },
            "axes": {n: axes.get(n, v) for n, v in spec.axes.items() if n in axes or n not in changed} | dict(axes),
        }
    )


def named(axes: Mapping[str, list[Any]]) -> dict[str, Any]:
    """The settings that axes name, by themselves or, where an axis is a group, in its values."""
    found = [flatten({axis: value}) for axis, values in axes.items() for value in values if isinstance(value, Mapping)]
    return {name: value for of in found for name, value in of.items()} | {axis: None for axis in axes if axis not in GROUPS}


def extend(spec: Spec, axes: Mapping[str, list[Any]]) -> Spec:
    """The spec with more values on some axes: its grid grows, and every run that was in it stays.

    method, batch_size and seed can grow whether they vary already or not; of any other setting, runs have the value
    in their names only where it varies. Raises ConfigError.
    """
    before = plan(spec)
    grown = {}
    for axis, values in axes.items():
        if axis not in spec.axes and axis not in IN_EVERY_NAME:
            check_names(named({axis: values}))
            raise ConfigError(
                {axis: "does not vary in this experiment and cannot begin to; a copy of the experiment can vary it"}
            )
        had = _values(spec, axis, before)
        grown[axis] = [*had, *(value for value in values if value not in had)]
        if grown[axis] == had:
            raise ConfigError({axis: "no value that the experiment does not have already"})
    extended = spec.model_copy(update={"axes": spec.axes | grown})
    after = plan(extended)
    if after.problems:
        raise ConfigError(after.problems)
    if changed := [name for name, config in before.configs.items() if after.configs.get(name) != config]:
        raise ConfigError({"axes": f"{changed[0]} would become another run; a copy of the experiment can have these values"})
    return extended


def _values(spec: Spec, axis: str, planned: "Plan") -> list[Any]:
    """The values that an experiment has of an axis; of what does not vary, those of its runs."""
    return spec.axes.get(axis) or list(dict.fromkeys(get(config, axis) for config in planned.configs.values()))


def covers(spec: Spec, axes: Mapping[str, list[Any]]) -> bool:
    """Whether the grid has all of these values already."""
    planned = plan(spec)
    return all(
        values and (axis in spec.axes or axis in IN_EVERY_NAME) and all(value in _values(spec, axis, planned) for value in values)
        for axis, values in axes.items()
    )


@dataclass(frozen=True)
class Growth:
    """What a spec said of its grid before it grew, and what it said then."""

    before: Spec
    after: Spec

    def stands(self, experiment: Experiment) -> bool:
        """Whether the grid is as it has grown, and no run of what is new was made."""
        if experiment.spec().axes != self.after.axes:
            return False
        new = plan(self.after).configs.keys() - plan(self.before).configs.keys()
        return not any(experiment.run(name).exists() for name in new)


def grow(experiment: Experiment, axes: Mapping[str, list[Any]]) -> Growth:
    """`extend` an experiment's own spec. The runs that it then lacks are made by `launch.complete`.

    Raises ConfigError, and what `Experiment.editing` raises.
    """
    extend(experiment.read_spec(), axes)  # raises before a lock is made
    added = shlex.join(["python", "-m", "sslcore", "complete", experiment.name, "--add", *axes_words(axes)])
    with experiment.editing() as spec:
        before = spec.model_copy()
        spec.axes = extend(spec, axes).axes
        spec.command = f"{spec.command}\n{added}" if spec.command else None
    return Growth(before, spec)


def take_back(experiment: Experiment, growth: Growth) -> None:
    """Let the grid be what it was before. Raises ValueError where it no longer stands, and what `Experiment.editing` raises."""
    with experiment.editing() as spec:
        if not growth.stands(experiment):
            raise ValueError("the grid has changed since, or runs of what was added were made")
        spec.axes, spec.command = growth.before.axes, growth.before.command


@dataclass
class Plan:
    """The runs of a grid, what stands in their way, and what deserves a word."""

    configs: dict[str, RunConfig] = field(default_factory=dict)  # by run name
    problems: dict[str, str] = field(default_factory=dict)  # by setting; nothing may start while there are any
    warnings: list[str] = field(default_factory=list)


def plan(spec: Spec) -> Plan:
    """Every cell of the grid, resolved and checked against its data set. Makes no file."""
    result = Plan(problems={axis: "no values to vary over" for axis, values in spec.axes.items() if not values})
    grids = axes_by_method(spec)
    size = sum(math.prod(map(len, axes.values())) for axes in grids)
    if size > MAX_RUNS:
        result.problems["axes"] = f"{size} runs; at most {MAX_RUNS} are possible in one experiment"
        return result
    result.problems |= _wrong_by_method(spec)
    base = flatten(spec.base)
    first: dict[RunConfig, dict[str, Any]] = {}  # the first cell that has this config
    for cell in cells(spec):
        method, varied = _method(spec, cell), flatten(cell)
        own = {name: value for name, value in flatten(spec.by_method.get(method, {})).items() if name not in varied}
        try:
            config = resolve({**base, **own, **varied})
        except ConfigError as error:
            result.problems |= _whose(error.problems, method, own)
            continue
        problems, warnings = check(config)
        result.problems |= _whose(problems, method, own)
        result.warnings += [warning for warning in warnings if warning not in result.warnings]
        name = run_name(config, cell)
        if len(name) > LONGEST_NAME:
            result.problems["axes"] = (
                f"a run's folder would have a name of {len(name)} characters, {name[:40]}..., and {LONGEST_NAME} are possible; "
                f"vary fewer settings at once, or give them shorter values ({', '.join(cell)} are in it)"
            )
        if (twin := first.setdefault(config, cell)) is not cell:
            axis = next(a for a in cell if repr(cell[a]) != repr(twin[a]) or spec.axes[a].count(cell[a]) > 1)
            (words,) = axes_words({axis: [twin[axis], cell[axis]]})
            if axis in GROUPS and cell[axis] != twin[axis]:  # as without colour where images have none
                same = f"{words} are the same on {config.dataset}, and trained once"
                result.warnings += [same] * (same not in result.warnings)
                continue
            result.problems[axis] = f"a value is listed twice: {words} would train {name} two times; leave one out"
        elif name in result.configs:
            result.problems["axes"] = f"two runs would both be called {name}; do two data sets end in the same name?"
        result.configs[name] = config
    if size:
        _check_idle_axes(spec, grids, result)
    result.warnings += twins(result.configs)
    return result


def lacking(experiment: Experiment) -> dict[str, RunConfig]:
    """The planned runs that an experiment has not, be it under another name: where and how it was computed makes none another.

    Of an experiment that varies nothing and has runs, whatever they are, none is lacking. Raises ValueError where its
    experiment.json cannot be read.
    """
    spec, runs = experiment.read_spec(), experiment.runs()
    if runs and not spec.axes:
        return {}
    planned, names = plan(spec).configs, {run.name for run in runs}
    others = {_trains(config) for run in runs if run.name not in planned and (config := run.readable_config)}
    return {name: config for name, config in planned.items() if name not in names and _trains(config) not in others}


def _trains(config: RunConfig) -> RunConfig:
    return config.model_copy(update={name: OPTIONS[name].default for name in COMPUTING})


def _whose(problems: Mapping[str, str], method: str | None, own: Mapping[str, Any]) -> dict[str, str]:
    """The problems of a cell; those of its method's own settings (`own`) under by_method.METHOD.NAME, as the spec has them."""
    return {f"by_method.{method}.{name}" if name in own else name: what for name, what in problems.items()}


def _wrong_by_method(spec: Spec) -> dict[str, str]:
    """What is wrong with the names in `by_method`, by setting."""
    problems = {}
    for method, own in spec.by_method.items():
        if method not in METHODS:
            close = difflib.get_close_matches(method.lower(), METHODS, n=1)
            problems[f"by_method.{method}"] = f"there is no such method{f'; did you mean {close[0]}?' if close else ''}"
        for name in flatten(own):
            try:
                check_names([name])
            except ConfigError as error:
                meant = f"there is no such setting; did you mean {method}.{name}?" if f"{method}.{name}" in OPTIONS else None
                problems[f"by_method.{method}.{name}"] = meant or error.problems[name]
            if name == "method":
                problems[f"by_method.{method}.method"] = "a method's own settings cannot say which method it is"
    return problems


def _check_idle_axes(spec: Spec, grids: list[dict[str, list[Any]]], result: Plan) -> None:
    """Say which axes belong to a method that has no runs; their values are checked all the same."""
    for axis in spec.axes:
        if not any(axis in axes for axes in grids):
            owner = axis.partition(".")[0]
            result.warnings.append(f"{axis} varies, and no run is {METHODS[owner].title}'s: it makes no difference")
            for value in spec.axes[axis]:
                try:
                    resolve({"method": owner, **flatten({axis: value})})
                except ConfigError as error:
                    result.problems |= error.problems


def cells(spec: Spec) -> list[dict[str, Any]]:
    """The grid: each cell as {axis: value}, in the order of the axes' values.

    An axis of one method's own settings (`moco.queue_size`) multiplies that method's runs alone. An axis may also be
    the name of a group (`augment`), whose values are settings within it: `[{}, {flip: 0}, {jitter: 0, hue: 0}]`.
    """
    found = [dict(zip(axes, values)) for axes in axes_by_method(spec) for values in itertools.product(*axes.values())]
    places = {axis: {repr(value): place for place, value in enumerate(values)} for axis, values in spec.axes.items()}
    return sorted(found, key=lambda cell: [places[axis][repr(cell[axis])] if axis in cell else 0 for axis in spec.axes])


def axes_by_method(spec: Spec) -> list[dict[str, list[Any]]]:
    """The axes that the runs of each method have, in the order of the methods."""
    grids = []
    for method in spec.axes.get("method", [_method(spec, {})]):
        axes = {axis: values for axis, values in spec.axes.items() if not is_anothers(axis, method)}
        grids.append({axis: [method] if axis == "method" else values for axis, values in axes.items()})
    return grids


def _method(spec: Spec, cell: Mapping[str, Any]) -> str | None:
    method = cell.get("method", flatten(spec.base).get("method", RunConfig.model_fields["method"].default))
    return method if isinstance(method, str) else None


def run_name(config: RunConfig, cell: Mapping[str, Any]) -> str:
    """method-bsN-(other axes)-sSEED, such as byol-bs256-s0."""
    parts = [config.method, f"bs{config.batch_size}"]
    for name, value in cell.items():
        if name not in IN_EVERY_NAME:
            parts.append(_word(name, value))
    return "-".join([*parts, f"s{config.seed}"])


def _word(name: str, value: Any) -> str:
    """What a cell's value adds to the run's name."""
    if isinstance(value, Mapping):  # an axis of a group
        return "-".join(_word(inner, changed) for inner, changed in value.items()) or f"{name}-as-is"
    short = Path(value).name if name == "dataset" else value
    return slug(f"{name.rpartition('.')[2]}{short}")


def check(config: RunConfig) -> tuple[dict[str, str], list[str]]:
    """(problems by setting, warnings) of one config against its data set."""
    try:
        return suits(config, datasets.info(config.dataset))
    except ValueError as error:
        return {"dataset": str(error)}, []


def unprobed(info: datasets.Info) -> str:
    """Why nothing can be probed with a data set; empty where that can be."""
    if not info.classes or not info.test:
        return "it has no labels for training and test images, so nothing can be probed"
    if len(info.classes) < 2 or info.test < 2:
        return f"a probe needs two classes and two test images at least; it has {len(info.classes)} and {info.test}"
    return ""


def out_of_reach(info: datasets.Info, dataset: str) -> str:
    """What is to be said of test images whose class has no training image; empty where there are none."""
    if not info.untrained:
        return ""
    names = ", ".join(itertools.islice(info.untrained, 5)) + (", ..." if len(info.untrained) > 5 else "")
    lost = sum(info.untrained.values())
    return (
        f"{dataset} has no training image of {names}: {lost} of {info.test} test images cannot be got right, so that no "
        f"accuracy can be above {1 - lost / info.test:.1%}"
    )


def suits(config: RunConfig, info: datasets.Info) -> tuple[dict[str, str], list[str]]:
    """(problems by setting, warnings) of one config against what a data set has."""
    problems, warnings = {}, []
    if config.batch_size > info.train:
        problems["batch_size"] = (
            f"{config.batch_size} is larger than the data set ({info.train} training images); choose at most {info.train}"
        )
    elif (left := info.train % config.batch_size) > LEFT_OUT * info.train:
        warnings.append(
            f"batch_size {config.batch_size}: {left} of the {info.train} training images ({left / info.train:.0%}) do not fill a "
            "batch and are left out of each epoch, other ones each time: equal epochs of other batch sizes see more images; "
            f"choose one that divides {info.train} with less left over"
        )
    if info.test == 1:
        problems["dataset"] = f"{config.dataset} has a single test image, in which nothing spreads; it takes two"
    if info.classes and len(info.classes) == 1:
        problems["dataset"] = (
            f"{config.dataset} has a single class, {info.classes[0]!r}; a probe needs two (to train without labels, give a "
            "folder of bare images)"
        )
    warnings += [f"{config.dataset}: {remark}" for remark in info.remarks]
    if lost := out_of_reach(info, config.dataset):
        warnings.append(lost)
    if info.classes and config.evaluate.knn_k > info.train:
        problems["evaluate.knn_k"] = (
            f"{config.evaluate.knn_k} neighbours are more than the {info.train} training images; choose fewer"
        )
    if not info.classes:
        if config.method == "supervised":
            problems["method"] = "supervised needs labels, and this data set has none"
        warnings.append(f"{config.dataset} has no labels: the runs train, and nothing can be probed")
    if config.method == "moco":
        of_moco = _suits_moco(config, info)
        problems |= of_moco[0]
        warnings += of_moco[1]
    if config.method == "simclr" and config.simclr.negatives is not None and config.simclr.negatives > 2 * config.batch_size - 2:
        problems["simclr.negatives"] = (
            f"a batch of {config.batch_size} has {2 * config.batch_size - 2} negatives; choose at most that"
        )
    return problems, warnings


def _suits_moco(config: RunConfig, info: datasets.Info) -> tuple[dict[str, str], list[str]]:
    """(problems by setting, warnings) of MoCo's own settings."""
    problems, warnings = {}, []
    settings = config.moco
    if settings.negatives == "memory_bank" and settings.queue_size > (others := max(0, info.train - config.batch_size)):
        problems["moco.queue_size"] = (
            f"the memory bank can offer {others} other images as negatives; choose "
            f"{'at most that' if others else 'a smaller batch_size'}"
        )
    if settings.negatives == "queue" and settings.queue_size > (keys := info.train * (1 + settings.symmetric)):
        warnings.append(
            f"moco.queue_size {settings.queue_size} exceeds the {keys} keys of an epoch: the queue holds keys of the same "
            "images from earlier epochs"
        )
    if settings.bn_splits > 1:
        parts = config.devices * config.micro_batches
        groups, asked = config.bn_splits_at_a_time * parts, settings.bn_splits
        if asked > (most := config.batch_size // parts // 2 * parts):
            warnings.append(
                f"moco.bn_splits {asked}: a batch of {config.batch_size} has {count(most, 'group')} of two images or more; "
                "choose at most that"
            )
        elif groups != asked:
            warnings.append(
                f"moco.bn_splits {asked} cannot be shared out evenly over {parts} parts of the batch (devices, and micro-batches "
                f"of each): it has {groups} groups; choose a multiple of {parts}"
            )
        if config.bn_splits_at_a_time * config.devices == 1 and settings.negatives != "memory_bank":
            whole = "the batch" if parts == 1 else f"each of {parts} micro-batches"
            warnings.append(
                f"moco.bn_splits: {whole} is one group, so that BatchNorm sees a key among the same images "
                f"as its query, which can give the key away; choose bn_splits of {2 * parts} or more, or a larger "
                f"{'batch_size' if parts == 1 else 'micro_batch_size'}"
            )
    return problems, warnings
