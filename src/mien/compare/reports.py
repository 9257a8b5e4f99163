"""Reading reports, and laying the same faces of several of them side by side."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.artifacts import read_json
from mien.errors import ArtifactError
from mien.faces.classes import current_class

PROBABILITY_PREFIX = "p_"


@dataclass(frozen=True, slots=True)
class Report:
    """What `evaluate` wrote, as far as a comparison needs it.

    Attributes:
        path: the folder.
        metrics: content of metrics.json.
        classes: the model's, in the order of the probabilities.
        label_classes: those that the labels count in.
        faces: ``(N,)`` key and occurrence of every face.
        truth: ``(N,)`` true class names.
        probabilities: ``(N, C)`` float32.
        landmark_errors: ``(N,)`` NME of each face, NaN where a face has none; None where the model or no face has landmarks.
    """

    path: Path
    metrics: dict[str, Any]
    classes: tuple[str, ...]
    label_classes: tuple[str, ...]
    faces: tuple[tuple[str, int], ...]
    truth: tuple[str, ...]
    probabilities: NDArray[np.float32]
    landmark_errors: NDArray[np.float64] | None

    @property
    def name(self) -> str:
        """The report folder's name."""
        return self.path.resolve().name

    @property
    def ece(self) -> float | None:
        """Calibration error, as `evaluate` found it over all faces that count."""
        return self.metrics.get("ece")

    @property
    def nme(self) -> float | None:
        """Landmark error, as `evaluate` found it."""
        return (self.metrics.get("landmarks") or {}).get("nme")

    @property
    def ccc(self) -> tuple[float | None, float | None]:
        """Concordance of valence and of arousal, as `evaluate` found them."""
        affect = self.metrics.get("valence_arousal") or {}
        return (affect.get("valence") or {}).get("ccc"), (affect.get("arousal") or {}).get("ccc")


def read_report(path: Path) -> Report:
    """Read a report folder.

    Raises:
        ArtifactError: it is missing, unfinished or damaged.
    """
    metrics = read_json(path / "metrics.json", what="report")
    predictions = path / "predictions.csv"
    try:
        with predictions.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            header = next(rows)
            columns = [i for i, name in enumerate(header) if name.startswith(PROBABILITY_PREFIX)]
            key, true = header.index("key"), header.index("true")
            error = header.index("nme") if "nme" in header else None
            read = [
                (
                    row[key],
                    current_class(row[true]),
                    [float(row[i]) for i in columns],
                    np.nan if error is None or not row[error] else float(row[error]),
                )
                for row in rows
            ]
    except (OSError, ValueError, IndexError, StopIteration) as damage:
        raise ArtifactError(
            f"{predictions} of the report cannot be read: {damage}. Run `mien evaluate` again"
        ) from None
    label_classes = tuple(map(current_class, (metrics.get("pack") or {}).get("classes") or ()))
    if not {row[1] for row in read} <= set(label_classes):
        raise ArtifactError(
            f"{predictions} names true classes that metrics.json does not list. Run `mien evaluate` again"
        )
    if not columns or not read:
        raise ArtifactError(f"{predictions} holds no predictions. Run `mien evaluate` again")
    return Report(
        path=path,
        metrics=metrics,
        classes=tuple(current_class(header[i].removeprefix(PROBABILITY_PREFIX)) for i in columns),
        label_classes=label_classes,
        faces=_number_occurrences([row[0] for row in read]),
        truth=tuple(row[1] for row in read),
        probabilities=np.array([row[2] for row in read], dtype=np.float32),
        landmark_errors=None if error is None else np.array([row[3] for row in read]),
    )


def _number_occurrences(keys: list[str]) -> tuple[tuple[str, int], ...]:
    seen: Counter[str] = Counter()
    faces = []
    for key in keys:
        faces.append((key, seen[key]))
        seen[key] += 1
    return tuple(faces)


def read_aligned(paths: Sequence[Path]) -> list[Report]:
    """Read reports and put their faces in the order of the first.

    Raises:
        ArtifactError: fewer than two, one cannot be read, they are not of the same faces, or they do not agree
            on a face's true class.
    """
    if len(paths) < 2:
        raise ArtifactError(f"A comparison needs at least two reports, got {len(paths)}. Name another one")
    first, *others = (read_report(path) for path in paths)
    return [first, *(_align(report, first) for report in others)]


def _align(report: Report, first: Report) -> Report:
    place = {face: index for index, face in enumerate(report.faces)}
    n_shared = sum(face in place for face in first.faces)
    if n_shared != len(first.faces) or n_shared != len(report.faces):
        raise ArtifactError(
            f"Reports to compare must be of the same faces: {first.path} has {len(first.faces):,} "
            f"({_origin(first)}), {report.path} has {len(report.faces):,} ({_origin(report)}), they share "
            f"{n_shared:,}. Evaluate both models on the same split of the same pack"
        )
    order = [place[face] for face in first.faces]
    truth = tuple(report.truth[index] for index in order)
    differing = [i for i, (ours, theirs) in enumerate(zip(truth, first.truth, strict=True)) if ours != theirs]
    if differing:
        example = differing[0]
        raise ArtifactError(
            f"Reports to compare must agree on the truth: {first.path} and {report.path} differ on "
            f"{len(differing):,} faces, such as {first.faces[example][0]!r} ({first.truth[example]} and "
            f"{truth[example]}). Evaluate both models on the same pack"
        )
    return replace(
        report,
        faces=first.faces,
        truth=truth,
        probabilities=report.probabilities[order],
        landmark_errors=None if report.landmark_errors is None else report.landmark_errors[order],
    )


def _origin(report: Report) -> str:
    pack = report.metrics.get("pack") or {}
    return f"split {report.metrics.get('split')!r} of pack {pack.get('folder')!r}"
