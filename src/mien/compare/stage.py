"""The stage `compare`: several models on the same faces, in one table."""

from collections.abc import Sequence
from pathlib import Path

from mien.compare.grouping import name_paths
from mien.compare.options import CompareOptions
from mien.compare.reports import find_shared_faces, note_classes, read_aligned
from mien.compare.summary import ComparedModel, ComparisonSummary
from mien.compare.writing import claim_outputs, write_comparison
from mien.metrics.bootstrap import bootstrap_confusion
from mien.metrics.classification import accuracy, balanced_accuracy, confusion_matrix, macro_f1
from mien.metrics.comparison import compare_paired
from mien.runtime.nested import find_dict

METRICS = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}


def compare(
    reports: Sequence[Path],
    *,
    out: Path | None = None,
    plot: Path | None = None,
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
    """
    aligned = read_aligned(reports)
    shared = find_shared_faces(aligned, protocol)
    with claim_outputs(out, plot, force=force) as written:
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
                    metrics={metric: float(function(confusion)) for metric, function in METRICS.items()},
                    intervals={
                        metric: bootstrap_confusion(confusion, function)
                        for metric, function in METRICS.items()
                    },
                    ece=report.ece,
                    nme=report.nme,
                    ccc=report.ccc,
                    paired=compare_paired(correct[0], correct[-1]) if models else None,
                )
            )
        summary = ComparisonSummary(
            protocol, shared.description, shared.n, tuple(models), written, note_classes(aligned)
        )
        write_comparison(summary, written)
    return summary
