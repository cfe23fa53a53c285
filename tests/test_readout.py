"""Metrics arrive behind the step that computed them: the rows, the endings and the checkpoints stay the same."""

import pytest
import torch

from sslcore import datasets, journal
from sslcore.endings import Failed, Stopped
from sslcore.readout import Readout
from sslcore.train import pretrain
from sslcore.training import Training
from sslcore.worker import Pulse
from tests.training.small import StopsAt, make_run, train, untimed


class Event:
    """A GPU's, that is seen to be done at the third look."""

    def __init__(self):
        self.looks = 0

    def query(self) -> bool:
        self.looks += 1
        return self.looks > 2

    def synchronize(self) -> None:
        self.looks = 3


class Late(Readout):
    def send(self, about, numbers):
        super().send(about, numbers)
        self.coming[-1] = (*self.coming[-1][:2], Event())


def test_numbers_come_in_the_order_in_which_they_were_sent_and_all_of_them_after_a_wait():
    readout = Late()
    for step in (1, 2, 3):
        readout.send({"step": step}, [torch.tensor(0.5 * step), torch.tensor(0.0)])
    assert list(readout.arrived()) == list(readout.arrived()) == []
    assert list(readout.arrived()) == [({"step": 1}, [0.5, 0.0])]
    assert [about["step"] for about, _ in readout.arrived(wait=True)] == [2, 3]
    assert list(readout.arrived(wait=True)) == []


def test_on_a_cpu_they_are_there_at_once():
    readout = Readout()
    readout.send({}, [torch.tensor(1.5, dtype=torch.float64)])
    assert list(readout.arrived()) == [({}, [1.5])]


def test_a_device_that_lags_behind_gives_the_same_rows_in_the_same_order_through_a_resume(shapes, monkeypatch):
    at_once, late = (make_run(name, shapes, method="simclr") for name in ("at-once", "late"))
    expected = train(at_once).method.state_dict()
    monkeypatch.setattr(journal, "Readout", Late)
    for share in (0.2, 0.7):
        with pytest.raises(Stopped):
            train(late, StopsAt(late, share))
        assert late.metrics()[-1]["step"] >= 18 * share  # what was trained before the checkpoint has its row
    trained = train(late).method.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in expected.items())
    assert untimed(late) == untimed(at_once)  # an epoch's last row before its kNN row, too
    assert all(row["images_per_second"] > 0 for row in late.metrics() if "loss" in row)


def test_a_device_that_lags_behind_still_ends_a_run_whose_loss_is_nan(shapes, monkeypatch):
    monkeypatch.setattr(journal, "Readout", Late)
    run, data = make_run("late-nan", shapes, method="simclr"), datasets.load(shapes, 16)
    training = Training(run.config, data, torch.device("cpu"))
    with torch.no_grad():
        training.method.encoder.conv1.weight.mul_(float("nan"))
    with pytest.raises(Failed, match=r"NaN.*learning_rate"):
        pretrain(training, data, run, Pulse(run))
    assert not run.checkpoint_file.exists() and run.metrics()[0]["loss"] is None
