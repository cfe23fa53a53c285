"""Which places, seeds and lines are chosen to count together."""

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from sslcore.analysis.claims.choice import choose

PLACES, SEEDS = (16, 64, 256), range(3)
CELL = st.dictionaries(st.sampled_from(SEEDS), st.just(0.5))
LINE = st.dictionaries(st.sampled_from(PLACES), st.lists(CELL, min_size=1, max_size=2))


def some_of(things):
    return itertools.chain.from_iterable(itertools.combinations(things, count) for count in range(1, len(things) + 1))


@settings(deadline=None)
@given(st.lists(LINE, max_size=3), st.sets(st.sampled_from(PLACES)), st.integers(1, 3))
def test_no_other_choice_of_which_no_run_is_missing_tells_more(lines, needed, enough):
    def worth(places, seeds, of):
        compared = (len(places) - 1) * (len(seeds) - 1) * len(of)
        counted = min(len(places), enough), min(len(seeds), 2), compared, len(seeds), len(places), len(of)
        return len(needed.intersection(places)), *counted

    whole = [
        choice
        for choice in itertools.product(some_of(PLACES), some_of(SEEDS), some_of(range(len(lines))))
        if all(at in lines[k] and seed in cell for at, seed, k in itertools.product(*choice) for cell in lines[k].get(at, [{}]))
    ]
    places, seeds, of = choose(lines, needed, enough)
    if not whole:
        assert not places and not seeds and not of
    else:
        assert any(set(places) == set(p) and seeds == list(s) and of == list(n) for p, s, n in whole)
        assert worth(places, seeds, of) == max(itertools.starmap(worth, whole))


def test_of_very_many_runs_with_gaps_a_choice_is_made_all_the_same():
    """20 seeds of 30 settings, each of which lacks some: that many sets share more than could ever be looked at."""
    chance = random.Random(0)
    lines = [{at: [{seed: 0.5 for seed in range(20) if chance.random() < 0.95}] for at in range(8)} for _ in range(30)]
    places, seeds, of = choose(lines, (), 2)
    assert len(places) >= 2 and len(seeds) >= 2 and of
    assert all(seed in lines[number][at][0] for number in of for at in places for seed in seeds)
