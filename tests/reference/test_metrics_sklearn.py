"""The metrics against scikit-learn and SciPy, over a catalog of inputs."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as judge
from sklearn.exceptions import UndefinedMetricWarning

from mien.metrics.affect import pearson
from mien.metrics.classification import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    macro_f1,
    mean_recall,
    minority_classes,
    per_class,
)
from mien.metrics.comparison import mcnemar_exact


def _random(n: int, n_classes: int, seed: int, skill: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.choice(n_classes, n, p=generator.dirichlet(np.ones(n_classes)))
    guess = generator.integers(0, n_classes, n)
    return truth, np.where(generator.random(n) < skill, truth, guess)


CATALOG = [
    pytest.param(*_random(500, 11, 0), 11, id="eleven classes"),
    pytest.param(*_random(40, 8, 1), 8, id="few faces"),
    pytest.param(*_random(300, 3, 2, skill=1.0), 3, id="all right"),
    pytest.param(*_random(300, 3, 3, skill=0.0), 3, id="guessing"),
    pytest.param(np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0]), 3, id="one class predicted, one absent"),
    pytest.param(np.array([0, 0, 0]), np.array([0, 1, 2]), 3, id="one class true"),
    pytest.param(np.array([1]), np.array([0]), 2, id="one face"),
]


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.filterwarnings("ignore:A single label was found")
@pytest.mark.parametrize(("truth", "predicted", "n_classes"), CATALOG)
def test_figures_are_scikit_learns(truth, predicted, n_classes) -> None:
    """Accuracy, balanced accuracy and macro-F1 with scikit-learn's own defaults."""
    table = confusion_matrix(truth, predicted, n_classes=n_classes)
    assert table.tolist() == judge.confusion_matrix(truth, predicted, labels=range(n_classes)).tolist()
    assert accuracy(table) == pytest.approx(judge.accuracy_score(truth, predicted))
    assert balanced_accuracy(table) == pytest.approx(judge.balanced_accuracy_score(truth, predicted))
    assert macro_f1(table) == pytest.approx(
        judge.f1_score(truth, predicted, average="macro", zero_division=0)
    )


@pytest.mark.parametrize(("truth", "predicted", "n_classes"), CATALOG)
def test_recall_of_some_classes_is_scikit_learns(truth, predicted, n_classes) -> None:
    """The macro recall over the minority classes, and over the others."""
    table = confusion_matrix(truth, predicted, n_classes=n_classes)
    few = minority_classes(table, max_fraction=0.2)
    for labels in (few, tuple(set(truth.tolist()) - set(few))):
        if labels:
            expected = judge.recall_score(truth, predicted, labels=labels, average="macro")
            assert mean_recall(table, labels) == pytest.approx(expected)


@pytest.mark.filterwarnings(f"ignore::{UndefinedMetricWarning.__module__}.{UndefinedMetricWarning.__name__}")
@pytest.mark.parametrize(("truth", "predicted", "n_classes"), CATALOG)
def test_per_class_scores_are_scikit_learns(truth, predicted, n_classes) -> None:
    """None where scikit-learn returns NaN, elsewhere its value."""
    expected = judge.precision_recall_fscore_support(
        truth, predicted, labels=range(n_classes), zero_division=np.nan
    )
    found = per_class(confusion_matrix(truth, predicted, n_classes=n_classes))
    for row, (precision, recall, f1, n) in zip(found, zip(*expected, strict=True), strict=True):
        assert row.n == n
        assert (row.precision, row.recall, row.f1) == pytest.approx(
            tuple(None if np.isnan(value) else value for value in (precision, recall, f1))
        )


@pytest.mark.parametrize(("first", "second"), [(0, 1), (3, 10), (40, 60), (500, 420), (1000, 1003)])
def test_mcnemar_is_the_binomial_test(first: int, second: int) -> None:
    """SciPy's exact two-sided binomial test at one half."""
    expected = stats.binomtest(first, first + second, 0.5).pvalue
    assert mcnemar_exact(first, second) == pytest.approx(expected, rel=1e-9)


def test_correlation_is_numpys() -> None:
    """The off-diagonal of corrcoef."""
    generator = np.random.default_rng(0)
    truth = generator.uniform(-1, 1, 200)
    predicted = truth * 0.4 + generator.normal(size=200) * 0.2
    assert pearson(truth, predicted) == pytest.approx(np.corrcoef(truth, predicted)[0, 1])
