"""The parts of a report for the tasks other than the expression.

A part has the metrics of one task on the faces that are annotated. `Task.score` names the function that computes it; a part
with a section in the HTML page has a template ``section_<task>.html.j2``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from mien.faces.action_units import KINDS, PRESENT_INTENSITY, ActionUnits, Kind, unit_title
from mien.metrics.action_units import UnitScores, UnitsSummary, score_units
from mien.metrics.affect import AffectScores, ccc_of_rows, pearson_of_rows, rmse_of_rows, score_affect
from mien.metrics.bootstrap import Interval, bootstrap_rows
from mien.metrics.landmarks import mean_nme, nme_per_face
from mien.runtime.text_table import format_table
from mien.tasks import Annotations

AFFECT_DIMENSIONS = ("valence", "arousal")


class Estimate(NamedTuple):
    """The value of a metric with its 95% interval."""

    value: float
    ci95: Interval


class Tile(NamedTuple):
    """One of the figures at the top of the page: its name, the value, and a note below."""

    name: str
    value: str
    note: str
    kind: str = ""


class TaskScores(Protocol):
    """The metrics of a task."""

    def to_dict(self) -> Any:
        """Return the task's entry in metrics.json."""

    def lines(self, suffix: str) -> list[str]:
        """Return the metrics as lines of text; the suffix follows the names of metrics."""

    def columns(self) -> dict[str, NDArray[np.floating]]:
        """Return the task's columns of predictions.csv, ``(N,)`` each."""

    def tile(self) -> Tile:
        """Return what the top of the page shows."""


def percent(value: float | None) -> str:
    """Return a fraction as a percentage with one decimal; a dash for None."""
    return "–" if value is None else f"{100 * value:.1f}%"


def percent_interval(interval: Interval) -> str:
    """Return an interval of fractions, in percent."""
    return f"[{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]"


def estimate_rows(
    rows: NDArray[np.floating], statistic: Callable[[NDArray[np.floating]], float | None]
) -> Estimate | None:
    """Return a statistic of rows with its bootstrap interval, or None where it is undefined."""
    value = statistic(rows) if len(rows) else None
    interval = bootstrap_rows(rows, statistic)
    return None if value is None or interval is None else Estimate(value, interval)


class LandmarkScores(NamedTuple):
    """The landmark error.

    Attributes:
        errors: ``(N,)`` NME per face, NaN for faces without landmarks.
        n: number of faces with landmarks.
        nme: mean of the errors.
    """

    errors: NDArray[np.float64]
    n: int
    nme: Estimate

    def to_dict(self) -> dict[str, Any]:
        """Return the entry in metrics.json."""
        return {"n": self.n, "nme": self.nme.value, "nme_ci95": list(self.nme.ci95)}

    def lines(self, suffix: str) -> list[str]:
        """Return the error as a line of text."""
        nme = f"{percent(self.nme.value)} {percent_interval(self.nme.ci95)}"
        return [f"Landmark error (NME){suffix} {nme} ({self.n:,} faces)"]

    def columns(self) -> dict[str, NDArray[np.floating]]:
        """Return the error of each face."""
        return {"nme": self.errors}

    def tile(self) -> Tile:
        """Return the error."""
        return Tile("Landmark error", percent(self.nme.value), f"NME {percent_interval(self.nme.ci95)}")


def score_landmarks(
    truth: NDArray[np.float32], predicted: NDArray[np.float32], *_annotations: Annotations
) -> LandmarkScores | None:
    """Score ``(N, 68, 2)`` landmarks."""
    errors = nme_per_face(truth, predicted)
    known = errors[np.isfinite(errors)]
    nme = estimate_rows(known, mean_nme)
    return None if nme is None else LandmarkScores(errors=errors, n=len(known), nme=nme)


class AffectDimension(NamedTuple):
    """Valence or arousal: its scores, and the intervals of CCC, correlation and RMSE."""

    scores: AffectScores
    ccc_ci95: Interval | None
    pearson_ci95: Interval | None
    rmse_ci95: Interval | None


@dataclass(frozen=True, slots=True)
class ValenceArousalScores:
    """Valence and arousal.

    Attributes:
        dimensions: the scores by dimension.
        truth: ``(N, 2)``, NaN where not annotated.
        predicted: ``(N, 2)``.
    """

    dimensions: dict[str, AffectDimension]
    truth: NDArray[np.float32]
    predicted: NDArray[np.float32]

    def to_dict(self) -> dict[str, Any]:
        """Return the entry in metrics.json."""
        entries: dict[str, Any] = {"n": max(dimension.scores.n for dimension in self.dimensions.values())}
        for name, dimension in self.dimensions.items():
            intervals = {key: value for key, value in dimension._asdict().items() if key != "scores"}
            entries[name] = {**dimension.scores._asdict(), **intervals}
        return entries

    def lines(self, suffix: str) -> list[str]:
        """Return a line of text for each dimension."""
        lines = []
        for name, dimension in self.dimensions.items():
            scores = dimension.scores
            ccc, pearson, rmse, sagr = (
                ("–" if value is None else f"{value:.3f}")
                + ("" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]")
                for value, interval in (
                    (scores.ccc, dimension.ccc_ci95),
                    (scores.pearson, dimension.pearson_ci95),
                    (scores.rmse, dimension.rmse_ci95),
                    (scores.sagr, None),
                )
            )
            lines.append(
                f"{name.capitalize()}{suffix} CCC {ccc}, correlation {pearson}, RMSE {rmse}, SAGR {sagr} ({scores.n:,} faces)"
            )
        return lines

    def columns(self) -> dict[str, NDArray[np.floating]]:
        """Return true and predicted values."""
        columns: dict[str, NDArray[np.floating]] = {}
        for index, name in enumerate(self.dimensions):
            columns[f"{name}_true"] = self.truth[:, index]
            columns[f"{name}_predicted"] = self.predicted[:, index]
        return columns

    def tile(self) -> Tile:
        """Return both CCC."""
        both = (dimension.scores.ccc for dimension in self.dimensions.values())
        value = " · ".join("–" if ccc is None else f"{ccc:.2f}" for ccc in both)
        return Tile("Valence · arousal", value, "CCC, at most 1", kind="pair")


