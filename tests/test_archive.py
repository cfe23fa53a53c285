"""A zip of an experiment: what goes out comes in the same, and nothing hostile comes in at all."""

import errno
import io
import json
import os
import pickle
import re
import stat
import struct
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import save_file

from dashboard import tables
from sslcore import archive, trash
from sslcore.__main__ import main
from sslcore.experiment import Store
from sslcore.files import check_place, write_json
from sslcore.naming import folder_name
from sslcore.wording import in_bytes
from tests import synthetic

pytestmark = pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture
def experiment(store, shapes):
    """Two finished runs with every file that a run can have."""
    experiment = synthetic.store(
        store.root, methods=("moco", "byol"), seeds=(0,), dataset=shapes, image_size=16, batch_size=32, **{"evaluate.sample": 40}
    )
    synthetic.embed(experiment)
    for run in experiment.runs():
        for file in (run.checkpoint_file, run.previous_checkpoint_file):
            torch.save({"step": 3, "weights": {"w": torch.zeros(2, 3)}}, file)
        save_file({"w": np.zeros((2, 3), np.float32)}, run.encoder_file)
        np.savez_compressed(run.snapshots_file, h=np.zeros((2, 4), np.float16), epoch=np.arange(2))
        Image.new("RGBA", (8, 8)).save(run.views_file)
        run.environment_file.write_text('{"device": "cpu"}\n')
        run.log_file.write_text("it began\n")
        (run.path / ".lock").touch()
        (run.path / ".metrics.jsonl.abc").touch()  # a temporary file of somebody at work
    return experiment


def exported(experiment, tmp_path, checkpoints=False) -> Path:
    file = tmp_path / "experiment.zip"
    archive.export(experiment, file, checkpoints)
    return file


def content(experiment) -> dict[str, bytes]:
    """Every file but the states, by its path inside the experiment."""
    files = [path for path in experiment.path.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(experiment.path)): path.read_bytes() for path in files if path.name != "status.json"}


def left_in(store) -> list[str]:
    return sorted(path.name for path in store.root.iterdir()) if store.root.is_dir() else []


# -- Out and in --------------------------------------------------------------------


@pytest.mark.parametrize("checkpoints", [False, True])
def test_what_goes_out_comes_in_the_same(store, experiment, tmp_path, checkpoints):
    file = exported(experiment, tmp_path, checkpoints)
    kept = content(experiment)
    shown = (
        tables.summary(experiment.runs()),
        [run.metrics() for run in experiment.runs()],
        tables.settings(experiment.runs(), every=True),
    )
    spec = experiment.spec()
    if not checkpoints:
        kept = {name: data for name, data in kept.items() if not name.endswith((".pt", ".safetensors"))}

    inside = archive.look(file)
    assert (inside.name, inside.title, inside.checkpoints) == ("photos", spec.title, checkpoints)
    assert [(run.name, run.method, run.state) for run in inside.runs] == [
        (r.name, r.config.method, "finished") for r in experiment.runs()
    ]

    trash.discard(store, experiment)
    again = archive.bring_in(store, file)
    assert again.path == experiment.path and content(again) == kept and again.spec() == spec
    assert inside.n_bytes >= sum(map(len, kept.values()))
    assert tables.summary(again.runs()) == shown[0]
    for run, metrics in zip(again.runs(), shown[1]):
        assert run.metrics() == metrics
    pd.testing.assert_frame_equal(tables.settings(again.runs(), every=True), shown[2])


def test_an_import_for_which_a_disk_has_no_room_says_which_and_leaves_nothing(store, experiment, tmp_path, monkeypatch):
    file = exported(experiment, tmp_path)
    before, chunks = left_in(store), archive._chunks

    def full(opened: zipfile.ZipFile, info: zipfile.ZipInfo):
        if info.filename.endswith(".npz"):
            raise OSError(errno.ENOSPC, "No space left on device")
        yield from chunks(opened, info)

    monkeypatch.setattr(archive, "_chunks", full)
    with pytest.raises(OSError, match=rf"the disk is full: .*\.npz in {re.escape(str(store.root))}.* are free"):
        archive.bring_in(store, file)
    assert left_in(store) == before


