"""The stage `compare`: the same faces, several models, one table."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from mien.artifacts import claim_output, disk_errors, write_json
from mien.compare.reports import Report, align_reports, read_report
from mien.compare.summary import ComparedModel, ComparisonSummary
from mien.errors import ArtifactError
from mien.metrics.bootstrap import bootstrap_confusion
from mien.metrics.classification import accuracy, balanced_accuracy, confusion_matrix, macro_f1
from mien.metrics.comparison import compare_paired
from mien.metrics.protocols import ClassProtocol, class_protocols

FIGURES = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}


def compare(
    reports: Sequence[Path],
    *,
    out: Path | None = None,
    plot: Path | None = None,
    protocol: str = "all",
    force: bool = False,
) -> ComparisonSummary:
    """Put reports of the same faces side by side and test each against the first.

    Args:
        reports: two or more folders that `evaluate` wrote.
        out: a JSON file for the comparison, or None.
        plot: a PNG file for a bar plot, or None.
        protocol: which faces count among which classes, see `mien.metrics.protocols`.
        force: replace existing files.

    Raises:
        ArtifactError: fewer than two reports, one cannot be read, they are of other faces, one has no such
            protocol, or an output is in the way.
    """
    if len(reports) < 2:
        raise ArtifactError(f"A comparison needs at least two reports, got {len(reports)}. Name another one")
    for path in (out, plot):
        if path is not None:
            claim_output(path, force=force)
    aligned = align_reports([read_report(path) for path in reports])
    protocols = [_find_protocol(report, protocol) for report in aligned]
    models = _compare_models(aligned, protocols)
    n = int(np.logical_and.reduce([found.faces for found in protocols]).sum())
    written = tuple(path for path in (out, plot) if path is not None)
    summary = ComparisonSummary(
        protocol, protocols[0].description, n, models, written, _note_classes(aligned)
    )
    _write(summary, out, plot)
    return summary


def _write(summary: ComparisonSummary, out: Path | None, plot: Path | None) -> None:
    if out is not None:
        with disk_errors(out):
            write_json(out, _document(summary))
    if plot is not None:
        from mien.compare.plot import draw_comparison  # noqa: PLC0415 - matplotlib, only where it is asked for

        with disk_errors(plot):
            draw_comparison(plot, summary)


def _note_classes(reports: list[Report]) -> tuple[str, ...]:
    if len({frozenset(report.classes) for report in reports}) == 1:
        return ()
    note = (
        "The models know different classes, so that one may be wrong where another may not even answer so. "
        "A closed protocol, such as --protocol 8_closed, puts them on equal terms"
    )
    return (note,)


def _find_protocol(report: Report, name: str) -> ClassProtocol:
    places = {label: index for index, label in enumerate(report.label_classes)}
    protocols = class_protocols(
        report.probabilities,
        np.array([places[label] for label in report.truth], dtype=np.int64),
        classes=report.classes,
        label_classes=report.label_classes,
    )
    for protocol in protocols:
        if protocol.name == name:
            return protocol
    raise ArtifactError(
        f"Report {report.path} has no protocol {name!r}, its classes allow: "
        f"{', '.join(protocol.name for protocol in protocols)}"
    )


def _compare_models(reports: list[Report], protocols: list[ClassProtocol]) -> tuple[ComparedModel, ...]:
    """Score every model on the faces that count for all of them."""
    shared = np.logical_and.reduce([protocol.faces for protocol in protocols])
    if not shared.any():
        raise ArtifactError(
            "No face counts in all the reports: their models share no class. Compare other reports"
        )
    rights = []
    models: list[ComparedModel] = []
    for report, protocol in zip(reports, protocols, strict=True):
        kept = shared[protocol.faces]
        truth, predicted = protocol.truth[kept], protocol.predicted[kept]
        rights.append(truth == predicted)
        confusion = confusion_matrix(truth, predicted, n_classes=len(report.classes))
        models.append(
            ComparedModel(
                name=report.name,
                model=str((report.metrics.get("model") or {}).get("file", "")),
                figures={name: float(figure(confusion)) for name, figure in FIGURES.items()},
                intervals={name: bootstrap_confusion(confusion, figure) for name, figure in FIGURES.items()},
                ece=report.metrics.get("ece"),
                nme=(report.metrics.get("landmarks") or {}).get("nme"),
                ccc=_read_ccc(report.metrics),
                paired=compare_paired(rights[0], rights[-1]) if models else None,
            )
        )
    return tuple(models)


def _read_ccc(metrics: dict[str, Any]) -> tuple[float | None, float | None]:
    affect = metrics.get("valence_arousal") or {}
    return (affect.get("valence") or {}).get("ccc"), (affect.get("arousal") or {}).get("ccc")


def _document(summary: ComparisonSummary) -> dict[str, Any]:
    return {
        "protocol": summary.protocol,
        "description": summary.description,
        "n": summary.n,
        "models": [asdict(model) for model in summary.models],
    }
