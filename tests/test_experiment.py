"""The experiment folder: whole or not at all, readable whatever happened to its writer."""

import errno
import json
import math
import os
import resource
import shutil
import stat
import threading
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslcore import archive, trash, worker
from sslcore.__main__ import main
from sslcore.config import resolve
from sslcore.experiment import Run, Spec, Store
from sslcore.files import read_json, write_json
from sslcore.locks import HEARTBEAT_LIMIT, process_is
from sslcore.naming import folder_name, slug
from sslcore.status import Status


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def run(store):
    return store.create("e", Spec(), {"a": resolve({"dataset": "digits"})}).run("a")


@pytest.mark.parametrize("where", ["base", "by_method"])
def test_a_setting_that_is_given_twice_makes_an_experiment_unreadable(store, where):
    twice = {"head.dim": 8, "head": {"dim": 16}}
    experiment = store.create("e", Spec(), {"a": resolve({"dataset": "digits"})})
    write_json(experiment.spec_file, {"title": "T", where: twice if where == "base" else {"byol": twice}})
    with pytest.raises(ValueError, match="cannot be read"):
        experiment.read_spec()


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "status.json"
    value = {"words": "x" * 50_000}
    write_json(path, {"n": 0} | value)
    seen, torn, over = [], [], threading.Event()

    def read():
        while not over.is_set():
            text = path.read_text()
            try:
                seen.append(json.loads(text)["n"])
            except ValueError:
                torn.append(text)

    reader = threading.Thread(target=read)
    reader.start()
    deadline = time.monotonic() + 30
    n = 0
    while len(set(seen)) < 20 and not torn and time.monotonic() < deadline:
        n += 1
        write_json(path, {"n": n} | value)
    over.set()
    reader.join()
    assert not torn and len(set(seen)) >= 20 and seen == sorted(seen)
    assert [p.name for p in tmp_path.iterdir()] == ["status.json"], "nothing is left beside it"


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"n": 1})
    with pytest.raises(TypeError):
        write_json(path, {"n": object()})
    assert read_json(path) == {"n": 1} and len(list(tmp_path.iterdir())) == 1


