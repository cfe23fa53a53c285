"""The launch form says of every option what the config model says, and means what it shows."""

import shlex
from pathlib import Path

import pytest
import yaml

from dashboard import draft, forms
from sslcore import plan
from sslcore.__main__ import parser
from sslcore.config import OPTIONS, ConfigError, RunConfig, get, resolve
from sslcore.experiment import Spec, Store
from sslcore.notation import axes_of, settings_of
from sslcore.shape import shape
from tests import synthetic

START = draft.Start(
    Spec(
        title="Start",
        question="Why?",
        base={"dataset": "digits", "epochs": 3, "moco": {"temperature": 0.1}},
        by_method={"byol": {"learning_rate": 0.3}},
        axes={"method": ["moco", "byol"], "batch_size": [32, 64]},
        tags=["night"],
    ),
    "start.yaml",
)
GROUP = draft.Start(
    START.spec.model_copy(update={"axes": {"augment": [{}, {"flip": 0.2}, {"jitter": 0.1, "hue": 0.1}]}}), "start.yaml"
)


# -- Fields ---------------------------------------------------------------------------


def test_every_option_with_a_choice_has_exactly_one_field():
    asked = ["method", "dataset", "seed", *forms.FIRST, *(name for names in forms.groups().values() for name in names)]
    assert sorted(asked) == sorted(OPTIONS)


@pytest.mark.parametrize("name", [name for name in OPTIONS if shape(name).type in (int, float)])
def test_the_form_has_the_bounds_that_the_config_has(name):
    option = shape(name)

    def accepted(value) -> bool:
        try:
            return get(resolve({"batch_size": 1_048_576, name: value}), name) == value
        except ConfigError:
            return False

    if option.high is not None:
        assert accepted(option.type(option.high)) and not accepted(option.type(option.high + 1))
    if option.low is not None:
        assert accepted(option.type(option.low)) and not accepted(option.type(option.low - 1))
    if option.above is not None:
        assert not accepted(option.type(option.above)) and accepted(option.type(option.above + 0.1))
    assert option.optional == accepted(None)


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_says_what_it_is_and_how_the_shell_calls_it(name):
    assert OPTIONS[name].description in forms.help_text(name)
    assert f"`{name}`" in forms.help_text(name)
    assert "_" not in forms.label(name) and forms.label(name)[0].isupper() | forms.label(name).startswith("kNN")


def test_a_field_is_called_in_words_and_tells_its_bounds():
    called = {"lr_scaling": "Learning-rate scaling", "evaluate.knn_k": "kNN k", "moco.bn_splits": "BatchNorm splits"}
    assert {name: forms.label(name) for name in called} == called
    for name in OPTIONS:
        option, told = shape(name), forms.help_text(name)
        within = f"At least {option.low}." if option.high is None else f"{option.low} to {option.high:,}."
        assert option.low is None or f" {within}" in told
        assert option.above is None or f" Above {option.above:,}, up to {option.high:,}." in told


@pytest.mark.parametrize("name", OPTIONS)
def test_the_default_as_the_form_says_it_is_read_back_as_it_was(name):
    default = get(RunConfig(), name)
    assert forms.values(forms.typed([default]), name) == [default]


def test_values_of_an_axis():
    assert forms.values("64, 256,,1024 ", "batch_size") == [64, 256, 1024]
    assert forms.values("1e-3, .5", "learning_rate") == [0.001, 0.5]
    assert forms.values("yes, no", "moco.symmetric") == [True, False]
    assert forms.values("none, 16", "simclr.negatives") == forms.values("NULL, 16", "simclr.negatives") == [None, 16]
    assert forms.values(forms.typed([0.123456789]), "learning_rate") == [0.123456789]
    assert forms.values("~/cats", "dataset") == [str(Path.home() / "cats")]
    assert forms.values(" , ", "batch_size") == []
    for paths in (["/a, b", "digits"], ["digits", "/a, b"], ['/say "hi", you', "/c"], ["/it's"]):
        assert forms.values(forms.typed(paths), "dataset") == paths
    assert forms.values("many", "batch_size") == ["many"]  # for the config to refuse, in words
    assert "batch_size" in plan.plan(Spec(axes={"batch_size": ["many"]})).problems


