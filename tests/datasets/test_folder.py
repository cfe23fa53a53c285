"""Folders of images: what is a class, what is split, and what is skipped."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image

from sslcore import datasets
from sslcore.datasets import folder, source
from sslcore.files import write_json
from tests.datasets.pictures import class_folders, noise, one_line, save

quickly = settings(max_examples=40, deadline=None)


def test_class_folders_are_split_by_class_and_labelled_by_name(tmp_path):
    root = class_folders(tmp_path / "set", {"cat": 10, "horse": 3, "solitary": 1})
    info, data = datasets.info(str(root)), datasets.load(str(root), 16)
    assert info.classes == data.classes == ("cat", "horse", "solitary")
    assert (info.train, info.test) == (len(data.x_train), len(data.x_test)) == (11, 3) and not info.untrained
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
    assert datasets.info(str(tmp_path / "set")).untrained == {"c": 1}


def test_a_test_folder_without_labels_gives_way_to_val(tmp_path):
    root = tmp_path / "set"
    class_folders(root / "train", {"a": 4, "b": 4})
    class_folders(root / "val", {"a": 1, "b": 1})
    save(root / "test" / "1.png")
    data = datasets.load(str(root), 16)
    assert (len(data.x_train), len(data.x_test)) == (8, 2)
    assert any("test" in line and "no class folders" in line for line in data.skipped)


def test_of_two_test_folders_the_first_that_is_known_is_used_and_the_other_told(tmp_path):
    for name, count in (("train", 4), ("test", 1), ("val", 2)):
        class_folders(tmp_path / "set" / name, {"a": count, "b": count})
    data = datasets.load(str(tmp_path / "set"), 16)
    assert (len(data.x_train), len(data.x_test)) == (8, 2)
    assert any("val" in line and "another folder is used for testing" in line for line in data.skipped)


def test_a_folder_with_much_below_it_that_is_no_image_is_given_up(tmp_path, monkeypatch):
    root = class_folders(tmp_path / "set", {"a": 5, "b": 5})
    for folder_of in ("a", "b"):
        for i in range(20):
            (root / folder_of / f"{i}.json").touch()  # as labelling tools leave beside the images
    monkeypatch.setattr(folder, "MAX_OTHERS", 5)
    assert folder.source(str(root)).train == 8
    (root / "0").mkdir()
    for i in range(4):
        (root / "0" / f"{i}.txt").touch()
    with pytest.raises(ValueError, match="more than 5 files and folders below it that are no images"):
        folder.source(str(root))


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


def test_pixels_without_a_known_range_are_left_out(tmp_path):
    (tmp_path / "set").mkdir()
    for i, kind in enumerate((np.int32, np.float32)):
        Image.fromarray(np.full((20, 20), 200, kind)).save(tmp_path / "set" / f"{i}.tif")
    Image.fromarray(np.full((20, 20), 200, np.uint16)).save(tmp_path / "set" / "2.tif", tiffinfo={339: 2})  # signed
    for i in range(10):
        save(tmp_path / "set" / f"{i}.png")
    why = sorted(line.partition("set/")[2] for line in datasets.load(str(tmp_path / "set"), 16).skipped)
    of_integers = "pixels of 32 bits, or signed ones, have no known range"
    assert why == [f"0.tif: {of_integers}", "1.tif: floating-point pixels have no known range", f"2.tif: {of_integers}"]


def test_transparent_pixels_are_white(tmp_path):
    for i in range(2):
        (tmp_path / "set").mkdir(exist_ok=True)
        Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / "set" / f"{i}.png")
    assert (datasets.load(str(tmp_path / "set"), 16).images([0, 1]) == 255).all()


def test_large_transparent_images_are_laid_on_white_strip_by_strip(tmp_path, monkeypatch):
    composite, sizes = Image.alpha_composite, []
    monkeypatch.setattr(Image, "alpha_composite", lambda under, over: sizes.append(over.size) or composite(under, over))
    file = tmp_path / "a.png"
    for image in (Image.fromarray(noise(50, 40, 4)), Image.fromarray(noise(50, 40)).convert("P")):
        image.save(file, **({"transparency": 7} if image.mode == "P" else {}))
        whole = source.decode(file, 16)
        assert sizes == [(40, 50)]
        with monkeypatch.context() as patch:
            patch.setattr(source, "MAX_STRIP", 600)
            assert np.array_equal(source.decode(file, 16), whole)
        assert sizes[1:] == [(40, 15), (40, 15), (40, 15), (40, 5)]
        sizes.clear()


def test_what_a_file_is_decides_and_not_its_name(tmp_path, monkeypatch):
    started = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given, **named: started.append(given))
    root = tmp_path / "set"
    for i in range(4):
        save(root / f"{i}.jpg", format="PNG")
    save(root / "phone.jpg", format="MPO", save_all=True, append_images=[Image.new("RGB", (40, 30))])
    save(root / "program.jpg", format="EPS")
    data = datasets.load(str(root), 16)
    assert len(data.x_train) + len(data.x_test) == 5
    assert started == [] and len(data.skipped) == 1 and "program.jpg: cannot identify image file" in data.skipped[0]
    with Image.open(root / "phone.jpg") as phone:
        assert phone.format == "MPO"


def test_each_ending_stands_for_a_format():
    assert [name for name in source.formats() if name != "AVIF"] == ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM"]


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


def test_a_large_photo_keeps_what_its_size_can_show(tmp_path):
    """Stripes of four pixels, of one at a quarter of the side."""
    stripes = np.broadcast_to((np.arange(256) // 4 % 2 * 255).astype(np.uint8), (256, 256))
    Image.fromarray(stripes).convert("RGB").save(tmp_path / "stripes.jpg", quality=95)
    assert source.decode(tmp_path / "stripes.jpg", 64).std() > 50


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


def test_a_class_of_broken_files_alone_costs_no_test_image(tmp_path):
    root = class_folders(tmp_path / "set", {"a": 6, "b": 6, "c": 6})
    for file in (root / "b").iterdir():
        file.write_bytes(b"no image")
    assert datasets.info_of(datasets.load(str(root), 16), str(root)).untrained == {}


def test_names_that_are_no_utf_8_can_be_written(tmp_path):
    root = class_folders(tmp_path / "set", {"a": 4, "b": 4})
    os.rename(root / "b", os.fsencode(root / "b")[:-1] + b"caf\xe9")
    Path(os.fsdecode(os.fsencode(root / "a") + b"/bro\xe9ken.png")).write_bytes(b"no image")
    data = datasets.load(str(root), 16)
    assert data.classes == ("a", "caf\\xe9") == datasets.info(str(root)).classes
    assert len(data.skipped) == 1 and "bro\\xe9ken.png" in data.skipped[0]
    write_json(tmp_path / "results.json", [data.classes, data.skipped])


@pytest.mark.parametrize("halves", [False, True])
def test_class_folders_that_would_have_one_name_are_refused(halves, tmp_path):
    root = class_folders(tmp_path / "set", {"train/a": 4, "train/b": 4, "test/a": 4, "test/b": 4} if halves else {"a": 4, "b": 4})
    first, second = (root / "train" / "a", root / "test" / "a") if halves else (root / "a", root / "b")
    os.rename(first, os.fsencode(first.parent) + b"/\xff")
    os.rename(second, second.parent / "\\xff")
    with pytest.raises(ValueError) as error:
        datasets.info(str(root))
    one_line(error, "two class folders would both be called \\xff", "rename one")


def test_a_class_that_macos_has_written_is_the_one_that_others_have(tmp_path):
    """It has letters and accents apart."""
    one, two = (unicodedata.normalize(form, "Käse") for form in ("NFC", "NFD"))
    root = class_folders(tmp_path / "set", {f"train/{two}": 4, "train/b": 4, f"test/{one}": 2, "test/b": 2})
    data = datasets.load(str(root), 16)
    assert data.classes == (two, "b") and sorted(data.y_test.tolist()) == [0, 0, 1, 1]
    assert not datasets.info(str(root)).untrained


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


@pytest.mark.parametrize(
    "link", ["class folder", "below a class", "image", "loose image", "train", "by way of what may be opened", "groups"]
)
def test_no_link_leads_to_what_may_not_be_opened(link, tmp_path, monkeypatch):
    secret = class_folders(tmp_path / "secret", {"a": 4, "b": 4})
    roots = tmp_path / "roots"
    shared = class_folders(roots / "shared", {"c": 4})
    root = class_folders(roots / "set", {"train/a": 4, "test/a": 4} if link == "train" else {"a": 4, "b": 4})
    (root / "a.txt").symlink_to(secret / "a" / "0.png")  # no image, as far as this set goes
    (root / "c").symlink_to(shared / "c")
    asked = []

    def check(path: str) -> None:
        asked.append(path)
        if not f"{os.path.realpath(path)}/".startswith(f"{roots}/"):
            raise ValueError("only files and folders within roots can be opened here")

    monkeypatch.setattr(datasets.rule, "check_path", check)
    assert len(datasets.load(str(root), 16).x_train) > 0
    assert str(shared / "c") in asked and not {str(root / "a"), str(root / "b"), str(secret / "a")} & set(asked)
    place, goal = {
        "class folder": (root / "z", secret / "a"),
        "below a class": (root / "a" / "more", secret),
        "image": (root / "a" / "z.png", secret / "a" / "0.png"),
        "loose image": (root / "z.png", secret / "a" / "0.png"),
        "train": (root / "train" / "b", secret / "b"),
        "by way of what may be opened": (shared / "c" / "more", secret / "b"),
        "groups": (root / "groups.csv", secret / "a" / "0.png"),
    }[link]
    place.symlink_to(goal)
    datasets._info.cache_clear()
    for read in (datasets.info, lambda path: datasets.load(path, 16), lambda path: datasets.thumbnail(path, 0, 16)):
        with pytest.raises(ValueError) as error:
            read(str(root))
        one_line(error, str(root), f"{place.name} is a link that leads elsewhere, and only files and folders within roots")


def test_loose_images_beside_class_folders_are_told(tmp_path):
    root = class_folders(tmp_path / "set", {"a": 5, "b": 5})
    save(root / "loose.png")
    assert any("1 image in no class folder" in line for line in datasets.load(str(root), 16).skipped)


def test_images_of_kinds_that_are_not_read_and_classes_of_one_image_are_told_before_and_after(tmp_path):
    root = class_folders(tmp_path / "set", {"cat": 4, "dog": 4, "rare": 1})
    for name in ("cat/1.HEIC", "cat/deeper/2.heic", "dog/3.jp2", "dog/notes.txt", "4.heic"):
        file = root / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    save(root / "loose.png")
    remarks = (
        "left out images of kinds that are not read: 3 .heic and 1 .jp2; convert them to JPEG or PNG",
        "rare has a single image, which trains; none is tested",
    )
    data = datasets.load(str(root), 16)
    assert data.remarks[:2] == remarks and data.skipped == (f"{root}: 1 image in no class folder",)
    assert datasets.info(str(root)).remarks == (f"left out {data.skipped[0]}", *remarks)


@pytest.mark.parametrize(("file", "expected"), [(None, "no images"), ("1.png", "a single image"), ("a.txt", "no images")])
def test_folders_without_images_are_refused(file, expected, tmp_path):
    (tmp_path / "set").mkdir()
    if file:
        (tmp_path / "set" / file).touch()
    with pytest.raises(ValueError) as error:
        datasets.info(str(tmp_path / "set"))
    one_line(error, str(tmp_path / "set"), expected)


def test_a_folder_that_is_too_large_is_walked_once_for_all_runs_that_want_it(tmp_path, monkeypatch):
    for name in "abcd":
        (tmp_path / "set" / name).mkdir(parents=True)
    walked, scan = [], datasets.folder._scan
    monkeypatch.setattr(datasets.folder, "MAX_OTHERS", 3)
    monkeypatch.setattr(datasets.folder, "_scan", lambda root: (walked.append(root), scan(root)))
    monkeypatch.setattr(datasets, "_moment", lambda seconds: 0)
    for _ in range(3):
        with pytest.raises(ValueError) as error:
            datasets.info(str(tmp_path / "set"))
        one_line(error, str(tmp_path / "set"), "more than 3 files and folders")
    assert len(walked) == 1 and datasets.defaults(str(tmp_path / "set")) == {}


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


@pytest.mark.parametrize("dataset", ["https://example.com/pics.zip", r"C:\Users\me\pics", "s3://bucket/pics"])
def test_an_address_or_another_machines_path_is_called_so(dataset):
    with pytest.raises(ValueError) as error:
        datasets.info(dataset)
    one_line(error, "this is an address, or another machine's path: copy the images to a folder here")


@pytest.mark.parametrize("size", [0, 7, 1025, -32])
def test_sizes_out_of_bounds_are_refused(size):
    with pytest.raises(ValueError, match="between 8 and 1024"):
        datasets.load("digits", size)


def test_images_of_a_class_stand_by_their_paths_whatever_folder_below_it_they_are_in(tmp_path):
    for part in ("train", "test"):
        for name in ("b.png", "a/z.png", "a/b/c.png", "c/a.png"):
            save(tmp_path / "set" / part / "cat" / name)
    found = folder.source(str(tmp_path / "set")).images
    assert found[:4] == sorted(found[:4]) and found[4:] == sorted(found[4:]) and len(found) == 8