@given(
    st.recursive(
        st.none() | st.floats() | st.integers(-(2**53), 2**53) | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_json_has_no_nan_and_keeps_everything_else(tmp_path_factory, value):
    path = tmp_path_factory.mktemp("j") / "a.json"
    write_json(path, {"value": value})
    read = json.loads(path.read_text(), parse_constant=pytest.fail)["value"]
    assert read == _without_nan(value)


def _without_nan(value):
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return {key: _without_nan(inner) for key, inner in value.items()} if isinstance(value, dict) else value


# -- Metrics -----------------------------------------------------------------------


def test_a_torn_last_line_is_skipped_and_nan_is_null(run):
    run.append_metrics({"step": 1, "loss": 2.5})
    run.append_metrics({"step": 2, "loss": math.nan})
    with run.metrics_file.open("a") as file:
        file.write('{"step": 3, "lo')
    assert run.metrics() == [{"step": 1, "loss": 2.5}, {"step": 2, "loss": None}]
    assert "NaN" not in run.metrics_file.read_text()


def test_rows_after_a_step_are_dropped_for_a_resumed_run(run):
    for step in range(1, 6):
        run.append_metrics({"step": step})
    with run.metrics_file.open("a") as file:
        file.write('{"step": "1", "loss": 0}\n{"torn')
    run.keep_metrics_until(3)
    run.append_metrics({"step": 4, "again": True})
    assert [row["step"] for row in run.metrics()] == [1, 2, 3, 4] and run.metrics()[-1]["again"]


def test_results_are_read_once_until_the_file_changes(run):
    assert run.results() is None
    write_json(run.results_file, {"linear": {"accuracy": 0.5}})
    first = run.results()
    assert first == {"linear": {"accuracy": 0.5}} and Run(run.path).results() is first
    write_json(run.results_file, {"linear": {"accuracy": 0.7}})  # as long as before
    assert run.results() == {"linear": {"accuracy": 0.7}}
    run.results_file.write_text("{")
    assert run.results() is None
    write_json(run.results_file, {"linear": {"accuracy": 0.5}})
    run.results_file.unlink()
    assert run.results() is None


def test_a_folder_that_may_not_be_read_hides_no_other(store, run, monkeypatch):
    other = store.create("theirs", Spec(), {"a": resolve({})})
    is_file, iterdir = Path.is_file, Path.iterdir

    def refused(act):
        def attempt(path):
            if other.path in (path, *path.parents):
                raise PermissionError(13, "Permission denied", str(path))
            return act(path)

        return attempt

    monkeypatch.setattr(Path, "is_file", refused(is_file))
    monkeypatch.setattr(Path, "iterdir", refused(iterdir))
    assert [e.name for e in store.experiments()] == ["e"] and [one.id for one in store.runs()] == [run.id]
    assert not other.exists() and other.runs() == []


def test_folders_whose_names_are_no_text_are_passed_over(store, run):
    for path in (store.root, run.experiment.path):
        shutil.copytree(run.experiment.path if path == store.root else run.path, path / os.fsdecode(b"caf\xe9"))
    assert [e.name for e in store.experiments()] == ["e"] and [one.id for one in store.runs()] == [run.id]


def test_a_run_that_has_said_nothing_has_no_rows(run):
    assert run.metrics() == [] and run.results() is None and run.log_tail() == ""
    run.keep_metrics_until(3)
    assert not run.metrics_file.exists()


# -- Status ------------------------------------------------------------------------


def here(**changes) -> Status:
    me = psutil.Process()
    return Status(state="running", host=os.uname().nodename, pid=me.pid, pid_started=me.create_time(), **changes)


def test_a_run_is_running_as_long_as_its_very_process_lives(run):
    run.write_status(here())
    assert run.status().state == "running"
    run.update_status(pid_started=psutil.Process().create_time() - 60)
    assert run.status().state == "interrupted", "the pid is another process's by now"
    run.update_status(pid=None)
    assert run.status().state == "interrupted"


def test_a_copy_of_a_running_run_is_not_running_and_a_renamed_one_is(run):
    run.write_status(here(inode=run.path.stat().st_ino))
    copy = Run(shutil.copytree(run.path, run.path.with_name("copy")))
    assert (run.status().state, copy.status().state) == ("running", "interrupted")
    assert Run(run.path.rename(run.path.with_name("renamed"))).status().state == "running"


def test_a_process_that_is_gone_after_it_was_asked_to_stop_was_stopped(run):
    """Else Watch would see no run at work and never look again, before the agent has written down how it ended."""
    gone = here(attempt=1).model_copy(update={"pid_started": psutil.Process().create_time() - 60})
    run.write_status(gone)
    run.request_stop()
    assert run.status().state == "stopped" and run.recorded_status().state == "running"
    run.update_status(pid_started=gone.pid_started - 60)
    assert run.status().state == "interrupted", "an older process was asked"


def test_a_run_elsewhere_is_lost_when_it_is_silent_for_too_long(run):
    run.write_status(Status(state="running", host="elsewhere", pid=1, pid_started=1.0, heartbeat=time.time()))
    assert run.status().state == "running"
    run.update_status(heartbeat=time.time() - HEARTBEAT_LIMIT - 1)
    assert run.status().state == "interrupted"


@pytest.mark.parametrize("state", ["queued", "finished", "failed", "stopped"])
def test_other_states_are_as_they_are_written(run, state):
    run.update_status(state=state)
    assert run.status().state == state


@pytest.mark.parametrize("content", ["", "{", "[1]", "3", '{"state": "flying"}', '{"progress": []}', '{"started_at": 1e20}'])
def test_a_status_that_cannot_be_read_is_an_interrupted_run(run, content):
    run.status_file.write_text(content)
    assert run.status().state == "interrupted"
    run.status_file.unlink()
    assert run.status().state == "interrupted"


def test_a_child_that_has_ended_does_not_run_though_nobody_has_reaped_it():
    child = os.fork()
    if child == 0:
        os._exit(0)
    try:
        started = psutil.Process(child).create_time()
        deadline = time.monotonic() + 30
        while process_is(child, started):
            assert time.monotonic() < deadline
    finally:
        os.waitpid(child, 0)
    assert not process_is(child, started)


def test_one_process_at_a_time_holds_a_run(run):
    with run.hold():
        with pytest.raises(BlockingIOError), Run(run.path).hold():
            pass
    with run.hold():
        pass


def test_a_run_that_no_agent_here_looks_after_hears_of_a_stop_by_itself(run, monkeypatch):
    monkeypatch.setattr(worker, "HEARTBEAT_SECONDS", 0.02)
    with run.hold() as claim:
        pulse = worker.Pulse(run, claim)
        pulse.start()
        assert not pulse.stop_requested
        run.request_stop()
        while not pulse.stop_requested:
            time.sleep(0.01)
        pulse.hush()


@pytest.mark.parametrize(
    ("left", "stage", "trains", "again"),
    [
        (200, "probe", False, True),  # it makes room for others
        (None, "embed", False, True),
        (100, "pretrain", False, True),  # while images are decoded, of which nothing is lost
        (100, "probe", True, True),
        (100, "probe", False, False),
    ],
)
def test_a_job_whose_time_is_too_short_to_measure_a_run_is_not_queued_for_ever(run, monkeypatch, left, stage, trains, again):
    monkeypatch.setenv("TRIPTYCH_ENDS", str(int(time.time()) + left) if left else "NONE")
    monkeypatch.setenv("TRIPTYCH_NOTICE", "120")
    with run.hold() as claim:
        pulse = worker.Pulse(run, claim)
        pulse.start()
        pulse.stage(stage, 0.5)
        pulse.requeued, pulse.trains = True, trains
        assert pulse.gives_way() == again
        pulse.hush()
    assert (run.recorded_status().state == "queued") == again == (not run.recorded_status().warnings)


def test_who_is_patient_gets_the_run_when_it_is_let_go(run):
    held, leave = threading.Event(), threading.Event()

    def hold():
        with Run(run.path).hold():
            held.set()
            leave.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(30)
    threading.Timer(0.1, leave.set).start()
    with run.hold(patience=30):
        assert leave.is_set()
    holder.join()


# -- Store -------------------------------------------------------------------------


def test_an_experiment_is_made_whole(store):
    configs = {name: resolve({"dataset": "digits", "method": name}) for name in ("moco", "byol")}
    experiment = store.create("e", Spec(title="T", axes={"method": list(configs)}), configs)
    assert experiment.spec().title == "T" and experiment.spec().created
    assert {run.name: run.config for run in experiment.runs()} == configs
    assert {run.status().state for run in experiment.runs()} == {"queued"}
    assert [run.name for run in sorted(experiment.runs(), key=lambda run: run.status().queued_at)] == list(configs)
    assert [p.name for p in store.root.iterdir()] == ["e"]


def test_an_experiment_is_made_not_at_all_where_something_fails(store):
    config = resolve({"dataset": "digits"})
    with pytest.raises(OSError):
        store.create("e", Spec(), {"a": config, "b/c": config})
    assert not list(store.root.iterdir())


def test_runs_are_added_all_or_none(store, run):
    config, experiment = run.config, run.experiment
    before = sorted(path.name for path in experiment.path.iterdir())
    for names in (["new", run.name], ["new", "a/b"]):
        with pytest.raises(OSError):
            experiment.add(dict.fromkeys(names, config))
        assert sorted(path.name for path in experiment.path.iterdir()) == before
    added = experiment.add({"z": config, "y": config})
    assert [one.name for one in added] == ["z", "y"] and {one.status().state for one in added} == {"queued"}
    assert added[0].status().queued_at < added[1].status().queued_at
    assert sorted(path.name for path in experiment.path.iterdir()) == sorted([*before, "y", "z"])


def test_a_taken_name_is_refused_and_nothing_is_overwritten(store, run):
    with pytest.raises(FileExistsError):
        store.create("e", Spec(title="other"), {})
    assert run.experiment.spec().title == "" and run.exists()
    assert store.free_name("E") == "e-2" and store.free_name("new") == "new"


@pytest.mark.parametrize("named", [slug, folder_name])
@given(st.text())
def test_a_slug_is_one_harmless_folder_name(named, text):
    name = named(text)
    assert "/" not in name and not name.startswith(".") and len(name) <= 80 and named(name) == name and name.isascii()


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("Größe", "grosse"),
        ("GRÖSSE", "grosse"),
        ("Frage Größe 日本", "frage-grosse"),
        ("Sør-Ålesund Łódź Ǿ", "sor-alesund-lodz-o"),
        ("日本", ""),
        ("a/../b", "a-..-b"),
        ("slurm.yaml", "slurm-yaml"),
    ],
)
def test_an_experiments_folder_keeps_the_letters_of_its_name_and_is_found_by_it(store, name, folder):
    assert folder_name(name) == folder
    if folder and "/" not in name:
        experiment = store.create(folder, Spec(), {"a": resolve({"dataset": "digits"})})
        assert [run.id for run in store.find(f"{name}/a")] == [f"{folder}/a"]
        assert store.whole(name, "").path == experiment.path and store.free_name(name) == f"{folder}-2"


