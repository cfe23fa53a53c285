"""Which runs are on the same images, and that others are not held against each other."""

import shutil
from dataclasses import dataclass
from itertools import permutations
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sslcore.analysis import ablation, pairs
from sslcore.analysis.claims import Evidence
from sslcore.analysis.images import data_sets
from sslcore.config import resolve
from sslcore.experiment import Run, Spec, Store
from sslcore.files import write_json
from sslcore.plan import plan
from tests import synthetic


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


@dataclass(frozen=True)
class Made:
    """What `data_sets` asks of a run."""

    seed: int
    path: str
    size: int
    checksum: str | None
    train: int = 10

    @property
    def config(self):
        return SimpleNamespace(dataset=self.path, image_size=self.size)

    def images(self):
        return {"train": self.train, "test": 5, "checksum": self.checksum} if self.checksum else {}


SEEN = st.tuples(st.sampled_from(["/p", "/q"]), st.sampled_from([16, 32]), st.sampled_from([None, "a", "b"]), st.integers(10, 11))


@given(st.lists(SEEN, max_size=6), st.randoms())
def test_no_order_changes_the_sets_and_none_holds_two_checksums_of_a_size(seen, random):
    made = [Made(k, path, size, checksum and f"{checksum}{size}", train) for k, (path, size, checksum, train) in enumerate(seen)]
    sets = data_sets(made)
    assert data_sets(random.sample(made, len(made))) == sets
    for one in made:
        for other in made:
            if one.checksum and other.checksum and one.size == other.size:
                assert (sets[one] == sets[other]) == (one.checksum == other.checksum)


def test_a_colleagues_two_sizes_and_ones_own_are_one_set_in_every_order():
    for made in permutations([Made(0, "/p", 32, "c1"), Made(1, "/q", 32, "c1"), Made(2, "/q", 64, "c2")]):
        assert set(data_sets(made).values()) == {"/p"}


def test_where_two_checksums_have_a_path_no_other_size_goes_with_either():
    named = {
        Made(0, "/p", 32, "c1"): "/p (c1)",
        Made(1, "/p", 32, "c9"): "/p (c9)",
        Made(2, "/p", 64, "c3"): "/p (c3)",
        Made(3, "/p", 64, None): "/p (no checksum on record)",
    }
    assert all(data_sets(made) == named for made in permutations(named))


def test_one_checksum_is_one_data_set_wherever_it_lies(tmp_path):
    assert sets(tmp_path, ("mine/cls", 16, "a1"), ("theirs/cls", 16, "a1"), ("theirs/cls", 16, None)) == ["mine/cls"] * 3
    assert set(data_sets([Made(0, "/data/mine/cls", 16, "a1"), Made(1, "/x/cls", 16, "a1")]).values()) == {"/x/cls"}, (
        "the shortest"
    )


def test_other_images_at_one_path_are_another_data_set(tmp_path):
    assert sets(tmp_path, ("cls", 16, "a1"), ("cls", 16, "b2345678"), ("cls", 16, "a1")) == [
        "cls (a1)",
        "cls (b23456)",
        "cls (a1)",
    ]


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


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_set_that_grew_before_it_was_seen_at_another_size_is_another_one(tmp_path, part):
    first, second = runs(tmp_path, ("byol", "cls", 16, "a1"), ("byol", "cls", 32, "b2"))
    write_json(second.environment_file, {"data": second.images() | {part: 11}})
    assert list(data_sets([first, second]).values()) == ["cls (a1)", "cls (b2)"]


@pytest.mark.parametrize(
    ("theirs", "paired"),
    [(("elsewhere", 16, "a1"), True), (("cls", 32, "b2"), True), (("cls", 16, "b2"), False), (("elsewhere", 16, "b2"), False)],
)
def test_methods_are_paired_on_the_same_images_alone(tmp_path, theirs, paired):
    compared, apart = pairs.of_methods(runs(tmp_path, ("byol", "cls", 16, "a1"), ("moco", *theirs)))
    assert len(compared) == paired and apart == ([] if paired else ["BYOL and MoCo could not be paired: different dataset."])


def test_a_third_methods_runs_may_tell_that_two_methods_saw_the_same_images(tmp_path):
    """As the head of the page says: a colleague's larger images are known by the smaller ones that both have."""
    seen = (("byol", "mine", 16, "a1"), ("simclr", "theirs", 16, "a1"), ("moco", "theirs", 32, "b2"))
    compared, apart = pairs.of_methods(runs(tmp_path, *seen))
    assert len(compared) == 3 and not apart


