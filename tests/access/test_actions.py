"""Every action asks whether it may be done, and nothing of the dashboard changes a store but by an action."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import dashboard
import sslcore.experiment
from dashboard import change
from sslcore import archive, compact, files, launch, plan, trash
from sslcore.experiment import Experiment, Run, Store
from tests.access.people import content

DASHBOARD = Path(dashboard.__file__).parent


def attempts(experiment: Experiment) -> dict[str, tuple]:
    """Arguments with which each action would change the store."""
    store, (run, other, *_) = experiment.store, experiment.runs()
    trash.discard(store, other)
    return {
        "launch": (store, "two", experiment.spec(), {"a": run.config}),
        "set_cluster": (store, {"partition": "gpu"}),
        "start_queue": (store,),
        "stop": (run,),
        "resume": (run,),
        "complete": (experiment, [run.name]),
        "probe_elsewhere": (experiment, "digits", [run]),
        "draw_views": (run.config,),
        "count_memory": (experiment.spec(), {"a": run.config}),
        "grow": (experiment, {"seed": [5]}),
        "take_back": (experiment, plan.Growth(experiment.spec(), experiment.spec())),
        "editing": (experiment,),
        "bring_in": (store, DASHBOARD.parent / "studies" / "batch-size-on-photos.zip"),
        "discard": (store, experiment),
        "restore": (store, trash.contents(store)[0]),
        "empty_trash": (store,),
    }


def test_every_action_is_refused_to_whoever_may_not_change(experiment, exposed):
    given = attempts(experiment)
    assert set(given) == set(change.ACTIONS), "each action is tried here"
    public = {
        name
        for name, of in vars(change).items()
        if inspect.isfunction(of) and of.__module__ == change.__name__ and not name.startswith("_")
    }
    assert public - {"action"} == set(change.ACTIONS), "each function of change.py asks"
    before = content(experiment.path.parent)
    for name, arguments in given.items():
        with pytest.raises(change.Refused, match="Read-only"):
            done = getattr(change, name)(*arguments)
            if hasattr(done, "__enter__"):
                done.__enter__()
    assert content(experiment.path.parent) == before


READING = {
    # methods of a store, an experiment, a run
    "experiment",
    "experiments",
    "runs",
    "strays",
    "closed",
    "config_problem",
    "config_is_lost",
    "find",
    "free_name",
    "spec",
    "run",
    "files",
    "images",
    "exists",
    "sample_sheet",
    "whole",
    "status",
    "recorded_status",
    "alive",
    "stopping",
    "has_checkpoint",
    "goes_on",
    "check_goes_on",
    "metrics",
    "results",
    "environment",
    "log_tail",
    # functions of launch, archive, plan, trash, compact, files, experiment
    "in_use",
    "at_once",
    "engine_of",
    "look",
    "export",
    "as_imported",
    "plan",
    "in_yaml",
    "with_file",
    "presets",
    "read",
    "check",
    "cells",
    "axes_by_method",
    "run_name",
    "extend",
    "change",
    "named",
    "unlinked_file",
    "read_json",
    "logged_rows",
    "read_spec",
    "read_object",
    "missing",
    "last",
    "unknown",
    "in_words",
    "submitted",
    "contents",
    "check_place",
    "own_folder",  # makes one, for temporary files
    "appended",
    "stamp",
    "as_float",
}
LAUNCHERS = [importlib.import_module(module.name) for module in pkgutil.walk_packages(launch.__path__, "sslcore.launch.")]
MODULES = (launch, *LAUNCHERS, archive, plan, trash, compact, files, sslcore.experiment)
METHODS = {
    name for of in (Store, Experiment, Run) for name, value in vars(of).items() if callable(value) and not name.startswith("_")
}
FUNCTIONS = {
    name
    for of in MODULES
    for name, value in vars(of).items()
    if inspect.isfunction(value) and value.__module__ == of.__name__ and not name.startswith("_")
}
GONE = READING - METHODS - FUNCTIONS
METHODS -= {*READING, "add"}  # sets have an `add`, too
FUNCTIONS -= READING


def test_no_file_of_the_dashboard_changes_a_store_but_change_py():
    """Whatever the science's stores, launchers, archives and plans have that is not known to read alone."""
    assert not GONE, "each name of READING is there to be called"
    assert {"create", "editing", "write_spec", "update_status", "write_status", "request_stop", "hold"} <= METHODS
    assert {
        "bring_in",
        "grow",
        "take_back",
        "resume",
        "stop",
        "start",
        "complete",
        "replacing",
        "write_json",
        "discard",
        "restore",
        "empty",
        "keep",
    } <= FUNCTIONS
    for file in sorted(DASHBOARD.rglob("*.py")):
        if file.name in ("change.py", "__main__.py"):  # the latter is the shell's
            continue
        tree = ast.parse(file.read_text())
        imported = [
            node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sslcore")
        ]
        science = {alias.asname or alias.name for node in imported for alias in node.names}
        for node in ast.walk(tree):
            of, names = "", set()
            if isinstance(node, ast.Attribute):
                of = ast.unparse(node.value)
                names = {node.attr} & METHODS - (set(change.ACTIONS) if of == "change" else set())
                names |= {node.attr} & (FUNCTIONS if of in science else set())
            elif node in imported and node.module != "sslcore":
                names = {alias.name for alias in node.names} & FUNCTIONS
            assert not names, f"{file.name}:{node.lineno}: {of}.{names} is for change.py alone"