def test_the_folder_of_the_very_name_comes_first(store):
    for name in ("Größe", "grosse"):
        store.create(name, Spec(), {"a": resolve({"dataset": "digits"})})
    assert store.find("Größe")[0].id == "Größe/a" and store.find("grosse")[0].id == "grosse/a"


def test_runs_are_found_by_name_and_only_within_the_store(store, run):
    assert [found.id for found in store.find("e")] == [found.id for found in store.find("e/a")] == ["e/a"]
    for name in ("", "x", "e/x", "e/a/b", "../store/e", "/etc", ".", "e/..", ".trash"):
        with pytest.raises(ValueError):
            store.find(name)


def test_what_is_discarded_can_be_moved_back(store, run):
    config = run.config
    kept = trash.discard(store, run)
    assert not run.exists() and not store.experiment("e").runs() and kept.is_relative_to(store.root)
    kept.rename(run.path)
    assert Run(run.path).config == config
    trash.discard(store, store.experiment("e"))
    assert store.experiments() == []


def test_an_experiment_that_is_a_link_comes_back_from_the_trash(store, run, tmp_path):
    run.experiment.path.rename(tmp_path / "elsewhere")
    (store.root / "e").symlink_to(os.path.relpath(tmp_path / "elsewhere", store.root))
    trash.discard(store, store.experiment("e"))
    (lost,) = trash.contents(store)
    assert trash.restore(store, lost).runs()[0].config == run.config and (tmp_path / "elsewhere").is_dir()


