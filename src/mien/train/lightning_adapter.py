"""Lightning, for the training loop, devices, mixed precision and checkpoints."""

import logging
import math
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, cast

import lightning.pytorch as lightning
import numpy as np
import torch
import torch.distributed
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.plugins import TorchCheckpointIO
from lightning.pytorch.plugins.environments import LightningEnvironment
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader

from mien.artifacts import new_file
from mien.errors import ModelError, RecipeError
from mien.nets.decoding import decode_further_tasks
from mien.nets.network import FaceNetwork
from mien.recipe import Recipe, RuntimeConfig
from mien.runtime.progress import Progress
from mien.tasks import Values
from mien.train.dataloader import Batch, FaceBatches, build_loader, plain_batches
from mien.train.dataset import TrainingFaces
from mien.train.failures import one_line_errors, stop_at_sigterm
from mien.train.mixing import mix_faces
from mien.train.objective import Losses, Objective, Teacher
from mien.train.optimization import (
    SharpnessAware,
    build_optimizer,
    count_frozen_steps,
    frozen_norm_statistics,
    lr_factors,
)
from mien.train.processes import require_launcher, require_rank
from mien.train.sampler import EpochBatches, build_order, require_steps, step_seed
from mien.train.trackers import require_trackers
from mien.train.validation import DevPredictions, DevScores, join_predictions, score_dev

_log = logging.getLogger(__name__)

EVALUATION_BATCH = 128
# Reading the loss waits for the device, so it is done only every this many steps.
STEPS_BETWEEN_CHECKS = 20


