"""Images that belong together: where that is said, how they are split, and what goes by their groups."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sslcore import datasets
from sslcore.datasets import groups, source
from tests.datasets.pictures import class_folders, noise, npz, one_line

quickly = settings(max_examples=100, deadline=None)


def table(root: Path, *rows: tuple[str, str], columns: str = "file,group") -> Path:
    root.joinpath("groups.csv").write_text("\n".join([columns, *(f"{file},{group}" for file, group in rows)]) + "\n")
    return root


def films(root: Path, of_each: int = 10) -> Path:
    """Two classes of `of_each` films with four images each; a film has both classes."""
    class_folders(root, {"cat": 2 * of_each, "horse": 2 * of_each})
    return table(root, *((f"{name}/{i}.png", f"film {i // 2}") for name in ("cat", "horse") for i in range(2 * of_each)))


labelled = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12)), min_size=2, max_size=80)


@quickly
@given(images=labelled)
def test_no_group_is_on_both_sides_and_every_class_keeps_something_to_train_on(images):
    labels, own = (np.array(column) for column in zip(*images))
    try:
        train, test = groups.split(labels, groups.numbered(own.tolist()))
    except ValueError:
        for group in np.unique(own):  # each holds the whole of a class
            assert set(labels[own == group]) - set(labels[own != group])
        return
    assert sorted([*train, *test]) == list(range(len(labels))) and len(test)
    assert not set(own[train]) & set(own[test])
    assert set(labels[train]) == set(labels)


@quickly
@given(counts=st.lists(st.integers(5, 30), min_size=1, max_size=6), size=st.integers(1, 4))
def test_a_fifth_of_each_class_is_held_out_to_within_a_group(counts, size):
    labels = np.repeat(np.arange(len(counts)), np.array(counts) * size)
    _, test = groups.split(labels, groups.numbered((np.arange(len(labels)) // size).tolist()))
    held_out = np.bincount(labels[test], minlength=len(counts)) / size
    assert (abs(held_out - source.TEST_SHARE * np.array(counts)) <= 0.5 + 1e-9).all()


@quickly
@given(classes=st.integers(2, 12), sites=st.integers(30, 60), seed=st.integers(0, 9))
def test_where_groups_have_images_of_several_classes_about_a_fifth_is_held_out_all_the_same(classes, sites, seed):
    """As of cameras that see many animals: whole cameras must not pile up on the test's side."""
    draw = np.random.default_rng(seed)
    labels, own = draw.integers(0, classes, 40 * sites), draw.integers(0, sites, 40 * sites)
    _, test = groups.split(labels, groups.numbered(own.tolist()))
    assert 0.12 < len(test) / len(labels) < 0.28


def test_a_broken_link_to_a_table_is_no_table_that_is_not_there(tmp_path):
    root = class_folders(tmp_path / "set", {"cat": 10, "horse": 10})
    (root / "groups.csv").symlink_to(root / "elsewhere.csv")
    with pytest.raises(ValueError, match=r"groups\.csv cannot be read"):
        datasets.info(str(root))


def test_a_table_in_one_of_the_folders_is_told_where_it_belongs(tmp_path):
    for half, n in (("train", 8), ("test", 4)):
        class_folders(tmp_path / "set" / half, {"cat": n, "horse": n})
    table(tmp_path / "set" / "test", ("cat/0.png", "a"))
    with pytest.raises(ValueError, match=r"test/groups\.csv; move it up, beside test, with paths such as train/cat/0\.png"):
        datasets.info(str(tmp_path / "set"))


def test_a_table_that_was_written_elsewhere_names_folders_of_macos(tmp_path):
    one, two = (unicodedata.normalize(form, "Käse") for form in ("NFC", "NFD"))
    root = table(class_folders(tmp_path / "set", {two: 10, "horse": 10}), (f"{one}/0.png", "a"), (f"{one}/1.png", "a"))
    assert datasets.info(str(root)).groups == 19