def test_the_name_of_a_link_to_a_disk_that_is_not_there_is_taken(store, run, tmp_path):
    for name in ("away", "away-2"):
        (store.root / name).symlink_to(tmp_path / "no disk")
    assert store.free_name("away") == "away-3"
    with pytest.raises(FileExistsError):
        store.create("away", Spec(), {})
    kept = trash.discard(store, run.experiment)
    run.experiment.path.symlink_to(tmp_path / "no disk")
    (discarded,) = trash.contents(store)
    assert trash.restore(store, discarded).name == f"{kept.name}-2"


def test_a_run_on_another_disk_cannot_go_to_the_trash_and_it_is_said_why(store, run, monkeypatch):
    def elsewhere(*_):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(Path, "rename", elsewhere)
    with pytest.raises(OSError, match=r"lies on another disk.*by hand"):
        trash.discard(store, run)
    assert run.exists() and not any((store.root / ".trash").iterdir())


def test_an_experiment_of_more_runs_than_files_may_be_open_can_be_deleted(store):
    experiment = store.create("many", Spec(), {f"r{k}": resolve({"seed": k}) for k in range(60)})
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    now = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (now + 60, hard))
    try:
        trash.discard(store, experiment)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert not experiment.exists()


@pytest.mark.parametrize("pid", [-1, 0, 10**30, "12"])
def test_a_number_that_no_process_has_is_a_process_that_is_gone(run, pid):
    run.write_status(Status(state="running", host=os.uname().nodename, pid=pid, pid_started=1.0))
    assert run.status().state == "interrupted"


