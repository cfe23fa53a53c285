"""Which paths of this machine the dashboard opens for those whom it lets in."""

import subprocess
import sys
from pathlib import Path

import pytest

from dashboard import access, change
from sslcore import datasets
from sslcore.config import resolve
from sslcore.experiment import Store
from tests.pages.driving import open_page


@pytest.fixture
def roots(monkeypatch, tmp_path, shapes):
    """Data sets may be opened in one folder alone; the data set of the tests lies outside."""
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.setattr(access, "is_local", lambda: False)
    monkeypatch.setenv("TRIPTYCH_TRUST_NETWORK", "1")
    monkeypatch.setenv("TRIPTYCH_DATA_ROOTS", str(inside))
    datasets._info.cache_clear()
    yield inside
    datasets._info.cache_clear()


def test_paths_outside_of_the_roots_are_not_opened(roots, shapes):
    link_out, link_in = roots / "out.npz", roots.parent / "in.npz"
    link_out.symlink_to(shapes)
    (roots / "own.npz").write_bytes(Path(shapes).read_bytes())
    link_in.symlink_to(roots / "own.npz")
    for outside in (
        shapes,
        str(link_out),
        f"{roots}/../inside-too/x.npz",
        f"{roots}/../../",
        "/",
        "/etc/passwd",
        f"{roots}x",
        "\0",
        "~root",
    ):
        with pytest.raises(ValueError):
            access.check_data(outside)
        with pytest.raises(ValueError):
            datasets.info(outside)
    for inside in (str(roots / "own.npz"), str(link_in), str(roots), f"{roots}/./own.npz", "photos", "cifar10"):
        access.check_data(inside)
    assert datasets.info(str(roots / "own.npz")).train == 96


def test_the_form_says_so_beside_the_field_and_the_action_refuses(roots, shapes, experiment):
    app = open_page("new", new_dataset="own images", new_path=shapes)
    app.text_input(key="new_path").set_value(shapes).run()
    assert (
        any("TRIPTYCH_DATA_ROOTS" in error.value.replace("\\", "") for error in app.error)
        and app.button(key="new_launch").disabled
    )
    app = open_page("new")
    app.multiselect(key="new_vary").set_value(["dataset"]).run()
    app.text_input(key="new_values_dataset").set_value(f"photos, {shapes}").run()
    assert app.button(key="new_launch").disabled
    assert [e.name for e in Store().experiments()] == ["one"]
    config = resolve({"dataset": shapes, "epochs": 1})
    foreign = Store().create("foreign", experiment.spec().model_copy(update={"base": {"dataset": shapes}}), {"a": config})
    foreign.run("a").update_status(state="interrupted")
    for do in (
        lambda: change.launch(Store(), "x", experiment.spec(), {"a": config}),
        lambda: change.resume(foreign.run("a")),
        lambda: change.complete(foreign, ["a"]),
        lambda: change.draw_views(config),
        lambda: change.count_memory(experiment.spec(), {"a": config}),
    ):
        with pytest.raises(ValueError, match="TRIPTYCH_DATA_ROOTS"):
            do()
    app = open_page("new", clone="foreign")
    assert app.button(key="new_launch").disabled
    assert [e.name for e in Store().experiments()] == ["foreign", "one"] and foreign.run("a").status().state == "interrupted"


def test_no_action_opens_what_a_link_within_a_data_set_leads_to(roots, experiment):
    own, secret = roots / "own", roots.parent / "secret"
    for folder in (own / "a", secret):
        folder.mkdir(parents=True)
        for k in range(3):
            (folder / f"{k}.png").touch()
    (own / "b").symlink_to(secret)
    config = resolve({"dataset": str(own), "epochs": 1})
    before = Store().experiments()
    for do in (
        lambda: change.launch(Store(), "x", experiment.spec(), {"a": config}),
        lambda: change.draw_views(config),
        lambda: change.count_memory(experiment.spec(), {"a": config}),
        lambda: change.probe_elsewhere(experiment, str(own), experiment.runs()),
    ):
        with pytest.raises(ValueError, match="TRIPTYCH_DATA_ROOTS"):
            do()
    assert [e.name for e in Store().experiments()] == [e.name for e in before]


@pytest.mark.parametrize("name", ["../one", "/etc", "one/../one", "one/../../x", ".trash/x", "..", "one/byol-bs256-s0/x", "\0"])
def test_a_link_to_copy_opens_nothing_but_experiments_and_runs(experiment, name):
    assert any("nothing to copy" in error.value for error in open_page("new", clone=name).error)


@pytest.mark.parametrize(
    "odd",
    [
        {"base": {"dataset": ["x"]}},
        {"base": {"dataset": 5}},
        {"base": {"method": ["moco"]}},
        {"axes": {"method": [["a"]]}},
        {"axes": {"method": [{}]}},
        {"axes": {"seed": ["a", 1]}},
    ],
)
def test_what_no_form_can_show_is_not_copied_and_the_page_says_why(experiment, odd):
    with experiment.editing() as spec:
        spec.base, spec.axes = odd.get("base", {}), odd.get("axes", {})
    (error,) = open_page("new", clone=experiment.name).error
    assert "nothing to copy" in error.value and "experiment.json" in error.value.replace("\\", "") and "cannot be" in error.value


def test_usual_roots_are_for_this_machine_alone(setting, monkeypatch, login):
    monkeypatch.delenv("TRIPTYCH_DATA_ROOTS", raising=False)
    assert access.data_roots() == []
    monkeypatch.setattr(access, "login_is_set_up", lambda: False)
    assert str(Path.cwd().resolve()) in access.data_roots()
    setting("server.address", "0.0.0.0")
    assert access.data_roots() == []


def test_the_shell_may_open_any_path(shapes):
    """In a process of its own, as the shell is: the rule is the dashboard's."""
    done = subprocess.run(
        [sys.executable, "-c", f"from sslcore import datasets; print(datasets.info({shapes!r}).train, datasets.rule.check_path)"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["96", "None"]
