"""What may be wrong with a set's images is told in words, and stands among a run's warnings."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sslcore import datasets, stages
from sslcore.config import resolve
from sslcore.experiment import Spec, Store
from sslcore.worker import Pulse
from tests.datasets.pictures import noise, npz, save


def warnings(dataset: str) -> list[str]:
    """Of a run that has read its images, and of one that reads them once more."""
    config = resolve({"dataset": dataset, "image_size": 16, "batch_size": 2, "epochs": 1, "evaluate.knn_k": 1})
    run = Store().create("one", Spec(title="one"), {"a": config}).run("a")
    for _ in range(2):
        stages.read_data(run, Pulse(run), False)
    return [warning.removeprefix(f"{dataset}: ") for warning in run.status().warnings]


def dark(root: Path, brightest: int) -> str:
    """16-bit images, dark but for a pixel, and others beside them."""
    root.mkdir()
    for i, ending in enumerate(("tif", "png", "pgm")):
        grey = np.full((20, 20), 50 * i, np.uint16)
        grey[3, 3] = brightest - i
        Image.fromarray(grey).save(root / f"{i}.{ending}")
    for i in range(7):
        save(root / f"bright{i}.png", (255, 255, i))
    return str(root)


@pytest.mark.parametrize(("brightest", "shade"), [(200, 0), (4095, 15), (4096, None), (65535, None)])
def test_sixteen_bits_that_are_dark_throughout(brightest, shade, tmp_path):
    said = warnings(dark(tmp_path / "set", brightest))
    assert len(said) == (shade is not None)
    for words in said:
        assert words.startswith(f"no pixel of the 16-bit images is above {brightest:,}:") and f"at most {shade} of 255" in words


def copied(root: Path, copies: int, train: int = 20, test: int = 10) -> str:
    """Class folders of which some images for testing are copies of images for training, in another format."""
    for i in range(train):
        picture(root / "train" / "ab"[i % 2] / f"{i}.png", seed=i)
    for i in range(test):
        picture(root / "test" / "ab"[i % 2] / f"copy{i}.bmp", seed=i if i < copies else 100 + i)
    return str(root)


def picture(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise(20, 20, 3, seed=seed)).save(file)


@pytest.mark.parametrize(
    ("copies", "are"), [(0, ""), (1, "1 of 10 test images is a training image"), (10, "10 of 10 test images are")]
)
def test_test_images_that_are_training_images_too(copies, are, tmp_path):
    said = warnings(copied(tmp_path / "set", copies))
    assert len(said) == (copies > 0)
    for words in said:
        assert (
            words.startswith(are)
            and words.endswith("); accuracies count them")
            and " too (the same pixels at 16 px, as " in words
        )
        first, second = (Path(file) for file in words.partition(", as ")[2].partition(");")[0].split(" and "))
        assert first.parent.parent.name == "train" and second.parent.parent.name == "test" and second.stem == f"copy{first.stem}"


def test_without_labels_there_are_no_accuracies_to_count_copies(tmp_path):
    path = npz(tmp_path / "set.npz", x_train=noise(9, 16, 16), x_test=noise(4, 16, 16))
    same = "4 of 4 test images are training images too (the same pixels at 16 px, as image 0 and image 9)"
    assert datasets.load(path, 16).remarks == (same,)


def test_a_class_whose_only_training_image_cannot_be_read(tmp_path):
    root = copied(tmp_path / "set", 0)
    picture(tmp_path / "set" / "test" / "c" / "rare.bmp", seed=200)
    (tmp_path / "set" / "train" / "c").mkdir()
    (tmp_path / "set" / "train" / "c" / "broken.png").touch()
    left_out, said = warnings(root)
    assert left_out.startswith("left out 1 of its files or folders, which cannot be read")
    assert said.startswith(f"{root} has no training image of c: 1 of 11 test images cannot be got right")


def test_a_decoding_that_goes_on_remarks_what_one_at_a_stretch_does(tmp_path, home, monkeypatch):
    path = copied(tmp_path / "set", 7)
    grey = np.full((20, 20), 4000, np.uint16)
    Image.fromarray(grey).save(tmp_path / "set" / "train" / "a" / "0.tif")  # in the first block
    (tmp_path / "set" / "train" / "b" / "broken.png").touch()
    monkeypatch.setattr(datasets.cache, "BLOCK", 4)
    expected = datasets.load(path, 16).remarks
    assert [words.split(" ")[0] for words in expected] == ["no", "7"]
    for share in (0.1, 0.5, 0.9):
        (decoded,) = home.glob("decoded/set-*")
        shutil.rmtree(decoded)

        def stop(what: str, done: float, share: float = share) -> None:
            if what == "decoding images" and done > share:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            datasets.load(path, 16, stop)
        assert datasets.load(path, 16).remarks == expected


def test_of_a_set_that_an_older_version_decoded_nothing_is_said(tmp_path, home):
    path = copied(tmp_path / "set", 10)
    assert datasets.load(path, 16).remarks
    (about,) = home.glob("decoded/set-*/about.json")
    about.write_text(json.dumps({name: value for name, value in json.loads(about.read_text()).items() if name != "remarks"}))
    assert warnings(path) == []


@pytest.mark.parametrize("name", ["digits", "photos"])
def test_of_the_sets_that_come_with_the_installation_there_is_nothing_to_remark(name):
    for size in (8, 32):
        assert datasets.load(name, size).remarks == ()