def test_the_trash_gives_back_runs_and_experiments_as_they_were(store, run):
    files, config = {path.name: path.read_bytes() for path in run.path.iterdir()}, run.config
    trash.discard(store, run)
    (lost,) = trash.contents(store)
    assert lost.id == "e/a" and abs(lost.when - time.time()) < 60
    assert trash.restore(store, lost).id == "e/a"
    assert {path.name: path.read_bytes() for path in run.path.iterdir() if path.name in files} == files
    trash.discard(store, run.experiment)
    (lost,) = trash.contents(store)
    store.create("e", Spec(title="another"), {})
    back = trash.restore(store, lost)
    assert back.name == "e-2" and back.runs()[0].config == config
    assert store.experiment("e").spec().title == "another"
    assert not list((store.root / ".trash").iterdir()), "nothing is left behind"


def test_runs_without_an_experiment_json_are_an_experiment_and_go_into_the_trash_and_out_of_it(store, run, tmp_path):
    """As where a folder of runs was copied by hand."""
    experiment = run.experiment
    experiment.spec_file.unlink()
    (foreign := store.root / "no-experiment" / "language-model").mkdir(parents=True)
    write_json(foreign / "config.json", {"hidden_size": 768})
    assert [e.name for e in store.experiments()] == [experiment.name] and [r.id for r in store.find(experiment.name)] == [run.id]
    assert experiment.spec().title == experiment.name and "is not there" in experiment.spec().question
    with pytest.raises(ValueError, match=r"experiment\.json is not there"), experiment.editing():
        raise AssertionError("nothing says what is edited")
    trash.discard(store, run)
    (discarded,) = trash.contents(store)
    assert discarded.id == run.id and store.experiments() == []
    assert trash.restore(store, discarded).id == run.id
    trash.discard(store, experiment)
    (discarded,) = trash.contents(store)
    assert discarded.id == experiment.name and store.experiments() == []
    assert [r.id for r in trash.restore(store, discarded).runs()] == [run.id]
    archive.export(experiment, tmp_path / "it.zip")
    taken = archive.bring_in(Store(tmp_path / "other"), tmp_path / "it.zip")
    assert taken.read_spec().title == experiment.name and [r.name for r in taken.runs()] == [run.name]


def test_a_run_is_put_back_only_where_its_place_is_free(store, run):
    trash.discard(store, run)
    trash.discard(store, store.experiment("e"))
    lost_run = next(lost for lost in trash.contents(store) if lost.id == "e/a")
    with pytest.raises(ValueError, match="put it back first"):
        trash.restore(store, lost_run)
    stranger = store.create("e", Spec(title="another question"), {})
    with pytest.raises(ValueError, match="is not the one that e/a is of"):
        trash.restore(store, lost_run)
    stranger.path.rename(store.root / "stranger")
    own = trash.restore(store, next(lost for lost in trash.contents(store) if lost.id == "e"))
    (taken,) = own.add({"a": resolve({"dataset": "digits"})})
    with pytest.raises(ValueError, match="there is a run e/a again"):
        trash.restore(store, lost_run)
    shutil.rmtree(taken.path)
    assert trash.restore(store, lost_run).id == "e/a" and not list((store.root / ".trash").iterdir())


def test_a_trash_that_may_not_be_read_is_empty_and_one_that_is_made_may_be_read(store, run, monkeypatch):
    before = os.umask(0o077)
    try:
        trash.discard(store, run)
    finally:
        os.umask(before)
    for folder in (store.root / ".trash", *(store.root / ".trash").iterdir()):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert len(trash.contents(store)) == 1
    listing = Path.iterdir

    def refused(folder: Path):
        if ".trash" in folder.parts:
            raise PermissionError(folder)
        return listing(folder)

    monkeypatch.setattr(Path, "iterdir", refused)
    assert trash.contents(store) == []
    trash.empty(store)


