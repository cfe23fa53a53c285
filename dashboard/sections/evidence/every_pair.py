"""Which differences the runs bear out: every pair with its interval, its test, and what may be said."""

import pandas as pd
import streamlit as st

from dashboard import words
from dashboard.figures import evidence
from dashboard.plot import plot, tame
from dashboard.printed import printed
from dashboard.sections.evidence.asked import Asked, in_words
from sslcore.analysis import ablation, pairs, stats
from sslcore.analysis.pairs import Pair


def tested_by(difference: stats.Difference) -> str:
    over = {"seeds": "paired t over seeds", "images": "McNemar over images", "none": "–"}
    return "t over groups of images" if difference.groups else over[difference.test]


def p_value(p: float | None) -> str:
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def show(asked: Asked) -> None:
    st.header("Every pair")
    if not asked.pairs:
        _say_why_none(asked)
        return
    title = f"Differences in accuracy by {asked.measured_by}"
    rows = [
        evidence.Row(
            _name(asked, pair),
            pair.difference,
            stats.told_apart(pair.p),
            asked.colour(pair.a),
            pair.difference.why or f"adjusted p {p_value(pair.p)}, {tested_by(pair.difference)}",
            list(pairs.differences(pair.matches, asked.measure).values()),
        )
        for pair in asked.pairs
    ]
    dots = "; small dots: single seeds" if any(len(row.each) > 1 for row in rows) else ""
    plot(
        evidence.differences(rows, title, f"bar: 95 % interval; filled: told apart{dots}"),
        key="evidence_pairs",
        height=150 + 46 * len(rows),
        alt=f"{title}, with 95 % intervals, for every pair",
    )
    printed(
        [
            {
                "Pair": _name(asked, pair),
                "What may be said": words.capital(pair.sentence),
                "p, adjusted": p_value(pair.p),
                "Seeds": str(len(pair.matches)),
                "Test": tested_by(pair.difference),
            }
            for pair in asked.pairs
        ],
        "What may be said of each pair",
    )
    st.caption("\n\n".join(map(words.plain, [*asked.unpaired, *_how(asked)])))
    if st.toggle("Seed by seed, on the same test images", key="evidence_seeds", bind="query-params"):
        _show_seeds(asked)


def _name(asked: Asked, pair: Pair) -> str:
    return f"{asked.names[pair.a]} − {asked.names[pair.b]}{f', {pair.on}' if pair.on else ''}"


def _say_why_none(asked: Asked) -> None:
    if len(asked.names) < 2:
        st.info(f"There is one {in_words(asked.by)} alone: nothing to compare it with.", icon=":material/info:")
    else:
        st.info(
            "No two of these have a run of the same seed, data set and other settings, so that no difference can be read fairly.",
            icon=":material/info:",
        )
        st.caption("\n\n".join(map(words.plain, asked.unpaired)))


def _how(asked: Asked) -> list[str]:
    """Which runs were left out, how the differences were tested, and what was equal in them."""
    used = {pair.difference.test for pair in asked.pairs}
    told = [f"{_name(asked, pair)}: left out {pair.left_out}." for pair in asked.pairs if pair.left_out]
    told += [f"Over seeds: {stats.OVER_SEEDS}."] * ("seeds" in used)
    told += [f"Over images: {pairs.over_images_of_these(asked.pairs)}."] * ("images" in used)
    told += [f"{stats.HOLM}."] * (len(asked.pairs) > 1)
    if of := pairs.averaged_over(asked.pairs):
        told.append(
            f"Compared at equal settings: each seed's difference is the mean over {of} (of "
            f"{', '.join(in_words(name) for name in asked.equal if name != 'dataset')}), and counts once."
        )
    if asked.by == "batch_size":
        rule = "; ".join(ablation.learning_rate_rule(asked.runs))
        told.append(
            f"With the batch size go the number of steps, more of a smaller batch in as many epochs, and the rate: {rule}."
        )
    return [*told, *filter(None, [pairs.said_unequal(asked.pairs, asked.by, in_words(asked.by))])]


def _show_seeds(asked: Asked) -> None:
    st.text(f"{words.capital(pairs.over_images_of_these(asked.pairs))}. These p-values are not adjusted.")
    lines = []
    for pair in asked.pairs:
        for seed, matches in pair.matches.items():
            for a, b in matches:
                one = pairs.over_images_of(a, b, asked.measure)
                lines.append(
                    {
                        "pair": tame(_name(asked, pair)),
                        "seed": seed,
                        "runs": tame(f"{a.name} / {b.name}"),
                        "points": 100 * one.mean,
                        "95 % interval": "–" if one.low is None else f"{stats.signed(one.low)} to {stats.signed(one.high)}",
                        "p": p_value(one.p),
                    }
                )
    st.dataframe(
        pd.DataFrame(lines).style.format({"points": lambda points: stats.signed(points / 100)}),  # of a download: the number
        hide_index=True,
        alt="Difference of each matched pair of runs, tested on the test images",
    )