class FaceModule(lightning.LightningModule):
    """A network in training.

    Everything random in a step depends only on the seed, the step and the rank, so that a resumed run continues
    exactly as an uninterrupted one would have.

    Attributes:
        steps_per_epoch: optimizer steps per epoch.
        epoch_losses: sum of each loss over the epoch's steps on this rank.
        n_steps: steps of the epoch so far.
        dev_scores: dev scores of the last finished epoch.
    """

    def __init__(
        self, network: FaceNetwork, faces: TrainingFaces, recipe: Recipe, *, teacher: Teacher | None = None
    ) -> None:
        super().__init__()
        schedule = recipe.schedule
        self.network = network
        self.average: AveragedModel | None = None
        if schedule.ema_decay is not None:
            update = get_ema_multi_avg_fn(schedule.ema_decay)  # type: ignore[no-untyped-call]
            average = AveragedModel(network, multi_avg_fn=update, use_buffers=True)
            self.average = average.requires_grad_(requires_grad=False).eval()
        self.faces = faces
        self.recipe = recipe
        self.objective = Objective(
            schedule.loss,
            faces.train.count_classes(),
            tasks=network.tasks,
            teacher=teacher,
            annotations=faces.annotations,
        )
        self.order = build_order(faces.train.labels, len(faces.classes), recipe)
        self.steps_per_epoch = require_steps(self.order, schedule.batch_size)
        if recipe.runtime.compile:
            network.compile()
            if teacher is not None:
                teacher.network.compile()
        self.dev_scores = DevScores(0, {})
        self.epoch_losses: dict[str, Tensor] = {}
        self.n_steps = 0
        self._predictions: list[DevPredictions] = []

    @property
    def evaluated(self) -> FaceNetwork:
        """The network that is evaluated and saved: the moving average if there is one."""
        return self.network if self.average is None else cast("FaceNetwork", self.average.module)

    def train_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of the current epoch; Lightning asks for one in each."""
        data = self.recipe.data
        batches = EpochBatches(
            self.order,
            self.recipe.schedule.batch_size,
            self.current_epoch,
            rank=self.global_rank,
            world_size=self.trainer.world_size,
        )
        dataset = FaceBatches(self.faces.train, data.input_size, data.augment, self.recipe.runtime.seed)
        return self._loader(dataset, batches)

    def val_dataloader(self) -> DataLoader[Batch]:
        """Return the loader of this rank's dev faces, without repeats."""
        batches = plain_batches(
            len(self.faces.dev), EVALUATION_BATCH, rank=self.global_rank, world_size=self.trainer.world_size
        )
        return self._loader(FaceBatches(self.faces.dev, self.recipe.data.input_size), batches)

    def _loader(self, dataset: FaceBatches, batches: Any) -> DataLoader[Batch]:
        on_gpu = self.device.type == "cuda"
        return build_loader(
            dataset, batches, workers=_n_workers(self.recipe.runtime, on_gpu=on_gpu), pin_memory=on_gpu
        )

    def on_train_batch_start(self, *_: Any) -> None:
        """Leave the backbone out of the backward pass while only the heads are trained."""
        frozen_steps = count_frozen_steps(self.recipe.schedule, self.steps_per_epoch)
        self.network.backbone.requires_grad_(self.global_step >= frozen_steps)

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Return the loss of one step."""
        seed = step_seed(self.recipe.runtime.seed, step=self.global_step, rank=self.global_rank)
        torch.manual_seed(int(seed.generate_state(1)[0]))
        batch = mix_faces(batch, self.recipe.data.augment, np.random.default_rng(seed))
        optimizer = self.optimizers(use_pl_optimizer=False)
        if isinstance(optimizer, SharpnessAware) and optimizer.is_at_worst_point:
            with frozen_norm_statistics(self.network):
                return self._losses(batch).total
        losses = self._losses(batch)
        if batch_index == 0:
            self.epoch_losses, self.n_steps = {}, 0
        for name, value in {"total": losses.total, **losses.parts}.items():
            self.epoch_losses[name] = self.epoch_losses.get(name, torch.zeros_like(value)) + value.detach()
        self.n_steps += 1
        return losses.total

    def _losses(self, batch: Batch) -> Losses:
        losses: Losses = self.objective(self.network(batch.images_rgb), batch)
        return losses

    def on_train_batch_end(self, *_: Any) -> None:
        """Update the moving average."""
        if self.average is not None:
            self.average.update_parameters(self.network)

    def on_validation_epoch_start(self) -> None:
        """Evaluate the same network on all ranks: each has seen other faces, so its batch norms differ a little."""
        if self.trainer.world_size > 1:
            for buffer in self.evaluated.buffers():
                torch.distributed.broadcast(buffer, 0)

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Store the predictions for a batch."""
        outputs = decode_further_tasks(self.evaluated.eval()(batch.images_rgb), self.faces.annotations)
        faces = range(
            self.global_rank + batch_index * EVALUATION_BATCH * self.trainer.world_size,
            len(self.faces.dev),
            self.trainer.world_size,
        )
        indices = np.array(faces[: len(batch.images_rgb)])
        self._predictions.append(DevPredictions(indices, _as_arrays(outputs)))

    def on_validation_epoch_end(self) -> None:
        """Gather the predictions of all ranks and score them."""
        parts = self._predictions
        if self.trainer.world_size > 1:
            gathered: list[Any] = [None] * self.trainer.world_size
            torch.distributed.all_gather_object(gathered, parts)
            parts = [part for rank in gathered for part in rank]
        self._predictions = []
        self.dev_scores = score_dev(join_predictions(parts), self.faces.dev, self.faces.annotations)

    def configure_optimizers(self) -> Any:
        """Return the optimizer and its learning rate, updated every step."""
        schedule, steps = self.recipe.schedule, self.steps_per_epoch
        optimizer = build_optimizer(self.network, schedule, further=self.objective.parameters())
        factors = lr_factors(optimizer, schedule, steps_per_epoch=steps)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factors)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def _as_arrays(outputs: dict[str, Tensor]) -> Values:
    return {task: value.float().cpu().numpy() for task, value in outputs.items()}


def _n_workers(runtime: RuntimeConfig, *, on_gpu: bool) -> int:
    if runtime.workers is not None:
        return runtime.workers
    # On a CPU a loading process would take cores away from the step, which needs all of them: training a ResNet-10 at
    # 48 px on two cores ran at 0.98 of the step's own rate without one, and at 0.55 with one.
    return 8 if on_gpu else 0


class EpochResult(NamedTuple):
    """Losses and dev scores of an epoch.

    Attributes:
        epoch: from 1.
        learning_rate: learning rate at its end.
        losses: means over its steps and all ranks: ``total``, and each task's loss, unweighted.
        dev: dev scores after it.
    """

    epoch: int
    learning_rate: float
    losses: dict[str, float]
    dev: DevScores


