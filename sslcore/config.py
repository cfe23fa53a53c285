"""What a run is: every option's name, type, bounds, default and help, said once.

The launch form, the command line and the report are drawn from these models. A
run's `config.json` is one `RunConfig`, complete: nothing is implicit.
"""

import difflib
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, create_model, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from sslcore.grouping import grouped
from sslcore.methods import METHODS

Probability = Annotated[float, Field(ge=0, le=1)]


class ConfigError(ValueError):
    """A config that cannot be run.

    `problems` maps each setting's dotted name to what is wrong with it, so that
    a form can show the message beside the field and the shell can print a line.
    """

    def __init__(self, problems: Mapping[str, str]):
        self.problems = dict(problems)
        super().__init__("; ".join(f"{name}: {what}" for name, what in self.problems.items()))


class Settings(BaseModel):
    """Base of all groups: unknown names, NaN, infinity, and true or false for a number, are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        kind = cls.model_fields[info.field_name].annotation
        if isinstance(value, bool) and {int, float} & {kind, *get_args(kind)}:  # pydantic takes true for 1
            raise PydanticCustomError("number", "Input should be a number")
        return value


class Augment(Settings):
    """The random views of an image (SimCLR, section 3 and appendix A)."""

    crop_min: float = Field(0.2, gt=0, le=1, description="Smallest share of an image's area that a random crop may keep.")
    flip: Probability = Field(0.5, description="Probability of a horizontal flip.")
    jitter: float = Field(
        0.4, ge=0, le=1, description="Strength of brightness, contrast and saturation changes; applied with probability 0.8."
    )
    hue: float = Field(
        0.1, ge=0, le=0.5, description="Largest turn of the hue, as a share of the colour circle; applied together with jitter."
    )
    grayscale: Probability = Field(0.2, description="Probability that a view loses its colour.")
    blur: Probability = Field(
        0.0, description="Probability of a Gaussian blur (sigma 0.1 to 2 pixels); little use on images of 32 px."
    )
    solarize: Probability = Field(
        0.0, description="Probability that pixels above one half are inverted, in the second view only (BYOL, appendix B)."
    )


class Head(Settings):
    """The projection head between h, which is probed, and z, which the loss sees."""

    kind: Literal["none", "linear", "mlp"] = Field(
        "mlp", description="none: the loss sees h itself; linear: one layer; mlp: two layers (MoCo v2, SimCLR, BYOL)."
    )
    hidden: int = Field(512, ge=1, le=16384, description="Width of the hidden layer of an mlp head.")
    dim: int = Field(128, ge=2, le=16384, description="Length of z.")


class MoCo(Settings):
    """Momentum contrast (He et al. 2020; v2: Chen et al. 2020)."""

    queue_size: int = Field(
        4096,
        ge=1,
        le=1048576,
        description=(
            "K: keys kept as negatives, or drawn from a memory bank at each step; any number, not only multiples of the batch."
        ),
    )
    momentum: Probability = Field(
        0.99, description="m of the key encoder's moving average; 1 freezes it, 0 copies the query encoder."
    )
    temperature: float = Field(0.2, ge=1e-4, le=10, description="Temperature of InfoNCE's softmax.")
    symmetric: bool = Field(False, description="Let each view be query once: two losses and twice the compute a step.")
    negatives: Literal["queue", "memory_bank", "batch"] = Field(
        "queue", description="Where negatives come from: the three mechanisms of the paper's Figure 2."
    )
    bn_splits: int = Field(
        8,
        ge=1,
        le=1024,
        description=(
            "Groups of the whole batch that BatchNorm sees apart, as MoCo's shuffle BN does over that many GPUs; each device and "
            "micro-batch has an equal share of them, one at least. 1 is ordinary BatchNorm."
        ),
    )


class SimCLR(Settings):
    """Contrast within the batch (Chen et al. 2020)."""

    temperature: float = Field(0.5, ge=1e-4, le=10, description="Temperature of NT-Xent's softmax.")
    negatives: int | None = Field(
        None, ge=1, description="Negatives per positive, drawn anew each step; empty means all 2N-2 of the batch."
    )


class BYOL(Settings):
    """Bootstrap your own latent (Grill et al. 2020)."""

    momentum: Probability = Field(
        0.99, description="Target's moving average at the start; it rises to 1 along a cosine. At 0 it stays a copy throughout."
    )
    predictor_hidden: int = Field(512, ge=1, le=16384, description="Width of the predictor's hidden layer.")


class Evaluate(Settings):
    """What is measured, while training and after."""

    knn_every: int = Field(
        1,
        ge=0,
        description="Epochs between two online evaluations (kNN, alignment, uniformity, effective rank, std); 0 for none.",
    )
    knn_k: int = Field(20, ge=1, le=1000, description="Neighbours that vote, weighted by exp(cosine / temperature).")
    knn_temperature: float = Field(0.1, gt=0, le=10, description="Temperature of the vote's weights.")
    knn_train: int = Field(
        5000, ge=2, description="Training images used as neighbours by the online kNN; the final one uses all."
    )
    sample: int = Field(
        2000,
        ge=8,
        le=100_000,
        description=(
            "Images of the fixed evaluation sample (embeddings, UMAP, what z forgets); the online evaluation looks at so many "
            "test images, at most."
        ),
    )
    snapshots: int = Field(
        0,
        ge=0,
        description=(
            "Epochs between two kept embeddings of the sample, for the epoch slider; 0 keeps the last alone. Each takes about 2 "
            "bytes an entry of h."
        ),
    )
    labels: bool = Field(True, description="Label efficiency: fit the linear probe with 1 and 10 % of the training labels, too.")
    finetune_epochs: int = Field(
        0,
        ge=0,
        le=100_000,
        description=(
            "Train the encoder and, for comparison, one from scratch with 1, 10 and 100 % of the labels, each on as many images "
            "as so many epochs with all of them see, to within half an epoch; 0 for none."
        ),
    )
    heads: bool = Field(
        True,
        description=(
            "Probe z beside h, and for both which change of an image (grey, other colours, rotated, flipped) they can tell."
        ),
    )
    log_every: int = Field(5, ge=1, description="Optimizer steps between two rows of metrics.")


class RunConfig(Settings):
    """One training: everything that decides its result."""

    method: str = Field("simclr", description="Self-supervised method, or the supervised reference.")
    dataset: str = Field(
        "photos", min_length=1, description="Name of a data set, path of an .npz file, or path of a folder of images."
    )
    image_size: int = Field(32, ge=8, le=1024, description="Side of the square images that the encoder sees, in pixels.")
    encoder: Literal["small", "resnet18", "resnet34", "resnet50"] = Field(
        "small", description="Backbone: a small ResNet for CPUs, or torchvision's, with the CIFAR stem up to 64 px."
    )
    epochs: int = Field(
        20,
        ge=1,
        le=100_000,
        description="Passes over the training images, in whole batches: what fills none is left out, other images each time.",
    )
    batch_size: int = Field(256, ge=2, le=1_048_576, description="Images an optimizer step (each gives two views).")
    micro_batch_size: int | None = Field(
        None,
        ge=2,
        description=(
            "Images that pass through the networks at a time; smaller needs less memory and gives the whole batch's loss, "
            "negatives included, but BatchNorm sees so many images at a time. Empty: the whole batch."
        ),
    )
    learning_rate: float = Field(0.06, gt=0, le=1000, description="Peak learning rate at batch size 256, before scaling.")
    lr_scaling: Literal["none", "sqrt", "linear"] = Field(
        "linear",
        description="How the learning rate follows the batch size: times sqrt(batch/256), batch/256, or not. SimCLR's own "
        "square-root rule (Appendix B.1), 0.075 sqrt(batch), is sqrt with a learning rate of 1.2 here, 16 times 0.075.",
    )
    optimizer: Literal["sgd", "lars", "adamw"] = Field(
        "sgd",
        description=(
            "SGD with momentum 0.9, LARS for large batches, or AdamW. LARS has a trust coefficient of 0.02: a learning rate that "
            "was published with 0.001, as SimCLR's and BYOL's, is to be divided by 20."
        ),
    )
    weight_decay: float = Field(5e-4, ge=0, le=10, description="Weight decay; biases and BatchNorm are left out.")
    warmup_epochs: float = Field(
        2, ge=0, description="Epochs of linear warm-up (at most half of the training) before the cosine to 0."
    )
    seed: int = Field(
        0, ge=0, le=2**31 - 1, description="Seed of the initial weights, the order of images and the augmentations."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description=(
            "Arithmetic of the networks; losses are always float32. GPUs compute float32 convolutions in TF32, as is PyTorch's "
            "default. auto: bfloat16 where it is multiplied in one instruction (GPUs, CPUs with AVX-512 BF16); else float32."
        ),
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="Where to train; auto takes a GPU where there is one.")
    threads: int | None = Field(
        None,
        ge=1,
        le=1024,
        description=(
            "Threads that compute on the processor, of each process; the result differs by rounding. Empty: one for each core. "
            "With fewer a run takes longer, but several are trained at a time, which of small networks is faster; and fewer are "
            "faster where other programs keep cores busy."
        ),
    )
    compile: Literal["auto", "on", "off"] = Field(
        "auto",
        description=(
            "torch.compile for the networks: they take a while to be compiled, then less for a step; the result differs by "
            "rounding. auto: ResNets on one GPU, in runs of 5,000 steps or more. off: on one GPU, no CUDA graph either."
        ),
    )
    devices: int = Field(
        1,
        ge=1,
        le=512,
        description=(
            "GPUs a run; the batch is shared out evenly among them, and the result is that of one (without micro-batches; MoCo's "
            "where their number divides moco.bn_splits, or that is 1). With device=cpu: processes, for trying it out."
        ),
    )

    augment: Augment = Augment()
    head: Head = Head()
    moco: MoCo = MoCo()
    simclr: SimCLR = SimCLR()
    byol: BYOL = BYOL()
    evaluate: Evaluate = Evaluate()

    @field_validator("method")
    @classmethod
    def _known_method(cls, name: str) -> str:
        if name not in METHODS:
            raise PydanticCustomError("method", "Input should be one of {known}", {"known": ", ".join(METHODS)})
        return name

    @field_validator("micro_batch_size")
    @classmethod
    def _within_batch(cls, size: int | None, info: ValidationInfo) -> int | None:
        batch = info.data.get("batch_size")
        if size is not None and batch is not None and size > batch:
            raise PydanticCustomError("micro", "Input should be at most batch_size, {batch}", {"batch": batch})
        return size

    @field_validator("devices")
    @classmethod
    def _share_batch(cls, devices: int, info: ValidationInfo) -> int:
        batch = info.data.get("batch_size")
        if batch is not None and (batch % devices or batch < 2 * devices):
            raise PydanticCustomError(
                "devices", "Input should divide batch_size, {batch}, into equal shares of two images or more", {"batch": batch}
            )
        if devices > 1 and info.data.get("compile") == "on":
            raise PydanticCustomError("devices", "Input should be 1 with compile=on")
        return devices

    @property
    def peak_learning_rate(self) -> float:
        """The learning rate after scaling to the batch size, at the end of warm-up."""
        ratio = self.batch_size / 256
        return self.learning_rate * {"none": 1.0, "sqrt": ratio**0.5, "linear": ratio}[self.lr_scaling]

    @property
    def micro_batches(self) -> int:
        """Parts in which a device's share of the batch passes through the networks, of two images at least, for BatchNorm."""
        share = self.batch_size // self.devices
        return min(-(-share // (self.micro_batch_size or share)), share // 2)

    @property
    def bn_splits_at_a_time(self) -> int:
        """Groups, of two images at least, in what passes through a device's networks at a time: its part of moco.bn_splits."""
        parts = self.devices * self.micro_batches
        return max(1, min(self.moco.bn_splits // parts, self.batch_size // parts // 2))

    @property
    def negatives(self) -> int | None:
        """Negatives per positive: K of MoCo's dictionary, 2N-2 of SimCLR's batch or its cap; None for methods without any."""
        if self.method == "moco":
            return self.batch_size - 1 if self.moco.negatives == "batch" else self.moco.queue_size
        if self.method == "simclr":
            return self.simclr.negatives or 2 * self.batch_size - 2
        return None

    def flat(self) -> dict[str, Any]:
        """{dotted name: value} of every option, in the order of OPTIONS."""
        return dict(zip(OPTIONS, VALUES(self)))


# -- Names ---------------------------------------------------------------------


def options(model: type[Settings] = RunConfig, prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    """Every option as (dotted name, field), in the order in which they are declared."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            yield from options(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


OPTIONS: dict[str, FieldInfo] = dict(options())
VALUES = attrgetter(*OPTIONS)
GROUPS = list(dict.fromkeys(name.rpartition(".")[0] for name in OPTIONS if "." in name))
# What is measured besides, and how often. Runs that differ in these alone have the same weights, probe and kNN.
WATCHING = (
    "evaluate.log_every",
    "evaluate.knn_every",
    "evaluate.knn_train",
    "evaluate.sample",
    "evaluate.snapshots",
    "evaluate.labels",
    "evaluate.finetune_epochs",
    "evaluate.heads",
)

# Where and how a run is computed. It changes the result by rounding alone, and device by the random numbers of the views.
COMPUTING = ("device", "threads", "compile")


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested (or already dotted) settings as {dotted name: value}. Raises ConfigError for one that is given in both ways."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inner = flatten(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
        if twice := flat.keys() & inner.keys():
            raise ConfigError({sorted(twice)[0]: "given twice"})
        flat |= inner
    return flat


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The opposite of `flatten`."""
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *groups, last = name.split(".")
        inner = nested
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = value
    return nested


def get(config: RunConfig, name: str) -> Any:
    """The value of one option by its dotted name."""
    return attrgetter(name)(config)


def is_anothers(name: str, method: str) -> bool:
    """Whether an option is another method's own, and so means nothing to this one."""
    owner = name.partition(".")[0]
    return owner in METHODS and owner != method


def varying(configs: Iterable[RunConfig]) -> list[str]:
    """The options that decide a result, bar method and seed, in which configs of one method differ, in the order of OPTIONS.

    Those of COMPUTING are among them where they alone tell two runs of a seed apart.
    """
    return varying_in(config.flat() for config in configs)


def varying_in(settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """`varying` of settings as `RunConfig.flat` gives them, one mapping a run."""
    settings = list(settings)
    decisive = [name for name in OPTIONS if name not in ("method", "seed", *WATCHING, *COMPUTING)]
    by_method = grouped(settings, lambda one: one["method"])
    twins = grouped(settings, lambda one: (one["method"], one["seed"], *(one[name] for name in decisive)))

    def differ(name: str, runs: Iterable[Mapping[str, Any]]) -> bool:
        return len({one[name] for one in runs}) > 1

    return [
        name
        for name in OPTIONS
        if (name in decisive and any(not is_anothers(name, method) and differ(name, of) for method, of in by_method.items()))
        or (name in COMPUTING and any(differ(name, of) for of in twins.values()))
    ]


# -- From settings to a config -------------------------------------------------


def check_names(settings: Iterable[str]) -> None:
    """Raise ConfigError for names that no option has, with the closest one that exists."""
    problems = {}
    for name in settings:
        if name in GROUPS:
            some = next(option for option in OPTIONS if option.startswith(f"{name}."))
            problems[name] = f"this is a group of settings, such as {some}; give a value to one of them"
        elif name not in OPTIONS:
            close = difflib.get_close_matches(name, OPTIONS, n=1, cutoff=0.6)
            ending = [option for option in OPTIONS if option.endswith(f".{name}")]
            hint = f"; did you mean {(ending or close)[0]}?" if ending or close else ""
            problems[name] = f"there is no such setting{hint}"
    if problems:
        raise ConfigError(problems)


def resolve(settings: Mapping[str, Any]) -> RunConfig:
    """The complete config for some settings, over the method's and the data set's defaults.

    `settings` may be nested or dotted. Raises ConfigError, one message a setting.
    """
    from sslcore import datasets

    flat = flatten(settings)
    check_names(flat)
    method = flat.get("method", RunConfig.model_fields["method"].default)
    dataset = flat.get("dataset", RunConfig.model_fields["dataset"].default)
    recipe = METHODS[method].defaults if isinstance(method, str) and method in METHODS else {}
    suited = datasets.defaults(dataset) if isinstance(dataset, str) else {}
    try:
        return RunConfig.model_validate(nest({**recipe, **suited, **flat}))
    except ValidationError as error:
        raise ConfigError(problems_of(error)) from None


def alone(name: str, value: Any) -> Any:
    """A value in its option's own type, whatever other settings it has to go with. Raises ConfigError."""
    check_names({name: value})
    option = OPTIONS[name]
    try:
        return create_model("Alone", __base__=Settings, value=(option.annotation, option)).model_validate({"value": value}).value
    except ValidationError as error:
        raise ConfigError({name: problems_of(error)["value"]}) from None


# -- pydantic's errors, in words -------------------------------------------------

KINDS = {"int_": "a whole number", "float_": "a number", "bool_": "true or false", "string_type": "text"}  # by pydantic's types


def problems_of(error: ValidationError) -> dict[str, str]:
    """Setting -> what is wrong with it. An error about several settings together has no place: its type names one of them."""
    return {".".join(p for p in one["loc"] if isinstance(p, str)) or one["type"]: _in_words(one) for one in error.errors()}


def first_problem(error: ValidationError) -> str:
    """Where in a file something is wrong, and what."""
    first = error.errors()[0]
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), _in_words(first)]))


def _in_words(problem: Mapping[str, Any]) -> str:
    """pydantic's message in the user's words: "must be a whole number", not that a string cannot be parsed as an integer."""
    if problem["type"] == "extra_forbidden":
        return "this version of Triptych has no such setting"
    kind = next((words for start, words in KINDS.items() if problem["type"].startswith(start)), None)
    message = f"must be {kind}" if kind else problem["msg"].replace("Input should", "must").replace("Value error, ", "")
    given = problem["input"]
    short = problem["type"] != "json_invalid" and (given is None or isinstance(given, (str, int, float, list)))
    return f"{message}, not {given!r:.80}" if short else message
