"""The stage `compare`: the same faces, several models, one table."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mien.compare.reports import Report, read_aligned
from mien.compare.shared import SharedFaces, count_shared_faces, note_classes
from mien.compare.summary import ComparedModel, ComparisonSummary
from mien.compare.writing import claim_outputs, write_outputs
from mien.fonts import tell_missing
from mien.metrics.bootstrap import bootstrap_confusion
from mien.metrics.classification import accuracy, balanced_accuracy, confusion_matrix, macro_f1
from mien.metrics.comparison import compare_paired

FIGURES = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}


def compare(
    reports: Sequence[Path],
    *,
    out: Path | None = None,
    plot: Path | None = None,
    protocol: str = "all",
    force: bool = False,
    announce: Callable[[str], None] | None = None,
) -> ComparisonSummary:
    """Put reports of the same faces side by side and test each against the first.

    Args:
        reports: two or more folders that `evaluate` wrote.
        out: a JSON file for the comparison, or None.
        plot: a PNG file for a bar plot, or None.
        protocol: which faces count among which classes, see `mien.metrics.protocols`.
        force: replace existing files.
        announce: is told in one line of characters in names that no font has, where there is a plot.

    Raises:
        ArtifactError: fewer than two reports, one cannot be read, they are of other faces, one has no such
            protocol, or an output is in the way.
    """
    aligned = read_aligned(reports)
    shared = count_shared_faces(aligned, protocol)
    with claim_outputs(out, plot, force=force) as written:
        models = _compare_models(aligned, shared)
        summary = ComparisonSummary(
            protocol, shared.description, shared.n, models, written, note_classes(aligned)
        )
        write_outputs(_document(summary), out, plot, draw=lambda path: _draw(path, summary, announce))
    return summary


def _draw(path: Path, summary: ComparisonSummary, announce: Callable[[str], None] | None) -> None:
    from mien.compare.plot import draw_comparison  # noqa: PLC0415 - matplotlib, only where it is asked for

    if announce is not None:
        tell_missing([model.name for model in summary.models], announce)
    draw_comparison(path, summary)


def _compare_models(reports: list[Report], shared: SharedFaces) -> tuple[ComparedModel, ...]:
    """Score every model on the faces that count for all of them."""
    rights = []
    models: list[ComparedModel] = []
    for report, truth, predicted in zip(reports, shared.truths, shared.answers, strict=True):
        rights.append(truth == predicted)
        confusion = confusion_matrix(truth, predicted, n_classes=len(report.classes))
        models.append(
            ComparedModel(
                name=report.name,
                model=str((report.metrics.get("model") or {}).get("file", "")),
                figures={name: float(figure(confusion)) for name, figure in FIGURES.items()},
                intervals={name: bootstrap_confusion(confusion, figure) for name, figure in FIGURES.items()},
                ece=report.ece,
                nme=report.nme,
                ccc=report.ccc,
                paired=compare_paired(rights[0], rights[-1]) if models else None,
            )
        )
    return tuple(models)


def _document(summary: ComparisonSummary) -> dict[str, Any]:
    return {
        "protocol": summary.protocol,
        "description": summary.description,
        "n": summary.n,
        "models": [asdict(model) for model in summary.models],
    }