def test_spaces_in_a_tables_head_are_no_part_of_its_names(tmp_path):
    root = class_folders(tmp_path / "set", {"cat": 10, "horse": 10})
    table(root, ("cat/0.png", " a"), ("cat/1.png", " a"), columns="file, group")
    assert datasets.info(str(root)).groups == 19


def test_a_remark_goes_with_what_it_was_about(tmp_path):
    root = class_folders(tmp_path / "set", {"cat": 10, "horse": 10})
    table(root, ("cat/0.png", "a"), ("cat/1.png", "a"), ("cat/99.png", "a"))
    assert datasets.load(str(root), 16).remarks
    table(root, ("cat/0.png", "a"), ("cat/1.png", "a"))
    datasets._info.cache_clear()
    assert not datasets.load(str(root), 16).remarks


def test_of_two_large_groups_the_smaller_is_held_out():
    labels, own = np.zeros(10, dtype=int), [0] * 6 + [1] * 4
    assert groups.split(labels, own)[1].tolist() == [6, 7, 8, 9]


def test_a_folder_with_groups_is_split_by_them_and_its_test_images_have_them(tmp_path):
    root = films(tmp_path / "set")
    info, data = datasets.info(str(root)), datasets.load(str(root), 16)
    assert (info.groups, info.train, info.test, info.remarks) == (10, 32, 8, ())
    assert (len(data.x_train), len(data.x_test)) == (32, 8)
    assert np.bincount(np.unique(data.groups, return_inverse=True)[1]).tolist() == [4, 4]
    assert "2 groups" in data.caution
    files = [datasets.file_of(str(root), i, 16, data.checksum) for i in range(40)]
    film = [int(Path(file).stem) // 2 for file in files]
    assert not set(film[:32]) & set(film[32:])
    assert len(set(zip(film[32:], data.groups.tolist()))) == 2


def test_an_image_that_is_not_in_the_table_is_by_itself(tmp_path):
    root = table(
        class_folders(tmp_path / "set", {"cat": 10, "horse": 10}), ("cat/0.png", "a"), ("./cat/1.png", "a"), ("cat/2.png", "")
    )
    assert datasets.info(str(root)).groups == 19


def test_without_a_table_nothing_changes(tmp_path):
    root = class_folders(tmp_path / "set", {"cat": 10, "horse": 10})
    before = datasets.fingerprint(str(root))
    data = datasets.load(str(root), 16)
    assert data.groups is None and data.caution == "" and datasets.info(str(root)).groups is None
    table(root, ("cat/0.png", "a"))
    assert datasets.fingerprint(str(root)) != before


def test_a_table_that_changes_is_read_anew(tmp_path):
    for part in ("train", "test"):
        class_folders(tmp_path / "set" / part, {"cat": 4, "horse": 4})
    root = str(table(tmp_path / "set", ("test/cat/0.png", "a"), ("test/cat/1.png", "a")))
    before = datasets.load(root, 16)
    table(tmp_path / "set", ("test/cat/0.png", "a"), ("test/cat/1.png", "b"))
    after = datasets.load(root, 16)
    assert [len(set(data.groups.tolist())) for data in (before, after)] == [7, 8]
    assert before.checksum == after.checksum  # the images are the same ones


def test_groups_that_the_readers_own_split_divides_are_told(tmp_path):
    for part in ("train", "test"):
        class_folders(tmp_path / "set" / part, {"cat": 4, "horse": 4})
    root = table(tmp_path / "set", *((f"{part}/cat/{i}.png", f"film {i}") for part in ("train", "test") for i in range(2)))
    (remark,) = datasets.info(str(root)).remarks
    assert remark.startswith("2 groups have training and test images")
    assert remark in datasets.load(str(root), 16).remarks


def test_a_class_in_a_single_group_is_not_tested_and_that_is_told(tmp_path):
    root = films(tmp_path / "set")
    class_folders(root, {"zebra": 6})
    with (root / "groups.csv").open("a") as file:
        file.writelines(f"zebra/{i}.png,zoo\n" for i in range(6))
    told = "of zebra all images train and none is tested: no group of them could be spared"
    assert datasets.info(str(root)).remarks == (told,)


def test_files_of_the_table_that_are_not_there_are_told(tmp_path):
    root = table(
        class_folders(tmp_path / "set", {"cat": 10, "horse": 10}), ("cat/0.png", "a"), ("cat/99.png", "a"), ("dog/1.png", "b")
    )
    assert datasets.info(str(root)).remarks == ("groups.csv has 2 files that the set has not: cat/99.png, dog/1.png",)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("file;group\ncat/0.png;a\n", ["the columns file;group", "expected file and group"]),
        ("", ["is empty", "expected file and group"]),
        ("file,group,group\ncat/0.png,a,b\n", ["expected file and group"]),
        ("file,group\n0.png,a\n1.png,a\n", ["names none of the images", "such as cat/0.png"]),
        ("file,group\n", ["names none of the images"]),
        ("file,group\ncat/0.png,a\ncat/0.png,b\n", ["cat/0.png twice, in a and in b"]),
        ("file,group\n" + "".join(f"{name}/{i}.png,a\n" for name in ("cat", "horse") for i in range(10)), ["every group"]),
        (b"file,group\ncat/0.png,\xff\n", ["cannot be read"]),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_line(text, parts, tmp_path):
    root = class_folders(tmp_path / "set", {"cat": 10, "horse": 10})
    root.joinpath("groups.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError) as error:
        datasets.info(str(root))
    one_line(error, str(root), *parts)


@pytest.mark.parametrize("kind", [int, str])
def test_an_npz_with_groups_is_split_by_them(kind, tmp_path):
    own = np.repeat(np.arange(10), 4).astype(kind)
    path = npz(tmp_path / "set.npz", x_train=noise(40, 16, 16, 3), y_train=np.tile([0, 1], 20), group_train=own)
    info, data = datasets.info(path), datasets.load(path, 16)
    assert (info.groups, info.train, info.test) == (10, 32, 8)
    assert len(set(data.groups.tolist())) == 2 and "2 groups" in data.caution


def test_an_image_of_an_npz_whose_group_is_empty_is_by_itself(tmp_path):
    own = np.array(["a"] * 4 + [""] * 36)
    path = npz(tmp_path / "set.npz", x_train=noise(40, 16, 16, 3), y_train=np.tile([0, 1], 20), group_train=own)
    assert datasets.info(path).groups == 37


def test_an_npz_with_groups_on_both_sides_is_told(tmp_path):
    arrays = {"x_train": noise(8, 16, 16, 3), "x_test": noise(4, 16, 16, 3, seed=1), "group_train": np.arange(8)}
    path = npz(tmp_path / "set.npz", **arrays, group_test=np.array([7, 7, 8, 9]))
    (remark,) = datasets.info(path).remarks
    assert remark.startswith("1 group has training and test images")
    data = datasets.load(path, 16)
    assert remark in data.remarks and len(set(data.groups.tolist())) == 3


@pytest.mark.parametrize(
    ("own", "parts"),
    [
        ({"group_test": np.arange(4)}, ["has group_test; expected group_train and group_test, or no groups at all"]),
        ({"group_train": np.arange(7), "group_test": np.arange(4)}, ["group_train has shape (7,); expected (8,)"]),
        ({"group_train": np.arange(8) / 2, "group_test": np.arange(4)}, ["group_train is float64"]),
    ],
)
def test_groups_of_an_npz_that_do_not_fit_are_refused_in_one_line(own, parts, tmp_path):
    path = npz(tmp_path / "set.npz", x_train=noise(8, 16, 16, 3), x_test=noise(4, 16, 16, 3), **own)
    with pytest.raises(ValueError) as error:
        datasets.info(path)
    one_line(error, path, *parts)