def test_seeds_are_averaged_whichever_path_they_were_trained_from(tmp_path):
    """A colleague's further seeds are no further settings, though the path makes `dataset` differ within a method."""
    made = runs(tmp_path, *((method, path, 16, "a1") for method in ("byol", "moco") for path in ("mine", "theirs")))
    for run, seed in zip(made, (0, 1, 0, 1)):
        write_json(run.config_file, run.config.model_copy(update={"seed": seed}).model_dump())
    ((pair,), apart) = pairs.of_methods(Store(tmp_path).experiment("e").runs())
    assert list(pair.matches) == [0, 1] and not pair.left_out and not apart


def on_record(run, checksum, path="photos"):
    write_json(run.config_file, run.config.model_copy(update={"dataset": path}).model_dump())
    write_json(run.environment_file, {"data": {"checksum": checksum}})


def test_seeds_on_other_images_of_one_path_make_lines_of_their_own():
    """And a run that is still to be made is on neither's: nobody knows which images lie there when it starts."""
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1, 2), axes={"batch_size": [16, 32]}, steps=20)
    for run in experiment.runs():
        on_record(run, f"c{run.config.seed % 2}")
    shutil.rmtree(experiment.run("byol-bs32-s2").path)
    entries = ablation.entries(experiment, experiment.runs())
    assert ablation.axes(entries) == ["dataset", "batch_size"]
    found = {cell.rest: cell.measured("linear") for cell in ablation.cells(entries, ["batch_size"]) if cell.at == (32,)}
    seeds = {dict(rest)["dataset"]: (list(own.by_seed), own.why) for rest, own in found.items()}
    assert seeds == {
        "photos (c0)": ([0], ""),
        "photos (c1)": ([1], ""),
        "photos (no checksum on record)": ([], "not run (seed 2)"),
    }
    curve = Evidence(entries, experiment.runs()).curve("batch_size", "byol", "linear")
    assert len(curve) == 1, "a claim's seeds are on the same images"


def test_the_same_images_under_two_paths_are_one_place_and_so_are_those_to_be_made():
    experiment = synthetic.store(Store().root, methods=("byol",), seeds=(0, 1, 2), axes={"batch_size": [16, 32]}, steps=20)
    for run in experiment.runs():
        on_record(run, "c1", "photos" if run.config.seed else "/theirs/photos")
    shutil.rmtree(experiment.run("byol-bs32-s2").path)
    entries = ablation.entries(experiment, experiment.runs())
    assert ablation.axes(entries) == ["batch_size"]
    assert [len(cell.entries) for cell in ablation.cells(entries, ["batch_size"])] == [3, 3]
    assert [cell.at for cell in ablation.cells(entries, ["dataset", "batch_size"])] == [("photos", 16), ("photos", 32)]


def test_data_sets_of_one_name_are_called_by_what_tells_them_apart_and_one_to_be_made_is_too():
    by_method = {"byol": {"dataset": "/a/photos"}, "moco": {"dataset": "/b/photos"}}
    spec = Spec(by_method=by_method, axes={"method": ["moco", "byol", "simclr"]})
    experiment = Store().create("photos", spec, plan(spec).configs)
    shutil.rmtree(experiment.run("byol-bs256-s0").path)
    found = ablation.cells(ablation.entries(experiment, experiment.runs()), ["dataset"])
    assert {cell.method: cell.at for cell in found} == {"moco": ("b/photos",), "byol": ("a/photos",), "simclr": ("photos",)}
    assert {cell.method: cell.entries[0].state for cell in found}["byol"] == ablation.NOT_RUN


def test_a_run_that_was_measured_on_other_images_is_held_against_none_that_was_not(tmp_path):
    byol, moco = runs(tmp_path, ("byol", "cls", 16, "a1"), ("moco", "cls", 16, "a1"))
    assert len(pairs.of_methods([byol, moco])[0]) == 1
    write_json(byol.environment_file, byol.environment() | {"measured_again": {"data": {"checksum": "a1"}}})
    assert len(pairs.of_methods([byol, moco])[0]) == 1, "measured again on the same"
    write_json(byol.environment_file, byol.environment() | {"measured_again": {"data": {"checksum": "b2"}}})
    assert pairs.of_methods([byol, moco]) == ([], ["BYOL and MoCo could not be paired: different dataset."])
    (other,) = (run for run in runs(tmp_path / "other", ("moco", "cls", 16, "b2")))
    assert len(set(data_sets([byol, moco, other]).values())) == 3