def score_valence_arousal(
    truth: NDArray[np.float32], predicted: NDArray[np.float32], *_annotations: Annotations
) -> ValenceArousalScores | None:
    """Score ``(N, 2)`` valence and arousal."""
    if not np.isfinite(truth).any():
        return None
    dimensions = {}
    for column, name in enumerate(AFFECT_DIMENSIONS):
        pairs = np.column_stack([truth[:, column], predicted[:, column]])
        pairs = pairs[np.isfinite(truth[:, column])].astype(np.float64)
        dimensions[name] = AffectDimension(
            scores=score_affect(truth[:, column], predicted[:, column]),
            ccc_ci95=bootstrap_rows(pairs, ccc_of_rows),
            pearson_ci95=bootstrap_rows(pairs, pearson_of_rows),
            rmse_ci95=bootstrap_rows(pairs, rmse_of_rows),
        )
    return ValenceArousalScores(dimensions, truth, predicted)


@dataclass(frozen=True, slots=True)
class ActionUnitScores:
    """Action units.

    Attributes:
        model_units: what the model predicts.
        truth_kind: whether the pack has presence or intensity.
        n: number of faces with a unit annotated.
        summary: the scores, in the order of the model's units.
        truth: ``(N, K)``, NaN where not annotated.
        predicted: ``(N, K)``.
    """

    model_units: ActionUnits
    truth_kind: Kind
    n: int
    summary: UnitsSummary
    truth: NDArray[np.float32]
    predicted: NDArray[np.float32]

    @property
    def protocol(self) -> str:
        """What is compared with what, and when a unit counts as present, as a sentence."""
        text = f"The model predicts {KINDS[self.model_units.kind]}; the pack has {KINDS[self.truth_kind]}."
        if "intensity" in (self.model_units.kind, self.truth_kind):
            text += f" For F1, an intensity of {PRESENT_INTENSITY:g} or more counts as present (DISFA's protocol)."
        return text

    def rows(self) -> list[tuple[str, str, UnitScores]]:
        """Return name, title and scores of each unit."""
        names = self.model_units.names
        return [(name, unit_title(name), unit) for name, unit in zip(names, self.summary.units, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Return the entry in metrics.json."""
        _, macro_f1, f1_ci95, mean_icc, icc_ci95 = self.summary
        return {
            "kind": self.model_units.kind,
            "truth_kind": self.truth_kind,
            "present_from": PRESENT_INTENSITY
            if "intensity" in (self.model_units.kind, self.truth_kind)
            else None,
            "n": self.n,
            "macro_f1": macro_f1,
            "macro_f1_ci95": f1_ci95,
            "mean_icc": mean_icc,
            "mean_icc_ci95": icc_ci95,
            "units": {name: unit._asdict() for name, _, unit in self.rows()},
        }

    def lines(self, suffix: str) -> list[str]:
        """Return the mean scores, and for plain predictions a line per unit."""
        _, macro_f1, f1_ci95, mean_icc, icc_ci95 = self.summary
        line = f"Action units{suffix} macro-F1 {percent(macro_f1)}"
        if f1_ci95 is not None:
            line += f" {percent_interval(f1_ci95)}"
        if mean_icc is not None and icc_ci95 is not None:
            line += f", mean ICC(3,1) {mean_icc:.3f} [{icc_ci95[0]:.3f}, {icc_ci95[1]:.3f}]"
        line += f" ({self.n:,} faces)"
        if suffix:
            return [line]
        header = ("", "", "faces", "present", "F1", *(["ICC(3,1)"] if mean_icc is not None else []))
        table = [header]
        for name, title, unit in self.rows():
            icc = [] if mean_icc is None else ["–" if unit.icc is None else f"{unit.icc:.3f}"]
            table.append((name, title, f"{unit.n:,}", percent(unit.prevalence), percent(unit.f1), *icc))
        return [f"{line}. {self.protocol}", *(f"  {row}" for row in format_table(table))]

    def columns(self) -> dict[str, NDArray[np.floating]]:
        """Return true and predicted values of each unit."""
        columns: dict[str, NDArray[np.floating]] = {}
        for index, name in enumerate(self.model_units.names):
            columns[f"{name}_true"] = self.truth[:, index]
            columns[f"{name}_predicted"] = self.predicted[:, index]
        return columns

    def tile(self) -> Tile:
        """Return the mean F1."""
        interval = self.summary.macro_f1_ci95
        note = f"macro-F1 {percent_interval(interval)}" if interval is not None else "macro-F1"
        return Tile("Action units", percent(self.summary.macro_f1), note)


def score_action_units(
    truth: NDArray[np.float32],
    predicted: NDArray[np.float32],
    annotations: Annotations,
    truth_annotations: Annotations,
) -> ActionUnitScores | None:
    """Score ``(N, K)`` action units; None if no face of the pack has one of the model's units annotated."""
    n = int(np.isfinite(truth).any(axis=1).sum())
    if n == 0:
        return None
    units: ActionUnits = annotations["action_units"]
    kind: Kind = truth_annotations["action_units"].kind
    summary = score_units(truth, predicted, truth_kind=kind, predicted_kind=units.kind)
    return ActionUnitScores(units, kind, n, summary, truth, predicted)
