"""The order in which runs are listed."""

from sslcore.analysis.order import in_order, listed
from tests import synthetic


def test_runs_stand_by_method_and_by_size(tmp_path):
    experiment = synthetic.store(
        tmp_path / "store", methods=("byol", "moco"), axes={"batch_size": [1024, 16, 128]}, seeds=(0, 1), steps=20
    )
    expected = [f"{method}-bs{size}-s{seed}" for method in ("moco", "byol") for size in (16, 128, 1024) for seed in (0, 1)]
    assert [run.name for run in in_order(experiment.runs())] == expected
    lost = experiment.run(expected[0])
    lost.config_file.write_text("{ torn")
    assert [run.name for run in listed(experiment.runs())] == [*expected[1:], lost.name]
