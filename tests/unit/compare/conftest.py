"""Reports written by hand."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


def _write_report(
    path: Path,
    predictions: Sequence[str],
    truths: Sequence[str],
    *,
    classes: Sequence[str] = ("Happy", "Sad"),
    keys: Sequence[str] | None = None,
    errors: Sequence[float | str] | None = None,
    split: str = "val",
    columns: dict[str, Sequence[float]] | None = None,
    **metrics,
) -> Path:
    """Write a report with confident predictions; landmark errors, and further columns, per face if given."""
    path.mkdir(parents=True)
    keys = keys or [f"{i}.jpg" for i in range(len(truths))]
    known = tuple(name for name in dict.fromkeys((*classes, *truths)) if name)
    columns = columns or {}
    document = {
        "split": split, "ece": 0.05, "model": {"file": f"{path.name}.onnx"},
        "pack": {"folder": "faces.pack", "classes": list(known)}, "landmarks": {"n": 0, "nme": None},
        "valence_arousal": None, **metrics,
    }  # fmt: skip
    (path / "metrics.json").write_text(json.dumps(document), encoding="utf-8")
    with (path / "predictions.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        extra = [*([] if errors is None else ["nme"]), *columns]
        writer.writerow(["key", "true", "predicted", *(f"p_{name}" for name in classes), *extra])
        for row, (key, truth, predicted) in enumerate(zip(keys, truths, predictions, strict=True)):
            probabilities = [0.9 if name == predicted else 0.01 for name in classes]
            writer.writerow(
                [
                    *(key, truth, predicted, *probabilities),
                    *([errors[row]] if errors is not None else []),
                    *(values[row] for values in columns.values()),
                ]
            )
    return path


@pytest.fixture(scope="session")
def write_report() -> Callable[..., Path]:
    """Return the writer of a report from its folder, predictions, truths, and values for metrics.json."""
    return _write_report
