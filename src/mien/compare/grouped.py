"""The stage `compare` for groups of reports: models that differ only in their seed, one row per group."""

import math
import pkgutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.compare.grouped_summary import ComparedGroup, GroupedSummary
from mien.compare.grouping import group_paths, note_recipes, require_different_models
from mien.compare.options import CompareOptions
from mien.compare.reports import Report, SharedFaces, find_shared_faces, note_models, read_aligned
from mien.compare.writing import claim_outputs, write_comparison
from mien.metrics.bootstrap import Interval, resample_confusions, resample_rows
from mien.metrics.classification import (
    accuracy,
    balanced_accuracy,
    confusion_matrix,
    macro_f1,
    mean_recall,
    minority_classes,
)
from mien.metrics.seeds import compare_seeds, summarize_seeds
from mien.runtime.addresses import local_path, path_list
from mien.tasks import ReportedMetric, reported_metrics


def compare_groups(
    reports: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    plot: str | Path | None = None,
    protocol: str = CompareOptions.protocol,
    force: bool = False,
) -> GroupedSummary:
    """Compare groups of reports, each group with the first.

    Reports whose paths differ only in `seed-<number>` form a group.

    Args:
        reports: two or more folders written by `evaluate`.
        out: a file for the comparison, whose suffix is a key of `COMPARISON_FORMATS`, or None.
        plot: a file for a plot, whose suffix is one of `FIGURE_SUFFIXES`, or None.
        protocol: name of the class protocol, see `mien.metrics.protocols`.
        force: replace existing files.

    Raises:
        ArtifactError: fewer than two reports, one cannot be read, they are of different faces, one does not have the
            protocol, a group includes a model twice, or an output file already exists.
        TypeError: `reports` is a single path, not in a list.
        ValueError: an output is an address.
    """
    reports = path_list("reports", reports)
    out, plot = (None if path is None else local_path(path) for path in (out, plot))
    aligned = read_aligned(reports)
    members = group_paths(reports)
    for name, indices in members.items():
        require_different_models(name, [aligned[index] for index in indices])
    shared = find_shared_faces(aligned, protocol)
    with claim_outputs(out, plot, reports=reports, force=force) as written:
        metrics, minority = _measure(aligned, shared)
        first, *_ = members.values()
        summary = GroupedSummary(
            protocol=protocol if shared.n else None,
            description=shared.description,
            n=shared.n or len(aligned[0].faces),
            minority=minority,
            groups=tuple(
                _summarize(name, [str(reports[index]) for index in indices], metrics, indices, first)
                for name, indices in members.items()
            ),
            written=written,
            notes=_note(members, aligned, protocol, shared.n),
        )
        write_comparison(summary, written)
    return summary


class _Metric(NamedTuple):
    """A metric of K models: its values, None where a report lacks it, and ``(R, K)`` resamples over faces.

    The resamples of a model whose value is None are meaningless.
    """

    values: tuple[float | None, ...]
    resampled: NDArray[np.float64] | None
    limits: Interval = (0.0, 1.0)

    def of(self, indices: Sequence[int]) -> list[float] | None:
        """Return the values of some models, or None if one lacks it."""
        values = [value for index in indices if (value := self.values[index]) is not None]
        return values if len(values) == len(indices) else None

    def resamples_of(self, indices: Sequence[int]) -> NDArray[np.float64] | None:
        """Return the ``(R, S)`` resamples of some models, or None if there are none."""
        if self.resampled is None:
            return None
        chosen = self.resampled[:, indices]
        return chosen if np.isfinite(chosen).all() else None


