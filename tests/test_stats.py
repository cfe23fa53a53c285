"""Intervals and tests against scipy and statsmodels, at their stated rates by simulation, and in words."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from sslcore.analysis import stats
from sslcore.analysis.stats import aggregate, holm, more_seeds, over_images, over_seeds, sentence, told_apart

SIMULATIONS = 2000


def within(successes: int, rate: float, n: int = SIMULATIONS) -> bool:
    """Whether a count of n trials is one that this rate gives but for one time in 1,000."""
    return scipy.stats.binomtest(successes, n, rate).pvalue > 1e-3


# -- Against references


def test_an_aggregate_is_scipys():
    values = [0.71, 0.74, 0.69, 0.75]
    made = aggregate(values)
    expected = scipy.stats.t.interval(0.95, 3, loc=np.mean(values), scale=scipy.stats.sem(values))
    assert (made.mean, made.std, made.n) == (pytest.approx(np.mean(values)), pytest.approx(np.std(values, ddof=1)), 4)
    assert (made.low, made.high) == pytest.approx(expected)
    assert aggregate([]) is None
    assert aggregate([0.7]) == stats.Aggregate(0.7, None, None, None, 1)
    assert aggregate([1.0, 1.0], 0, 1) == stats.Aggregate(1.0, 0.0, None, None, 2), "they do not speak for a third"
    cut = aggregate([0.6, 0.9], 0, 1)
    assert (cut.mean, cut.low, cut.high) == (0.75, 0, 1)  # two seeds leave wide open where an accuracy may lie, but within bounds


def test_over_seeds_is_scipys_paired_t_test():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.8, 0.02, 6), rng.normal(0.78, 0.02, 6)
    theirs = scipy.stats.ttest_rel(a, b)
    made = over_seeds(a - b)
    assert made.p == pytest.approx(theirs.pvalue)
    assert (made.low, made.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))


def test_over_images_is_mcnemars_exact_test():
    contingency = pytest.importorskip("statsmodels.stats.contingency_tables")
    rng = np.random.default_rng(0)
    a, b = rng.random(300) < 0.8, rng.random(300) < 0.7
    table = [[(a & b).sum(), (a & ~b).sum()], [(~a & b).sum(), (~a & ~b).sum()]]
    made = over_images(a, b)
    assert made.p == pytest.approx(contingency.mcnemar(table, exact=True).pvalue)
    assert made.mean == pytest.approx(a.mean() - b.mean())


@given(st.integers(0, 400), st.integers(0, 400))
def test_the_test_over_images_is_scipys_of_a_fair_coin(only_a, only_b):
    a = np.arange(only_a + only_b + 1) < only_a
    b = (np.arange(only_a + only_b + 1) >= only_a) & (np.arange(only_a + only_b + 1) < only_a + only_b)
    expected = scipy.stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert over_images(a, b).p == pytest.approx(expected, rel=1e-9)


def right(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    """Two networks with this 2 x 2 table of images."""
    return np.repeat([True, True, False, False], (both, only_a, only_b, neither)), np.repeat(
        [True, False, True, False], (both, only_a, only_b, neither)
    )


def test_the_interval_over_images_is_newcombes():
    """Newcombe (1998): 36, 12, 2 and 0 of 50, by method 10."""
    made = over_images(*right(36, 12, 2, 0))
    assert (made.low, made.high) == pytest.approx((0.0569, 0.3404), abs=5e-5)


@pytest.mark.parametrize(("both", "neither", "less"), [(40, 12, 60 / 2), (20, 1, 20 * 1 - 5 * 3)])
def test_the_correlation_in_newcombes_interval_is_corrected_for_continuity(both, neither, less):
    """His phi: what the diagonal has beyond the other one, less n / 2, where both are right and wrong together; never below 0."""
    n, of_a, of_b, made = both + 8 + neither, both + 5, both + 3, over_images(*right(both, 5, 3, neither))
    (low_a, high_a), (low_b, high_b) = (scipy.stats.binomtest(k, n).proportion_ci(method="wilson") for k in (of_a, of_b))
    phi = (both * neither - 5 * 3 - less) / (of_a * (n - of_a) * of_b * (n - of_b)) ** 0.5
    a, b = of_a / n, of_b / n
    below = (a - low_a) ** 2 - 2 * phi * (a - low_a) * (high_b - b) + (high_b - b) ** 2
    above = (high_a - a) ** 2 - 2 * phi * (high_a - a) * (b - low_b) + (b - low_b) ** 2
    assert (made.low, made.high) == pytest.approx((a - b - below**0.5, a - b + above**0.5), abs=1e-9)


@given(st.integers(0, 300), st.integers(1, 300))
def test_wilsons_interval_is_scipys(right, n):
    right = min(right, n)
    theirs = scipy.stats.binomtest(right, n).proportion_ci(method="wilson")
    assert stats.wilson(right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilsons_interval_has_the_share_in_it_at_both_ends():
    for n in range(1, 500):
        assert stats.wilson(0, n)[0] == 0 and stats.wilson(n, n)[1] == 1


@given(st.tuples(*[st.integers(0, 400)] * 4).filter(any))
def test_the_interval_over_images_holds_the_difference_has_a_width_and_turns_with_it(table):
    made, back = over_images(*right(*table)), over_images(*reversed(right(*table)))
    assert -1 - 1e-9 <= made.low < made.high <= 1 + 1e-9 and made.low - 1e-9 <= made.mean <= made.high + 1e-9
    assert (back.mean, back.low, back.high) == pytest.approx((-made.mean, -made.high, -made.low), abs=1e-9)
    turned = made.turned()
    assert (turned.mean, turned.low, turned.high, turned.p) == pytest.approx((back.mean, back.low, back.high, back.p), abs=1e-9)


def test_four_images_to_none_are_told_apart_by_neither_the_test_nor_the_interval():
    made = over_images(*right(356, 4, 0, 0))
    assert made.p == 0.125 and made.low < 0 < made.high
    alike = over_images(*right(360, 0, 0, 0))
    assert alike.low < 0 < alike.high


@pytest.mark.parametrize("p", [[0.04], [0.01, 0.02, 0.03], [0.6, 0.001, 0.2, 0.001], [1.0, 0.0, 0.3, 0.02, 0.021]])
def test_holm_is_statsmodels(p):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1])


@given(st.lists(st.none() | st.floats(0, 1), max_size=8))
def test_holm_never_makes_a_pair_more_certain_and_keeps_the_order(p):
    adjusted = holm(p)
    assert [value is None for value in adjusted] == [value is None for value in p]
    tested = [(one, other) for one, other in zip(p, adjusted) if one is not None]
    assert all(one <= other <= 1 for one, other in tested)
    assert [other for _, other in sorted(tested)] == sorted(other for _, other in tested)


def test_what_was_not_tested_is_no_comparison_and_a_p_at_the_level_tells_nothing_apart():
    assert holm([0.04, None, 0.01, None]) == [0.04, None, 0.02, None]
    assert told_apart(0.0499) and not told_apart(0.05) and not told_apart(None)


# -- At the stated rates


def test_the_interval_of_a_mean_covers_it_19_times_in_20():
    rng = np.random.default_rng(1)
    made = [aggregate(rng.normal(0.8, 0.02, 3)) for _ in range(SIMULATIONS)]
    assert within(sum(one.low <= 0.8 <= one.high for one in made), 0.95)


def test_the_paired_interval_covers_the_difference_whatever_the_seeds_share():
    rng = np.random.default_rng(2)
    shared = rng.normal(0, 0.05, (SIMULATIONS, 5))  # a good seed is good for both
    a, b = (mean + shared + rng.normal(0, 0.01, (SIMULATIONS, 5)) for mean in (0.80, 0.78))
    made = [over_seeds(difference) for difference in a - b]
    assert within(sum(one.low <= 0.02 <= one.high for one in made), 0.95)


def correlated(rng: np.random.Generator, n: int, a: float, b: float) -> tuple[np.ndarray, np.ndarray]:
    """Which of n images two networks of these accuracies get right; the same images tend to be hard for both."""
    hard = rng.normal(size=n)
    return tuple(hard + rng.normal(size=n) < scipy.stats.norm.ppf(share, scale=2**0.5) for share in (a, b))


@pytest.mark.parametrize(
    ("only_a", "only_b", "neither", "n"),
    [(0.02, 0.01, 0.2, 360), (0.004, 0.004, 0.1, 360), (0.1, 0.06, 0.2, 1000), (0.01, 0.03, 0.0, 100)],
)
def test_the_interval_over_images_covers_the_difference(only_a, only_b, neither, n):
    """At least as often as stated, few images that differ or many."""
    rng = np.random.default_rng(3)
    tables = rng.multinomial(n, [1 - only_a - only_b - neither, only_a, only_b, neither], size=500)
    made = [over_images(*right(*table)) for table in tables]
    covered = sum(one.low <= only_a - only_b <= one.high for one in made)
    assert scipy.stats.binomtest(covered, 500, 0.95, alternative="less").pvalue > 1e-3


def test_identical_networks_are_told_apart_no_more_often_than_they_should():
    rng = np.random.default_rng(4)
    found = sum(told_apart(over_images(*correlated(rng, 400, 0.8, 0.8)).p) for _ in range(500))
    assert scipy.stats.binomtest(found, 500, 0.05, alternative="greater").pvalue > 1e-3


@pytest.mark.parametrize("seeds, images", [(2, 500), (5, 500), (5, 10_000)])
def test_identical_methods_are_told_apart_no_more_often_than_they_should(seeds, images):
    """Any of three pairs of four methods' accuracies, which are counts of test images: at most once in 20."""
    rng = np.random.default_rng(5)
    found = 0
    for _ in range(SIMULATIONS):
        share = np.clip(rng.normal(0.8, 0.02, (4, seeds)), 0, 1)
        measured = rng.binomial(images, share) / images
        p = holm([over_seeds(a - b).p for a, b in itertools.combinations(measured, 2)])
        found += any(map(told_apart, p))
    assert scipy.stats.binomtest(found, SIMULATIONS, 0.05, alternative="greater").pvalue > 1e-3