def test_the_same_folder_gives_the_same_bytes(experiment, tmp_path):
    assert exported(experiment, tmp_path).read_bytes() == exported(experiment, tmp_path).read_bytes()
    with zipfile.ZipFile(exported(experiment, tmp_path)) as inside:
        assert {entry.date_time for entry in inside.infolist()} == {(1980, 1, 1, 0, 0, 0)}, "whenever it is made"


def test_a_name_that_is_taken_is_never_touched(store, experiment, tmp_path):
    file, before = exported(experiment, tmp_path), content(experiment)
    brought = [archive.bring_in(store, file) for _ in range(2)]
    assert [one.name for one in brought] == ["photos-2", "photos-3"]
    assert all(stat.S_IMODE(one.path.stat().st_mode) == 0o755 for one in brought), "others may read what one has brought in"
    assert content(experiment) == before


def test_a_name_that_another_takes_at_the_last_moment_is_not_touched_either(store, experiment, tmp_path, monkeypatch):
    file, before, names = exported(experiment, tmp_path), content(experiment), iter([experiment.name, "photos-2"])
    monkeypatch.setattr(store, "free_name", lambda wanted: next(names))
    assert archive.bring_in(store, file).name == "photos-2" and content(experiment) == before


def test_what_trains_a_run_stays_at_home(store, experiment, tmp_path):
    queued, ours = experiment.runs()
    queued.update_status(state="queued", stage=None)
    ours.update_status(
        **{"state": "finished", "host": "home", "pid": 5, "pid_started": 1.0, "process": "b/1/5/9", "inode": 7, "slot": "cpu"},
        **{"engine": "slurm", "job_id": "12_3", "script": "a.sh", "partition": "gpu", "heartbeat": 1.0},
    )
    there = {run.name: run.recorded_status() for run in archive.bring_in(store, exported(experiment, tmp_path)).runs()}
    assert there[queued.name].state == "interrupted" and there[ours.name].state == "finished"
    kept = there[ours.name].model_dump(exclude_none=True)
    assert not kept.keys() & {"host", "pid", "pid_started", "process", "inode", "slot"}
    assert not kept.keys() & {"engine", "job_id", "script", "partition", "heartbeat"}


def test_a_running_run_is_interrupted_elsewhere(store, experiment, tmp_path):
    alive, lost = experiment.runs()
    synthetic.running(alive)
    synthetic.running(lost)
    lost.update_status(pid_started=1.0)  # that process is gone
    file = exported(experiment, tmp_path)
    with zipfile.ZipFile(file) as inside:
        states = [json.loads(inside.read(f"photos/{run.name}/status.json"))["state"] for run in (alive, lost)]
    assert states == ["running", "interrupted"]
    for run in archive.bring_in(store, file).runs():
        status = run.recorded_status()
        assert (status.state, status.host, status.pid, status.slot, status.heartbeat) == ("interrupted", None, None, None, None)
        assert status.progress > 0


def test_a_class_without_test_images_has_no_accuracy_and_comes_in(store, experiment, tmp_path):
    run = experiment.runs()[0]
    results = run.results()
    results["linear"]["per_class"][results["linear"]["classes"][0]] = None
    write_json(run.results_file, results)
    brought = archive.bring_in(store, exported(experiment, tmp_path))
    assert brought.run(run.name).results() == results


def test_halves_of_letters_are_refused(store, experiment, tmp_path):
    file = tmp_path / "hostile.zip"
    with zipfile.ZipFile(exported(experiment, tmp_path)) as good, zipfile.ZipFile(file, "w") as bad:
        for info in good.infolist():
            content = good.read(info)
            bad.writestr(info, b'{"note": "\\ud800"}' if info.filename.endswith("results.json") else content)
    with pytest.raises(ValueError, match=r"results\.json"):
        archive.bring_in(store, file)


