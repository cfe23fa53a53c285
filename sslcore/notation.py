"""How settings are written in the shell and in links: key=value, key=a,b,c."""

import itertools
import math
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

import yaml

from sslcore.config import ConfigError

MOST_VALUES = 100_000  # in one text
BOOLEAN, INTEGER, FLOAT = (f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float"))

# -- Reading -----------------------------------------------------------------------


class Plain(yaml.SafeLoader):
    """YAML as settings are written: on, off, yes and no are words, 010 is ten, and a key that is given twice is refused.

    So is what contains itself by an alias, or becomes larger by them than anybody writes.
    """

    yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in resolvers if tag not in (BOOLEAN, INTEGER, FLOAT)]
        for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str):
        super().__init__(text)
        self.sizes: dict[yaml.Node, int] = {}  # of lists and mappings that are complete, what their aliases stand for counted

    def compose_sequence_node(self, anchor: str | None) -> yaml.SequenceNode:
        node = super().compose_sequence_node(anchor)
        self.measure(node, node.value)
        return node

    def measure(self, node: yaml.Node, parts: Iterable[yaml.Node]) -> None:
        size = 1
        for part in parts:
            if isinstance(part, yaml.CollectionNode) and part not in self.sizes:
                raise ValueError("something in it contains itself; write it out without the alias (*)")
            size += self.sizes.get(part, 1)
        if size > MOST_VALUES:
            raise ValueError(f"more than {MOST_VALUES:,} values, its aliases (*) written out")
        self.sizes[node] = size

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        self.measure(node, itertools.chain.from_iterable(node.value))
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise ValueError(f"line {key.start_mark.line + 1}: the key {key.value!r} is given twice")
            seen.add(key.value)
        return node


Plain.add_implicit_resolver(BOOLEAN, re.compile("(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
Plain.add_implicit_resolver(INTEGER, re.compile(r"[-+]?(0|[1-9][0-9_]{0,999})$"), list("-+0123456789"))
Plain.add_implicit_resolver(
    FLOAT,
    re.compile(r"([-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"),
    list("-+0123456789."),
)


def yaml_of(text: str) -> Any:
    """What a piece of YAML says.

    Raises ValueError, in one line, for what is not YAML, contains itself (`&a [*a]`), has a key twice or is too large.
    """
    try:
        value = yaml.load(text, Plain)
    except yaml.YAMLError as error:
        raise ValueError(f"not valid YAML: {' '.join(str(error).split())}") from None
    except (LookupError, AttributeError, TypeError):
        raise ValueError("not valid YAML: a tag (!!) does not suit its value") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def value_of(text: str) -> Any:
    """The value of a YAML scalar or list; 1e-3 is a number, as the shell's user expects."""
    try:
        return _number(yaml_of(text))
    except ValueError:
        raise ValueError(f"{text!r} is not a value that YAML understands") from None


def _number(value: Any) -> Any:
    if isinstance(value, list):
        return [_number(inner) for inner in value]
    try:
        number = float(value) if isinstance(value, str) and value[:1] in "+-.0123456789" else math.nan
    except ValueError:
        return value
    return number if math.isfinite(number) else value


def pairs(words: Iterable[str], flag: str) -> dict[str, str]:
    """{key: text} of some key=value words. Raises ConfigError."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise ConfigError({flag: f"expected key=value, not {word!r}"})
        if key in found:
            raise ConfigError({key: f"given twice to {flag}"})
        found[key] = text
    return found


def settings_of(words: Iterable[str]) -> dict[str, Any]:
    """--set key=value ... as settings. Raises ConfigError."""
    settings = {}
    for key, text in pairs(words, "--set").items():
        try:
            settings[key] = text if _literal(key, text) else value_of(text)
        except ValueError as error:
            raise ConfigError({key: str(error)}) from None
    return settings


def axes_of(words: Iterable[str], flag: str = "--vary") -> dict[str, list[Any]]:
    """--vary key=a,b,c ... as axes. Raises ConfigError."""
    axes = {}
    for key, text in pairs(words, flag).items():
        try:
            if _literal(key, text):
                axes[key] = [part.strip() for part in text.split(",") if part.strip()]
            else:
                axes[key] = value_of(text if text.startswith("[") else f"[{text}]")
        except ValueError as error:
            raise ConfigError({key: str(error)}) from None
    return axes


def _literal(key: str, text: str) -> bool:
    """Whether a text is meant as it stands: a path may hold what YAML takes for a comment or a key. In quotes it is YAML."""
    return key == "dataset" and not re.search(r"""(^|,)\s*["'[]""", text)


def seconds_of(variable: str) -> float:
    """An environment variable that says how many seconds something takes, 30 unless it is set. Raises ValueError, in words."""
    text = os.environ.get(variable, "30")
    with suppress(ValueError):
        if (seconds := float(text)) >= 0:
            return seconds
    raise ValueError(f"{variable}={text}: expected a number of seconds")


# -- Writing -----------------------------------------------------------------------


def settings_words(settings: Mapping[str, Any]) -> list[str]:
    """What --set takes for these settings: the opposite of `settings_of`."""
    return [f"{name}={_scalar(value)}" for name, value in settings.items()]


def axes_words(axes: Mapping[str, list[Any]]) -> list[str]:
    """What --vary takes for these axes: the opposite of `axes_of`."""
    return [f"{name}={_list(name, values)}" for name, values in axes.items()]


def option_words(flag: str, value: str) -> list[str]:
    """What gives an option its value: --title=-x, since a word that begins with a dash would be an option of its own."""
    return [f"{flag}={value}"] if value.startswith("-") else [flag, value]


def launch_words(
    preset: str, name: str, title: str, settings: Mapping[str, Any], axes: Mapping[str, list[Any]], engine: str
) -> list[str]:
    """What launches an experiment, after `python -m sslcore`."""
    words = ["launch", preset, *option_words("--name", name), *option_words("--title", title)]
    words += ["--set", *settings_words(settings)] if settings else []
    words += ["--vary", *axes_words(axes)] if axes else []
    return words + (["--engine", engine] if engine != "local" else [])


def _scalar(value: Any) -> str:
    """A value as YAML writes it on one line: true, null, 0.06, text."""
    text = yaml.safe_dump(value, default_flow_style=True, width=math.inf, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").strip()


def _list(name: str, values: list[Any]) -> str:
    """64,256, or [a list] where a value has a comma or a bracket of its own."""
    short = ",".join(map(_scalar, values))
    with suppress(ConfigError):
        if axes_of([f"{name}={short}"]) == {name: values}:
            return short
    return _scalar(values)
