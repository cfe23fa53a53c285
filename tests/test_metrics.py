"""metrics.jsonl as arrays."""

import json
import os

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from dashboard import metrics, tables
from sslcore import compact
from tests import synthetic


@pytest.fixture
def experiment(tmp_path):
    return synthetic.store(tmp_path / "store", seeds=(0, 1), steps=100)


def test_a_torn_line_is_skipped_wherever_it_is(experiment):
    run = experiment.runs()[0]
    before = len(metrics.logged(run))
    with run.metrics_file.open("a") as file:
        file.write('{"step": 105, "lo')
    assert len(metrics.logged(run)) == before
    with run.metrics_file.open("a") as file:
        file.write(
            '\n{"step": 110, "loss": NaN, "knn": "often", "std": 1'
            + 400 * "0"
            + ', "alignment": true, "uniformity": -2, "new": [1]}\n'
        )
    for again in (False, True):
        if again:
            metrics._read.clear()
        found = metrics.logged(run)
        assert found.last("step") == 110 and len(found) == before + 1
        assert {name for name in metrics.MEASURED if before in found.values[name][0]} == {"uniformity"}


def test_only_what_was_appended_is_read(experiment, monkeypatch):
    run = experiment.runs()[0]
    before = metrics.logged(run)
    assert metrics.logged(run) is before
    read = []
    monkeypatch.setattr(metrics, "_columns", lambda lines, read_them=metrics._columns: read.append(lines) or read_them(lines))
    run.append_metrics({"step": 105, "epoch": 5.25, "loss": 1.0})
    with run.metrics_file.open("a") as file:
        file.write('{"step": 110, "lo')
    assert read == [] and len(metrics.logged(run)) == len(before) + 1
    with run.metrics_file.open("a") as file:
        file.write('ss": 2.0}\n')
    assert metrics.logged(run).values["loss"][1][-2:].tolist() == [1.0, 2.0]
    assert len(b"".join(read)) < 200
    np.testing.assert_array_equal(metrics.logged(run).values["loss"][0][:-2], before.values["loss"][0])


def test_a_file_that_was_cut_or_replaced_is_read_anew(experiment):
    run = experiment.runs()[0]
    n = len(metrics.logged(run))
    run.keep_metrics_until(50)
    assert metrics.logged(run).last("step") == 50
    synthetic.write_metrics(run, 200, first=50)
    assert metrics.logged(run).last("step") == 200 and len(metrics.logged(run)) > n
    with run.metrics_file.open("r+") as file:
        file.truncate(0)
    assert len(metrics.logged(run)) == 0
    run.metrics_file.unlink()
    assert len(metrics.logged(run)) == 0 and tables.curves([run]) == ()


def test_a_file_that_took_anothers_place_is_read_anew_though_it_ends_alike(experiment):
    run = experiment.runs()[0]
    before, lines = metrics.logged(run).values["loss"][1].tolist(), run.metrics_file.read_text().splitlines(keepends=True)
    other = run.metrics_file.with_name("other")
    other.write_text("".join([lines[0].replace('"loss": ', '"loss":1'), *lines[1:]]))
    other.rename(run.metrics_file)
    assert (
        metrics.logged(run).values["loss"][1].tolist()[1:] == before[1:] and metrics.logged(run).values["loss"][1][0] != before[0]
    )


def test_of_a_first_line_that_is_being_written_nothing_is_lost(experiment):
    run = experiment.runs()[0]
    for content, steps in (('{"step": 5, "lo', []), ('{"step": 5, "loss": 1.0}\n', [5])):
        with run.metrics_file.open("r+") as file:
            file.write(content)
            file.truncate()
        assert metrics.logged(run).places["step"].tolist() == steps


