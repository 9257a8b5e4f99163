"""How long a run would take on this machine, from steps that are timed here."""

import time
from collections.abc import Callable
from copy import deepcopy
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mien.nets.network import FaceNetwork
from mien.recipe import Recipe
from mien.train.dataloader import Batch, FaceBatches
from mien.train.dataset import TrainingFaces
from mien.train.dry_run.cost import autocast_like
from mien.train.mixing import mix_faces
from mien.train.objective import Objective
from mien.train.optimization import build_optimizer
from mien.train.sampler import Draw

N_TIMED_STEPS = 3
# A step of more faces than fit into this time is timed on fewer.
MOST_SECONDS_PER_STEP = 3.0
_FEWEST_FACES = 8


class RunDuration(NamedTuple):
    """An estimate of a run's duration.

    Attributes:
        device: what was timed, in words.
        step_seconds: a training step, with loading its faces.
        epoch_end_seconds: predicting the dev faces after an epoch.
        n_steps: steps of the run.
        n_epochs: epochs of the run.
    """

    device: str
    step_seconds: float
    epoch_end_seconds: float
    n_steps: int
    n_epochs: int

    @property
    def seconds(self) -> float:
        """The duration of the run."""
        return self.n_steps * self.step_seconds + self.n_epochs * self.epoch_end_seconds

    def __str__(self) -> str:
        return (
            f"about {format_duration(self.seconds)} on {self.device}, from {N_TIMED_STEPS} steps timed now: "
            f"{self.step_seconds:.2g} s a step, {self.epoch_end_seconds:.2g} s for the dev faces of an epoch"
        )


def format_duration(seconds: float) -> str:
    """Return a duration with two digits or so: 40 s, 12 min, 3.4 h, 2.1 days."""
    for unit, size, limit in (("s", 1, 100), ("min", 60, 100 * 60), ("h", 3600, 72 * 3600)):
        if seconds < limit:
            value = seconds / size
            return f"{value:.1f} {unit}" if value < 10 and unit != "s" else f"{value:.0f} {unit}"
    return f"{seconds / 86400:.1f} days"


def measure_duration(
    network: FaceNetwork, objective: Objective, faces: TrainingFaces, recipe: Recipe, *, n_steps: int
) -> RunDuration:
    """Estimate a run's duration by training copies of the network for a few steps.

    Several devices are taken to share a step without loss; compiling the network is not included.

    Args:
        network: network to train.
        objective: its losses, with the teacher.
        faces: the run's faces.
        recipe: the recipe.
        n_steps: steps of the run.
    """
    schedule, runtime = recipe.schedule, recipe.runtime
    on_gpu = runtime.accelerator != "cpu" and torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    n_threads = torch.get_num_threads()
    torch.set_num_threads(runtime.threads or n_threads)
    try:
        n_faces = schedule.batch_size // (runtime.devices * runtime.nodes)
        step = _build_step(deepcopy(network).to(device), deepcopy(objective).to(device), faces, recipe)
        few = min(n_faces, _FEWEST_FACES)
        step(few)
        affordable = few * MOST_SECONDS_PER_STEP / step(few)
        n_timed = max(few, min(n_faces, int(affordable)))
        step_seconds = median(step(n_timed) for _ in range(N_TIMED_STEPS)) * n_faces / n_timed
        epoch_end = _time_dev(deepcopy(network).to(device), faces, recipe)
        n_threads_used = torch.get_num_threads()
        threads = "1 thread" if n_threads_used == 1 else f"{n_threads_used} threads"
        name = torch.cuda.get_device_name() if on_gpu else f"this CPU with {threads}"
    finally:
        torch.set_num_threads(n_threads)
    n_devices = runtime.devices * runtime.nodes
    return RunDuration(name, step_seconds, epoch_end / n_devices, n_steps, schedule.epochs)


def _build_step(
    network: FaceNetwork, objective: Objective, faces: TrainingFaces, recipe: Recipe
) -> Callable[[int], float]:
    """Return a function that trains on a number of faces and returns the seconds that it took."""
    device = network.mean.device
    optimizer = build_optimizer(network.train(), recipe.schedule, further=objective.parameters())
    dataset = FaceBatches(faces.train, recipe.data.input_size, recipe.data.augment, recipe.runtime.seed)
    # On a GPU, processes load the next batches meanwhile.
    loads_beside = device.type == "cuda" and recipe.runtime.workers != 0

    def step(n_faces: int) -> float:
        start = time.perf_counter()
        draws = [Draw(0, index, index % len(faces.train)) for index in range(n_faces)]
        batch = mix_faces(dataset.__getitems__(draws), recipe.data.augment, np.random.default_rng(0))
        if loads_beside:
            start = time.perf_counter()
        targets = {task: values.to(device) for task, values in batch.targets.items()}
        batch = Batch(batch.images_rgb.to(device), targets)

        def closure() -> Tensor:
            optimizer.zero_grad()
            with autocast_like(recipe, device.type):
                loss: Tensor = objective(network(batch.images_rgb), batch).total
            loss.backward()  # type: ignore[no-untyped-call]
            return loss.detach()

        # The loss is read, which waits for the device.
        float(optimizer.step(closure))  # type: ignore[arg-type]
        return time.perf_counter() - start

    return step


@torch.inference_mode()
def _time_dev(network: FaceNetwork, faces: TrainingFaces, recipe: Recipe) -> float:
    """Return the seconds that predicting all dev faces takes."""
    n_faces = min(len(faces.dev), _FEWEST_FACES)
    draws = [Draw(0, index, index) for index in range(n_faces)]
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        images = FaceBatches(faces.dev, recipe.data.input_size).__getitems__(draws).images_rgb
        with autocast_like(recipe, network.mean.device.type):
            network.eval()(images.to(network.mean.device))["expression"].float().sum().item()
        seconds.append(time.perf_counter() - start)
    return seconds[-1] * len(faces.dev) / n_faces