def test_methods_that_differ_are_told_apart():
    rng = np.random.default_rng(6)
    assert told_apart(over_seeds(rng.normal(0.05, 0.01, 5)).p)
    assert told_apart(over_images(*correlated(rng, 2000, 0.85, 0.78)).p)


def test_differences_without_spread_prove_nothing():
    made = over_seeds([0.9 - 0.8, 0.8 - 0.7])  # the same but for rounding
    assert made.p is made.low is None and "same in both seeds" in sentence("A", "B", made, None)
    alone, tie = (sentence("A", "B", over_seeds([share]), None) for share in (0.021, 0.0))
    assert alone == "A came out 2.1 points ahead of B; nothing can be tested: one seed."
    assert tie == "A and B came out the same; nothing can be tested: one seed."


def test_where_the_interval_leaves_zero_out_and_the_exact_test_does_not_agree_it_is_said_why():
    made = over_images(*right(322, 20, 9, 8))
    assert made.low > 0 and made.p > 0.05
    assert "interval 0.1 to 6.3; the exact test asks for more)" in sentence("A", "B", made, made.p)
    plain = over_images(*right(322, 12, 9, 8))
    assert "asks for more" not in sentence("A", "B", plain, plain.p)


# -- Over groups of images that are much alike


ALONE = np.repeat(np.arange(40), 5)  # groups