# -- Draft ----------------------------------------------------------------------------

DRAFTS = {
    "unchanged": draft.Draft(START, "Start", "Why?"),
    "settings": draft.Draft(
        START, "It's new", "Why?", {"epochs": 5, "moco.symmetric": True, "simclr.negatives": None, "learning_rate": 1e-5}
    ),
    "axes": draft.Draft(START, "Start", "Why?", axes={"method": ["simclr"], "seed": [0, 1, 2], "augment.blur": [0.0, 0.5]}),
    "fixed axis": draft.Draft(START, "Start", "Why?", {"batch_size": 16}),
    "odd path": draft.Draft(START, "Start", "Why?", {"dataset": "/no such/pl,ace [1]"}),
    "odd paths": draft.Draft(START, "Start", "Why?", axes={"dataset": ["digits", "/a, b"]}),
    "own": draft.Draft(START, "Start", "Why?", {"epochs": 4}, {"moco": {"learning_rate": 0.5}, "byol": {}}),
    "question": draft.Draft(START, "Start", "Which: 'a' or \"b\"?\n"),
    "fewer of a group": draft.Draft(
        GROUP, "Start", "Why?", {"augment.flip": 0.3}, axes={"augment": [{}, {"jitter": 0.1, "hue": 0.1}]}
    ),
    "fixed group": draft.Draft(GROUP, "Start", "Why?", {"augment": {}}),
    "copied run": draft.Draft(draft.Start(START.spec, None), "Start", "Why?", {"epochs": 9}),
}


def from_shell(command: str, folder: Path) -> Spec:
    """The spec that `python -m sslcore launch` makes of a command, without launching it."""
    file, _, command = command.rpartition("END\n")
    if file:
        heading, _, content = file.partition("\n")
        (folder / heading.split()[2]).write_text(content)
    args = parser().parse_args(shlex.split(command)[3:])
    source = args.preset if args.preset in plan.presets() else str(folder / args.preset)
    return plan.change(plan.read(source), settings_of(args.set), axes_of(args.vary)).model_copy(update={"title": args.title})


@pytest.mark.parametrize("case", DRAFTS)
def test_the_shell_command_launches_the_same(case, tmp_path):
    made = DRAFTS[case]
    (tmp_path / "start.yaml").write_text(yaml.safe_dump(made.start.spec.model_dump(exclude_defaults=True)))
    spec = from_shell(made.command(Store(), "some-name"), tmp_path)
    assert (spec.title, spec.question, spec.tags) == (made.title, made.question, made.start.spec.tags)
    wanted = plan.plan(made.spec())
    assert wanted.configs
    assert plan.plan(spec) == wanted


def test_the_store_is_named_where_the_shell_would_take_another(tmp_path):
    assert f"--root {tmp_path}" in DRAFTS["unchanged"].command(Store(tmp_path), "x")
    assert "--root" not in DRAFTS["unchanged"].command(Store(Path("experiments")), "x")


def test_what_is_passed_on_names_no_store_and_no_file_of_one(tmp_path):
    copied = draft.Draft(draft.from_clone(Store(tmp_path), synthetic.store(tmp_path, ("moco",), (0,), steps=5).name), "Again")
    for made in (DRAFTS["own"], copied, draft.Draft(draft.from_preset("photos"), "Photos")):
        said = made.command(None, "x", "slurm")
        assert str(tmp_path) not in said and "--root" not in said
        assert plan.plan(from_shell(said, tmp_path)) == plan.plan(made.spec())
    assert str(tmp_path) in copied.command(Store(tmp_path), "x"), "which is shorter, and found by whoever has the form"


def test_the_store_and_the_engine_are_named_where_a_file_has_to_be_written_too(tmp_path):
    for case in ("unchanged", "own"):
        assert DRAFTS[case].command(Store(tmp_path), "x", "slurm").endswith(f"--engine slurm --root {tmp_path}")
        assert "--engine" not in DRAFTS[case].command(Store(tmp_path), "x")


def test_a_question_stands_in_the_file_as_it_was_typed():
    assert "Größer – besser?" in draft.Draft(START, "Start", "Größer – besser?").command(Store(), "x")


