"""The finished study of the repository still opens, on every page, and is what it says."""

from statistics import mean, stdev

import pytest

from benchmarks.study import study as in_markdown
from dashboard import link, report, study
from sslcore import archive
from sslcore.experiment import Store
from tests.pages.driving import open_page

PAGES = sorted(path.stem for path in link.VIEWS.glob("*.py"))


def test_the_study_is_small_whole_and_without_weights():
    contents = archive.look(study.FILE)
    assert study.FILE.stat().st_size < 8_000_000 and not contents.checkpoints
    assert {(run.method, run.state) for run in contents.runs} == {(m, "finished") for m in ("moco", "simclr", "byol")}
    assert len(contents.runs) == 45
    for run in archive.bring_in(Store(), study.FILE).runs():
        assert run.results()["linear"]["accuracy"] > run.results()["baselines"]["random_encoder"]["linear"]
        assert run.embeddings_file.is_file() and run.umap_file.is_file() and run.predictions_file.is_file()


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    return archive.bring_in(Store(tmp_path_factory.mktemp("study")), study.FILE)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_shows_the_study(page, experiment, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_EXPERIMENTS", str(experiment.store.root))
    app = open_page(page, experiment=experiment.name)
    assert not app.error, [e.value for e in app.error]
    assert app.title


def test_the_report_of_the_study_is_one_small_file(experiment):
    text = report.html(experiment)
    assert len(text.encode()) < 8_000_000
    assert "Batch size on photographs" in text


def test_a_study_in_markdown_has_the_numbers_of_the_pages(experiment):
    """What `python -m benchmarks.study` writes."""
    accuracies = {
        size: [
            100 * run.results()["linear"]["accuracy"]
            for run in experiment.runs()
            if run.config.method == "simclr" and run.config.batch_size == size
        ]
        for size in (16, 64, 256)
    }
    row = " | ".join(f"{mean(own):.1f} ± {stdev(own):.1f} %, n = {len(own)}" for own in accuracies.values())
    text = "\n".join(in_markdown([experiment]))
    assert "45 runs, 45 of them finished" in text
    assert f"| SimCLR | {row} |" in text and "SimCLR and MoCo are not told apart" in text
