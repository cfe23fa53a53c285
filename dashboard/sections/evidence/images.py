"""Where two of them differ: class by class, and the images that one gets right and the other wrong."""

from collections import Counter
from collections.abc import Callable
from html import escape
from typing import Any

import numpy as np
import streamlit as st

from dashboard import embeddings, link, pictures, tables, words
from dashboard.figures import evidence, style
from dashboard.figures.probe import MAX_CLASSES
from dashboard.plot import plot
from dashboard.sections.evidence.asked import Asked
from dashboard.sections.evidence.every_pair import p_value
from sslcore.analysis import image_by_image, pairs, stats
from sslcore.analysis.image_by_image import Predicted
from sslcore.analysis.pairs import Pair

PICTURES = 12  # a side


def show(asked: Asked) -> None:
    """Nothing where no two could be compared."""
    if not asked.pairs:
        return
    st.header("Where two of them differ")
    pair = _pick(asked)
    try:
        tested = image_by_image.predicted_by(pair.matches, asked.measure)
    except ValueError as error:
        st.info(words.plain(str(error)), icon=":material/draft:")
        return
    run = pair.matches[min(pair.matches)][0][0]
    classes = embeddings.classes(run)

    def class_name(label: int) -> str:
        return classes[label] if 0 <= label < len(classes) else f"class {label}"

    _show_classes(asked, pair, tested, class_name)
    _show_images(asked, pair, tested, class_name, tables.identity(run))


def _pick(asked: Asked) -> Pair:
    """The pair that the reader chooses; they are called by the order of their sides, whoever is ahead."""
    choices = {
        " and ".join(name for side, name in asked.names.items() if side in (pair.a, pair.b))
        + (f" on {pair.on}" if pair.on else ""): pair
        for pair in asked.pairs
    }
    return choices[link.choice("Pair", list(choices), next(iter(choices)), key="evidence_pair", width=360)]


def _show_classes(asked: Asked, pair: Pair, tested: Predicted, class_name: Callable[[int], str]) -> None:
    a, b = asked.names[pair.a], asked.names[pair.b]
    of_class = image_by_image.by_class(tested)
    adjusted = dict(zip(of_class, stats.holm([difference.p for difference in of_class.values()])))
    n_images = {label: int((tested.label == label).sum()) for label in of_class}
    most_different = sorted(of_class, key=lambda label: -abs(of_class[label].mean))[:MAX_CLASSES]
    rows = [
        evidence.Row(
            class_name(label),
            of_class[label],
            stats.told_apart(adjusted[label]),
            asked.colour(pair.a if of_class[label].mean >= 0 else pair.b),
            f"{words.count(n_images[label], 'image')}, " + (of_class[label].why or f"adjusted p {p_value(adjusted[label])}"),
        )
        for label in sorted(most_different, key=lambda label: -of_class[label].mean)
    ]
    plot(
        evidence.differences(
            rows,
            f"{style.plain(a)} − {style.plain(b)}, class by class",
            "bar: 95 % interval; filled: told apart",
        ),
        key="evidence_classes",
        height=150 + 28 * len(rows),
        alt=f"Difference in accuracy between {a} and {b} on each class, with 95 % intervals",
    )
    n_tested = sum(difference.p is not None for difference in of_class.values())
    over_seeds = f"{stats.OVER_SEEDS}; N = {len(pair.matches)}"
    test = over_seeds if len(pair.matches) > 1 else pairs.over_images_of_these([pair]) if pair.settings == 1 else ""
    how = f"{words.capital(test)}; p-values adjusted by Holm's method over {n_tested} classes." if test else "No test."
    st.caption(words.plain(how + (f" Shown: the {MAX_CLASSES} classes that differ most." if len(of_class) > MAX_CLASSES else "")))


def _show_images(asked: Asked, pair: Pair, tested: Predicted, class_name: Callable[[int], str], seen: dict[str, Any]) -> None:
    a, b = asked.names[pair.a], asked.names[pair.b]
    n_runs = len(tested.seed)  # a side; one that stands in several pairs counts in each
    held = [{match[side].id for of_seed in pair.matches.values() for match in of_seed} for side in (0, 1)]
    of_these, trainings = (" pairs", "pairs") if min(map(len, held)) < n_runs else ("", "trainings")

    def verdict(who: str, predicted: np.ndarray, label: int) -> str:
        """What one side's runs took an image for, as HTML; with several runs, how many were right and the commonest mistake."""
        right, wrong = int((predicted == label).sum()), predicted[predicted != label]
        mistake = class_name(Counter(wrong.tolist()).most_common(1)[0][0] if len(wrong) else label)
        if n_runs == 1:
            return pictures.verdict(who, class_name(label), mistake)
        mark = pictures.RIGHT if 2 * right > n_runs else pictures.WRONG
        return f"{mark} {escape(who)}: {right} of {n_runs}{of_these}" + (f", else {escape(mistake)}" if len(wrong) else "")

    def card(k: int) -> str:
        index, label = int(tested.index[k]), int(tested.label[k])
        lines = [
            f'<b>{escape(class_name(label))}</b> <span class="aside">{index}</span>',
            verdict(a, tested.a[:, k], label),
            verdict(b, tested.b[:, k], label),
        ]
        return pictures.picture(seen, index, f"test image {index}, {class_name(label)}", lines)

    ahead = tested.right_a - tested.right_b  # (N,) trainings
    ticked = (
        "" if n_runs == 1 else f" {pictures.RIGHT} right in more than half of the {trainings}, {pictures.WRONG} in half or fewer."
    )
    for better, worse, order in ((a, b, -ahead), (b, a, ahead)):
        won = int((order == -n_runs).sum())
        draw = np.random.default_rng(0).permutation(len(order))  # among images on which the two differ alike
        shown = [k for k in np.lexsort((draw, order))[:PICTURES] if order[k] < 0]
        every = "" if n_runs == 1 else f" in all {n_runs} matched {trainings}"
        others = "" if len(shown) <= won else f"; after them, those on which they differ in most {trainings}"
        if won or n_runs == 1:
            how_many = f"{every}: {words.count(won, 'image')} of {len(tested.label):,}{others}"
            st.markdown(f"**{words.plain(better)} right, {words.plain(worse)} wrong**{how_many}")
        else:  # on no image in all of them
            st.markdown(f"**{words.plain(better)} right more often than {words.plain(worse)}**")
        if shown:
            st.html(pictures.row([card(k) for k in shown], f"Images that {better} gets right and {worse} wrong"))
        else:
            st.text("There is no such image.")
    st.caption(
        f"Of each side, up to {PICTURES} test images, those on which the two differ most; among those on which they differ "
        f"alike, a fixed draw. The number is the data set's index.{ticked}"
    )
