"""What training has added to the encoders that it began with."""

import pytest
from scipy.stats import ttest_1samp

from dashboard import report
from sslcore.analysis.gains import gains
from sslcore.analysis.stats import holm
from sslcore.experiment import Run, Spec, Store
from sslcore.files import write_json
from sslcore.plan import plan
from tests.pages.driving import open_page, texts


def made(root, gain, **axes) -> list[Run]:
    """Runs of a grid whose linear probe is `gain(config)` above that of their untrained encoder, which differs by seed."""
    spec = Spec(base={"dataset": "photos"}, axes=axes)
    runs = Store(root).create("learnt", spec, plan(spec).configs).runs()
    for run in runs:
        untrained = 0.5 + 0.05 * run.config.seed
        results = {"linear": {"accuracy": untrained + gain(run.config)}, "baselines": {"random_encoder": {"linear": untrained}}}
        write_json(run.results_file, results)
        run.update_status(state="finished")
    return runs


def test_each_method_is_tested_against_its_own_start_seed_by_seed(tmp_path):
    each = {"moco": (0.10, 0.12, 0.11), "byol": (-0.01, 0.02, 0.005)}
    said = gains(made(tmp_path, lambda config: each[config.method][config.seed], method=list(each), seed=[0, 1, 2]))
    p = dict(zip(each, holm([ttest_1samp(of, 0).pvalue for of in each.values()])))
    ahead, level = sorted(said, key=lambda one: "not told apart" in one)
    low, high = ttest_1samp(each["moco"], 0).confidence_interval()
    assert p["moco"] < 0.05 and p["byol"] > 0.05
    assert ahead == (
        f"MoCo is ahead of its untrained encoder by 11.0 points, 95 % interval {100 * low:.1f} to {100 * high:.1f}, 3 seeds."
    )
    assert level.startswith("BYOL and its untrained encoder are not told apart by these runs (BYOL ahead by 0.5 points")


def test_a_method_that_lost_what_its_encoder_knew_is_said_to_have(tmp_path):
    (said,) = gains(made(tmp_path, lambda config: -0.2 + 0.001 * config.seed, method=["simclr"], seed=[0, 1, 2]))
    assert said.startswith("The untrained encoder of SimCLR is ahead of SimCLR by 19.9 points")


def test_all_seeds_are_averaged_over_the_same_settings(tmp_path):
    """Seed 1 lacks batch 64, where much is gained."""
    gain = {16: 0.01, 64: 0.3}
    runs = made(
        tmp_path,
        lambda config: gain[config.batch_size] + 0.002 * config.seed,
        method=["byol"],
        batch_size=[16, 64],
        seed=[0, 1],
    )
    (said,) = gains(run for run in runs if (run.config.batch_size, run.config.seed) != (64, 1))
    assert "by 1.1 points" in said
    (said,) = gains(runs)
    assert "by 15.6 points" in said


def test_each_data_set_has_its_own(tmp_path):
    runs = made(
        tmp_path,
        lambda config: (0.1 if config.dataset == "photos" else -0.1) + 0.001 * config.seed,
        method=["byol"],
        dataset=["photos", "digits"],
        seed=[0, 1, 2],
    )
    on_digits, on_photos = gains(runs)
    assert on_digits.startswith("On digits: the untrained encoder of BYOL is ahead") and on_photos.startswith(
        "On photos: BYOL is ahead"
    )


@pytest.mark.parametrize("gain", [0.1, -0.1])
def test_the_page_and_the_report_say_it(gain):
    (run,) = made(Store().root, lambda config: gain, method=["byol"], seed=[0])
    (said,) = gains([run])
    assert "nothing can be tested: one seed" in said
    assert said in texts(open_page("probe", experiment="learnt")).replace("\\", "")
    assert said in report.markdown(run.experiment).replace("\\", "") and said in report.html(run.experiment)


def test_no_interval_of_a_gain_passes_100_points(tmp_path):
    (said,) = gains(made(tmp_path, lambda config: (0.05, 0.45)[config.seed], method=["byol"], seed=[0, 1]))
    assert "interval −100.0 to 100.0" in said


def test_seeds_that_differ_in_the_vote_of_knn_alone_are_averaged(tmp_path):
    runs = made(
        tmp_path, lambda config: 0.1 + 0.001 * config.seed, method=["byol"], seed=[0, 1, 2], **{"evaluate.knn_k": [5, 20]}
    )
    (said,) = gains(run for run in runs if (run.config.seed == 0) == (run.config.evaluate.knn_k == 5))
    assert "3 seeds" in said