def test_over_groups_of_one_size_it_is_the_t_test_over_groups():
    rng = np.random.default_rng(0)
    a, b = rng.random(200) < 0.8, rng.random(200) < 0.6
    found = stats.over_images(a, b, rng.permutation(ALONE))
    assert found.mean == pytest.approx(a.mean() - b.mean()) and (found.images, found.groups) == (200, 40)
    found = stats.over_images(a, b, ALONE)
    theirs = scipy.stats.ttest_1samp((a.astype(float) - b).reshape(40, 5).mean(1), 0)
    assert found.p == pytest.approx(2 * scipy.stats.t.sf(abs(theirs.statistic), 39))
    assert (found.low, found.high) == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    turned = stats.over_images(b, a, ALONE)
    assert (turned.mean, turned.low, turned.high) == pytest.approx((-found.mean, -found.high, -found.low))


def test_where_all_groups_agree_nothing_is_tested():
    a, b = np.tile([True, True, True, True, False], 40), np.tile([True, False, False, True, False], 40)
    found = stats.over_images(a, b, ALONE)
    assert (found.mean, found.p, found.low, found.test) == (pytest.approx(0.4), None, None, "none")
    assert stats.over_images(a, a, ALONE).why == found.why == "one seed, and it is the same in all groups of test images"
    assert "independent" in stats.over_images(a, b, np.zeros(200, int)).why


