"""The verdict: when a model counts as better than chance."""

import numpy as np
import pytest

from mien.evaluate.score import Truth, score
from mien.evaluate.summary import format_verdict, percent

CLASSES = ("Neutral", "Happy")


def _verdict(confusion) -> str:
    truth, predicted = np.divmod(np.repeat(np.arange(4), np.ravel(confusion)), 2)
    outputs = {"expression": np.eye(2, dtype=np.float32)[predicted]}
    return format_verdict(score(outputs, Truth(CLASSES, truth, {}, {}), classes=CLASSES))


@pytest.mark.parametrize(
    ("confusion", "beginning"),
    [
        pytest.param([[90, 10], [10, 90]], "Clearly better than chance", id="good"),
        pytest.param([[50, 50], [50, 50]], "Not shown to be better", id="coin"),
        pytest.param([[900, 0], [100, 0]], "Not shown to be better", id="always the majority class"),
        pytest.param(
            [[600, 300], [20, 80]],
            "Better than chance in balanced accuracy, but not",
            id="balanced at the cost of accuracy",
        ),
        pytest.param([[20, 0], [0, 10]], "Clearly better than chance", id="all correct"),
        pytest.param([[2, 0], [0, 1]], "Not shown to be better", id="all three correct"),
        pytest.param([[5, 1], [0, 0]], "All faces are of one class", id="one class"),
    ],
)
def test_verdict(confusion, beginning: str) -> None:
    """The lower bounds of both intervals must beat their baselines."""
    assert _verdict(confusion).startswith(beginning)


def test_a_missing_fraction_is_a_dash() -> None:
    """Undefined is not 0%."""
    assert (percent(None), percent(0.0)) == ("–", "0.0%")
