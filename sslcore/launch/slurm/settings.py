"""slurm.yaml: how a store's cluster wants its jobs."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from sslcore.config import ConfigError, problems_of
from sslcore.experiment import Store
from sslcore.files import replacing

TIME = re.compile(r"(?:(?P<days>\d+)-)?(?P<first>\d+)(?::(?P<second>\d+))?(?::(?P<third>\d+))?")
EARLY_SECONDS = 60  # by which Slurm's notice may come before its time


class Settings(BaseModel):
    """slurm.yaml: how jobs are asked for on this cluster. What is empty is left to the cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    partition: str = Field("", description="Partition to queue in (sinfo lists them).")
    account: str = Field("", description="Account that is charged.")
    qos: str = Field("", description="Quality of service.")
    time: str = Field(
        "",
        description=(
            "Time limit of a job as Slurm writes it: minutes, hours:minutes:seconds, days-hours. A run that trains for longer is "
            "no worse off: it goes on in another job. To be measured it needs one that is long enough."
        ),
    )
    notice: int = Field(
        120, ge=10, le=3600, description="Seconds before the time is up at which a run keeps its checkpoint and makes room."
    )
    gpus: int = Field(
        8,
        ge=0,
        le=64,
        description=(
            "GPUs that a node has. A run asks for as many as its devices, on several nodes where those are more; with 0, or "
            "device=cpu, for none."
        ),
    )
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
            if re.match(r"--comment\b", line):
                raise PydanticCustomError("extra", "Input should leave --comment alone: by it a run's job is found again")
        return lines

    @model_validator(mode="after")
    def _time_to_train(self) -> "Settings":
        if self.time and minutes(self.time) * 60 <= self.notice + EARLY_SECONDS:
            raise PydanticCustomError(
                "time",
                "Input should leave time to train before the notice of {notice} s, which may come {early} s early",
                {"notice": self.notice, "early": EARLY_SECONDS},
            )
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


def file(store: Store) -> Path:
    return store.root / "slurm.yaml"


def read(store: Store) -> Settings:
    """The store's slurm.yaml, or the defaults. Raises ConfigError."""
    path = file(store)
    try:
        # No 8:00:00 as a number to the base of 60.
        return _valid(yaml.load(path.read_text(encoding="utf-8"), yaml.BaseLoader) or {})
    except FileNotFoundError:
        return Settings()
    except ConfigError as error:
        raise ConfigError({f"{path}: {name}": what for name, what in error.problems.items()}) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError({str(path): " ".join(str(error).split())}) from None


def keep(store: Store, changes: Mapping[str, Any]) -> Settings:
    """The settings with some of them changed, as they are then kept; None gives one its default back. Raises ConfigError."""
    changed = _valid({name: value for name, value in (read(store).model_dump() | dict(changes)).items() if value is not None})
    store.make_place()
    with replacing(file(store)) as temporary:
        temporary.write_text(in_yaml(changed), encoding="utf-8")
    return changed


def in_yaml(settings: Settings) -> str:
    """slurm.yaml, each setting below a comment that says what it means."""
    lines = ["# How jobs are asked for on this cluster. What is empty is left to the cluster."]
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        said = yaml.safe_dump({name: list(value) if name == "extra" else value}, allow_unicode=True, width=1000)
        lines += [f"# {field.description}", said.rstrip()]
    return "\n".join(lines) + "\n"


def _valid(values: Any) -> Settings:
    if not isinstance(values, Mapping):
        raise ConfigError({"slurm": "expected settings such as 'partition: gpu'"})
    if unknown := [str(name) for name in values if name not in Settings.model_fields]:
        raise ConfigError(
            dict.fromkeys(unknown, f"there is no such setting of Slurm; known are {', '.join(Settings.model_fields)}")
        )
    try:
        return Settings.model_validate(dict(values))
    except ValidationError as error:
        raise ConfigError(problems_of(error)) from None
