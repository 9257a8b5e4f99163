"""Training several runs one after the other, each in a process of its own.

A process releases all its memory when it ends, and launches further ones for several devices as `mien train` always
does. The folder of a series holds ``runs.json``, written first, a recipe file and a folder for each run, and
the summary. Progress is recorded only on disk, so a series can be killed and resumed. Nothing here imports torch.
"""

import os
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mien.artifacts import (
    claim_output,
    disk_errors,
    make_folder,
    read_json,
    remove_partials,
    restore_aside,
    set_aside,
    write_json,
    write_text,
)
from mien.errors import ArtifactError, MienError, RecipeError
from mien.formats.pack import Pack
from mien.formats.run import Run
from mien.recipe import Recipe, format_recipe, read_recipe
from mien.recipe.validation import value_types
from mien.runtime.child_process import run_command
from mien.runtime.progress import report_step, reports_steps

FORMAT_VERSION = 1
MARK = "runs.json"
SUMMARY = "summary.json"
Start = Callable[[Sequence[str]], int]


class RunFailed(Exception):  # noqa: N818 - an outcome: the run's own process has reported why
    """A run's process ended with an exit code other than 0, after reporting the reason."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"a run ended with exit code {exit_code}")
        self.exit_code = exit_code


class PlannedRun(NamedTuple):
    """One run of a series.

    Attributes:
        folder: its folder, relative to the series' folder, with `/`.
        title: what distinguishes it from the others.
        recipe: its recipe.
        setting: the values tried, by recipe key; empty if only seeds or folds differ.
    """

    folder: str
    title: str
    recipe: Recipe
    setting: dict[str, Any]


@dataclass(frozen=True)
class Series:
    """Runs that belong together.

    Attributes:
        out: folder of the series.
        kind: what the runs are for.
        packs: packs that every run is trained on.
        runs: the runs in the order of training.
    """

    out: Path
    kind: Literal["sweep", "folds"]
    packs: tuple[Path, ...]
    runs: tuple[PlannedRun, ...]

    def recipe_path(self, run: PlannedRun) -> Path:
        """Return the file that a run's process reads its recipe from."""
        return self.out / f"{run.folder}.yaml"

    @property
    def keys(self) -> list[str]:
        """The recipe keys that differ between the settings."""
        return list(self.runs[0].setting)