class _Epochs(Callback):
    """Shows progress, logs each epoch and calls back on the first process, and stops on SIGTERM."""

    def __init__(
        self, on_epoch_end: Callable[[FaceNetwork, EpochResult], None], *, select_by: str, resume: bool
    ) -> None:
        self._on_epoch_end = on_epoch_end
        self._restart = "--force in place of --resume" if resume else "--force"
        self._select_by = select_by
        self._progress: Progress | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        stop_at_sigterm()

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if trainer.is_global_zero:
            title = f"Epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            total = int(trainer.num_training_batches)
            self._progress = Progress(title, total=total, unit="step", leave=True)
            self._progress.__enter__()

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, *_: Any) -> None:
        note = ""
        if trainer.global_step % STEPS_BETWEEN_CHECKS == 0:
            # The same on all ranks: the others would wait for one that stopped.
            loss = pl_module.epoch_losses["total"] / pl_module.n_steps
            mean = float(trainer.strategy.reduce(loss))
            if not math.isfinite(mean):
                _stop_diverged(trainer, pl_module.recipe, self._restart)
            note = f"loss {mean:.3f}"
        if self._progress is not None:
            self._progress.advance(1, note)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        losses = {
            name: float(trainer.strategy.reduce(value / pl_module.n_steps))
            for name, value in pl_module.epoch_losses.items()
        }
        dev, rate = pl_module.dev_scores, trainer.optimizers[0].param_groups[-1]["lr"]
        if not (math.isfinite(losses["total"]) and math.isfinite(dev.values["loss"])):
            _stop_diverged(trainer, pl_module.recipe, self._restart)
        if self._progress is None:
            return
        row = {f"train/{name}": value for name, value in losses.items()}
        row |= {f"dev/{name}": value for name, value in dev.values.items()}
        for logger in [*trainer.loggers]:
            try:
                logger.log_metrics({**row, "learning_rate": rate}, step=trainer.global_step)
            except Exception as error:
                # Of its own file, like any other of the run. A server that is down must not cost the training.
                if isinstance(logger, TensorBoardLogger):
                    raise
                trainer.loggers = [each for each in trainer.loggers if each is not logger]
                _log.warning(
                    "%s no longer logs this run: %s",
                    type(logger).__name__,
                    " ".join(str(error).split())[:200],
                )
        score = dev.values.get(self._select_by, math.nan)
        self._progress.advance(0, f"loss {losses['total']:.3f}, dev {self._select_by} {score:.4f}")
        self._on_epoch_end(pl_module.evaluated, EpochResult(trainer.current_epoch + 1, rate, losses, dev))
        self._close(None)

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self._close(exception)

    def _close(self, error: BaseException | None) -> None:
        if self._progress is not None:
            self._progress.__exit__(type(error) if error else None, error, None)
        self._progress = None


def _stop_diverged(trainer: lightning.Trainer, recipe: Recipe, restart: str) -> NoReturn:
    """Stop on every rank, since one left behind would wait for the others; the first reports the reason."""
    if not trainer.is_global_zero:
        raise SystemExit(0)
    clip, rate = recipe.schedule.grad_clip_norm, recipe.schedule.learning_rate
    is_clipped = clip is not None and clip <= 1
    advice = f"--schedule.learning_rate {rate / 10:g}" if is_clipped else "--schedule.grad_clip_norm 1"
    raise ModelError(
        f"The loss is no longer finite in epoch {trainer.current_epoch + 1}, by step {trainer.global_step} of the run. "
        f"Start over with `{advice}`, and with {restart}"
    )


