"""What must hold of the metrics whatever the faces are."""

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mien.faces.classes import AFFECTNET_CLASSES
from mien.metrics.affect import concordance, pearson, score_affect
from mien.metrics.bootstrap import bootstrap_confusion
from mien.metrics.calibration import expected_calibration_error, reliability_bins
from mien.metrics.classification import accuracy, balanced_accuracy, macro_f1, per_class
from mien.metrics.comparison import compare_paired, mcnemar_exact
from mien.metrics.protocols import class_protocols

tables = st.integers(2, 6).flatmap(
    lambda n: arrays.arrays(np.int64, (n, n), elements=st.integers(0, 30)).filter(
        lambda table: table.sum() > 0
    )
)
coordinates = st.floats(-1, 1, allow_nan=False, width=32)
pairs = st.integers(2, 30).flatmap(lambda n: arrays.arrays(np.float64, (2, n), elements=coordinates))


@given(tables, st.randoms(use_true_random=False))
def test_class_order_does_not_matter(table, random) -> None:
    """Renaming classes changes no metric."""
    order = list(range(len(table)))
    random.shuffle(order)
    for metric in (accuracy, balanced_accuracy, macro_f1):
        assert math.isclose(float(metric(table)), float(metric(table[np.ix_(order, order)])), abs_tol=1e-12)


@given(tables)
def test_figures_are_shares(table) -> None:
    """Every metric is in [0, 1]; per-class scores are in [0, 1] or None, never NaN."""
    for metric in (accuracy, balanced_accuracy, macro_f1):
        assert 0 <= float(metric(table)) <= 1
    for scores in per_class(table):
        assert all(value is None or 0 <= value <= 1 for value in (scores.precision, scores.recall, scores.f1))


@settings(max_examples=40)
@given(tables, st.integers(0, 5))
def test_an_interval_holds_its_estimate(table, seed) -> None:
    """The estimate lies in its interval, and the interval in [0, 1]."""
    for metric in (accuracy, balanced_accuracy, macro_f1):
        low, high = bootstrap_confusion(table, metric, n_resamples=200, seed=seed)
        assert 0 <= low <= float(metric(table)) <= high <= 1


@given(pairs)
def test_concordance_never_exceeds_correlation(pair) -> None:
    """CCC is at most |Pearson|, and swapping truth and prediction changes neither."""
    truth, predicted = pair
    ccc, r = concordance(truth, predicted), pearson(truth, predicted)
    if ccc is not None and r is not None:
        assert abs(ccc) <= abs(r) + 1e-6
        swapped = concordance(predicted, truth)
        assert swapped is not None
        assert math.isclose(ccc, swapped, abs_tol=1e-9)


@given(pairs)
def test_affect_scores_are_finite_or_none(pair) -> None:
    """No input gives NaN."""
    scores = score_affect(*pair)
    for value in (scores.ccc, scores.pearson, scores.rmse, scores.sagr):
        assert value is None or math.isfinite(value)


@given(
    arrays.arrays(np.float64, st.shared(st.integers(1, 50), key="n"), elements=st.floats(0, 1)),
    arrays.arrays(np.bool_, st.shared(st.integers(1, 50), key="n")),
)
def test_bins_hold_every_face_once(confidence, correct) -> None:
    """The bins' counts add up, each mean confidence is in its bin, and the error is in [0, 1]."""
    bins = reliability_bins(confidence, correct)
    assert sum(bin_.n for bin_ in bins) == len(confidence)
    for bin_ in bins:
        assert bin_.confidence is None or bin_.low - 1e-9 <= bin_.confidence <= bin_.high + 1e-9
    ece = expected_calibration_error(bins)
    assert ece is not None
    assert 0 <= ece <= 1


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_symmetric(first, second) -> None:
    """The p-value is one of [0, 1] and does not depend on which model is first."""
    assert 0 < mcnemar_exact(first, second) <= 1
    assert mcnemar_exact(first, second) == mcnemar_exact(second, first)


@given(arrays.arrays(np.bool_, st.tuples(st.just(2), st.integers(1, 60))))
def test_swapping_models_turns_the_sign(rights) -> None:
    """The difference is antisymmetric and lies in its interval."""
    forth, back = compare_paired(*rights, n_resamples=100), compare_paired(*rights[::-1], n_resamples=100)
    assert forth.difference == -back.difference
    assert forth.difference_ci95[0] <= forth.difference <= forth.difference_ci95[1]


@given(
    arrays.arrays(np.float64, st.tuples(st.just(20), st.just(11)), elements=st.floats(0, 1)),
    arrays.arrays(np.int64, 20, elements=st.integers(0, 10)),
)
def test_closing_the_choice_never_costs_a_right_answer(probabilities, labels) -> None:
    """On the same faces, fewer wrong classes to choose from give at least as many correct predictions."""
    found = {
        protocol.name: int((protocol.truth == protocol.predicted).sum())
        for protocol in class_protocols(
            probabilities, labels, classes=AFFECTNET_CLASSES, label_classes=AFFECTNET_CLASSES
        )
    }
    for group in ("8", "7"):
        assert found.get(f"{group}_open", 0) <= found.get(f"{group}_closed", 0)
