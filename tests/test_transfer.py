"""Transfer: measured on the other data set, and kept beside what results.json says already."""

import os
import time
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from sslcore import datasets, weights
from sslcore.__main__ import main
from sslcore.evaluate.transfer import keep
from sslcore.experiment import Run
from sslcore.files import read_object, write_json
from sslcore.launch import transfer as launched
from sslcore.launch.slots import CPU, Device
from sslcore.locks import taken
from sslcore.training import Training
from tests.training.small import keep_untrained_encoder, make_run


@pytest.fixture
def run(shapes):
    run = make_run("r", shapes, method="byol")
    keep_untrained_encoder(run)
    write_json(run.results_file, {"linear": {"accuracy": 0.5}, "transfer": {"elsewhere": {"linear": None}}})
    run.update_status(state="finished")
    return run


def transfer(run, *words) -> int:
    return main(["transfer", run.id, *words, "--root", str(run.experiment.path.parent)])


def test_an_encoder_is_probed_on_other_images_and_nothing_else_changes(run, capsys):
    before = load_file(run.encoder_file)
    assert transfer(run, "--to", "digits") == 0
    results = run.results()
    assert results["linear"] == {"accuracy": 0.5} and "elsewhere" in results["transfer"]
    digits = results["transfer"]["digits"]
    assert len(digits["linear"]["classes"]) == 10 and digits["linear"]["n_test"] == len(datasets.load("digits", 16).x_test)
    # it was never trained: the same as the encoder it started from
    assert digits["random_encoder"]["linear"] == pytest.approx(digits["linear"]["accuracy"], abs=0.01)
    assert 0.2 < digits["knn"]["accuracy"] <= 1 and "channel statistics of the run's own" in digits["protocol"]
    assert all(torch.equal(value, before[name]) for name, value in load_file(run.encoder_file).items())
    assert f"{digits['linear']['accuracy']:.1%}" in capsys.readouterr().out