def test_a_run_at_work_is_not_discarded(store, run):
    with run.hold(), pytest.raises(BlockingIOError, match="e/a is running"):
        trash.discard(store, store.experiment("e"))
    with run.hold(), pytest.raises(BlockingIOError, match="e/a is running"):
        trash.discard(store, run)
    assert run.exists() and not trash.contents(store)
    assert trash.discard(store, store.experiment("e")).exists()


def days_ago(days: int) -> str:
    """The name of a folder of the trash."""
    return time.strftime("%Y%m%d-%H%M%S-x", time.localtime(time.time() - days * 24 * 3600))


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Lima"])
def test_the_trash_lists_the_latest_first_and_when_it_was_put_there(store, run, monkeypatch, zone):
    with monkeypatch.context() as patched:
        patched.setenv("TZ", zone)
        time.tzset()
        run.experiment.add({name: resolve({"dataset": "digits"}) for name in "bc"})
        for name, days in (("b", 2), ("a", 1), ("c", 3)):
            kept = trash.discard(store, run.experiment.run(name))
            kept.parents[1].rename(kept.parents[1].with_name(days_ago(days)))
        found = trash.contents(store)
        (store.root / ".trash" / days_ago(0)).write_text("no folder")
        assert [lost.id for lost in trash.contents(store)] == [lost.id for lost in found] == ["e/a", "e/b", "e/c"]
        assert [round((time.time() - lost.when) / 3600) for lost in found] == [24, 48, 72]
        trash.empty(store)
    time.tzset()


def test_the_trash_forgets_after_a_week(store, run):
    trash.discard(store, run)
    (folder,) = (store.root / ".trash").iterdir()
    (store.root / ".trash" / "mine").mkdir()
    for days in (0, 6):
        folder = folder.rename(folder.with_name(days_ago(days)))
        trash.empty(store)
        assert len(trash.contents(store)) == 1
    folder.rename(folder.with_name(days_ago(8)))
    trash.empty(store)
    assert [path.name for path in (store.root / ".trash").iterdir()] == ["mine"]


def test_a_copied_spec_brings_along_neither_pins_nor_the_archive(store):
    copied = Spec(archived=True, pinned=["a"], hidden=["b"], tags=["t"])
    spec = store.create("copy", copied, {}).spec()
    assert (spec.archived, spec.pinned, spec.hidden, spec.tags) == (False, [], [], ["t"])


def test_editors_of_different_fields_all_have_their_way(store, run):
    experiment = run.experiment
    write_json(experiment.spec_file, {**read_json(experiment.spec_file), "of a later version": 1})

    def edit(k: int) -> None:
        for n in range(20):
            with experiment.editing() as spec:
                spec.tags = [*spec.tags, f"{k}-{n}"]

    editors = [threading.Thread(target=edit, args=(k,)) for k in range(4)]
    for editor in editors:
        editor.start()
    with experiment.editing() as spec:
        spec.notes = "kept"
    for editor in editors:
        editor.join()
    assert sorted(experiment.spec().tags) == sorted(f"{k}-{n}" for k in range(4) for n in range(20))
    assert experiment.spec().notes == "kept" and read_json(experiment.spec_file)["of a later version"] == 1


def test_an_edit_that_fails_or_a_broken_description_changes_nothing(store, run):
    before = run.experiment.spec_file.read_text()
    with pytest.raises(ZeroDivisionError), run.experiment.editing() as spec:
        spec.title = str(1 / 0)
    with pytest.raises(ValueError), run.experiment.editing() as spec:
        spec.tags = "no list"
    assert run.experiment.spec_file.read_text() == before
    run.experiment.spec_file.write_text("{")
    with pytest.raises(ValueError, match="cannot be read"), run.experiment.editing() as spec:
        spec.title = "new"
    assert run.experiment.spec_file.read_text() == "{"


@pytest.mark.parametrize("content", ["", "[]", '{"axes": 3}', '{"created": 1e20}', "null"])
def test_an_experiment_whose_description_is_broken_is_still_listed(store, run, content):
    run.experiment.spec_file.write_text(content)
    assert [(experiment.name, experiment.spec().title) for experiment in store.experiments()] == [("e", "e")]