def test_what_a_link_asks_for_is_what_the_form_had():
    for asked in (
        draft.Asked(),
        draft.Asked(axes={}),  # what varied in the start does not
        draft.Asked("T", "Q", 3, {"epochs": 5}, {"byol": {"learning_rate": 0.5}}, {"batch_size": [32, 64]}),
        draft.Asked(settings={"batch_size": 1024, "micro_batch_size": 512}),  # which its default would not allow
        draft.Asked(settings={"devices": 3}, by_method={"moco": {"batch_size": 96}}),
    ):
        assert draft.Asked.from_params({name: said for name, said in asked.params().items() if said}) == asked


@pytest.mark.parametrize(
    "params",
    [
        {"seeds": "21"},
        {"seeds": "0"},
        {"vary": "nonsense=1"},
        {"set": f"simclr.negatives={10**16}"},
        {"set": "epochs=true"},
        {"set": "epochs=0"},
        {"own": "byol:encoder=vgg"},
    ],
)
def test_what_no_form_could_have_said_is_refused(params):
    assert draft.Asked.from_params({"seeds": ["20"], "set": [f"simclr.negatives={10**15}"]}).seeds == 20
    with pytest.raises(ConfigError):
        draft.Asked.from_params({name: [said] for name, said in params.items()})


def test_a_start_has_the_seeds_of_its_axis_or_the_one_of_its_runs():
    def start(**spec):
        return draft.Start(Spec(**spec), None)

    assert start().seeds == [0] and start(base={"seed": 3}).seeds == [3] and start(axes={"seed": [2, 4]}).seeds == [2, 4]
    assert start(axes={"method": ["byol"], "seed": [2, 4], "batch_size": [64]}).axes == {"batch_size": [64]}


def test_a_methods_own_setting_joins_those_that_the_start_has_for_it():
    spec = draft.Draft(START, "t", "q", {}, {"byol": {"epochs": 9}}).spec()
    (byol,) = {(c.epochs, c.learning_rate) for c in plan.plan(spec).configs.values() if c.method == "byol"}
    assert byol == (9, 0.3)


def test_a_setting_of_one_method_outlives_a_change_for_all():
    spec = draft.Draft(START, "t", "q", {"learning_rate": 0.01}, {"moco": {"learning_rate": 0.5}}).spec()
    rates = {config.method: config.learning_rate for config in plan.plan(spec).configs.values()}
    assert rates == {"moco": 0.5, "byol": 0.01}


def test_a_copy_of_a_run_has_its_config_and_no_more_than_it_needs(tmp_path):
    store = Store(tmp_path)
    planned = plan.plan(START.spec)
    store.create("one", START.spec, planned.configs)
    for name, config in planned.configs.items():
        start = draft.from_clone(store, f"one/{name}")
        assert list(plan.plan(draft.Draft(start, "again").spec()).configs.values()) == [config]
        assert len(start.spec.base) <= 6


def test_a_copy_of_an_experiment_plans_the_same_runs(tmp_path):
    store = Store(tmp_path)
    planned = plan.plan(START.spec)
    store.create("one", START.spec, planned.configs)
    with store.experiment("one").editing() as spec:
        spec.command = "python -m sslcore launch night"
    start = draft.from_clone(store, "one")
    assert start.spec.command is start.spec.created is None
    assert plan.plan(draft.Draft(start, "again").spec()).configs == planned.configs
    assert plan.plan(plan.read(start.source)).configs == planned.configs


@pytest.mark.parametrize("axes", [{"seed": [0.5]}, {"method": [3]}])
def test_an_experiment_that_no_form_could_show_is_refused_in_words(tmp_path, axes):
    store = Store(tmp_path)
    store.create("one", START.spec, plan.plan(START.spec).configs)
    with store.experiment("one").editing() as spec:
        spec.axes = axes
    with pytest.raises(ValueError, match=r"cannot be .*; correct it there"):
        draft.from_clone(store, "one")


@pytest.mark.parametrize("name", ["", "nothing", "one/nothing", "../one", "/etc", "one/../one"])
def test_there_is_no_copy_of_what_is_not_there(tmp_path, name):
    Store(tmp_path).create("one", START.spec, plan.plan(START.spec).configs)
    with pytest.raises(ValueError, match="no such experiment or run"):
        draft.from_clone(Store(tmp_path), name)
