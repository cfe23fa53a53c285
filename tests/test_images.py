"""Which runs are on the same images, and that others are not held against each other."""

import pytest

from sslcore.analysis import pairs
from sslcore.analysis.images import data_sets
from sslcore.config import resolve
from sslcore.experiment import Run, Spec, Store
from sslcore.files import write_json


def runs(root, *seen) -> list[Run]:
    """A run for each (method, path, image size, checksum or None where it is not on record), all of one seed."""
    configs = {
        f"r{k}": resolve({"method": method, "dataset": "digits", "image_size": size})
        for k, (method, _, size, _) in enumerate(seen)
    }
    made = Store(root).create("e", Spec(), configs).runs()
    for run, (_, path, size, checksum) in zip(made, seen):
        write_json(run.config_file, run.config.model_copy(update={"dataset": path}).model_dump())
        write_json(run.results_file, {"linear": {"accuracy": 0.5}})
        if checksum:
            data = {"dataset": path, "image_size": size, "train": 10, "test": 5, "checksum": checksum}
            write_json(run.environment_file, {"data": data})
    return Store(root).experiment("e").runs()


def sets(root, *seen) -> list[str]:
    return list(data_sets(runs(root, *(("byol", *one) for one in seen))).values())


def test_one_checksum_is_one_data_set_wherever_it_lies(tmp_path):
    assert sets(tmp_path, ("mine/cls", 16, "a1"), ("theirs/cls", 16, "a1"), ("theirs/cls", 16, None)) == ["mine/cls"] * 3


def test_other_images_at_one_path_are_another_data_set(tmp_path):
    assert sets(tmp_path, ("cls", 16, "a1"), ("cls", 16, "b2345678"), ("cls", 16, "a1")) == ["cls", "cls (b23456)", "cls"]


def test_at_other_sizes_the_path_decides_and_so_it_does_without_a_checksum(tmp_path):
    assert sets(tmp_path, ("cls", 16, "a1"), ("cls", 32, "b2"), ("elsewhere", 32, "c3"), ("cls", 16, None)) == [
        "cls",
        "cls",
        "elsewhere",
        "cls",
    ]


def test_a_size_beside_ties_a_colleagues_path_to_ones_own(tmp_path):
    """Both trained at two sizes: the smaller images are known by their path, the larger ones by their checksum."""
    seen = [(path, size, of) for size, of in ((16, "a1"), (32, "b2")) for path in ("mine", "theirs")]
    assert set(sets(tmp_path, *seen)) == {"mine"}


def test_a_set_that_grew_before_it_was_seen_at_another_size_is_another_one(tmp_path):
    first, second = runs(tmp_path, ("byol", "cls", 16, "a1"), ("byol", "cls", 32, "b2"))
    write_json(second.environment_file, {"data": second.images() | {"train": 11}})
    assert list(data_sets([first, second]).values()) == ["cls", "cls (b2)"]


@pytest.mark.parametrize(
    ("theirs", "paired"),
    [(("elsewhere", 16, "a1"), True), (("cls", 32, "b2"), True), (("cls", 16, "b2"), False), (("elsewhere", 16, "b2"), False)],
)
def test_methods_are_paired_on_the_same_images_alone(tmp_path, theirs, paired):
    compared, apart = pairs.of_methods(runs(tmp_path, ("byol", "cls", 16, "a1"), ("moco", *theirs)))
    assert len(compared) == paired and apart == ([] if paired else ["BYOL and MoCo could not be paired: different dataset."])


def test_seeds_are_averaged_whichever_path_they_were_trained_from(tmp_path):
    """A colleague's further seeds are no further settings, though the path makes `dataset` differ within a method."""
    made = runs(tmp_path, *((method, path, 16, "a1") for method in ("byol", "moco") for path in ("mine", "theirs")))
    for run, seed in zip(made, (0, 1, 0, 1)):
        write_json(run.config_file, run.config.model_copy(update={"seed": seed}).model_dump())
    ((pair,), apart) = pairs.of_methods(Store(tmp_path).experiment("e").runs())
    assert list(pair.matches) == [0, 1] and not pair.left_out and not apart
