"""The stage `compare` for groups of reports: models that differ in their seed alone, a row for each group."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.compare.grouped_summary import INTERVALS_NOTE, ComparedGroup, GroupedSummary
from mien.compare.grouping import group_paths, note_recipes, require_different_models
from mien.compare.reports import Report, read_aligned
from mien.compare.shared import SharedFaces, count_shared_faces, note_classes
from mien.compare.writing import claim_outputs, write_outputs
from mien.fonts import tell_missing
from mien.metrics.bootstrap import Interval, resample_confusions, resample_means
from mien.metrics.classification import (
    MINORITY_SHARE,
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    macro_f1,
    mean_recall,
    minority_classes,
)
from mien.metrics.seeds import SeedDifference, SeedMean, compare_seeds, summarise_seeds


def compare_groups(
    reports: Sequence[Path],
    *,
    out: Path | None = None,
    plot: Path | None = None,
    protocol: str = "all",
    force: bool = False,
    announce: Callable[[str], None] | None = None,
) -> GroupedSummary:
    """Put groups of reports side by side, and each group against the first.

    Reports whose paths differ in `seed-<number>` alone are a group.

    Args:
        reports: two or more folders that `evaluate` wrote.
        out: a JSON file for the comparison, or None.
        plot: a PNG file for a plot, or None.
        protocol: which faces count among which classes, see `mien.metrics.protocols`.
        force: replace existing files.
        announce: is told in one line of characters in names that no font has, where there is a plot.

    Raises:
        ArtifactError: fewer than two reports, one cannot be read, they are of other faces, one has no such
            protocol, a group counts a model twice, or an output is in the way.
    """
    aligned = read_aligned(reports)
    members = group_paths(reports)
    for name, places in members.items():
        require_different_models(name, [aligned[place] for place in places])
    shared = count_shared_faces(aligned, protocol)
    with claim_outputs(out, plot, force=force) as written:
        answers = _Answers.of(aligned, shared)
        summary = GroupedSummary(
            protocol=protocol,
            description=shared.description,
            n=shared.n,
            minority=answers.minority,
            groups=_compare(members, reports, _measure(aligned, answers)),
            written=written,
            notes=_note(members, aligned),
        )
        write_outputs(_document(summary), out, plot, draw=lambda path: _draw(path, summary, announce))
    return summary


def _draw(path: Path, summary: GroupedSummary, announce: Callable[[str], None] | None) -> None:
    from mien.compare.grouped_plot import draw_groups  # noqa: PLC0415 - matplotlib, only where it is asked for

    if announce is not None:
        tell_missing([group.name for group in summary.groups], announce)
    draw_groups(path, summary)


@dataclass(frozen=True, slots=True)
class _Answers:
    """What K models said of the n faces that count for all of them.

    Attributes:
        classes: of all models.
        truth: ``(n,)`` places in `classes`.
        predicted: ``(K, n)`` likewise.
        confusions: ``(K, C, C)``.
    """

    classes: tuple[str, ...]
    truth: NDArray[np.int64]
    predicted: NDArray[np.int64]
    confusions: NDArray[np.int64]

    @classmethod
    def of(cls, reports: Sequence[Report], shared: SharedFaces) -> "_Answers":
        classes = tuple(dict.fromkeys(name for report in reports for name in report.classes))
        places = [np.array([classes.index(name) for name in report.classes]) for report in reports]
        truth = places[0][shared.truths[0]]
        predicted = np.stack([place[said] for place, said in zip(places, shared.answers, strict=True)])
        confusions = [confusion_matrix(truth, said, n_classes=len(classes)) for said in predicted]
        return cls(classes, truth, predicted, np.stack(confusions))

    @property
    def minority(self) -> dict[str, int]:
        """The classes of few faces, and how many they have."""
        places = minority_classes(self.confusions[0])
        return {self.classes[place]: int(self.confusions[0, place].sum()) for place in places}


@dataclass(frozen=True, slots=True)
class _Figure:
    """A figure of K models: its values, None where a report lacks it, and ``(R, K)`` of them on resampled faces.

    Where a value is None its column of resamples holds no meaning.
    """

    values: tuple[float | None, ...]
    resampled: NDArray[np.float64] | None
    limits: Interval = (0.0, 1.0)

    def of(self, places: Sequence[int]) -> list[float] | None:
        """Return the values of some models, or None where one lacks it."""
        values = [value for place in places if (value := self.values[place]) is not None]
        return values if len(values) == len(places) else None

    def resample(self, places: Sequence[int]) -> NDArray[np.float64] | None:
        """Return the ``(R, S)`` resamples of some models, or None where there are none."""
        if self.resampled is None:
            return None
        chosen = self.resampled[:, places]
        return chosen if np.isfinite(chosen).all() else None


def _measure(reports: Sequence[Report], answers: _Answers) -> dict[str, _Figure]:
    resampled = resample_confusions(answers.truth, answers.predicted, n_classes=len(answers.classes))
    figures = {
        name: _Figure(tuple(figure(answers.confusions).tolist()), figure(resampled))
        for name, figure in (
            ("accuracy", accuracy),
            ("balanced_accuracy", balanced_accuracy),
            ("macro_f1", macro_f1),
        )
    }
    minority = minority_classes(answers.confusions[0])
    if minority:
        has_one = resampled[:, 0, minority].sum(axis=(1, 2)) > 0
        recalls = mean_recall(resampled[has_one], minority)
        figures["minority_recall"] = _Figure(
            tuple(mean_recall(answers.confusions, minority).tolist()), recalls
        )
    figures["ece"] = _Figure(tuple(report.ece for report in reports), None)
    figures["nme"] = _Figure(tuple(report.nme for report in reports), _resample_nme(reports), (0.0, math.inf))
    for place, name in enumerate(("ccc_valence", "ccc_arousal")):
        figures[name] = _Figure(tuple(report.ccc[place] for report in reports), None)
    return figures


def _resample_nme(reports: Sequence[Report]) -> NDArray[np.float64] | None:
    """Return ``(R, K)`` landmark errors on resampled faces, NaN for a report that has none; None where none has."""
    errors = {
        k: report.landmark_errors for k, report in enumerate(reports) if report.landmark_errors is not None
    }
    if not errors:
        return None
    stacked = np.stack(list(errors.values()))
    known = np.isfinite(stacked).all(axis=0)
    if not known.any():
        return None
    means = resample_means(stacked[:, known])
    resampled = np.full((len(means), len(reports)), np.nan)
    resampled[:, list(errors)] = means
    return resampled


def _compare(
    members: dict[str, list[int]], paths: Sequence[Path], figures: dict[str, _Figure]
) -> tuple[ComparedGroup, ...]:
    first, *_ = members.values()
    return tuple(
        ComparedGroup(
            name=name,
            reports=tuple(str(paths[place]) for place in places),
            figures=_summarise(figures, places),
            against_first=None if places is first else _subtract(figures, first, places),
        )
        for name, places in members.items()
    )


def _summarise(figures: dict[str, _Figure], places: list[int]) -> dict[str, SeedMean]:
    return {
        name: summarise_seeds(values, figure.resample(places), limits=figure.limits)
        for name, figure in figures.items()
        if (values := figure.of(places)) is not None
    }


def _subtract(figures: dict[str, _Figure], first: list[int], second: list[int]) -> dict[str, SeedDifference]:
    found = {}
    for name, figure in figures.items():
        ours, theirs = figure.of(first), figure.of(second)
        if ours is not None and theirs is not None:
            found[name] = compare_seeds(ours, theirs, figure.resample(first), figure.resample(second))
    return found


def _note(members: dict[str, list[int]], reports: Sequence[Report]) -> tuple[str, ...]:
    notes = list(note_classes(reports))
    for name, places in members.items():
        notes += note_recipes(name, [reports[place] for place in places])
    single = [name for name, places in members.items() if len(places) == 1]
    if len(single) == len(members):
        notes.append(
            "No group has two seeds: nothing is known of the spread between seeds, the intervals are over faces "
            "alone. Reports are of one group where their paths differ in seed-<number> alone"
        )
    elif single:
        notes.append(
            f"Of one seed: {', '.join(single)}. The interval of such a mean is over faces alone; in a difference "
            "the other group's spread stands for it"
        )
    return tuple(notes)


def _document(summary: GroupedSummary) -> dict[str, Any]:
    return {
        "protocol": summary.protocol,
        "description": summary.description,
        "n": summary.n,
        "minority": {"share_below": MINORITY_SHARE, "classes": summary.minority},
        "intervals": f"{INTERVALS_NOTE}.",
        "groups": [{"n_reports": len(group.reports), **asdict(group)} for group in summary.groups],
        "notes": list(summary.notes),
    }
