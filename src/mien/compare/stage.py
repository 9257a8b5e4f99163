"""The stage `compare`: several models on the same faces, in one table."""

import pkgutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.compare.grouping import name_paths
from mien.compare.options import CompareOptions
from mien.compare.reports import Report, find_shared_faces, note_models, read_aligned
from mien.compare.summary import ComparedModel, ComparisonSummary, TaskDifference
from mien.compare.writing import claim_outputs, write_comparison
from mien.metrics.bootstrap import bootstrap_confusion, bootstrap_rows
from mien.metrics.classification import accuracy, balanced_accuracy, confusion_matrix, macro_f1
from mien.metrics.comparison import compare_paired
from mien.runtime.addresses import local_path, path_list
from mien.runtime.nested import find_dict
from mien.tasks import reported_metrics

METRICS = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}


def compare(
    reports: Sequence[str | Path],
    *,
    out: str | Path | None = None,
    plot: str | Path | None = None,
    protocol: str = CompareOptions.protocol,
    force: bool = False,
) -> ComparisonSummary:
    """Compare reports of the same faces, and test each against the first.

    Args:
        reports: two or more folders written by `evaluate`.
        out: a file for the comparison, whose suffix is a key of `COMPARISON_FORMATS`, or None.
        plot: a file for a bar plot, whose suffix is one of `FIGURE_SUFFIXES`, or None.
        protocol: name of the class protocol, see `mien.metrics.protocols`.
        force: replace existing files.

    Raises:
        ArtifactError: fewer than two reports, one cannot be read, they are of different faces, one does not have the
            protocol, or an output file already exists.
        TypeError: `reports` is a single path, not in a list.
        ValueError: an output is an address.
    """
    reports = path_list("reports", reports)
    out, plot = (None if path is None else local_path(path) for path in (out, plot))
    aligned = read_aligned(reports)
    shared = find_shared_faces(aligned, protocol)
    with claim_outputs(out, plot, reports=reports, force=force) as written:
        metrics = METRICS if shared.n else {}
        correct = []
        models: list[ComparedModel] = []
        names = name_paths([report.path.resolve().parts for report in aligned])
        for name, report, truth, predicted in zip(
            names, aligned, shared.truths, shared.predicted, strict=True
        ):
            correct.append(truth == predicted)
            confusion = confusion_matrix(truth, predicted, n_classes=len(report.classes))
            models.append(
                ComparedModel(
                    name=name,
                    model=str(find_dict(report.metrics, "model").get("file", "")),
                    metrics={name: float(function(confusion)) for name, function in metrics.items()},
                    intervals={
                        name: bootstrap_confusion(confusion, function) for name, function in metrics.items()
                    },
                    ece=report.ece,
                    tasks=report.reported(),
                    paired=compare_paired(correct[0], correct[-1]) if models and shared.n else None,
                    differences=_compare_tasks(aligned[0], report) if models else {},
                )
            )
        summary = ComparisonSummary(
            protocol if shared.n else None,
            shared.description,
            shared.n or len(aligned[0].faces),
            tuple(models),
            written,
            note_models(aligned, protocol, shared.n) if shared.n else (),
        )
        write_comparison(summary, written)
    return summary


def _compare_tasks(first: Report, second: Report) -> dict[str, TaskDifference]:
    """Return the differences of the metrics of other tasks that can be computed face by face, on the same faces."""
    differences = {}
    for name, (_, metric) in reported_metrics().items():
        pair = [report.rows_of(metric) for report in (first, second)]
        if pair[0] is None or pair[1] is None or metric.statistic is None:
            continue
        both = np.hstack([pair[0], pair[1]])
        both = both[np.isfinite(both).all(axis=1)]
        statistic, width = pkgutil.resolve_name(metric.statistic), pair[0].shape[1]

        def difference(
            rows: NDArray[np.floating],
            statistic: Callable[..., float | None] = statistic,
            width: int = width,
        ) -> float | None:
            one, other = statistic(rows[:, :width]), statistic(rows[:, width:])
            return None if one is None or other is None else other - one

        value = difference(both) if len(both) else None
        if value is not None:
            differences[name] = TaskDifference(value, bootstrap_rows(both, difference), len(both))
    return differences
