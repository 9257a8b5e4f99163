"""The stage `compare`: several models on the same faces, in one table."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from mien.compare.options import CompareOptions
from mien.compare.reports import find_shared_faces, note_classes, read_aligned
from mien.compare.summary import ComparedModel, ComparisonSummary
from mien.compare.writing import claim_outputs, write_outputs
from mien.drawing.fonts import warn_of_missing_characters
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
        plot: a PNG file for a bar plot, or None.
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
        for report, truth, predicted in zip(aligned, shared.truths, shared.predicted, strict=True):
            correct.append(truth == predicted)
            confusion = confusion_matrix(truth, predicted, n_classes=len(report.classes))
            models.append(
                ComparedModel(
                    name=report.name,
                    model=str(find_dict(report.metrics, "model").get("file", "")),
                    metrics={name: float(function(confusion)) for name, function in METRICS.items()},
                    intervals={
                        name: bootstrap_confusion(confusion, function) for name, function in METRICS.items()
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
        document = {
            "protocol": summary.protocol,
            "description": summary.description,
            "n": summary.n,
            "models": [asdict(model) for model in summary.models],
        }
        write_outputs(document, [*summary.table()], out, plot, draw=lambda path: _draw(path, summary))
    return summary


def _draw(path: Path, summary: ComparisonSummary) -> None:
    from mien.compare.plot import draw_comparison  # noqa: PLC0415 - matplotlib loads slowly

    warn_of_missing_characters([model.name for model in summary.models])
    draw_comparison(path, summary)