def train_series(series: Series, *, resume: bool, force: bool, start: Start = run_command) -> None:
    """Train every run of a series that is not finished. The caller is the folder's one writer.

    An earlier series that is replaced stays as ``<OUT>.replaced`` until the caller has written the summary, and is
    restored if the first run does not even start: a mistake that only its process finds, such as a typo in a backbone's
    name, must not cost a night's work. A new folder is then removed.

    Args:
        series: the runs.
        resume: resume an existing folder: finished runs are kept, an unfinished one is resumed.
        force: replace an existing folder.
        start: runs a mien command.

    Raises:
        ArtifactError: the folder exists, or was started with another recipe or pack.
        RecipeError: the runs cannot be trained one after the other here.
        RunFailed: a run ended with an error, which it has reported.
        MienError: a run was killed.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ or series.runs[0].recipe.runtime.nodes > 1:
        raise RecipeError(
            "Several runs are trained from one process on one machine, not under torchrun and not with "
            "`runtime.nodes` above 1. Start the same `mien train` by itself; `runtime.devices` may be several"
        )
    packs = [Pack.open(path) for path in series.packs]
    is_resumed = resume and (series.out / MARK).exists()
    if is_resumed:
        require_same_series(series, packs)
    else:
        claim_output(series.out, force=force, kind_mark=MARK)
    with disk_errors(series.out, "free some space and add --resume"):
        if not is_resumed and os.path.lexists(series.out):
            set_aside(series.out, kind_mark=MARK, whole_mark=SUMMARY)
        try:
            make_folder(series.out)
            remove_partials(series.out)
            write_json(series.out / MARK, _describe(series, packs))
            (series.out / SUMMARY).unlink(missing_ok=True)
            _train_run(series, 0, start)
        finally:
            if not _is_started(series, series.runs[0]):
                if not is_resumed:
                    shutil.rmtree(
                        series.out, ignore_errors=True
                    )  # or the corrected command would find it in the way
                restore_aside(series.out, kind_mark=MARK)
        for index in range(1, len(series.runs)):
            _train_run(series, index, start)


def _describe(series: Series, packs: list[Pack]) -> dict[str, Any]:
    """Return the content of runs.json."""
    return {
        "format_version": FORMAT_VERSION,
        "kind": series.kind,
        "keys": series.keys,
        "pack": {
            "path": ", ".join(map(str, series.packs)),
            "members": [pack.info.content_sha256 for pack in packs],
        },
        "runs": [{"folder": run.folder, "setting": run.setting} for run in series.runs],
    }


def require_same_series(series: Series, packs: list[Pack]) -> None:
    """Refuse to resume in the folder of another series, before anything is trained.

    More or fewer values and seeds than the folder was started with are still the same series.

    Raises:
        ArtifactError: the kind, the keys, the pack or a run's recipe is another.
    """
    earlier, now = read_json(series.out / MARK, what="series of runs"), _describe(series, packs)
    if earlier.get("format_version") != FORMAT_VERSION:
        raise ArtifactError(
            f"{series.out} has series format version {earlier.get('format_version')!r}, this release resumes "
            f"{FORMAT_VERSION}. Choose another path"
        )
    if [earlier.get(name) for name in ("kind", "keys")] != [now["kind"], now["keys"]]:
        raise ArtifactError(
            f"{series.out} was started as {_name_kind(earlier)}, not as {_name_kind(now)}. Choose another path"
        )
    pack = earlier.get("pack", {})
    if pack.get("members") != now["pack"]["members"]:
        raise ArtifactError(f"{series.out} was started on another pack: {pack.get('path')}. Resume with that")
    for run in series.runs:
        if not _is_started(series, run):
            continue
        path = series.recipe_path(run)
        before = read_recipe(path, [])
        # The seed decides everything random; the rest of `runtime` may differ.
        keys = [key for key in value_types() if not key.startswith("runtime.") or key == "runtime.seed"]
        changed = [key for key in keys if attrgetter(key)(before) != attrgetter(key)(run.recipe)]
        if changed:
            raise ArtifactError(
                f"{series.out} was started with another recipe: {', '.join(changed)} differ in {path}. "
                "Resume with the recipe that it was started with, or choose another path"
            )


def _name_kind(description: dict[str, Any]) -> str:
    if description.get("kind") == "folds":
        return "a cross-validation"
    keys = description.get("keys") or []
    return f"a sweep of {', '.join(keys)}" if keys else "several seeds of one recipe"


def _is_started(series: Series, run: PlannedRun) -> bool:
    return (series.out / run.folder / "run.json").exists()


def _train_run(series: Series, index: int, start: Start) -> None:
    """Train one run, unless it is finished."""
    run = series.runs[index]
    folder = series.out / run.folder
    line = f"run {index + 1} of {len(series.runs)}: {run.title}"
    if (folder / "result.json").exists():
        Run.open(folder).read_result()
        report_step(f"{line}: finished earlier")
        return
    report_step(line)
    if folder.exists() and not _is_started(series, run):
        shutil.rmtree(folder)  # killed before its first file: it can be neither resumed nor started
    recipe_path = series.recipe_path(run)
    recipe_path.parent.mkdir(parents=True, exist_ok=True)
    remove_partials(recipe_path.parent)
    write_text(recipe_path, format_recipe(run.recipe))
    words = ["train", "--recipe", str(recipe_path), "--out", str(folder)]
    if folder.exists():
        words.append("--resume")
    if not reports_steps():
        words.append("--quiet")
    if run.recipe.data.packs is None:
        for pack in series.packs:
            words += ["--pack", str(pack)]
    exit_code = start(words)
    if exit_code < 0:
        raise MienError(
            f"{line} was killed by {signal.Signals(-exit_code).name}. If memory ran out, lower "
            "`schedule.batch_size` or `runtime.workers`; otherwise add --resume to continue"
        )
    if exit_code:
        raise RunFailed(exit_code)


def open_finished(series: Series) -> list[tuple[PlannedRun, Run, dict[str, Any]]]:
    """Return every run of a trained series with its folder and result.json.

    Raises:
        ArtifactError: one is missing or unfinished.
    """
    opened = [(run, Run.open(series.out / run.folder)) for run in series.runs]
    return [(run, done, done.read_result()) for run, done in opened]