def test_of_networks_that_are_alike_on_groups_few_are_told_apart():
    """Which of two is right on all five images of a group is a toss: McNemar's test, of 200 images, is wrong in a third."""
    rng = np.random.default_rng(0)
    wrong = {"images": 0, "groups": 0}
    for _ in range(200):
        toss = rng.random(40) < 0.5
        a, b = np.repeat(toss, 5), np.repeat(~toss, 5)
        for over, group in (("images", None), ("groups", ALONE)):
            wrong[over] += stats.told_apart(stats.over_images(a, b, group).p)
    assert wrong["images"] > 50 and wrong["groups"] < 18


def test_copies_of_images_make_no_accuracy_more_certain():
    rng = np.random.default_rng(0)
    once = rng.random(400) < 0.7
    low, high = stats.of_accuracy(once)
    copied = stats.of_accuracy(np.repeat(once, 5), np.repeat(np.arange(400), 5))
    assert copied == pytest.approx((low, high), abs=1e-3) and (low, high) == stats.wilson(int(once.sum()), 400)
    assert stats.of_accuracy(once, np.arange(400)) == pytest.approx((low, high), abs=1e-3)
    for end in (0.0, 1.0):
        low, high = stats.of_accuracy(np.full(100, bool(end)), np.repeat(np.arange(10), 10))
        assert 0 <= low <= end <= high <= 1 and high - low > stats.wilson(10, 10)[1] - stats.wilson(10, 10)[0] - 0.1
    low, high = stats.of_accuracy(once, np.zeros(400, int))
    assert low < 0.1 and high > 0.9, "one group alone tells next to nothing"


# -- How many more


@given(st.lists(st.floats(-0.2, 0.2), min_size=2, max_size=6), st.integers(1, 6))
def test_that_many_more_seeds_tell_apart_4_times_in_5_and_one_fewer_does_not(differences, comparisons):
    made = over_seeds(differences)
    needed = more_seeds(made, comparisons)

    def power(n: int) -> float:
        least = scipy.stats.t.isf(0.05 / comparisons / 2, n - 1)
        return scipy.stats.nct.sf(least, n - 1, abs(made.mean) / made.std * n**0.5)

    if needed is not None:
        assert power(made.seeds + needed) >= 0.8 - 1e-6
        assert needed == 1 or power(made.seeds + needed - 1) < 0.8 + 1e-6