def _measure(reports: Sequence[Report], shared: SharedFaces) -> tuple[dict[str, _Metric], dict[str, int]]:
    """Return the metrics of K reports by name, and the minority classes with their numbers of faces."""
    metrics = _measure_tasks(reports)
    if not shared.n:
        return metrics, {}
    classes = tuple(dict.fromkeys(name for report in reports for name in report.classes))
    columns = [np.array([classes.index(name) for name in report.classes]) for report in reports]
    truth = columns[0][shared.truths[0]]
    predicted = np.stack([column[found] for column, found in zip(columns, shared.predicted, strict=True)])
    confusions = np.stack([confusion_matrix(truth, one, n_classes=len(classes)) for one in predicted])
    resampled = resample_confusions(truth, predicted, n_classes=len(classes))
    functions = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}
    metrics |= {
        name: _Metric(tuple(function(confusions).tolist()), function(resampled))
        for name, function in functions.items()
    }
    minority = minority_classes(confusions[0])
    if minority:
        has_minority = resampled[:, 0, minority].sum(axis=(1, 2)) > 0
        recalls = mean_recall(resampled[has_minority], minority)
        metrics["minority_recall"] = _Metric(tuple(mean_recall(confusions, minority).tolist()), recalls)
    metrics["ece"] = _Metric(tuple(report.ece for report in reports), None)
    return metrics, {classes[index]: int(confusions[0, index].sum()) for index in minority}


def _measure_tasks(reports: Sequence[Report]) -> dict[str, _Metric]:
    """Return the metrics of the tasks other than the expression; those that are computed face by face are resampled."""
    reported = [report.reported() for report in reports]
    metrics = {}
    for name, (_, metric) in reported_metrics().items():
        values = tuple(found[name].value if name in found else None for found in reported)
        limits = (0.0, math.inf) if metric.lower_is_better else (0.0 if metric.is_percent else -1.0, 1.0)
        resampled = None if metric.statistic is None else _resample(reports, metric, metric.statistic)
        metrics[name] = _Metric(values, resampled, limits=limits)
    return metrics


def _resample(
    reports: Sequence[Report], metric: ReportedMetric, statistic: str
) -> NDArray[np.float64] | None:
    """Return ``(R, K)`` values of a metric on resampled faces, NaN for a report without; None if all are without."""
    found = {k: rows for k, report in enumerate(reports) if (rows := report.rows_of(metric)) is not None}
    if not found:
        return None
    stacked = np.stack(list(found.values()))
    stacked = stacked[:, np.isfinite(stacked).all(axis=(0, 2))]
    if not stacked.shape[1]:
        return None
    drawn = resample_rows(stacked, pkgutil.resolve_name(statistic))
    resampled = np.full((len(drawn), len(reports)), np.nan)
    resampled[:, list(found)] = drawn
    return resampled


def _summarize(
    name: str, reports: list[str], metrics: dict[str, _Metric], indices: list[int], first: list[int]
) -> ComparedGroup:
    """Return the means of a group, and their differences from the first group's."""
    means, differences = {}, {}
    for metric_name, metric in metrics.items():
        values, first_values = metric.of(indices), metric.of(first)
        if values is None:
            continue
        resamples = metric.resamples_of(indices)
        means[metric_name] = summarize_seeds(values, resamples, limits=metric.limits)
        if first_values is not None:
            differences[metric_name] = compare_seeds(
                first_values, values, metric.resamples_of(first), resamples, limits=metric.limits
            )
    return ComparedGroup(name, tuple(reports), means, None if indices is first else differences)


def _note(members: dict[str, list[int]], reports: Sequence[Report], protocol: str, n: int) -> tuple[str, ...]:
    notes = list(note_models(reports, protocol, n))
    for name, indices in members.items():
        notes += note_recipes(name, [reports[index] for index in indices])
    single = [name for name, indices in members.items() if len(indices) == 1]
    if len(single) == len(members):
        notes.append(
            "No group has two seeds: the variation between seeds is unknown, and the intervals are only over faces. "
            "Reports are grouped if their paths differ only in seed-<number>"
        )
    elif single:
        notes.append(
            f"Groups with one seed: {', '.join(single)}. The interval of their mean is only over faces; for a "
            "difference, the variance of the other group is used"
        )
    return tuple(notes)