def test_a_metrics_file_that_was_being_written_comes_in(store, experiment, tmp_path):
    run = experiment.runs()[0]
    with run.metrics_file.open("a") as file:
        file.write('{"step": 40')
    again = archive.bring_in(store, exported(experiment, tmp_path)).run(run.name)
    assert again.metrics() == run.metrics()


def test_what_was_put_aside_elsewhere_is_listed_here(store, experiment, tmp_path):
    with experiment.editing() as spec:
        spec.archived = True
    assert main(["import", str(exported(experiment, tmp_path)), "--root", str(store.root)]) == 0
    assert not store.experiment("photos-2").spec().archived


def test_the_command_line(store, experiment, tmp_path, capsys):
    file = tmp_path / "sent.zip"
    assert main(["export", "photos", str(file), "--root", str(store.root)]) == 0
    assert main(["import", str(file), "--look", "--root", str(store.root)]) == 0
    assert left_in(store) == ["photos"]
    assert main(["import", str(file), "--root", str(store.root)]) == 0
    said = capsys.readouterr().out
    assert (
        f"2 runs (2 finished), without checkpoints, {in_bytes(archive.look(file).n_bytes)} unpacked\n" in said
        and "byol-bs32-s0  byol, finished" in said
        and "imported as photos-2" in said
    )
    for words in (
        ["export", "nothing", str(file)],
        ["export", "photos", str(tmp_path / "no" / "x.zip")],
        ["import", "Makefile"],
        ["import", "nothing.zip"],
    ):
        assert main([*words, "--root", str(store.root)]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert left_in(store) == ["photos", "photos-2"] and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("torn", ["experiment.json", "moco-bs32-s0/config.json"])
def test_what_could_not_be_imported_is_not_exported(experiment, tmp_path, torn):
    (experiment.path / torn).write_text("{")
    with pytest.raises(ValueError, match=f"photos/{torn}: .*(mend|complete)"):
        archive.export(experiment, tmp_path / "x.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_what_is_larger_than_any_import_takes_is_not_exported(experiment, tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="unpacks to more than"):
        archive.export(experiment, tmp_path / "x.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("torn", ["results.json", "embeddings.npz", "umap.parquet", "views.webp"])
def test_a_damaged_file_is_left_out_and_told(store, experiment, tmp_path, capsys, torn):
    file, kept, place = tmp_path / "x.zip", content(experiment), f"moco-bs32-s0/{torn}"
    (experiment.path / place).write_text('{"linear": {"accuracy": 0.')
    assert main(["export", "photos", str(file), "--checkpoints", "--root", str(store.root)]) == 0
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and told[0].startswith(f"warning: photos/{place}: ") and told[0].endswith("this file is left out")
    del kept[place]
    assert content(archive.bring_in(store, file)) == kept, "nothing else is"


def test_damaged_lines_of_metrics_are_left_out_and_the_others_come_in(store, experiment, tmp_path):
    run = experiment.runs()[0]
    sound, *rest = run.metrics_file.read_bytes().splitlines(keepends=True)
    damaged = [b"garbage\n", b'{"step": NaN}\n', b'{"step": [1]}\n', b'{"x": "' + (1 << 20) * b"y" + b'"}\n', b"\x00\xff\n"]
    run.metrics_file.write_bytes(b"".join([sound, *damaged, *rest]))
    (told,) = archive.export(experiment, tmp_path / "x.zip")
    assert told.startswith(f"photos/{run.name}/metrics.jsonl: line 2: ") and told.endswith("damaged lines are left out")
    assert archive.bring_in(store, tmp_path / "x.zip").run(run.name).metrics_file.read_bytes() == b"".join([sound, *rest])


@pytest.mark.parametrize("top", ["photos copy (2)", "Größe", "写真", "-"])
def test_an_experiment_whose_folder_was_renamed_before_it_was_zipped_comes_in_under_a_name_of_the_stores(
    store, experiment, tmp_path, top
):
    kept, renamed = content(experiment), tmp_path / "renamed.zip"
    with zipfile.ZipFile(exported(experiment, tmp_path, True)) as source, zipfile.ZipFile(renamed, "w") as target:
        for name in source.namelist():
            target.writestr(name.replace("photos", top, 1), source.read(name))
    again = archive.bring_in(store, renamed)
    assert again.name == (folder_name(top) or "experiment") and content(again) == kept


@pytest.mark.parametrize("file", ["", ".", "store"])
def test_a_folder_is_no_file_to_export_into(experiment, tmp_path, monkeypatch, file):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="this is a folder; name a file"):
        archive.export(experiment, file)


def test_a_pipe_or_a_device_is_neither_replaced_nor_read(store, experiment, tmp_path, monkeypatch):
    """Whoever exports to /dev/null as root would leave the machine without it; /dev/zero has no end to be found."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(ValueError, match="pipe: this is a device or a pipe; name a file"):
        archive.export(experiment, pipe)
    assert pipe.is_fifo()
    with pytest.raises(ValueError, match="stdout: this is a device or a pipe; name a file"):
        check_place(Path("/dev/stdout"))  # whatever it leads to: a link would be replaced
    monkeypatch.setattr(archive, "few_inside", lambda file: pytest.fail("it was opened"))
    refused(store, pipe, "pipe: this is a folder, a device or a pipe; name a file")
    refused(store, tmp_path, "this is a folder, a device or a pipe; name a file")
    refused(store, tmp_path / "missing", "missing: there is no such file")


def test_a_file_that_is_cut_short_is_called_so(store, experiment, tmp_path):
    """Its arrays are zip files themselves, and what reads a zip file finds the last one's directory."""
    whole = exported(experiment, tmp_path).read_bytes()
    inner = [match.end() for match in re.finditer(b"PK\x05\x06", whole)]
    assert len(inner) > 1
    refused(store, io.BytesIO(whole[: inner[0] + 100]), "cut short")


# -- Hostile names -----------------------------------------------------------------


def refused(store, file, says: str | None = None) -> None:
    """The import refuses, in one line, and leaves nothing behind; looking raises no more than that line either."""
    before = left_in(store)
    with pytest.raises(ValueError, match=says) as error:
        archive.bring_in(store, file)
    assert len(str(error.value).splitlines()) == 1 and str(error.value).isprintable()
    assert left_in(store) == before


def added(file: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    """The zip file with more members."""
    with zipfile.ZipFile(file, "a") as target:
        for name, data in members:
            target.writestr(name, data)
    return file


def with_content(file: Path, name: str, data: bytes, compress: int = zipfile.ZIP_STORED) -> Path:
    """The zip file with another content of one member."""
    with zipfile.ZipFile(file) as source:
        members = {member: source.read(member) for member in source.namelist()}
    assert name in members
    with zipfile.ZipFile(file, "w", compress) as target:
        for member, old in members.items():
            target.writestr(member, data if member == name else old)
    return file


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../x",
        "photos/../../x",
        "photos/../experiment.json",
        "..",
        "photos/..",
        "photos/./log.txt",
        "photos//log.txt",
        "C:/x",
        "photos\\moco\\log.txt",
        "photos/moco\\..\\..\\x",
        "photos/.hidden/log.txt",
        "photos/run/sub/log.txt",
        "photos/run/",
        "log.txt",
        "photos/log.txt",
        "photos/run/experiment.json",
        "photos/run/evil.py",
        "photos/run/.stop",
        "photos/run/.lock",
        "photos/sample-.webp/x",
        "photos/sample-../x.webp",
        "photos/sample-x.png",
        "other/run/log.txt",
        "photos/run/log.txt\x00.py",
        "photos/run/ＬＯＧ.txt",
        "photos/run/log.txt ",
        "photos/moco-bs32-s0/LOG.TXT",
        "PHOTOS/x/log.txt",
        ".photos/x/log.txt",
        "pho\x1btos/x/log.txt",
        "photos/MOCO-bs32-s0/log.txt",
        "photos/experiment.json/log.txt",
        "",
    ],
)
def test_paths_outside_the_known_ones_are_refused(store, experiment, tmp_path, name):
    if name == "photos/run/":  # a folder by itself is nothing, and harmless
        assert archive.bring_in(store, added(exported(experiment, tmp_path), (name, b""))).name == "photos-2"
    else:
        raw = zipfile.ZipInfo("x")
        raw.filename = raw.orig_filename = name  # what ZipInfo would mend, a hostile writer does not
        refused(store, added(exported(experiment, tmp_path), (raw, b"x")))


@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    | st.from_regex(r"(photos/|\.\./|/|[a-z]:|\\|run/|log\.txt|config\.json|~){1,6}", fullmatch=True)
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_name_that_is_taken_lies_two_levels_deep_and_is_known(name):
    info = zipfile.ZipInfo("x")
    info.filename = info.orig_filename = name
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        target.writestr(info, b"")
    with archive._opened(file) as opened:
        try:
            members = archive._members(opened)
        except ValueError as error:
            assert len(str(error).splitlines()) == 1
            return
    for taken in members:
        *folders, last = taken.split("/")
        assert (
            taken == name
            and 1 <= len(folders) <= 2
            and not any(part in ("", ".", "..") or part.startswith(".") for part in folders)
        )
        assert Path("/store", taken).resolve().is_relative_to("/store")
        assert last in archive.RUN_FILES if len(folders) == 2 else last == "experiment.json" or archive.SHEET.fullmatch(last)


def member(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def test_duplicates_links_devices_and_encrypted_members_are_refused(store, experiment, tmp_path):
    name = "photos/moco-bs32-s0/log.txt"
    refused(store, added(exported(experiment, tmp_path), (name, b"twice")), "twice")
    for kind in (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR):
        file = exported(experiment, tmp_path)
        refused(store, added(file, (member("photos/new/log.txt", kind | 0o777), b"/etc/passwd")), "link or a device")
    refused(
        store, added(exported(experiment, tmp_path), (member("photos/new/", stat.S_IFDIR | 0o755), b"x")), "content of its own"
    )
    packed = member("photos/new/log.txt")
    packed.compress_type = zipfile.ZIP_LZMA
    refused(store, added(exported(experiment, tmp_path), (packed, b"x")), "packed in an unusual way")
    file = exported(experiment, tmp_path)
    data = bytearray(file.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # the last member's flags, in the central directory
    refused(store, io.BytesIO(data), "encrypted")


def test_what_a_file_manager_adds_is_left_out(store, experiment, tmp_path):
    litter = ("__MACOSX/._photos", "__MACOSX/photos/._experiment.json", "photos/.DS_Store", "photos/moco-bs32-s0/desktop.ini")
    plain = archive.bring_in(store, exported(experiment, tmp_path))
    came = archive.bring_in(store, added(exported(experiment, tmp_path), ("__MACOSX/", b""), *((name, b"x") for name in litter)))
    assert {path.relative_to(came.path) for path in came.path.rglob("*")} == {
        path.relative_to(plain.path) for path in plain.path.rglob("*")
    }


def test_no_experiment_inside_is_refused(store, experiment, tmp_path):
    def only(*names):
        file = io.BytesIO()
        with zipfile.ZipFile(exported(experiment, tmp_path)) as source, zipfile.ZipFile(file, "w") as target:
            for name in names:
                target.writestr(name, source.read(name))
        return file

    refused(store, only(), "no experiment.json")
    refused(store, only("photos/moco-bs32-s0/config.json"), "no experiment.json")
    refused(store, only("photos/experiment.json", "photos/moco-bs32-s0/results.json"), "no config.json")
    refused(store, io.BytesIO(b"PK\x05\x06"), "not a zip file")


# -- Bombs -------------------------------------------------------------------------


def test_bombs_are_refused(store, experiment, tmp_path, monkeypatch):
    name = "photos/moco-bs32-s0/log.txt"
    file = with_content(exported(experiment, tmp_path), name, bytes(60_000_000), zipfile.ZIP_DEFLATED)
    assert file.stat().st_size < 600_000
    with pytest.raises(ValueError, match="times its size"):
        archive.look(file)
    refused(store, file, "times its size")
    file = exported(experiment, tmp_path)
    monkeypatch.setattr(archive, "MAX_BYTES", 1000)
    refused(store, file, "more than")
    monkeypatch.setattr(zipfile.ZipFile, "_RealGetContents", lambda archive: pytest.fail("the list was read whole"))
    for limit, value in (("MAX_FILES", 3), ("LONGEST_ENTRY", 0)):
        with monkeypatch.context() as patch:
            patch.setattr(archive, limit, value)
            refused(store, file, "files inside")


def test_sizes_are_counted_not_believed(store, experiment, tmp_path):
    """A member that claims 10 bytes in the directory and holds 60 MB."""
    name = "photos/moco-bs32-s0/log.txt"
    data = bytearray(with_content(exported(experiment, tmp_path), name, bytes(60_000_000), zipfile.ZIP_DEFLATED).read_bytes())
    at = data.rindex(name.encode()) - 46
    assert data[at : at + 4] == b"PK\x01\x02"
    data[at + 24 : at + 28] = struct.pack("<I", 10)
    assert archive.look(io.BytesIO(data))
    refused(store, io.BytesIO(data))


def test_an_array_that_unpacks_to_much_more_is_refused(store, experiment, tmp_path):
    bomb = io.BytesIO()
    np.savez_compressed(bomb, h=np.zeros(20_000_000, np.float32))
    refused(
        store,
        with_content(exported(experiment, tmp_path), "photos/moco-bs32-s0/embeddings.npz", bomb.getvalue()),
        "unpack to more",
    )


# -- Hostile content ---------------------------------------------------------------


class Evil:
    """Unpickling this would make a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def saved(save, *values, **named) -> bytes:
    file = io.BytesIO()
    save(file, *values, **named)
    return file.getvalue()


def torch_zip(data: bytes, **more: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        target.writestr("x/data.pkl", data)
        for name, extra in more.items():
            target.writestr(f"x/{name}", extra)
    return file.getvalue()


def test_nothing_is_unpickled(store, experiment, tmp_path):
    mark = tmp_path / "it-ran"
    evil = Evil(mark)
    arrays = saved(np.savez, h=np.array([evil], object))
    for name, data in {
        "embeddings.npz": arrays,
        "predictions.npz": saved(np.savez, index=np.array([(1, evil)], [("a", int), ("b", object)])),
        "snapshots.npz": torch_zip(pickle.dumps(evil)),
        "checkpoint.pt": torch_zip(pickle.dumps(evil)),
        "umap.parquet": pickle.dumps(evil),
        "encoder.safetensors": pickle.dumps(evil),
        "results.json": pickle.dumps(evil),
    }.items():
        file = with_content(exported(experiment, tmp_path, checkpoints=True), f"photos/moco-bs32-s0/{name}", data)
        refused(store, file, name)
    assert not mark.exists()


@pytest.mark.parametrize(
    "data",
    [
        *(torch_zip(pickle.dumps(print, protocol)) for protocol in range(6)),
        torch_zip(b"cos\nsystem\n(S'true'\ntR."),
        torch_zip(b"ctorch\nload\n(S'x'\ntR."),
        torch_zip(b"(S'true'\nios\nsystem\n."),
        torch_zip(pickle.dumps({}), **{"code/evil.py": b""}),
        torch_zip(b"ccollections\nOrderedDict\n"),  # cut
        pickle.dumps({}),
        b"",
    ],
)
def test_checkpoints_hold_tensors_and_nothing_else(store, experiment, tmp_path, data):
    refused(
        store,
        with_content(exported(experiment, tmp_path, checkpoints=True), "photos/moco-bs32-s0/checkpoint.pt", data),
        "checkpoint.pt",
    )


SPEC, RUN = "photos/experiment.json", "photos/moco-bs32-s0/"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (SPEC, b"[]"),
        (SPEC, b"{"),
        (SPEC, b'{"title": 3}'),
        (SPEC, b'{"created": 1e300}'),
        (SPEC, b'{"created": NaN}'),
        (SPEC, b'{"created": 1' + 400 * b"0" + b"}"),
        (SPEC, b'{"schema_version": 99}'),
        (SPEC, b"[" * 100_000),
        (SPEC, b'{"title": "' + b"x" * 2_000_000 + b'"}'),
        (RUN + "config.json", b"{}"[:1]),
        (RUN + "config.json", b'{"batch_size": -1}'),
        (RUN + "config.json", b'{"method": "evil"}'),
        (RUN + "config.json", b'{"extra": 1}'),
        (RUN + "status.json", b'{"state": "dancing"}'),
        (RUN + "status.json", b'{"progress": 7}'),
        (RUN + "status.json", b'{"started_at": 1e40}'),
        (RUN + "metrics.jsonl", b"[1]\n"),
        (RUN + "metrics.jsonl", b"no\n{}\n"),
        (RUN + "metrics.jsonl", b'{"step": 1' + b"0" * 40 + b"}\n"),
        (RUN + "metrics.jsonl", b'{"loss": {"a": 1}}\n'),
        (RUN + "metrics.jsonl", b"x" * 3_000_000),
        (RUN + "results.json", b'{"linear": {"accuracy": 7}}'),
        (RUN + "results.json", b'{"linear": "good"}'),
        (RUN + "results.json", b'{"cost": {"seconds": 1e999}}'),
        (RUN + "results.json", b'{"linear": {"accuracy": 0.5, "classes": ["a"], "confusion": [[1, 2], [3]]}}'),
        (RUN + "results.json", b'{"linear": {"accuracy": "0.5"}}'),
        (RUN + "environment.json", b"7"),
        (RUN + "views.webp", b"RIFF"),
        (RUN + "views.webp", saved(Image.new("RGB", (4, 4)).save, "PNG")),
        (RUN + "embeddings.npz", b"PK"),
        (RUN + "embeddings.npz", b"\x93NUMPY"),
        (RUN + "umap.parquet", b"PAR1PAR1"),
        (RUN + "umap.parquet", saved(lambda file: pd.DataFrame({"x": ["text"]}).to_parquet(file))),
    ],
)
def test_files_are_what_their_names_say(store, experiment, tmp_path, name, data):
    refused(store, with_content(exported(experiment, tmp_path), name, data), name.rpartition("/")[2])


@pytest.mark.parametrize("name", ["photos/moco-bs32-s0/log.txt", "photos/moco-bs32-s0/embeddings.npz", "photos/experiment.json"])
def test_a_file_that_was_damaged_on_its_way_is_called_so(store, experiment, tmp_path, name):
    """Whether it is packed or not; a reader knows of no CRC-32."""
    file = exported(experiment, tmp_path)
    whole = bytearray(file.read_bytes())
    with zipfile.ZipFile(file) as inside:
        info = inside.getinfo(name)
    whole[info.header_offset + 30 + len(name) + info.compress_size // 2] ^= 0xFF
    refused(store, io.BytesIO(whole), f"{name}: it is damaged: have the file sent again")


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_refused_or_harmless(store, experiment, tmp_path, data):
    """Bytes turned at random: one line, or an experiment that every reader can read."""
    whole = bytearray(exported(experiment, tmp_path).read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        whole[place] = data.draw(st.integers(0, 255))
    before = left_in(store)
    try:
        taken = archive.bring_in(store, io.BytesIO(whole))
    except ValueError as error:
        assert len(str(error).splitlines()) == 1
        assert left_in(store) == before
    else:
        tables.summary(taken.runs())
        tables.curves(taken.runs())
        trash.discard(store, taken).rename(tmp_path / f"seen-{len(list(tmp_path.iterdir()))}")
