"""Where a run is logged besides its own files: MLflow and Weights & Biases, by Lightning's loggers."""

import logging
import os
from collections.abc import Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path

import lightning.pytorch as lightning
from lightning.pytorch.loggers import Logger, MLFlowLogger, WandbLogger

from mien.artifacts import read_json, write_json
from mien.errors import MissingExtraError, ModelError
from mien.recipe import Recipe
from mien.runtime.nested import flatten

_log = logging.getLogger(__name__)

# In the run's folder: what each tracker calls the run, so that a resumed one continues it.
TRACKERS = "trackers.json"


def require_trackers(trackers: Sequence[str]) -> None:
    """Require the packages of a recipe's trackers.

    Raises:
        MissingExtraError: one is not installed.
    """
    for tracker in trackers:
        if tracker != "tensorboard" and find_spec(tracker) is None:
            raise MissingExtraError(f"train --runtime.trackers [{tracker}]", tracker)


def start_trackers(trainer: lightning.Trainer, recipe: Recipe, folder: Path, *, resume: bool) -> None:
    """Let the trackers of a recipe begin or continue a run on the first process, with the recipe as its parameters.

    What a tracker keeps on this machine is in the run's folder. MLflow logs to ``MLFLOW_TRACKING_URI`` instead, if that is
    set, and Weights & Biases is offline unless ``WANDB_MODE`` says otherwise.

    Args:
        trainer: gets their loggers.
        recipe: the recipe.
        folder: the run's folder, which exists.
        resume: continue what the trackers have of this run.

    Raises:
        ModelError: one cannot begin.
    """
    path = folder / TRACKERS
    known = read_json(path, what="run") if resume and path.is_file() else {}
    names = {}
    for name in recipe.runtime.trackers:
        if name == "tensorboard":
            continue
        try:
            logger = (open_mlflow if name == "mlflow" else open_wandb)(folder.resolve(), known.get(name))
            # MLflow refuses parameters with another value, such as a changed `runtime.workers`.
            if name not in known:
                logger.log_hyperparams(flatten(asdict(recipe)))
        except Exception as error:
            reason = " ".join(str(error).split())[:200]
            raise ModelError(
                f"`runtime.trackers: [{name}]` cannot begin: {type(error).__name__}: {reason}. Check its address and the "
                "network, or leave it out"
            ) from error
        trainer.loggers = [*trainer.loggers, logger]
        names[name] = str(logger.version)
    if names:
        write_json(path, names)


def open_mlflow(folder: Path, run_id: str | None) -> Logger:
    """Return the logger of MLflow, which keeps what it logs in a file of the run's folder unless it has an address."""
    address = os.environ.get("MLFLOW_TRACKING_URI")
    # It reports each table that it creates.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
    return MLFlowLogger(
        os.environ.get("MLFLOW_EXPERIMENT_NAME", "mien"),
        run_name=folder.name,
        run_id=run_id,
        tracking_uri=address or f"sqlite:///{folder / 'mlflow.db'}",
        artifact_location=None if address else str(folder / "mlflow-artifacts"),
    )


def open_wandb(folder: Path, run_id: str | None) -> Logger:
    """Return the logger of Weights & Biases, which keeps what it logs in the run's folder unless it has a mode."""
    import wandb  # noqa: PLC0415 - not part of the extra `train`

    os.environ.setdefault("WANDB_SILENT", "true")
    is_offline = not os.environ.get("WANDB_MODE")
    if is_offline:
        _log.info(
            "Weights & Biases logs this run offline: `wandb sync %s/wandb/offline-run-*` sends it", folder
        )
    return WandbLogger(
        name=folder.name,
        save_dir=folder,
        id=run_id,
        resume="allow",
        project=os.environ.get("WANDB_PROJECT", "mien"),
        offline=is_offline,
        # Neither code nor its repository, nor what is printed.
        settings=wandb.Settings(console="off", disable_git=True, save_code=False),
    )
