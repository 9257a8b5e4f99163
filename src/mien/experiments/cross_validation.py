"""K-fold cross-validation: every training face answered by a network that did not learn from it.

Folds are cut by near-duplicate group (`mien.train.dataset`), so that no network has seen a copy of a face that it
is asked about either.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.artifacts import disk_errors, drop_aside, one_writer, write_atomically, write_json
from mien.errors import ArtifactError, RecipeError
from mien.experiments.series import MARK, SUMMARY, PlannedRun, Series, Start, open_finished, train_series
from mien.experiments.statistics import (
    NOTHING,
    MeanStd,
    mean_std_of_metrics,
    metric_names,
    write_table,
)
from mien.formats.pack import Pack
from mien.metrics.bootstrap import Interval, bootstrap_confusion
from mien.metrics.calibration import fit_temperature
from mien.metrics.classification import accuracy, balanced_accuracy, confusion_matrix, macro_f1
from mien.metrics.softmax import softmax
from mien.recipe import Recipe, read_recipe
from mien.runtime.child_process import run_command
from mien.runtime.csv_text import CsvLines
from mien.runtime.text_table import format_table

FORMAT_VERSION = 1
OUT_OF_FOLD = "out_of_fold.csv"
_POOLED = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1}


@dataclass(frozen=True)
class OutOfFold:
    """What the folds' networks say of the faces that they did not learn from, in the order of the packs.

    Attributes:
        classes: in the order of the columns.
        pack_numbers: ``(N,)`` int64 which pack a face is in.
        rows: ``(N,)`` int64 its place in that pack's train split, from 0.
        folds: ``(N,)`` int64 the fold that it was kept back in.
        labels: ``(N,)`` int64 classes.
        probabilities: ``(N, C)`` float64.
    """

    classes: tuple[str, ...]
    pack_numbers: NDArray[np.int64]
    rows: NDArray[np.int64]
    folds: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class Fold:
    """How one fold went.

    Attributes:
        folder: of its run.
        best_epoch: the chosen epoch.
        temperature: what divides its logits, fitted on the other folds' held-out faces.
        dev: n and metrics on the faces that were kept back.
    """

    folder: str
    best_epoch: int
    temperature: float
    dev: dict[str, Any]


@dataclass(frozen=True)
class PooledMetric:
    """A metric over all faces.

    Attributes:
        value: the metric.
        ci95: its interval.
    """

    value: float
    ci95: Interval


@dataclass(frozen=True)
class FoldsSummary:
    """How a cross-validation ended. Its text is what the command prints."""

    out: Path
    select_by: str
    n: int
    folds: list[Fold]
    metrics: dict[str, MeanStd]
    pooled: dict[str, PooledMetric]

    def __str__(self) -> str:
        pooled = ", ".join(
            f"{name.replace('_', ' ')} {metric.value:.4f} [{metric.ci95[0]:.4f}, {metric.ci95[1]:.4f}]"
            for name, metric in self.pooled.items()
        )
        lines = [
            *format_table(self._cells()),
            "",
            f"out of fold, all {self.n:,} training faces together: {pooled} (95 % intervals)",
            f"Each network's checkpoint was chosen by {self.select_by} on the very faces that it was kept from,",
            "which flatters the figures a little; they are no headline numbers. `mien evaluate` makes those.",
            f"out of fold: {self.out / OUT_OF_FOLD}",
            f"summary: {self.out / 'summary.csv'}, {SUMMARY}",
        ]
        return "\n".join(lines)

    def _cells(self) -> list[list[str]]:
        names = metric_names([fold.dev for fold in self.folds])
        rows = [["fold", "n", "epoch", "temperature", *(name.replace("_", " ") for name in names)]]
        for number, fold in enumerate(self.folds):
            scores = [f"{fold.dev[name]:.4f}" if name in fold.dev else NOTHING for name in names]
            rows.append(
                [str(number), f"{fold.dev['n']:,}", str(fold.best_epoch), f"{fold.temperature:.3f}", *scores]
            )
        rows.append(["mean", "", "", "", *(str(self.metrics.get(name, NOTHING)) for name in names)])
        return rows


def plan_folds(recipe_name: str | Path | None, overrides: list[str], n_folds: int) -> tuple[PlannedRun, ...]:
    """Return the runs of a cross-validation.

    Args:
        recipe_name: as of `read_recipe`, or None for the defaults.
        overrides: as of `read_recipe`.
        n_folds: folds.

    Raises:
        RecipeError: a key or value is wrong, there are too few or too many folds, or the runs would go on from a run.
    """

    def plan(fold: int) -> PlannedRun:
        given = [f"--data.folds={n_folds}", f"--data.fold={fold}"]
        recipe = read_recipe(recipe_name, [*overrides, *given])
        _require_no_earlier_run(recipe)
        return PlannedRun(f"fold-{fold}", f"fold {fold}", recipe, {})

    return tuple(plan(fold) for fold in range(max(n_folds, 1)))


def _require_no_earlier_run(recipe: Recipe) -> None:
    weights, teacher = recipe.model.weights, recipe.schedule.loss.teacher
    for key, run in (("model.weights", weights), ("schedule.loss.teacher", teacher)):
        if run is not None and Path(run).is_dir():
            raise RecipeError(
                f"--folds cannot go with the run {run} of `{key}`: it learnt faces that the folds are to be asked about. "
                "Leave it out, or name a file of weights made from other faces"
            )


def train_folds(
    series: Series, *, resume: bool = False, force: bool = False, start: Start = run_command
) -> FoldsSummary:
    """Train the runs of `plan_folds`, then put their answers together.

    Args:
        series: what to train.
        resume: go on in an existing folder: finished runs are kept, an unfinished one goes on.
        force: replace an existing folder.
        start: runs a command of mien.

    Raises:
        ArtifactError: the folder exists, or was begun with another recipe or pack.
        RecipeError: the runs cannot be trained one after the other here.
        RunFailed: a run ended with an error, which it has told.
        MienError: a run was killed.
    """
    with one_writer(series.out):
        train_series(series, resume=resume, force=force, start=start)
        faces, summary = summarize_folds(series)
        with disk_errors(series.out, "free some space and add --resume"):
            write_out_of_fold(series.out / OUT_OF_FOLD, faces, series.packs)
            _write_summary(summary)
            drop_aside(series.out, kind_mark=MARK)
    return summary


def summarize_folds(series: Series) -> tuple[OutOfFold, FoldsSummary]:
    """Return the finished folds' answers, and what they amount to.

    Raises:
        ArtifactError: a run is missing or has not finished, or together they do not hold every face once.
    """
    finished = open_finished(series)
    outputs = [run.read_dev_outputs() for _, run, _ in finished]
    if any(output.pack_numbers is None or output.rows is None for output in outputs):
        raise ArtifactError(
            f"The runs of {series.out} are from an earlier release, which did not keep which faces were held "
            "back. Begin again with --force"
        )
    logits, labels = [output.logits for output in outputs], [output.labels for output in outputs]
    temperatures = fit_temperatures(logits, labels)
    first = finished[0][1]
    faces = _in_pack_order(
        OutOfFold(
            first.classes,
            np.concatenate([output.pack_numbers for output in outputs if output.pack_numbers is not None]),
            np.concatenate([output.rows for output in outputs if output.rows is not None]),
            np.repeat(np.arange(len(outputs)), [len(one) for one in labels]),
            np.concatenate(labels),
            np.concatenate(
                [softmax(one, temperature=t) for one, t in zip(logits, temperatures, strict=True)]
            ),
        )
    )
    _require_each_once(faces, first.pack["n_train"] + first.pack["n_dev"], series.out)
    folds = [
        Fold(planned.folder, result["best_epoch"], temperature, result["dev"])
        for (planned, _, result), temperature in zip(finished, temperatures, strict=True)
    ]
    spread = mean_std_of_metrics([fold.dev for fold in folds])
    select_by = finished[0][2]["select_by"]
    return faces, FoldsSummary(series.out, select_by, len(faces.rows), folds, spread, score_pooled(faces))


def fit_temperatures(
    logits: Sequence[NDArray[np.float32]], labels: Sequence[NDArray[np.int64]]
) -> list[float]:
    """Return the temperature of each fold, fitted on the held-out faces of all the others.

    Fitted on its own, it would have looked at the very labels that its probabilities are judged by.

    Args:
        logits: ``(N_k, C)`` of each fold's held-out faces.
        labels: ``(N_k,)`` their classes.
    """

    def others(values: Sequence[Any], fold: int) -> Any:
        return np.concatenate([value for number, value in enumerate(values) if number != fold])

    return [fit_temperature(others(logits, fold), others(labels, fold)) for fold in range(len(logits))]


def score_pooled(faces: OutOfFold) -> dict[str, PooledMetric]:
    """Return each metric over all faces together."""
    confusion = confusion_matrix(
        faces.labels, faces.probabilities.argmax(axis=1), n_classes=len(faces.classes)
    )
    return {
        name: PooledMetric(float(statistic(confusion)), bootstrap_confusion(confusion, statistic))
        for name, statistic in _POOLED.items()
    }


def _in_pack_order(faces: OutOfFold) -> OutOfFold:
    order = np.lexsort((faces.rows, faces.pack_numbers))
    return OutOfFold(
        faces.classes,
        faces.pack_numbers[order],
        faces.rows[order],
        faces.folds[order],
        faces.labels[order],
        faces.probabilities[order],
    )


def _require_each_once(faces: OutOfFold, n_faces: int, out: Path) -> None:
    places = np.column_stack([faces.pack_numbers, faces.rows])
    n_different = len(np.unique(places, axis=0))
    if not n_different == len(places) == n_faces:
        raise ArtifactError(
            f"The folds of {out} must hold each of {n_faces:,} training faces once, got {len(places):,} answers "
            f"for {n_different:,} faces. Begin again with --force"
        )


def write_out_of_fold(path: Path, faces: OutOfFold, packs: Sequence[Path]) -> None:
    """Write out_of_fold.csv, a row for each training face, in the order of the packs.

    Columns: ``key,pack,fold,true,predicted``, then ``p_<Class>`` for each class. Numbers have 9 digits, as in
    the report of `evaluate`.
    """
    keys = [Pack.open(pack).split("train").keys for pack in packs]
    classes = faces.classes
    predicted = faces.probabilities.argmax(axis=1)

    def write(partial: Path) -> None:
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(CsvLines(file))
            writer.writerow(["key", "pack", "fold", "true", "predicted", *(f"p_{name}" for name in classes)])
            for face, (pack, row) in enumerate(zip(faces.pack_numbers, faces.rows, strict=True)):
                named = [keys[pack][row], packs[pack], faces.folds[face]]
                answer = [classes[faces.labels[face]], classes[predicted[face]]]
                writer.writerow([*named, *answer, *(f"{value:.9g}" for value in faces.probabilities[face])])

    write_atomically(path, write)


def _write_summary(summary: FoldsSummary) -> None:
    rows = [
        {"fold": number, "n": fold.dev["n"], "best_epoch": fold.best_epoch, "temperature": fold.temperature}
        | {name: value for name, value in fold.dev.items() if name != "n"}
        for number, fold in enumerate(summary.folds)
    ]
    write_table(summary.out / "summary.csv", rows)
    pooled: dict[str, Any] = {"n": summary.n}
    for name, metric in summary.pooled.items():
        pooled |= {name: metric.value, f"{name}_ci95": list(metric.ci95)}
    write_json(
        summary.out / SUMMARY,
        {
            "format_version": FORMAT_VERSION,
            "kind": "folds",
            "select_by": summary.select_by,
            "pooled": pooled,
            "metrics": {name: vars(spread) for name, spread in summary.metrics.items()},
            "folds": [vars(fold) for fold in summary.folds],
        },
    )
