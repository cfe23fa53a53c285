"""Splits and samples, the sets that need no download, and the index space of their images."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sslcore import datasets
from sslcore.datasets import photos
from sslcore.datasets.source import split
from tests.datasets.pictures import class_folders, noise, npz, one_line

ROOT = Path(__file__).parents[2]
quickly = settings(max_examples=40, deadline=None)


# -- Splits and samples ----------------------------------------------------------


@quickly
@given(st.lists(st.integers(1, 30), min_size=1, max_size=8).filter(lambda counts: max(counts) > 1), st.randoms())
def test_a_split_keeps_every_class_of_two_images_on_both_sides(counts, random):
    labels = [label for label, count in enumerate(counts) for _ in range(count)]
    random.shuffle(labels)
    labels = np.array(labels)
    train, test = split(labels)
    assert sorted([*train, *test]) == list(range(len(labels)))
    for label, count in enumerate(counts):
        in_train, in_test = (labels[train] == label).sum(), (labels[test] == label).sum()
        assert in_train >= 1
        assert in_test >= (count > 1)
        assert abs(in_test - 0.2 * count) <= 1
    assert np.array_equal(test, split(labels)[1])


def test_a_split_of_single_images_is_refused():
    with pytest.raises(ValueError, match="no class has two images"):
        split(np.arange(5))


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


def test_crops_of_photos_belong_to_the_blocks_from_which_they_are_cut():
    """No two groups of crops share a pixel."""
    found = photos.source("photos", lambda what, share: None)
    owner: dict[int, np.ndarray] = {}
    for group, crop in zip(found.groups, found.images):
        photo = crop.base if crop.base.ndim == 3 else crop
        y, x = divmod((crop.ctypes.data - photo.ctypes.data) // 3, photo.shape[1])
        place = owner.setdefault(photo.ctypes.data, np.full(photo.shape[:2], -1))[y : y + len(crop), x : x + len(crop)]
        assert set(np.unique(place).tolist()) <= {-1, group}
        place[:] = group
    data = datasets.load("photos", 16)
    assert data.groups.tolist() == found.groups[found.train :] and len(set(data.groups.tolist())) == 67
    assert len({*zip(data.groups.tolist(), data.y_test.tolist())}) == 67, "each is of one photograph"
    assert datasets.load("digits", 16).groups is None


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


def test_an_image_of_a_folder_is_known_by_its_file(tmp_path):
    """Below the folder, with or without a link on the way; what cannot be read is no image, and has no number."""
    root = class_folders(tmp_path / "set", {"a": 5, "bb": 5})
    (root / "a" / "2.png").write_bytes(b"no image")
    os.rename(root / "bb" / "1.png", os.fsencode(root / "bb") + b"/\xff1.png")
    link = tmp_path / "link"
    link.symlink_to(root)
    for path in (str(root), str(link)):
        data = datasets.load(path, 16)
        files = [datasets.file_of(path, index, 16, data.checksum) for index in range(9)]
        assert {*files} == {*(f"a/{k}.png" for k in (0, 1, 3, 4)), *(f"bb/{k}.png" for k in (0, 2, 3, 4)), "bb/\\xff1.png"}
        for index, file in enumerate(files):
            red, number, _ = data.images([index])[0, 0, 0]  # as class_folders paints them
            assert (red // 40, f"{number}.png") == (len(file.partition("/")[0]), file[-5:])
        assert not any(datasets.file_of(path, index, 16, data.checksum) for index in (-1, 9))
        assert not datasets.file_of(path, 0, 32, data.checksum) and not datasets.file_of(path, 0, 16, "another")
    assert not datasets.file_of("digits", 0, 16, datasets.load("digits", 16).checksum)


def test_files_that_an_older_version_did_not_keep_are_not_known_and_damaged_ones_decode_the_set_again(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_DATA", str(tmp_path / "cache"))
    path = str(class_folders(tmp_path / "set", {"a": 5, "bb": 5}))
    checksum = datasets.load(path, 16).checksum
    (kept,) = (tmp_path / "cache" / "decoded").glob("*/files.npy")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1])
    assert datasets.load(path, 16).checksum == checksum and kept.read_bytes() == whole
    about = json.loads((kept.parent / "about.json").read_text())
    del about["files"]
    (kept.parent / "about.json").write_text(json.dumps(about))
    kept.unlink()
    datasets.load(path, 16)
    assert not kept.exists() and datasets.file_of(path, 0, 16, checksum) == ""


def test_what_comes_with_the_installation_has_thumbnails_before_any_run(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_DATA", str(tmp_path))
    assert datasets.thumbnail("digits", 1796, 16).size == (16, 16)


# -- Which data set, and its defaults ----------------------------------------------


def test_paths_become_absolute_and_names_stay(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "set", {"a": 4, "b": 4})
    class_folders(tmp_path / "digits", {"a": 4, "b": 4})
    assert datasets.canonical("set") == datasets.canonical("./set/") == str(tmp_path / "set")
    assert datasets.canonical(f'"{tmp_path / "set"}"') == datasets.canonical("'set'") == str(tmp_path / "set")
    assert datasets.canonical("digits") == "digits"
    assert datasets.info("set") == datasets.info(str(tmp_path / "set"))
    assert datasets.info("./digits").classes == ("a", "b")  # a path wins where it is written as one
    first = datasets.load("set", 16)
    monkeypatch.chdir("/")
    assert np.array_equal(first.x_train, datasets.load(str(tmp_path / "set"), 16).x_train)


def test_every_sets_defaults_resolve_without_a_warning_but_for_what_fills_no_batch(tmp_path):
    from sslcore.config import resolve
    from sslcore.plan import check

    folder = class_folders(tmp_path / "set", {"a": 300, "b": 200})
    array = npz(tmp_path / "set.npz", x_train=noise(700, 28, 28), y_train=np.arange(700) % 10)
    for dataset in [*datasets.NAMES, str(folder), array]:
        config = resolve({"dataset": dataset, "method": "moco"})
        problems, warnings = check(config)
        assert not problems and all("do not fill a batch" in warning for warning in warnings)
    train = datasets.info(array).train
    assert train / 4 < resolve({"dataset": array}).moco.queue_size <= train / 2, "no key is older than an epoch"
    assert resolve({"dataset": array}).image_size == 28
    assert resolve({"dataset": array}).augment.grayscale == 0
    assert resolve({"dataset": "svhn"}).augment.flip == 0


def test_what_is_known_of_a_data_set_is_looked_up_again_after_some_seconds(tmp_path, monkeypatch):
    """A dashboard lives for weeks, and the images below a path change meanwhile."""
    now, path = [1000.0], tmp_path / "set.npz"
    monkeypatch.setattr(datasets, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def told(images: int, side: int) -> tuple[int, int]:
        np.savez(path, x_train=np.zeros((images, side, side, 3), np.uint8), x_test=np.zeros((2, side, side, 3), np.uint8))
        return datasets.info(str(path)).train, datasets.defaults(str(path))["image_size"]

    assert told(8, 20) == (8, 20)
    assert told(9, 30) == (8, 20), "a plan asks once a run"
    now[0] += 6
    assert told(9, 30) == (9, 30)
