"""Arrays in an .npz: what is read, and what is refused before anything is written."""

import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslcore import datasets
from tests.datasets.pictures import noise, npz, one_line

quickly = settings(max_examples=40, deadline=None)


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


@pytest.mark.parametrize("other", [np.int64, np.uint8, np.float32])
def test_labels_of_two_types_stay_apart_however_large(other, tmp_path):
    large = 2**60 + np.arange(4, dtype=np.uint64)
    small = (large if other == np.int64 else np.arange(4)).astype(other)
    path = npz(tmp_path / "set.npz", x_train=noise(4, 8, 8), y_train=large, x_test=noise(4, 8, 8, seed=1), y_test=small)
    data = datasets.load(path, 8)
    assert [int(data.classes[label]) for label in data.y_train] == large.tolist()
    assert [int(data.classes[label]) for label in data.y_test] == small.tolist()


def test_floats_become_the_nearest_of_256_values(tmp_path):
    below, above = (((np.arange(256) + off) / 255).clip(0, 1).reshape(1, 16, 16).astype(np.float32) for off in (-0.4, 0.4))
    data = datasets.load(npz(tmp_path / "floats.npz", x_train=below, x_test=above), 16)
    for images in (data.x_train, data.x_test):
        assert images[0, :, :, 0].ravel().tolist() == list(range(256))


def test_the_checksum_tells_the_pixels_the_labels_and_the_split(tmp_path):
    x, y = noise(6, 16, 16, 3), np.arange(6) % 2

    def checksum(name, x, y, train):
        parts = {"x_train": x[:train], "y_train": y[:train], "x_test": x[train:], "y_test": y[train:]}
        return datasets.load(npz(tmp_path / f"{name}.npz", **parts), 16).checksum

    told = checksum("one", x, y, 4)
    assert checksum("its copy", x, y, 4) == told
    assert len({told, checksum("pixels", x ^ 1, y, 4), checksum("labels", x, 1 - y, 4), checksum("split", x, y, 3)}) == 4


@pytest.mark.parametrize(("side", "size"), [(8, 16), (40, 40), (100, 64)])
def test_images_are_trained_on_in_their_own_size_within_bounds(side, size, tmp_path):
    assert datasets.defaults(npz(tmp_path / "set.npz", x_train=noise(2, side, side, 3)))["image_size"] == size


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
    images = np.resize(np.array(values, np.float32), (4, 8, 8))
    path = npz(tmp_path / "set.npz", x_train=images)
    with pytest.raises(ValueError) as error:  # before a run is made of it
        datasets.info(path)
    one_line(error, "x_train holds floats from", "expected 0 to 1")
    path = npz(tmp_path / "set.npz", x_train=np.concatenate([np.zeros((2000, 8, 8), np.float32), images]))
    with pytest.raises(ValueError) as error:  # and, where the beginning did not tell, by it
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
    assert "unpack" not in str(error.value)


def test_of_a_zip_of_images_it_is_said_what_to_do(tmp_path):
    with zipfile.ZipFile(tmp_path / "pics.zip", "w") as pictures:
        pictures.writestr("cat/1.png", b"")
    with pytest.raises(ValueError) as error:
        datasets.info(str(tmp_path / "pics.zip"))
    one_line(error, "pics.zip: not a readable .npz file; unpack it, and give the folder")


def test_a_zip_of_something_else_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.npz", "w") as archive:
        archive.writestr("x_train.npy", "text")
    with pytest.raises(ValueError, match="not a readable"):
        datasets.info(str(tmp_path / "set.npz"))
