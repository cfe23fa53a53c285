"""How settings are written in the shell, and read back."""

import json
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslcore.__main__ import parser
from sslcore.config import OPTIONS
from sslcore.notation import axes_of, axes_words, launch_words, settings_of, settings_words, value_of

values = st.one_of(
    st.integers(-(10**9), 10**9),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.none(),
    st.text("abc/., '[]{}:#\"-1e~\\", min_size=1, max_size=8),
).filter(lambda value: value_of(json.dumps(value)) == value or not isinstance(value, str))
names = st.sampled_from(sorted(set(OPTIONS) - {"dataset"}))


@given(st.dictionaries(names, values, max_size=4), st.dictionaries(names, st.lists(values, min_size=1, max_size=3), max_size=3))
def test_any_settings_survive_the_shell(settings, axes):
    words = launch_words("photos", "photos", "Photos", settings, axes, "local")
    parsed = parser().parse_args(shlex.split(shlex.join(words)))
    assert settings_of(parsed.set) == settings
    assert axes_of(parsed.vary) == axes


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-3", 1e-3),
        ("-2.5", -2.5),
        ("true", True),
        ("True to colour", "True to colour"),  # as of a preset's title
        ("off", "off"),  # as of compile
        ("", None),
        ("none", "none"),
        ("/a/b c", "/a/b c"),
        ("1.2.3", "1.2.3"),
        ("010", 10.0),  # not YAML's octal 8
        ("08", 8.0),
        ("1:30", "1:30"),  # nor ninety
        ("0x10", "0x10"),
        ("1_000", 1000),
    ],
)
def test_values_are_what_a_reader_would_take_them_for(text, value):
    assert value_of(text) == value and type(value_of(text)) is type(value)


@pytest.mark.parametrize("path", ["/tmp/a b #1", "/tmp/a: b", "/tmp/*", "/tmp/it's", "/tmp/010", "{x}", "/tmp/😀"])
def test_a_data_set_is_the_path_that_was_typed(path):
    assert settings_of([f"dataset={path}"]) == {"dataset": path} == settings_of(settings_words({"dataset": path}))
    assert axes_of([f"dataset={path},digits"]) == {"dataset": [path, "digits"]}
    for paths in ([path, "digits"], ["/a, b", path]):
        assert axes_of(axes_words({"dataset": paths})) == {"dataset": paths}


def test_what_aliases_make_too_large_is_refused_and_a_list_that_is_written_out_is_not():
    bomb = (
        "[&a [1,2],&b [*a,*a],&c ["
        + ",".join(["*b"] * 9)
        + "]"
        + "".join(f",&{chr(d)} [{','.join(['*' + chr(d - 1)] * 9)}]" for d in range(ord("d"), ord("z")))
        + "]"
    )
    with pytest.raises(ValueError, match="not a value"):
        value_of(bomb)
    assert value_of("[&a [1, 2], *a, {x: *a}]") == [[1, 2], [1, 2], {"x": [1, 2]}]
    assert len(value_of(f"[{','.join(map(str, range(50_000)))}]")) == 50_000