def test_a_data_set_has_one_entry_from_whatever_folder_it_is_named(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path, accuracy in (("a.npz", 0.1), (str(tmp_path / "a.npz"), 0.2)):
        keep(run, path, {"linear": {"accuracy": accuracy}})
    assert run.results()["transfer"] == {"elsewhere": {"linear": None}, str(tmp_path / "a.npz"): {"linear": {"accuracy": 0.2}}}


def test_results_that_cannot_be_read_now_are_not_written_over(run):
    run.results_file.write_text(torn := '{"linear": {"accur')
    with pytest.raises(ValueError, match=r"cannot be read; .* evaluate"):
        keep(run, "digits", {"linear": {"accuracy": 0.1}})
    assert run.results_file.read_text() == torn


def test_what_is_probed_is_the_runs_encoder_and_the_untrained_one_stands_beside_it(run):
    training = Training(run.config, datasets.load(run.config.dataset, 16), torch.device("cpu"))
    with torch.no_grad():
        training.method.encoder.conv1.weight.zero_()  # says the same of every image
    weights.write(run, training.method.encoder, training.views)
    assert transfer(run, "--to", "digits") == 0
    digits = run.results()["transfer"]["digits"]
    assert max(digits["linear"]["accuracy"], digits["knn"]["accuracy"]) < 0.2
    assert min(digits["random_encoder"]["linear"], digits["random_encoder"]["knn"], digits["pixels"]["knn"]) > 0.3


@pytest.mark.parametrize(
    ("train", "test", "why"),
    [([0, 0, 0], [0, 0], "two classes and two test images at least; it has 1 and 2"), ([0, 1, 0], [1], "it has 2 and 1")],
)
def test_nothing_is_probed_with_too_little(run, tmp_path, capsys, train, test, why):
    images = np.zeros((3, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "few.npz", x_train=images, y_train=train, x_test=images[: len(test)], y_test=test)
    assert transfer(run, "--to", str(tmp_path / "few.npz")) == 2
    assert why in capsys.readouterr().err and list(run.results()["transfer"]) == ["elsewhere"]
    with pytest.raises(ValueError, match=why):
        launched.start(run.experiment, str(tmp_path / "few.npz"), [run])


def test_classes_that_no_probe_can_name_are_told_beside_the_number(run, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)
    rare = tmp_path / "rare.npz"
    np.savez(rare, x_train=images[:8], y_train=[0, 1] * 4, x_test=images[8:], y_test=[0, 1, 2, 2])
    assert transfer(run, "--to", str(rare)) == 0
    entry = run.results()["transfer"][str(rare)]
    for told in (entry["protocol"], entry["linear"]["protocol"], entry["knn"]["protocol"]):
        assert f"{rare} has no training image of 2: 2 of 4 test images cannot be got right" in told and "above 50.0%" in told


def test_what_cannot_be_transferred_is_one_line_and_changes_nothing(run, capsys):
    before = run.results_file.read_bytes()
    assert transfer(run, "--to", "nowhere") == 2
    assert capsys.readouterr().err.count("\n") == 1
    write_json(run.config_file, run.config.model_dump() | {"device": "cuda"})
    assert transfer(run, "--to", "digits") == 2
    assert "device: cuda was asked for" in capsys.readouterr().err
    write_json(run.config_file, run.config.model_dump())
    run.encoder_file.write_bytes(run.encoder_file.read_bytes()[:1000])
    assert transfer(run, "--to", "digits") == 2
    assert "encoder.safetensors cannot be read" in (told := capsys.readouterr().err) and told.count("\n") == 1
    run.encoder_file.unlink()
    assert transfer(run, "--to", "digits") == 2
    assert "--checkpoints" in capsys.readouterr().err
    assert run.results_file.read_bytes() == before


def test_of_several_runs_none_is_probed_where_one_is_damaged(run, shapes, capsys):
    other = make_run("other", shapes, method="byol")
    keep_untrained_encoder(other)
    other.update_status(state="finished")
    other.encoder_file.write_bytes(other.encoder_file.read_bytes()[:1000])
    before = run.results_file.read_bytes()
    assert transfer(run, other.id, "--to", "digits") == 2
    assert f"{other.encoder_file} cannot be read" in capsys.readouterr().err
    assert run.results_file.read_bytes() == before


# -- In a process of its own, as the Probe page starts it


def wait(experiment) -> launched.Transfer:
    while (going := launched.look(experiment)).alive:
        time.sleep(0.1)
    return going


def test_weights_from_elsewhere_are_refused_with_what_they_lack(run, capsys):
    weights_of = {name: weight.clone() for name, weight in load_file(run.encoder_file).items()}  # not the file's own pages
    save_file(weights_of, run.encoder_file)
    assert transfer(run, "--to", "digits") == 2 and "it has no mean of its images' channels" in capsys.readouterr().err
    weights_of["fc.weight"] = torch.zeros(1)
    save_file(weights_of, run.encoder_file)
    assert transfer(run, "--to", "digits") == 2 and "fc.weight" in (told := capsys.readouterr().err) and told.count("\n") == 1


def test_a_process_of_its_own_probes_says_how_far_it_is_and_keeps_others_out(run):
    assert launched.look(run.experiment) is None
    launched.start(run.experiment, "digits", [run])
    with pytest.raises(ValueError, match="one at a time"):
        launched.start(run.experiment, "digits", [run])
    ended = wait(run.experiment)
    assert (ended.dataset, ended.done, ended.of) == ("digits", 1, 1) and run.id in ended.last
    assert run.results()["transfer"]["digits"]["linear"]["accuracy"] > 0.1


def test_it_takes_a_gpu_that_trains_nothing_and_leaves_those_that_train_alone(run, monkeypatch):
    gpu = Device("gpu0", "a card", "GPU-aa")
    monkeypatch.setattr(launched, "gpus", lambda: (gpu,))
    device, slot = launched.free_gpu(run.experiment)
    assert device == gpu and taken(gpu.lock_file(run.experiment.store)).startswith(run.experiment.name)
    assert launched.free_gpu(run.experiment) == (CPU, None)
    os.close(slot)
    assert taken(gpu.lock_file(run.experiment.store)) is None


def test_what_cannot_be_probed_is_told_before_anything_starts(run, tmp_path):
    (tmp_path / "bare").mkdir()
    for name in "abcdef":
        Image.new("RGB", (16, 16)).save(tmp_path / "bare" / f"{name}.png")
    for dataset, why in (("nowhere", "no such file"), (str(tmp_path / "bare"), "no labels")):
        with pytest.raises(ValueError, match=why):
            launched.start(run.experiment, dataset, [run])
    run.encoder_file.unlink()
    with pytest.raises(ValueError, match="--checkpoints"):
        launched.start(run.experiment, "digits", [run])
    assert launched.look(run.experiment) is None


def test_what_another_process_is_changing_is_not_written_over(shapes, monkeypatch):
    run = make_run("held", shapes)

    @contextmanager
    def hold(self, patience=0.0, elsewhere=0.0):
        write_json(run.results_file, {"linear": {"accuracy": 0.5}})  # by whoever held it until now
        yield

    monkeypatch.setattr(Run, "hold", hold)
    keep(run, "digits", {"linear": 1})
    assert read_object(run.results_file) == {"linear": {"accuracy": 0.5}, "transfer": {"digits": {"linear": 1}}}
