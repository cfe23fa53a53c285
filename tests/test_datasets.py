"""Data sets: what is read, how it is split, what is refused, and that it is decoded once."""

import errno
import fcntl
import hashlib
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sslcore import datasets, locks
from sslcore.datasets import photos, source

ROOT = Path(__file__).parent.parent
quickly = settings(max_examples=40, deadline=None)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Caches and downloads of a test go to its own folder."""
    monkeypatch.setenv("TRIPTYCH_DATA", str(tmp_path / "home"))
    for forget in (datasets._info, datasets._own_defaults, datasets._opened):
        forget.cache_clear()
    return tmp_path / "home"


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.fixture(autouse=True)
def any_path(monkeypatch):
    """As in a shell; in a process that has loaded the dashboard, paths are the dashboard's to allow."""
    monkeypatch.setattr(datasets, "check_path", None)


def one_line(error: pytest.ExceptionInfo, *parts: str) -> None:
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def save(path: Path, colour: object = "red", size: tuple[int, int] = (40, 30), mode: str = "RGB", **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).convert(mode).save(path, **options)
    return path


def class_folders(root: Path, counts: dict[str, int]) -> Path:
    for name, count in counts.items():
        for i in range(count):
            save(root / name / f"{i}.png", colour=(len(name) * 40 % 256, i % 256, 0))
    return root


# -- Splits and samples ----------------------------------------------------------


@quickly
@given(st.lists(st.integers(1, 30), min_size=1, max_size=8).filter(lambda counts: max(counts) > 1), st.randoms())
def test_a_split_keeps_every_class_of_two_images_on_both_sides(counts, random):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    random.shuffle(labels)
    labels = np.array(labels)
    train, test = datasets.split(labels)
    assert sorted([*train, *test]) == list(range(len(labels)))
    for label, count in enumerate(counts):
        in_train, in_test = (labels[train] == label).sum(), (labels[test] == label).sum()
        assert in_train >= 1
        assert in_test >= (count > 1)
        assert abs(in_test - 0.2 * count) <= 1
    assert np.array_equal(test, datasets.split(labels)[1])


def test_a_split_of_single_images_is_refused():
    with pytest.raises(ValueError, match="no class has two images"):
        datasets.split(np.arange(5))


@quickly
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 400))
def test_the_sample_is_fixed_sorted_and_half_test_where_possible(train, test, size):
    info = datasets.Info("any", train, test, (), None)
    chosen = datasets.sample(info, size)
    assert len(chosen) == min(size, train + test)
    assert (np.diff(chosen) > 0).all()
    assert 0 <= chosen[0] and chosen[-1] < train + test
    from_test = (chosen >= train).sum()
    if test >= size // 2 and train >= size - size // 2:
        assert from_test == size // 2
    data = datasets.Data(np.zeros((train, 1, 1, 3)), None, np.zeros((test, 1, 1, 3)), None, ())
    assert np.array_equal(chosen, datasets.sample(data, size))


# -- Built-in sets that need no download -----------------------------------------


@pytest.mark.parametrize("name", ["photos", "digits"])
def test_what_is_told_beforehand_is_what_is_read(name):
    info, data = datasets.info(name), datasets.load(name, 16)
    assert (len(data.x_train), len(data.x_test), data.classes) == (info.train, info.test, info.classes)
    assert data.x_train.shape[1:] == data.x_test.shape[1:] == (16, 16, 3)
    assert data.x_train.dtype == np.uint8 and data.y_train.dtype == np.int64
    for labels in (data.y_train, data.y_test):
        assert set(np.unique(labels)) == set(range(len(info.classes)))
    assert data.skipped == ()
    everything = data.images(range(info.train + info.test)).reshape(info.train + info.test, -1)
    assert len(np.unique(everything, axis=0)) > 0.95 * len(everything)


