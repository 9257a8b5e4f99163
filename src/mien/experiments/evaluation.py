"""After training: every run of a series exported, evaluated on a pack, and put side by side.

The stages are those of `mien export`, `mien evaluate` and `mien compare`. What an earlier command has finished is kept.
"""

from dataclasses import replace
from pathlib import Path

from mien.artifacts import disk_errors, file_sha256, make_folder, one_writer, read_json
from mien.compare.grouped import compare_groups
from mien.compare.grouped_summary import GroupedSummary
from mien.compare.options import COMPARISON_FORMATS
from mien.compare.stage import compare
from mien.compare.summary import ComparisonSummary
from mien.compare.writing import write_comparison
from mien.drawing.figures import FIGURE_SUFFIXES
from mien.errors import ArtifactError
from mien.evaluate.stage import evaluate
from mien.experiments.series import RunFailed, Series, Start
from mien.formats.pack import Pack
from mien.formats.run import Run
from mien.runtime.child_process import run_command
from mien.runtime.nested import find_dict
from mien.runtime.progress import report_step, reports_steps

MODELS, REPORTS = "models", "reports"
COMPARISON = "comparison"


def require_split(pack: Path, split: str) -> None:
    """Find out before hours of training that a pack cannot be evaluated on.

    Raises:
        ArtifactError: it cannot be read, or has no such split.
    """
    Pack.open(pack).split(split)


def evaluate_series(
    series: Series, pack: Path, *, split: str, start: Start = run_command
) -> GroupedSummary | ComparisonSummary | Path:
    """Export and evaluate the runs of a trained series, and compare their reports.

    Writes ``models/<run>.onnx`` and ``reports/<run>`` into the series' folder, and ``comparison`` as a file of each format of
    `mien compare`. Seeds of a setting are one row; folds, which differ in their training faces, are a row each.

    Args:
        series: the runs, finished.
        pack: what to evaluate on.
        split: split of that pack.
        start: runs a mien command.

    Returns:
        The comparison; the folder of the report if there is a single run.

    Raises:
        ArtifactError: a run has not finished, or the models cannot be compared on these faces.
        RunFailed: an export ended with an error, which it has reported.
    """
    with one_writer(series.out):
        reports = []
        for number, run in enumerate(series.runs, start=1):
            line = f"evaluating run {number} of {len(series.runs)}: {run.title}"
            model = _export(series.out, run.folder, start)
            report = series.out / REPORTS / run.folder
            reports.append(report)
            if _is_report_of(report, model, Pack.open(pack), split):
                report_step(f"{line}: finished earlier")
                continue
            report_step(line)
            with disk_errors(series.out, "free some space and add --resume"):
                make_folder(report.parent)
                evaluate(model, pack, out=report, split=split, force=True)
        if len(reports) == 1:
            return reports[0]
        summary = compare(reports) if series.kind == "folds" else compare_groups(reports)
        paths = tuple(
            series.out / f"{COMPARISON}{suffix}" for suffix in (*COMPARISON_FORMATS, *FIGURE_SUFFIXES)
        )
        write_comparison(summary, paths)
        return replace(summary, written=paths)


def _export(out: Path, folder: str, start: Start) -> Path:
    """Return a run's model file, which is exported in a process of its own, unless it is newer than the run's result."""
    run, model = Run.open(out / folder), out / MODELS / f"{folder}.onnx"
    run.read_result()
    if model.exists() and model.stat().st_mtime_ns >= (run.path / "result.json").stat().st_mtime_ns:
        return model
    quiet = [] if reports_steps() else ["--quiet"]
    exit_code = start(["export", str(run.path), "--out", str(model), "--force", *quiet])
    if exit_code:
        raise RunFailed(exit_code)
    return model


def _is_report_of(report: Path, model: Path, pack: Pack, split: str) -> bool:
    """Return whether a report is complete, and of these very faces and this very model."""
    if not (report / "metrics.json").exists():
        return False
    try:
        metrics = read_json(report / "metrics.json", what="report")
    except ArtifactError:
        return False
    return (
        metrics.get("split") == split
        and find_dict(metrics, "pack").get("content_sha256") == pack.info.content_sha256
        and find_dict(metrics, "model").get("sha256") == file_sha256(model)
    )