def test_a_broken_config_is_told_in_one_line(run):
    run.config_file.write_text('{"epochs": "many"}')
    with pytest.raises(ValueError, match="epochs") as error:
        _ = Run(run.path).config
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "damaged",
    [
        {"baselines": {"random_encoder": {"linear": 4.5}}},
        {"baselines": {"pixels": {"knn": -1.0}}},
        {"transfer": {"photos": {"linear": {"accuracy": 5.0}}}},
        {"cost": {"flops_per_image": -5}},
        {"linear": {"accuracy": 0.5, "n_test": -4}},
        {"linear": {"accuracy": 0.5, "ci95": [0.9, 0.1]}},
    ],
)
def test_results_with_numbers_that_cannot_be_are_none(run, damaged):
    write_json(run.results_file, {"linear": {"accuracy": 0.5}} | damaged)
    assert run.results() is None


def test_the_least_that_results_must_have_is_enough(run):
    linear = {"accuracy": 0.5, "ci95": [-0.01, 1.01], "per_class": {"a": 1.0, "b": 0.0}, "confusion": [[1, 0], [1, 0]]}
    write_json(run.results_file, {"linear": linear, "knn": {"accuracy": 0.25}, "own": 1})
    assert run.results() == {"linear": linear | {"classes": ["a", "b"]}, "knn": {"accuracy": 0.25}, "own": 1}
    write_json(run.results_file, {"linear": linear | {"per_class": [1.0, 0.0]}})
    assert run.results()["linear"]["per_class"] == {"0": 1.0, "1": 0.0}
    write_json(run.results_file, {"linear": {"accuracy": None}, "knn": None, "cost": {"seconds": 3}})
    assert run.results() == {"linear": None, "knn": None, "cost": {"seconds": 3}}


@pytest.mark.parametrize(
    "odd", [{"job_id": 123}, {"attempt": None}, {"progress": 1.1}, {"heartbeat": "noon"}, {"warnings": "x"}, {"error": {}}]
)
def test_what_of_a_status_cannot_be_read_takes_nothing_else_with_it(run, odd):
    write_json(run.status_file, {"state": "finished", "host": "there", **odd})
    assert (run.status().state, run.status().host) == ("finished", "there")
    assert run.status().job_id == ("123" if "job_id" in odd else None)
    write_json(run.status_file, {"state": "dancing", **odd})
    assert run.status().error == "status.json could not be read"


def test_null_in_a_spec_says_nothing(run):
    experiment = run.experiment
    write_json(experiment.spec_file, {"title": "T", "notes": None, "base": None, "axes": {"seed": [0, 1]}, "created": None})
    assert (experiment.read_spec().title, experiment.read_spec().notes, experiment.read_spec().axes) == (
        "T",
        "",
        {"seed": [0, 1]},
    )


@pytest.mark.parametrize(("written", "read"), [("NaN", None), ("Infinity", None), ("-50", None), ("1e300", None), ("61.5", 61.5)])
def test_a_time_left_that_cannot_be_is_none_and_the_rest_of_the_status_stays(run, written, read):
    run.status_file.write_text(f'{{"state": "finished", "attempt": 3, "eta_seconds": {written}}}')
    assert (run.status().attempt, run.status().eta_seconds) == (3, read)


def test_a_run_that_has_lost_its_config_is_told_by_every_way_out(run, capsys):
    run.write_status(Status(state="finished"))
    other = run.experiment.add({"other": run.config})[0]
    run.config_file.unlink()
    assert run.experiment.strays() == [run.name] and [one.name for one in run.experiment.runs()] == [other.name]
    (run.experiment.path / "notes").mkdir()
    root = ["--root", str(run.experiment.store.root)]
    for command in (["status", run.experiment.name], ["export", run.experiment.name, str(run.experiment.path / "x.zip")]):
        assert main([*command, *root]) == 0
        told = capsys.readouterr()
        assert f"{run.name} has no config.json" in told.out + told.err and "notes has" not in told.out + told.err
