"""Bootstrap intervals, against the binomial distribution and against resampling rows."""

import numpy as np
import pytest
from scipy.stats import binomtest

from mien.metrics.bootstrap import bootstrap_confusion, bootstrap_rows, resample_confusions, resample_rows
from mien.metrics.classification import accuracy, balanced_accuracy, confusion_matrix, macro_f1


def test_width_of_an_accuracy_is_the_binomial_one() -> None:
    """For 300 of 400 correct the interval is the normal approximation's 0.75 +- 1.96 * 0.02165."""
    low, high = bootstrap_confusion(np.array([[150, 50], [50, 150]]), accuracy)
    assert low == pytest.approx(0.75 - 1.96 * 0.02165, abs=0.006)
    assert high == pytest.approx(0.75 + 1.96 * 0.02165, abs=0.006)


@pytest.mark.parametrize("metric", [balanced_accuracy, macro_f1])
def test_resampling_cells_equals_resampling_faces(metric) -> None:
    """Drawing cells from a multinomial gives the interval that drawing faces does."""
    confusion = np.array([[60, 20, 5], [10, 30, 5], [3, 7, 20]])
    truth, predicted = np.divmod(np.repeat(np.arange(9), confusion.ravel()), 3)
    generator = np.random.default_rng(3)
    values = []
    for _ in range(2000):
        drawn = generator.integers(0, len(truth), len(truth))
        table = np.bincount(truth[drawn] * 3 + predicted[drawn], minlength=9).reshape(3, 3)
        values.append(float(metric(table)))
    expected = np.percentile(values, [2.5, 97.5])
    assert bootstrap_confusion(confusion, metric) == pytest.approx(expected, abs=0.012)


def test_same_seed_same_interval() -> None:
    """An interval is reproducible, and another seed gives a slightly different one."""
    table = np.array([[5, 3], [2, 7]])
    assert bootstrap_confusion(table, macro_f1, seed=1) == bootstrap_confusion(table, macro_f1, seed=1)
    assert bootstrap_confusion(table, macro_f1, seed=1) != bootstrap_confusion(table, macro_f1, seed=2)


@pytest.mark.parametrize("n", [3, 30])
@pytest.mark.parametrize("is_right", [True, False])
def test_what_did_not_occur_is_in_the_interval(n: int, is_right: bool) -> None:
    """All right, or all wrong: no resample differs, and the limits of an accuracy are the exact ones of SciPy."""
    table = np.eye(2, dtype=int) * n if is_right else np.array([[0, n], [n, 0]])
    exact = binomtest(2 * n * is_right, 2 * n).proportion_ci(method="exact")
    assert bootstrap_confusion(table, accuracy) == pytest.approx((exact.low, exact.high), abs=1e-5)
    for metric in (balanced_accuracy, macro_f1):  # both are the accuracy of a symmetric table
        assert bootstrap_confusion(table, metric) == pytest.approx((exact.low, exact.high), abs=1e-5)


def test_a_single_class_has_an_interval_of_one_point() -> None:
    """Nothing else can be predicted."""
    assert bootstrap_confusion(np.array([[4]]), accuracy) == (1.0, 1.0)


def test_no_face_is_refused() -> None:
    """An empty matrix has no interval."""
    with pytest.raises(ValueError, match="no interval"):
        bootstrap_confusion(np.zeros((2, 2), dtype=int), accuracy)


def test_rows_give_the_interval_of_a_mean() -> None:
    """The mean of 400 normal values with standard deviation 1 has the interval +- 1.96 / 20."""
    rows = np.random.default_rng(0).normal(size=400)
    interval = bootstrap_rows(rows, lambda values: float(values.mean()))
    assert interval is not None
    assert interval[1] - interval[0] == pytest.approx(2 * 1.96 * rows.std() / 20, rel=0.08)


def test_no_rows_no_interval() -> None:
    """Without rows, or with an undefined statistic, the interval is None."""
    assert bootstrap_rows(np.zeros(0), lambda values: float(values.mean())) is None
    assert bootstrap_rows(np.zeros(3), lambda values: None) is None


def test_degenerate_resamples_are_left_out() -> None:
    """A resample with an undefined statistic is ignored."""
    interval = bootstrap_rows(
        np.array([0.0, 1.0]), lambda values: float(values.mean()) if values.min() != values.max() else None
    )
    assert interval == (0.5, 0.5)


def _answers(n_faces: int = 300) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(5)
    truth = generator.integers(0, 3, n_faces)
    return truth, np.where(
        generator.random((2, n_faces)) < 0.6, truth, generator.integers(0, 3, (2, n_faces))
    )


@pytest.mark.parametrize("metric", [accuracy, balanced_accuracy, macro_f1])
def test_tables_of_resampled_faces_give_the_interval_of_each_model(metric) -> None:
    """Every matrix has all N faces, and the percentiles are those of the multinomial draws."""
    truth, predicted = _answers()
    tables = resample_confusions(truth, predicted, n_classes=3)
    assert tables.shape == (2000, 2, 3, 3)
    assert (tables.sum(axis=(2, 3)) == 300).all()
    for model, classes in enumerate(predicted):
        low, high = bootstrap_confusion(confusion_matrix(truth, classes, n_classes=3), metric)
        assert np.percentile(metric(tables[:, model]), [2.5, 97.5]) == pytest.approx((low, high), abs=0.012)


def test_every_model_is_resampled_on_the_same_faces() -> None:
    """A model never differs from itself, and a paired difference varies less than two independent ones."""
    truth, predicted = _answers()
    twice = resample_confusions(truth, predicted[[0, 0]], n_classes=3, n_resamples=50)
    assert (twice[:, 0] == twice[:, 1]).all()
    assert (twice[:, 0].sum(axis=2) != twice[0, 0].sum(axis=1)).any()
    right = (predicted == truth).astype(float)
    means = resample_rows(right[..., None], np.mean)
    assert means == pytest.approx(accuracy(resample_confusions(truth, predicted, n_classes=3)))
    assert resample_rows(right[..., None], np.mean, seed=1)[0] != pytest.approx(means[0])