def test_the_seeds_that_are_said_to_be_needed_tell_apart_4_times_in_5_by_simulation():
    made = over_seeds([0.02, 0.05, -0.01])
    rng = np.random.default_rng(7)
    drawn = rng.normal(made.mean, made.std, (SIMULATIONS, made.seeds + more_seeds(made)))
    found = sum(told_apart(over_seeds(one).p) for one in drawn)
    assert scipy.stats.binomtest(found, SIMULATIONS, 0.8, alternative="less").pvalue > 1e-3 and found < 0.9 * SIMULATIONS


# -- In words


def test_a_difference_in_words():
    made = over_seeds([0.020, 0.025, 0.018, 0.023, 0.019])
    assert sentence("BYOL", "SimCLR", made, made.p) == "BYOL is ahead of SimCLR by 2.1 points, 95 % interval 1.7 to 2.5, 5 seeds."


def test_what_is_not_told_apart_says_what_would_be_needed():
    assert "about 1 more seed would be needed" in sentence("A", "B", over_seeds([0.02, 0.01, 0.01]), 0.06)
    assert ", 2 seeds)" in sentence("A", "B", over_seeds([0.03, -0.01]), 0.9)
    made = over_seeds([0.03, -0.01, 0.02])
    said = sentence("BYOL", "SimCLR", made, made.p)
    assert (
        "not told apart by these runs" in said
        and f"about {more_seeds(made)} more seeds would be needed for an 80 % chance to tell them apart" in said
    )
    assert "more than 100 more seeds" in sentence("A", "B", over_seeds([0.03, -0.03, 0.001]), 0.9)
    assert more_seeds(made, 6) > more_seeds(made) and f"about {more_seeds(made, 6)} more" in sentence("A", "B", made, 0.9, 6)


def test_what_lies_below_zero_has_a_minus_and_what_lies_above_may_have_a_plus():
    assert "95 % interval −3.8 to 6.5" in sentence("A", "B", over_seeds([0.03, -0.01, 0.02]), 0.9)
    just_below = stats.Difference(0.01, -0.0002, 0.02, 0.06, "seeds", 3, 0.005)
    assert "95 % interval 0.0 to 2.0" in sentence("A", "B", just_below, 0.06)
    assert (stats.signed(0.021), stats.signed(-0.021)) == ("+2.1", "−2.1")
    assert stats.signed(-0.0001) == "+0.0", "nothing is not less than nothing"


@pytest.mark.parametrize("made", [over_images(*right(40, 5, 5, 10)), over_seeds([0.1, -0.1]), over_seeds([0.3, 0.1, -0.2, -0.2])])
def test_nobody_is_ahead_in_a_tie(made):
    said = sentence("A", "B", made, made.p)
    assert "not told apart" in said and "(equal in accuracy, 95 % interval" in said


def test_a_lead_too_small_to_be_written_is_not_called_none():
    assert "A ahead by less than 0.1 points" in sentence("A", "B", over_seeds([0.0101, -0.0099]), 0.9)
    assert [stats.points(share) for share in (0.00049, 0.0005, 0.021)] == ["less than 0.1 points", "0.1 points", "2.1 points"]


def test_a_pair_that_only_the_correction_leaves_undecided_says_so():
    made = over_seeds([0.03, 0.01, 0.02, 0.03])
    assert made.low > 0 and made.p < 0.05 < 3 * made.p
    assert "once 3 comparisons are allowed for" in sentence("A", "B", made, 3 * made.p, 3)


def test_one_seed_speaks_of_two_networks():
    rng = np.random.default_rng(0)
    made = over_images(*correlated(rng, 2000, 0.85, 0.78))
    said = sentence("BYOL", "SimCLR", made, made.p)
    assert (
        "this BYOL network".lower() in said.lower() and "2,000 test images" in said and "nothing about another training" in said
    )
    alike = over_images(*correlated(rng, 300, 0.8, 0.8))
    assert "not told apart" in sentence("BYOL", "SimCLR", alike, alike.p)
    assert "once 9 comparisons are allowed for" in sentence("BYOL", "SimCLR", made, 0.06, 9)
