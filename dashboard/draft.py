"""What the launch form describes: a starting point and the reader's changes, as a spec and as a shell command."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from dashboard import shell
from sslcore import plan
from sslcore.analysis import ablation
from sslcore.config import GROUPS, OPTIONS, ConfigError, RunConfig, alone, check_names, flatten, resolve
from sslcore.experiment import Run, Spec, Store
from sslcore.notation import axes_of, axes_words, launch_words, settings_of, settings_words

LARGEST = 10**15  # whole number that a field can show
MAX_SEEDS = 20
LATEST = 100  # runs whose speed is looked at


@dataclass(frozen=True)
class Start:
    """Where a form starts from."""

    spec: Spec
    source: str | None  # what the command line calls it: a preset or a file; None if only its settings are known

    @property
    def methods(self) -> list[str]:
        return list(self.spec.axes.get("method") or [flatten(self.spec.base).get("method", RunConfig().method)])

    @property
    def dataset(self) -> str:
        return flatten(self.spec.base).get("dataset", RunConfig().dataset)

    @property
    def seeds(self) -> list[int]:
        return list(self.spec.axes.get("seed") or [flatten(self.spec.base).get("seed", 0)])

    @property
    def axes(self) -> dict[str, list[Any]]:
        """The axes other than methods and seeds, which the form asks for in their own ways."""
        known = {*OPTIONS, *GROUPS} - {"method", "seed"}
        return {name: values for name, values in self.spec.axes.items() if name in known}


def from_preset(name: str) -> Start:
    """Raises ValueError, in one line, where there is no such preset or it cannot be read."""
    return Start(plan.read(name), name)


def from_clone(store: Store, name: str) -> Start:
    """A copy of EXPERIMENT, or of EXPERIMENT/RUN alone. Raises ValueError where there is none, or none that a form can show."""
    runs = store.find(name)
    if "/" not in name.strip("/"):
        experiment = runs[0].experiment
        start = Start(experiment.read_spec().model_copy(update={"created": None, "command": None}), str(experiment.spec_file))
        for option, values in (("method", start.methods), ("dataset", [start.dataset]), ("seed", start.seeds)):
            for value in values:
                if type(value) is not OPTIONS[option].annotation:
                    raise ValueError(f"{experiment.spec_file}: {option} cannot be {value!r}; correct it there")
        return start
    return Start(from_run(runs[0]), None)


def from_run(run: Run) -> Spec:
    """A spec of one run: what its config says beyond the defaults of its method and data set."""
    config = run.config.flat()
    usual = resolve({"method": config["method"], "dataset": config["dataset"]}).flat()
    base = {name: value for name, value in config.items() if value != usual[name]}
    return Spec(
        title=f"{run.name} again",
        question=run.experiment.spec().question,
        base=base | {name: config[name] for name in ("method", "dataset")},
    )


@dataclass(frozen=True)
class Asked:
    """The changes that a link asks for: a form's own, as the command line writes them."""

    title: str | None = None
    question: str | None = None
    seeds: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    by_method: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    axes: Mapping[str, list[Any]] | None = None  # other than methods and seeds; None: those of the start

    def params(self) -> dict[str, list[str]]:
        """The query parameters that say this."""
        own = [f"{method}:{word}" for method, settings in self.by_method.items() for word in settings_words(settings)]
        return {
            "title": [] if self.title is None else [self.title],
            "question": [] if self.question is None else [self.question],
            "seeds": [] if self.seeds is None else [str(self.seeds)],
            "set": settings_words(self.settings),
            "own": own,
            "vary": [] if self.axes is None else axes_words(self.axes) or [""],
        }

    @classmethod
    def from_params(cls, params: Mapping[str, list[str]]) -> "Asked":
        """What query parameters say. Raises ConfigError for what no form could have said."""
        given = {name: [word for word in words if word] for name, words in params.items()}
        own: dict[str, list[str]] = {}
        for word in given.get("own", []):
            method, _, setting = word.partition(":")
            own.setdefault(method, []).append(setting)
        seeds = params.get("seeds", [None])[0]
        if seeds is not None and not (seeds.isdecimal() and len(seeds) < 9 and 1 <= int(seeds) <= MAX_SEEDS):
            raise ConfigError({"seeds": f"must be a number from 1 to {MAX_SEEDS}, not {seeds[:20]!r}"})
        axes = axes_of(given["vary"]) if "vary" in params else None
        check_names(plan.named(axes or {}))
        return cls(
            title=params.get("title", [None])[0],
            question=params.get("question", [None])[0],
            seeds=None if seeds is None else int(seeds),
            settings=_valid(settings_of(given.get("set", []))),
            by_method={method: _valid(settings_of(words)) for method, words in own.items()},
            axes=axes,
        )


def _valid(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, each in the option's own type. Raises ConfigError."""
    found = {name: alone(name, value) for name, value in settings.items()}
    if huge := [name for name, value in found.items() if isinstance(value, int) and value > LARGEST]:
        raise ConfigError({huge[0]: f"must be at most {LARGEST:,}"})
    return found


@dataclass(frozen=True)
class Draft:
    """An experiment about to be launched."""

    start: Start
    title: str
    question: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)  # of every run
    by_method: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # of one method's runs
    axes: Mapping[str, list[Any]] = field(default_factory=dict)  # replacing or joining the start's

    def spec(self) -> Spec:
        """Raises ConfigError for names that no option has and for axes without values."""
        changed = plan.change(self.start.spec, self.settings, self.axes)
        by_method = {method: dict(flatten(own)) for method, own in changed.by_method.items()}
        for method, own in self.by_method.items():
            if own:
                by_method[method] = by_method.get(method, {}) | dict(own)
        return changed.model_copy(update={"title": self.title, "question": self.question, "by_method": by_method})

    def command(self, store: Store | None, name: str, engine: str = "local") -> str:
        """The shell command that launches the same; with the file it needs before it, where flags do not suffice.

        Without a store, one that can be passed on: it names neither a store nor a file of one.
        """
        found = self.start.source in plan.presets() or (self.start.source is not None and store is not None)
        if not found or any(self.by_method.values()) or self.question != self.start.spec.question:
            words = launch_words(f"{name}.yaml", name, self.title, {}, {}, engine)
            return plan.with_file(self.spec(), name, shell.line(store, *words))
        return shell.line(store, *launch_words(self.start.source, name, self.title, self.settings, self.axes, engine))


def expected_seconds(store: Store, configs: Mapping[str, RunConfig]) -> float | None:
    """Seconds of training of a plan's runs, one after another, by the speed of the store's latest runs that are most alike; None
    where there is none, or a data set cannot be read."""
    runs = (run for experiment in store.experiments() for run in experiment.runs())
    measured = (entry for run in runs if (entry := ablation.made(run)) and entry.numbers["images_per_second"])
    asked = [ablation.to_make("", name, config) for name, config in configs.items()]
    return ablation.seconds_to_run(asked, list(islice(measured, LATEST)))