def test_a_compacted_run_reads_the_same_and_is_never_out_of_date(experiment):
    run = experiment.runs()[0]
    plain = metrics.logged(run)
    n = len(plain)
    compact.write(run)
    assert compact.read(run, ["step"]).num_rows == n
    metrics._read.clear()
    for name in metrics.PLACES:
        np.testing.assert_array_equal(metrics.logged(run).places[name], plain.places[name])
    for name in metrics.MEASURED:
        np.testing.assert_array_equal(metrics.logged(run).values[name], plain.values[name])
    run.append_metrics({"step": 105, "loss": 1.0})
    assert compact.read(run, ["step"]) is None and len(metrics.logged(run)) == n + 1
    run.compact_file.write_bytes(b"PAR1 no table PAR1")
    metrics._read.clear()
    assert compact.read(run, ["step"]) is None and len(metrics.logged(run)) == n + 1
    run.keep_metrics_until(50)
    assert not run.compact_file.exists()
    compact.write(run)
    os.truncate(run.metrics_file, run.metrics_file.stat().st_size // 2)
    assert compact.read(run, ["step"]) is None


def test_columns_are_the_same_of_a_table_and_of_a_log(experiment):
    run, names = experiment.runs()[0], ("seconds", "knn", "joules")  # joules were not measured
    with run.metrics_file.open("a") as file:
        file.write('{"seconds": 1, "knn": "high", "joules": true}\n')
    logged = compact.columns(run, names)
    compact.write(run)
    for name, column in compact.columns(run, names).items():
        np.testing.assert_array_equal(column, logged[name])
    assert np.isfinite(logged["seconds"]).all() and np.isfinite(logged["knn"]).any() and np.isnan(logged["joules"]).all()


def test_a_run_that_has_logged_nothing_has_no_table(experiment):
    run = experiment.runs()[0]
    run.metrics_file.unlink()
    compact.write(run)
    assert not run.compact_file.exists()


@pytest.mark.parametrize("said", [None, {"of": "another"}, {compact.COMPACTED: b"many"}])
def test_a_table_that_does_not_say_what_it_was_made_of_is_not_read(experiment, said):
    run = experiment.runs()[0]
    logged = compact.columns(run, ["knn"])["knn"]
    parquet.write_table(pyarrow.table({"knn": [0.5]}).replace_schema_metadata(said), run.compact_file)
    np.testing.assert_array_equal(compact.columns(run, ["knn"])["knn"], logged)


def test_a_foreign_table_counts_by_its_numbers_alone(experiment):
    run = experiment.runs()[0]
    size = str(run.metrics_file.stat().st_size).encode()
    table = pyarrow.table({"step": [1, None, 3], "loss": ["a", "b", "c"], "knn": [0.5, 0.5, None], "std": [[1.0], [], []]})
    parquet.write_table(table.replace_schema_metadata({compact.COMPACTED: size}), run.compact_file)
    found = metrics.logged(run)
    assert found.places["step"].tolist() == [1, 3] and found.values["knn"][1].tolist() == [0.5]
    assert len(found.values["loss"][1]) == len(found.values["std"][1]) == 0


def test_knn_over_epochs_follows_the_file(experiment):
    run = experiment.runs()[0]
    epochs, accuracies = metrics.knn(run)
    assert accuracies.tolist() == np.float32([row["knn"] for row in run.metrics() if "knn" in row]).tolist() and len(
        epochs
    ) == len(accuracies)
    run.append_metrics({"step": 105, "epoch": 5.5, "knn": 0.9})
    run.append_metrics({"step": 106, "knn": 0.8})
    assert metrics.knn(run)[1][-1] == np.float32(0.9), "who knows at which epoch the last one was"
    run.metrics_file.unlink()
    assert len(metrics.knn(run)[0]) == 0


@pytest.mark.parametrize("at", ["first", "amid", "appended"])
def test_a_row_that_is_null_is_left_out_and_ends_nothing(experiment, at):
    """Arrow's reader crashes, and the process with it, where a block begins with one."""
    run = experiment.runs()[0]
    known = metrics.logged(run) if at == "appended" else None
    lines = run.metrics_file.read_text().splitlines()
    more = '{"step": 105, "loss": 1.5}'
    place = {"first": 0, "amid": len(lines) // 2, "appended": len(lines)}[at]
    nulls = [" null, ", "\ufeffnull", "\x00 null", "1\rnull"]  # as a file from elsewhere may have it, too
    run.metrics_file.write_text("\n".join([*lines[:place], "null", *lines[place:], *nulls, more]) + "\n", newline="")
    metrics._read.clear() if known is None else None
    assert len(metrics.logged(run)) == len(lines) + 1 and metrics.logged(run).last("loss") == 1.5


def test_an_accuracy_that_cannot_be_is_none(experiment):
    run = experiment.runs()[0]
    with run.metrics_file.open("a") as file:
        file.write(
            "".join(json.dumps({"step": 101 + k, "epoch": 9 + k, "knn": knn}) + "\n" for k, knn in enumerate((7, -7, 0.25)))
        )
    _, values = metrics.knn(run)
    assert values[-1] == 0.25 and (values <= 1).all() and (values >= 0).all() and metrics.logged(run).last("step") == 103


def test_of_a_damaged_table_no_other_numbers_are_read(experiment):
    run = experiment.runs()[0]
    compact.write(run)
    whole, sound = run.compact_file.read_bytes(), compact.columns(run, metrics.METRICS)
    for bit in range(0, 8 * len(whole), 8 * len(whole) // 300):
        torn = bytearray(whole)
        torn[bit // 8] ^= 1 << bit % 8
        run.compact_file.write_bytes(torn)
        found = compact.read(run, metrics.METRICS)
        for name in found.column_names if found is not None else ():
            np.testing.assert_array_equal(found[name].to_numpy(), sound[name])


def test_a_row_without_its_epoch_takes_its_accuracy_with_it(tmp_path):
    (run,) = synthetic.store(tmp_path, methods=("byol",), seeds=(0,), steps=10).runs()
    run.metrics_file.write_text('{"step": 1, "knn": 0.25}\n{"step": 2, "epoch": 1.0, "knn": 0.5}\n')
    assert [values.tolist() for values in metrics.knn(run)] == [[1.0], [0.5]]


def test_a_table_that_cannot_be_written_leaves_none_half_made(tmp_path, monkeypatch):
    (run,) = synthetic.store(tmp_path, methods=("byol",), seeds=(0,), steps=10).runs()
    run.compact_file.unlink(missing_ok=True)

    def torn(table, file, **how):
        file.write_bytes(b"PAR1")
        raise OSError("killed")

    monkeypatch.setattr(parquet, "write_table", torn)
    with pytest.raises(OSError):
        compact.write(run)
    assert not run.compact_file.exists()