def test_no_pixel_of_a_photo_is_in_a_train_and_in_a_test_crop():
    found = photos.source("photos", lambda what, share: None)
    used: dict[int, dict[bool, np.ndarray]] = {}
    for i, crop in enumerate(found.images):
        photo = crop.base if crop.base.ndim == 3 else crop
        y, x = divmod((crop.ctypes.data - photo.ctypes.data) // 3, photo.shape[1])
        assert np.array_equal(photo[y : y + len(crop), x : x + len(crop)], crop)  # the place is the right one
        masks = used.setdefault(photo.ctypes.data, {half: np.zeros(photo.shape[:2], bool) for half in (False, True)})
        masks[i >= found.train][y : y + len(crop), x : x + len(crop)] = True
    assert len(used) == len(found.classes)
    for masks in used.values():
        assert masks[False].any() and masks[True].any()
        assert not (masks[False] & masks[True]).any()


def test_photos_are_the_same_every_time_and_leave_the_global_generator_alone(home):
    np.random.seed(3)
    before = np.random.get_state()[1].copy()
    first = datasets.load("photos", 16).x_test.copy()
    assert np.array_equal(before, np.random.get_state()[1])
    for folder in (home / "decoded").glob("photos*"):
        folder.rename(folder.with_name("elsewhere"))
    assert np.array_equal(first, datasets.load("photos", 16).x_test)


def test_photos_are_neither_solved_nor_hopeless_by_raw_pixels():
    from sklearn.neighbors import KNeighborsClassifier

    data = datasets.load("photos", 32)
    train, test = (images.reshape(len(images), -1) / 255 for images in (data.x_train, data.x_test))
    accuracy = KNeighborsClassifier(20, metric="cosine").fit(train, data.y_train).score(test, data.y_test)
    assert 2 / len(data.classes) < accuracy < 0.6


def test_datasets_are_imported_and_described_without_torch():
    code = """
import sys
from sslcore import datasets, locks
for name in datasets.NAMES:
    datasets.info(name), datasets.defaults(name)
print([module for module in ("torch", "torchvision") if module in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# -- The index space, and small pictures -----------------------------------------


@quickly
@given(st.data(), st.integers(1, 20), st.integers(1, 20))
def test_indices_run_through_train_and_then_test(draw, train, test):
    x, y = noise(train + test, 4, 4, 3), np.arange(train + test)
    data = datasets.Data(x[:train], y[:train], x[train:], y[train:], ("a",))
    wanted = draw.draw(st.lists(st.integers(0, train + test - 1), max_size=30))
    assert np.array_equal(data.images(wanted), x[np.array(wanted, dtype=int)])
    assert np.array_equal(data.labels(wanted), np.array(wanted, dtype=int))
    for outside in (-1, train + test):
        with pytest.raises(IndexError):
            data.images([outside])


@pytest.mark.parametrize(("count", "side"), [(1, 32), (130, 32), (7, 200)])
def test_each_tile_of_a_sheet_is_its_image(count, side, tmp_path):
    colours = noise(count, 3)
    sheet = datasets.sheet(np.broadcast_to(colours[:, None, None], (count, side, side, 3)))
    sheet.save(tmp_path / "sheet.webp", lossless=True)
    with Image.open(tmp_path / "sheet.webp") as kept:
        for k in range(count):
            tile = datasets.tile(kept, k)
            assert tile.size == (min(side, 64),) * 2
            assert np.array_equal(np.asarray(tile)[3, 3], colours[k])
        with pytest.raises(IndexError):
            datasets.tile(kept, 100 * -(-count // 100))


def test_a_sheet_of_very_many_images_stays_within_the_limit(monkeypatch):
    monkeypatch.setattr(datasets, "SHEET_LIMIT", 1000)
    sheet = datasets.sheet(np.broadcast_to(np.uint8(0), (20_000, 8, 8, 3)))
    assert max(sheet.size) <= 1000
    datasets.tile(sheet, 19_999)


def test_a_thumbnail_is_the_image_of_that_index(tmp_path):
    path = str(class_folders(tmp_path / "set", {"a": 5, "bb": 5}))
    with pytest.raises(ValueError, match="not decoded at 16 px") as error:
        datasets.thumbnail(path, 0, 16)
    one_line(error, path)
    data = datasets.load(path, 16)
    for index in (0, 7, 9):
        assert np.array_equal(np.asarray(datasets.thumbnail(path, index, 16)), data.images([index])[0])
    for index in (10, -1):
        with pytest.raises(IndexError, match="10 images"):
            datasets.thumbnail(path, index, 16)


def test_what_comes_with_the_installation_has_thumbnails_before_any_run(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_DATA", str(tmp_path))
    assert datasets.thumbnail("digits", 1796, 16).size == (16, 16)


# -- .npz ------------------------------------------------------------------------


def npz(path: Path, **arrays: object) -> str:
    np.savez_compressed(path, **arrays)
    return str(path)


@quickly
@given(
    train=st.integers(2, 12),
    test=st.integers(1, 6),
    height=st.integers(8, 20),
    width=st.integers(8, 20),
    channels=st.sampled_from([(), (1,), (3,)]),
    floats=st.booleans(),
)
def test_npz_images_of_any_shape_become_square_and_coloured(train, test, height, width, channels, floats):
    x = noise(train + test, height, width, *channels)
    stored = x.astype(np.float32) / 255 if floats else x
    with tempfile.TemporaryDirectory() as folder:
        path = npz(Path(folder) / "set.npz", x_train=stored[:train], x_test=stored[train:])
        info, data = datasets.info(path), datasets.load(path, 12)
        assert (info.train, info.test, info.classes, info.shape) == (train, test, (), (height, width))
        assert data.x_train.shape == (train, 12, 12, 3) and data.x_test.shape == (test, 12, 12, 3)
        assert data.y_train is None and data.y_test is None and data.labels([0]) is None
        same = datasets.load(path, min(height, width)).x_train
        if height == width:
            expected = x[:train].reshape(train, height, width, -1)
            assert np.array_equal(same, np.broadcast_to(expected, same.shape))
        if channels != (3,):
            assert (data.x_train == data.x_train[..., :1]).all()


@quickly
@given(st.lists(st.integers(-3, 300), min_size=4, max_size=40), st.sampled_from([np.uint8, np.int64, np.float32]), st.booleans())
def test_npz_labels_may_be_any_whole_numbers(values, dtype, column):
    labels = np.abs(values).clip(0, 255).astype(dtype)
    half = len(labels) // 2
    kept = labels[:, None] if column else labels
    x = noise(len(labels), 8, 8)
    with tempfile.TemporaryDirectory() as folder:
        path = npz(Path(folder) / "set.npz", x_train=x[:half], y_train=kept[:half], x_test=x[half:], y_test=kept[half:])
        info, data = datasets.info(path), datasets.load(path, 8)
    assert info.classes == data.classes == tuple(str(int(value)) for value in sorted(set(labels.tolist())))
    read = [int(data.classes[label]) for label in [*data.y_train, *data.y_test]]
    assert read == [int(value) for value in labels]


def test_npz_without_test_images_is_split_with_labels_following_their_images(tmp_path):
    labels = np.repeat([0, 1, 7], [10, 5, 2])
    x = np.broadcast_to((labels * 30).astype(np.uint8)[:, None, None], (17, 8, 8))
    path = npz(tmp_path / "set.npz", x_train=x, y_train=labels)
    info, data = datasets.info(path), datasets.load(path, 8)
    assert (info.train, info.test) == (len(data.x_train), len(data.x_test)) == (13, 4)
    for images, own in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert [int(data.classes[label]) * 30 for label in own] == images[:, 0, 0, 0].tolist()
        assert set(own) == {0, 1, 2}


X, Y = noise(6, 8, 8, 3), np.arange(6)
REFUSED = {
    "no x_train": ({"images": X}, "has no x_train"),
    "channels first": ({"x_train": X.transpose(0, 3, 1, 2)}, "x_train has shape (6, 3, 8, 8)"),
    "two dimensions": ({"x_train": X.reshape(6, -1)}, "x_train has shape (6, 192)"),
    "no images": ({"x_train": X[:0]}, "x_train is empty"),
    "one image": ({"x_train": X[:1]}, "at least two"),
    "wide integers": ({"x_train": X.astype(np.int64)}, "x_train is int64; expected uint8"),
    "pickled": ({"x_train": np.array([None, 1], dtype=object)}, "x_train has shape (2,)"),
    "pickled images": ({"x_train": X.astype(object)}, "x_train is object"),
    "pickled labels": ({"x_train": X, "y_train": Y.astype(object)}, "y_train is object; labels must be whole numbers"),
    "fractions": ({"x_train": X, "y_train": Y + 0.5}, "y_train holds 0.5; labels must be whole numbers"),
    "NaN labels": ({"x_train": X, "y_train": np.full(6, np.nan)}, "y_train holds nan; labels must be whole numbers"),
    "infinite labels": ({"x_train": X, "y_train": np.full(6, np.inf)}, "y_train holds inf; labels must be whole numbers"),
    "names": ({"x_train": X, "y_train": np.array(list("abcdef"))}, "labels must be whole numbers"),
    "too few labels": ({"x_train": X, "y_train": Y[:5]}, "y_train has shape (5,); expected (6,)"),
    "test labels missing": ({"x_train": X, "y_train": Y, "x_test": X}, "expected y_train and y_test"),
    "test labels of nothing": ({"x_train": X, "y_train": Y, "y_test": Y}, "expected y_train, or no labels"),
    "all classes single": ({"x_train": X, "y_train": Y}, "no class has two images"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_unusable_npz_files_are_refused_in_one_line_before_anything_is_written(case, tmp_path, home):
    arrays, expected = REFUSED[case]
    path = npz(tmp_path / "set.npz", **arrays)
    with pytest.raises(ValueError) as error:
        datasets.info(path)
    one_line(error, path, expected)
    with pytest.raises(ValueError) as error:
        datasets.load(path, 8)
    one_line(error, expected)
    assert not list(home.glob("decoded/set*"))
    assert datasets.defaults(path) == {}


@pytest.mark.parametrize("values", [[0, 255], [-0.1, 1], [0, np.nan], [0, np.inf]])
def test_floats_outside_0_to_1_are_refused(values, tmp_path, home):
    path = npz(tmp_path / "set.npz", x_train=np.resize(np.array(values, np.float32), (4, 8, 8)))
    with pytest.raises(ValueError) as error:
        datasets.load(path, 8)
    one_line(error, "x_train holds floats from", "expected 0 to 1")
    assert [p.name for p in home.glob("decoded/*") if not p.name.endswith(".held")] == []


def test_npz_pixels_are_not_read_for_info(tmp_path):
    path = tmp_path / "set.npz"
    np.savez(path, x_train=noise(100, 20, 20), y_train=np.arange(100) % 5)
    content = bytearray(path.read_bytes())
    content[10_000] ^= 255  # a pixel; the checksum no longer fits
    path.write_bytes(content)
    assert datasets.info(str(path)).train == 80
    with pytest.raises(ValueError) as error:
        datasets.load(str(path), 16)
    one_line(error, "x_train cannot be read")


def test_an_npz_that_promises_more_than_it_holds_is_refused_at_once(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 224, 224, 3)})
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("x_train.npy", header.getvalue())
    with pytest.raises(ValueError, match="not a readable"):
        datasets.info(str(tmp_path / "set.npz"))


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04 cut short"])
def test_files_that_are_no_npz_are_refused(content, tmp_path):
    (tmp_path / "set.npz").write_bytes(content)
    with pytest.raises(ValueError) as error:
        datasets.info(str(tmp_path / "set.npz"))
    one_line(error, "set.npz: not a readable .npz file")


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("x_train.npy", "text")
    with pytest.raises(ValueError, match="not a readable"):
        datasets.info(str(tmp_path / "set.npz"))


# -- Folders ---------------------------------------------------------------------


def test_class_folders_are_split_by_class_and_labelled_by_name(tmp_path):
    root = class_folders(tmp_path / "set", {"cat": 10, "horse": 3, "solitary": 1})
    info, data = datasets.info(str(root)), datasets.load(str(root), 16)
    assert info.classes == data.classes == ("cat", "horse", "solitary")
    assert (info.train, info.test) == (len(data.x_train), len(data.x_test)) == (11, 3)
    for images, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert [len(data.classes[label]) * 40 % 256 for label in labels] == images[:, 8, 8, 0].tolist()


@pytest.mark.parametrize(("first", "second"), [("train", "test"), ("train", "val"), ("Training", "valid")])
def test_train_and_test_folders_are_kept_apart(first, second, tmp_path):
    class_folders(tmp_path / "set" / first, {"a": 4, "b": 3})
    class_folders(tmp_path / "set" / second, {"b": 2, "c": 1})
    data = datasets.load(str(tmp_path / "set"), 16)
    assert data.classes == ("a", "b", "c")
    assert np.bincount(data.y_train).tolist() == [4, 3]
    assert np.bincount(data.y_test).tolist() == [0, 2, 1]


def test_a_test_folder_without_labels_gives_way_to_val(tmp_path):
    root = tmp_path / "set"
    class_folders(root / "train", {"a": 4, "b": 4})
    class_folders(root / "val", {"a": 1, "b": 1})
    save(root / "test" / "1.png")
    data = datasets.load(str(root), 16)
    assert (len(data.x_train), len(data.x_test)) == (8, 2)
    assert any("test" in line and "no class folders" in line for line in data.skipped)


def test_train_alone_is_split_and_train_among_others_is_a_class(tmp_path):
    class_folders(tmp_path / "alone" / "train", {"a": 5, "b": 5})
    assert datasets.info(str(tmp_path / "alone")).classes == ("a", "b")
    class_folders(tmp_path / "vehicles", {"bus": 5, "train": 5})
    assert datasets.info(str(tmp_path / "vehicles")).classes == ("bus", "train")


def test_bare_images_have_no_labels(tmp_path):
    for i in range(10):
        save(tmp_path / "set" / f"{i}.jpg")
    info, data = datasets.info(str(tmp_path / "set")), datasets.load(str(tmp_path / "set"), 16)
    assert info.classes == () and data.y_train is None and data.y_test is None
    assert (len(data.x_train), len(data.x_test)) == (info.train, info.test) == (8, 2)


def test_single_class_is_told(tmp_path):
    assert datasets.info(str(class_folders(tmp_path / "set", {"only": 4}))).classes == ("only",)


def test_images_of_any_mode_and_size_are_read(tmp_path):
    root = tmp_path / "set"
    red = (250, 0, 0)
    modes = {"a.png": "RGB", "b.png": "RGBA", "c.gif": "P", "d.jpg": "CMYK", "e.webp": "RGB", "f.tif": "RGB", "g.JPG": "RGB"}
    for name, mode in modes.items():
        save(root / name, red, (100, 23), mode)
    save(root / "h.bmp", red, (3, 300))
    data = datasets.load(str(root), 16)
    assert data.skipped == ()
    everything = data.images(range(8)).astype(int)
    assert abs(everything - np.array(red)).max() < 30  # JPEG and CMYK are inexact


def test_sixteen_bit_grey_keeps_its_range(tmp_path):
    (tmp_path / "set").mkdir()
    for name in ("a.png", "b.png", "c.tif"):
        Image.fromarray(np.full((20, 20), 32896, np.uint16)).save(tmp_path / "set" / name)
    assert (datasets.load(str(tmp_path / "set"), 16).images([0, 1, 2]) == 128).all()


def test_transparent_pixels_are_white(tmp_path):
    for i in range(2):
        (tmp_path / "set").mkdir(exist_ok=True)
        Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "set" / f"{i}.png")
    assert (datasets.load(str(tmp_path / "set"), 16).images([0, 1]) == 255).all()


def test_a_photo_taken_sideways_is_turned(tmp_path):
    pixels = np.zeros((64, 64, 3), np.uint8)
    pixels[:32] = 255  # white above
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise: white to the right
    for i in range(2):
        (tmp_path / "set").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "set" / f"{i}.jpg", exif=exif, quality=95)
    seen = datasets.load(str(tmp_path / "set"), 16).images([0])[0]
    assert seen[:, 12:].min() > 240 and seen[:, :4].max() < 15


@quickly
@given(st.integers(1, 90), st.integers(1, 90), st.integers(8, 40))
def test_the_centre_is_kept_and_the_shape_is_square(height, width, size):
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width, dtype=np.uint8)
    pixels[..., 1] = np.linspace(0, 255, height, dtype=np.uint8)[:, None]
    small = source.decode(pixels, size)
    assert small.shape == (size, size, 3) and small.dtype == np.uint8
    if min(height, width) > 1:
        centre = small[size // 2 - 1 : size // 2 + 1, size // 2 - 1 : size // 2 + 1, :2].mean()
        assert abs(centre - 127.5) < 255 / min(height, width) + 255 / size


def test_broken_files_are_listed_and_skipped(tmp_path, monkeypatch):
    root = class_folders(tmp_path / "set", {"a": 10, "bb": 10})
    whole = save(tmp_path / "whole.jpg", size=(200, 200)).read_bytes()
    (root / "a" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "bb" / "text.png").write_text("no image")
    (root / "bb" / "empty.png").touch()
    save(root / "bb" / "bomb.png", size=(1500, 1500), mode="1")
    monkeypatch.setattr(source, "MAX_PIXELS", 1_000_000)
    (root / "bb" / "notes.txt").write_text("no image, and not taken for one")
    save(root / "bb" / "._hidden.png")
    os.mkfifo(root / "bb" / "pipe.png")
    (root / "bb" / "gone.png").symlink_to(root / "nowhere")
    data = datasets.load(str(root), 16)
    assert len(data.x_train) + len(data.x_test) == 20
    for images, labels in ((data.x_train, data.y_train), (data.x_test, data.y_test)):
        assert [40 * (label + 1) for label in labels] == images[:, 8, 8, 0].tolist()  # each image kept its own label
    assert sorted(Path(line.partition(": ")[0]).name for line in data.skipped) == ["bomb.png", "cut.jpg", "empty.png", "text.png"]
    assert datasets.load(str(root), 16).skipped == data.skipped


def test_links_in_a_circle_end(tmp_path):
    root = class_folders(tmp_path / "set", {"a": 4, "b": 4})
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "self").symlink_to(root / "a")
    (root / "b" / "other").symlink_to(root / "b" / "other")
    assert (datasets.info(str(root)).train, datasets.info(str(root)).test) == (6, 2)


def test_linked_class_folders_count(tmp_path):
    elsewhere = class_folders(tmp_path / "elsewhere", {"real": 5})
    root = class_folders(tmp_path / "set", {"a": 5})
    (root / "linked").symlink_to(elsewhere / "real")
    assert datasets.info(str(root)).classes == ("a", "linked")


def test_loose_images_beside_class_folders_are_told(tmp_path):
    root = class_folders(tmp_path / "set", {"a": 5, "b": 5})
    save(root / "loose.png")
    assert any("1 images in no class folder" in line for line in datasets.load(str(root), 16).skipped)


@pytest.mark.parametrize(("file", "expected"), [(None, "no images"), ("1.png", "a single image"), ("a.txt", "no images")])
def test_folders_without_images_are_refused(file, expected, tmp_path):
    (tmp_path / "set").mkdir()
    if file:
        (tmp_path / "set" / file).touch()
    with pytest.raises(ValueError) as error:
        datasets.info(str(tmp_path / "set"))
    one_line(error, str(tmp_path / "set"), expected)


def test_a_folder_of_broken_files_alone_is_refused(tmp_path, home):
    (tmp_path / "set").mkdir()
    for i in range(10):
        (tmp_path / "set" / f"{i}.png").write_text("no image")
    with pytest.raises(ValueError) as error:
        datasets.load(str(tmp_path / "set"), 16)
    one_line(error, "none of the training images can be read", "0.png")
    assert [p.name for p in home.glob("decoded/*") if not p.name.endswith(".held")] == []


@pytest.mark.parametrize("dataset", ["nowhere", "/nowhere/at/all", "", "\0", "x" * 5000, "cifar11"])
def test_what_does_not_exist_is_refused_with_what_does(dataset):
    with pytest.raises(ValueError) as error:
        datasets.info(dataset)
    one_line(error, "no such file or folder", "cifar10")
    assert datasets.defaults(dataset) == {}


@pytest.mark.parametrize("size", [0, 7, 1025, -32])
def test_sizes_out_of_bounds_are_refused(size):
    with pytest.raises(ValueError, match="between 8 and 1024"):
        datasets.load("digits", size)


# -- Which data set, and its defaults ----------------------------------------------


def test_paths_become_absolute_and_names_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "set", {"a": 4, "b": 4})
    class_folders(tmp_path / "digits", {"a": 4, "b": 4})
    assert datasets.canonical("set") == datasets.canonical("./set/") == str(tmp_path / "set")
    assert datasets.canonical("digits") == "digits"
    assert datasets.info("set") == datasets.info(str(tmp_path / "set"))
    assert datasets.info("./digits").classes == ("a", "b")  # a path wins where it is written as one
    first = datasets.load("set", 16)
    monkeypatch.chdir("/")
    assert np.array_equal(first.x_train, datasets.load(str(tmp_path / "set"), 16).x_train)


def test_every_sets_defaults_resolve_without_a_warning(tmp_path):
    from sslcore.config import resolve
    from sslcore.plan import check

    folder = class_folders(tmp_path / "set", {"a": 300, "b": 200})
    array = npz(tmp_path / "set.npz", x_train=noise(700, 28, 28), y_train=np.arange(700) % 10)
    for dataset in [*datasets.NAMES, str(folder), array]:
        config = resolve({"dataset": dataset, "method": "moco"})
        assert check(config) == ({}, [])
    assert resolve({"dataset": array}).image_size == 28
    assert resolve({"dataset": array}).augment.grayscale == 0
    assert resolve({"dataset": "svhn"}).augment.flip == 0


# -- The cache -------------------------------------------------------------------


def test_images_are_decoded_once_and_mapped_from_then_on(tmp_path, home):
    root = class_folders(tmp_path / "set", {"a": 5, "b": 5})
    told = []
    first = datasets.load(str(root), 16, lambda what, share: told.append((what, share)))
    assert told and all(0 <= share <= 1 for _, share in told)
    decoding = [share for what, share in told if what == "decoding images"]
    assert decoding == sorted(decoding) and decoding[-1] == 1
    told.clear()
    again = datasets.load(str(root), 16, lambda what, share: told.append((what, share)))
    assert told == []
    assert isinstance(again.x_train, np.memmap) and not again.x_train.flags.writeable
    assert np.array_equal(first.x_train, again.x_train)
    assert len(datasets.load(str(root), 24).x_train) == len(first.x_train)
    assert len(list(home.glob("decoded/set-*"))) == 2


def test_a_changed_folder_is_decoded_anew_and_the_old_arrays_go(tmp_path, home):
    root = class_folders(tmp_path / "set", {"a": 5, "b": 5})
    first = datasets.load(str(root), 16)
    before = first.x_train.copy()
    save(root / "b" / "new.png", "blue")
    second = datasets.load(str(root), 16)
    assert len(second.x_train) + len(second.x_test) == 11
    assert np.array_equal(first.x_train, before)  # who has it open keeps it
    os.utime(save(root / "b" / "new.png", "green", (41, 30)))
    third = datasets.load(str(root), 16)
    assert not np.array_equal(second.images(range(11)), third.images(range(11)))
    assert len(list(home.glob("decoded/set-*"))) == 1


BUILD = """
import os, sys
from sslcore import datasets, locks
from sslcore.datasets import cache
cache.BLOCK = 8
def report(what, share):
    if what == "decoding images" and share > 0.5:
        os.kill(os.getpid(), 9)
datasets.load(sys.argv[1], 16, report)
"""


def test_what_a_killed_builder_decoded_is_kept_and_what_it_tore_is_not(tmp_path, home, monkeypatch):
    root = class_folders(tmp_path / "set", {"a": 20, "b": 20})
    (root / "a" / "broken.png").write_bytes(b"no image")
    monkeypatch.setattr(datasets.cache, "BLOCK", 8)
    whole = datasets.load(str(root), 16)
    expected = np.array(whole.x_train), whole.skipped
    (decoded,) = home.glob("decoded/set-*")
    for torn in (False, True):
        shutil.rmtree(decoded)
        assert subprocess.run([sys.executable, "-c", BUILD, str(root)], cwd=ROOT).returncode == -signal.SIGKILL
        (part,) = home.glob("decoded/.set-*.part")
        assert len(datasets.cache.journal(part)) == 3
        if torn:  # as after a power cut: the journal has a block whose pixels are not there, and half a line
            os.truncate(part / "images.npy", (part / "images.npy").stat().st_size - 5)
            with (part / "journal.jsonl").open("a") as lines:
                lines.write('{"upto": 3')
        told = []
        again = datasets.load(str(root), 16, lambda *words, told=told: told.append(words))
        assert next(share for what, share in told if what == "decoding images") == (16 if torn else 24) / 41, "it goes on behind the last whole block"
        assert np.array_equal(again.x_train, expected[0]) and again.skipped == expected[1] and len(again.skipped) == 1
        assert not part.exists()


def test_a_damaged_cache_is_noticed_and_decoded_again(tmp_path, home, monkeypatch):
    root = class_folders(tmp_path / "set", {"a": 5, "b": 5})
    expected = np.array(datasets.load(str(root), 16).x_train)
    (decoded,) = home.glob("decoded/set-*")
    pixels, labels, about = decoded / "images.npy", decoded / "labels.npy", decoded / "about.json"

    def flip(path: Path, place: int) -> None:
        content = bytearray(path.read_bytes())
        content[place] ^= 1
        path.write_bytes(content)

    harms = {
        "cut": lambda: os.truncate(pixels, pixels.stat().st_size - 1),
        "longer": lambda: pixels.write_bytes(pixels.read_bytes() + b"0"),
        "a bit of a pixel": lambda: flip(pixels, -1),
        "the header": lambda: flip(pixels, 3),
        "a label": lambda: flip(labels, -8),
        "half a file": lambda: about.write_text(about.read_text()[:40]),
        "a file gone": pixels.unlink,
    }
    for name, harm in harms.items():
        harm()
        told = []
        again = datasets.load(str(root), 16, lambda what, share, told=told: told.append(what))
        assert np.array_equal(again.x_train, expected), name
        assert any("damaged" in what for what in told), name

    monkeypatch.setattr(datasets.cache, "READ_THROUGH", 0)  # a large file is read through when its time is another one
    told = []
    os.utime(pixels)
    datasets.load(str(root), 16, lambda what, share: told.append(what))
    assert told == [] and pixels.stat().st_mtime_ns == json.loads(about.read_text())["written"]
    flip(pixels, -1)
    assert np.array_equal(datasets.load(str(root), 16).x_train, expected)


def test_a_builder_that_cannot_leaves_nothing(tmp_path, home):
    root = class_folders(tmp_path / "set", {"a": 0, "b": 0})
    for name in ("a/1.png", "b/1.png", "a/2.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"no image")
    with pytest.raises(ValueError, match="can be read"):
        datasets.load(str(root), 16)
    assert [path.suffix for path in home.glob("decoded/.*")] == [".held"]


def test_who_waits_for_another_process_says_so_and_can_be_stopped(tmp_path, home):
    root = class_folders(tmp_path / "set", {"a": 5, "b": 5})
    decoded = datasets.cache.folder(str(root), datasets.folder.fingerprint(str(root)), 16)

    def told(what: str, share: float) -> None:
        assert what == "waiting for another process that decodes these images" and share == 0
        raise KeyboardInterrupt

    with datasets.cache.locked(decoded.with_name(f".{decoded.name}.held")), pytest.raises(KeyboardInterrupt):
        datasets.load(str(root), 16, told)
    assert len(datasets.load(str(root), 16).x_train) == 8


def test_without_flock_one_process_decodes_and_the_others_wait(tmp_path, monkeypatch):
    monkeypatch.setattr(fcntl, "flock", lambda *_: (_ for _ in ()).throw(OSError(errno.ENOLCK, "No locks available")))
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.01)
    waited = []

    def wait() -> None:
        waited.append((tmp_path / "x" / ".held").stat().st_mtime_ns)
        if len(set(waited)) > 2:  # its claim is touched meanwhile, so that other machines see that it lives
            raise KeyboardInterrupt

    with datasets.cache.locked(tmp_path / "x"), pytest.raises(KeyboardInterrupt), datasets.cache.locked(tmp_path / "x", wait):
        pass
    with datasets.cache.locked(tmp_path / "x", wait):
        pass


def test_of_several_processes_one_decodes_and_the_others_wait(tmp_path):
    root = class_folders(tmp_path / "set", {"a": 150, "b": 150})
    code = """
import sys, json, hashlib
from sslcore import datasets, locks
told = []
data = datasets.load(sys.argv[1], 32, lambda what, share: told.append(what))
print(json.dumps([hashlib.sha256(data.x_train.tobytes()).hexdigest(), len(data.x_train), "decoding images" in told]))
"""
    command = [sys.executable, "-c", code, str(root)]
    started = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = [json.loads(process.communicate(timeout=300)[0]) for process in started]
    assert len({digest for digest, _, _ in answers}) == 1
    assert {count for _, count, _ in answers} == {240}
    assert sum(decoded for _, _, decoded in answers) == 1


# -- torchvision's sets, from a server on this machine ---------------------------


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def archive(path: Path, members: dict[str, bytes]) -> str:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return md5(path.read_bytes())


@pytest.fixture
def server(tmp_path, monkeypatch):
    """(folder that is served, its address, the paths that were asked for)."""
    folder, asked = tmp_path / "served", []
    folder.mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            asked.append(self.path)

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder)) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}/", asked
        httpd.shutdown()


def stand_in_cifar(name, kind, folder, address, monkeypatch):
    x, y = noise(30, 32, 32, 3), np.arange(30) % 10
    labels = "fine_labels" if name == "cifar100" else "labels"
    train, test, meta = kind.train_list[0][0], kind.test_list[0][0], kind.meta["filename"]
    members = {meta: pickle.dumps({kind.meta["key"]: []})}
    for batch, where in ((train, slice(0, 20)), (test, slice(20, 30))):
        members[batch] = pickle.dumps({"data": x[where].transpose(0, 3, 1, 2).reshape(-1, 3072), labels: y[where].tolist()})
    monkeypatch.setattr(kind, "url", address + kind.filename)
    packed = archive(folder / kind.filename, {f"{kind.base_folder}/{n}": c for n, c in members.items()})
    monkeypatch.setattr(kind, "tgz_md5", packed)
    monkeypatch.setattr(kind, "train_list", [[train, md5(members[train])]])
    monkeypatch.setattr(kind, "test_list", [[test, md5(members[test])]])
    monkeypatch.setattr(kind, "meta", kind.meta | {"md5": md5(members[meta])})
    return x, y


def stand_in_stl10(name, kind, folder, address, monkeypatch):
    x, y = noise(30, 96, 96, 3), np.arange(30) % 10
    parts, members = {"train": slice(0, 20), "test": slice(20, 30)}, {}
    for part, where in parts.items():
        members[f"{part}_X.bin"] = x[where].transpose(0, 3, 2, 1).tobytes()  # columns first, as the set has it
        members[f"{part}_y.bin"] = (y[where] + 1).astype(np.uint8).tobytes()
    monkeypatch.setattr(kind, "url", address + kind.filename)
    packed = archive(folder / kind.filename, {f"{kind.base_folder}/{n}": c for n, c in members.items()})
    monkeypatch.setattr(kind, "tgz_md5", packed)
    for part in parts:
        monkeypatch.setattr(kind, f"{part}_list", [[n, md5(c)] for n, c in members.items() if n.startswith(part)])
    return x, y


def stand_in_fashion_mnist(name, kind, folder, address, monkeypatch):
    import gzip

    x, y = noise(30, 28, 28), np.arange(30) % 10
    resources = []
    for part, where in (("train", slice(0, 20)), ("t10k", slice(20, 30))):
        for what, array in (("images-idx3", x[where]), ("labels-idx1", y[where].astype(np.uint8))):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
            content = gzip.compress(header + array.tobytes())
            (folder / f"{part}-{what}-ubyte.gz").write_bytes(content)
            resources.append((f"{part}-{what}-ubyte.gz", md5(content)))
    monkeypatch.setattr(kind, "mirrors", [address])
    monkeypatch.setattr(kind, "resources", resources)
    return x, y


def stand_in_svhn(name, kind, folder, address, monkeypatch):
    from scipy.io import savemat

    x, y = noise(30, 32, 32, 3), np.arange(30) % 10
    listed = dict(kind.split_list)
    for part, where in (("train", slice(0, 20)), ("test", slice(20, 30))):
        file = folder / kind.split_list[part][1]
        labels = np.where(y[where] == 0, 10, y[where])[:, None].astype(np.uint8)  # 10 stands for the digit 0
        savemat(file, {"X": x[where].transpose(1, 2, 3, 0), "y": labels})
        listed[part] = [address + file.name, file.name, md5(file.read_bytes())]
    monkeypatch.setattr(kind, "split_list", listed)
    return x, y


STAND_INS = {
    "cifar10": ("CIFAR10", stand_in_cifar),
    "cifar100": ("CIFAR100", stand_in_cifar),
    "stl10": ("STL10", stand_in_stl10),
    "fashion_mnist": ("FashionMNIST", stand_in_fashion_mnist),
    "svhn": ("SVHN", stand_in_svhn),
}


def stand_in(name, server, monkeypatch):
    from torchvision import datasets as hub

    class_name, make = STAND_INS[name]
    folder, address, _ = server
    return make(name, getattr(hub, class_name), folder, address, monkeypatch)


@pytest.mark.parametrize("name", STAND_INS)
def test_published_sets_are_downloaded_with_progress_once(name, server, home, monkeypatch, capfd):
    x, y = stand_in(name, server, monkeypatch)
    told = []
    data = datasets.load(name, x.shape[1], lambda what, share: told.append((what, share)))
    expected = np.broadcast_to(x.reshape(*x.shape[:3], -1), (*x.shape[:3], 3))
    assert np.array_equal(data.images(range(30)), expected)
    assert np.array_equal(data.labels(range(30)), y)
    assert (len(data.x_train), len(data.x_test)) == (20, 10)
    assert data.classes == datasets.info(name).classes
    assert ("downloading", 1.0) in [(what.split()[0], share) for what, share in told]
    assert capfd.readouterr() == ("", "")
    asked = len(server[2])
    assert asked > 0
    assert len(datasets.load(name, 16).x_train) == 20  # another size needs no second download
    assert len(server[2]) == asked
    assert not list(home.rglob("*.part"))


def test_without_a_network_the_error_says_what_failed_and_where_to_put_the_file(server, home, monkeypatch):
    stand_in("cifar10", server, monkeypatch)
    (server[0] / "cifar-10-python.tar.gz").unlink()
    with pytest.raises(ValueError) as error:
        datasets.load("cifar10", 32)
    one_line(error, "cifar10: could not download", server[1], "File not found", str(home / "downloads"))
    assert not list(home.rglob("*.tar.gz*"))


def test_a_download_that_is_not_what_was_published_is_refused(server, home, monkeypatch):
    stand_in("cifar10", server, monkeypatch)
    (server[0] / "cifar-10-python.tar.gz").write_bytes(b"a login page")
    with pytest.raises(ValueError) as error:
        datasets.load("cifar10", 32)
    one_line(error, "checksum differs")
    assert not list(home.rglob("*.tar.gz*"))


def test_a_file_put_there_by_hand_is_used(server, home, monkeypatch):
    x, _ = stand_in("cifar10", server, monkeypatch)
    (home / "downloads").mkdir(parents=True)
    (server[0] / "cifar-10-python.tar.gz").rename(home / "downloads" / "cifar-10-python.tar.gz")
    assert np.array_equal(datasets.load("cifar10", 32).images(range(30)), x)
    assert server[2] == []