class _Checkpoints(TorchCheckpointIO):
    """Writes last.ckpt atomically, so that the previous one stays until the new one is complete.

    Lightning writes to TMPDIR first, and if that is another file system, copies into the old file.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        # Not straight into the file: torch raises another error for a full disk.
        buffer = BytesIO()
        torch.save(checkpoint, buffer)
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with new_file(Path(path)) as partial:
            partial.write_bytes(buffer.getbuffer())


def build_trainer(
    recipe: Recipe,
    folder: Path,
    on_epoch_end: Callable[[FaceNetwork, EpochResult], None],
    *,
    resume: bool = False,
) -> lightning.Trainer:
    """Return the trainer of a recipe. Writes nothing yet.

    Args:
        recipe: the recipe.
        folder: the run's folder.
        on_epoch_end: called on the first process after each epoch.
        resume: whether the command resumes a run, for the advice in errors.

    Raises:
        MissingExtraError: the package of a tracker is not installed.
        RecipeError: the requested accelerator is unavailable, or the environment does not match the launcher.
    """
    # Hide Lightning's own messages; mien prints what matters.
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    runtime = recipe.runtime
    if runtime.threads is not None:
        torch.set_num_threads(runtime.threads)
    require_trackers(runtime.trackers)
    n_processes = runtime.devices * runtime.nodes
    require_launcher(n_processes)
    # A frozen backbone has no gradients to exchange.
    ddp = "ddp_find_unused_parameters_true" if recipe.schedule.freeze_backbone_epochs else "ddp"
    # A single process has rank 0, whatever a launcher left in the environment.
    plugins: list[Any] = [_Checkpoints()] + ([LightningEnvironment()] if n_processes == 1 else [])
    try:
        trainer = lightning.Trainer(
            accelerator=runtime.accelerator,
            devices=runtime.devices,
            num_nodes=runtime.nodes,
            strategy=ddp if n_processes > 1 else "auto",
            max_epochs=recipe.schedule.epochs,
            gradient_clip_val=recipe.schedule.grad_clip_norm,
            precision=runtime.precision,
            deterministic=runtime.deterministic,
            plugins=plugins,
            callbacks=[
                _Epochs(on_epoch_end, select_by=recipe.schedule.select_by, resume=resume),
                ModelCheckpoint(
                    folder / "checkpoints",
                    filename="last",
                    save_on_train_epoch_end=True,
                    enable_version_counter=False,
                ),
            ],
            logger=TensorBoardLogger(folder, name="tensorboard", version="")
            if "tensorboard" in runtime.trackers
            else False,
            # Each epoch's loader knows its epoch, so nothing has to be restored on resume.
            reload_dataloaders_every_n_epochs=1,
            # `EpochBatches` shards the batches across ranks; Lightning's wrapper would shard them again.
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except (MisconfigurationException, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise RecipeError(
            f"Recipe part `runtime` does not suit this machine: {reason.rstrip('.')}. `mien doctor` lists the devices; "
            "`--runtime.accelerator auto` and `--runtime.devices 1` run anywhere"
        ) from error
    require_rank(trainer.global_rank, n_processes)
    # Lightning set it from the environment when it was imported, and its loggers use it.
    rank_zero_only.rank = trainer.global_rank
    return trainer


def fit(trainer: lightning.Trainer, module: FaceModule, *, resume_from: Path | None) -> None:
    """Train to the end of the recipe, from the start or from a last.ckpt.

    Raises:
        ModelError: the loss is no longer finite, memory ran out, or the processes lost each other.
        StoppedError: SIGTERM was received.
    """
    with one_line_errors(module.recipe.schedule.batch_size):
        trainer.fit(module, ckpt_path=resume_from, weights_only=True)


@torch.inference_mode()
def predict_dev(module: FaceModule, weights: dict[str, Tensor]) -> DevPredictions:
    """Return the predictions of the trained network with the given weights for all dev faces, in one process."""
    device = module.trainer.strategy.root_device
    network = module.evaluated.eval().to(device)
    network.load_state_dict(weights)
    loader = build_loader(
        FaceBatches(module.faces.dev, module.recipe.data.input_size),
        plain_batches(len(module.faces.dev), EVALUATION_BATCH),
        workers=_n_workers(module.recipe.runtime, on_gpu=device.type == "cuda"),
    )
    parts, start = [], 0
    for batch in loader:
        outputs = decode_further_tasks(network(batch.images_rgb.to(device)), module.faces.annotations)
        indices = np.arange(start, start + len(batch.images_rgb))
        parts.append(DevPredictions(indices, _as_arrays(outputs)))
        start += len(indices)
    return join_predictions(parts)
