"""The cost of a network: multiply-adds, and the memory of a training step."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mien.nets.network import FaceNetwork
from mien.recipe import Recipe
from mien.train.dataloader import FaceBatches
from mien.train.mixing import mix_faces
from mien.train.objective import Objective
from mien.train.optimization import SharpnessAware, build_optimizer
from mien.train.sampler import Draw

# Two batch sizes separate what each face adds from what a step needs anyway. A batch norm needs more than one face.
_MEASURED_BATCHES = (2, 3)


def count_parameters(module: nn.Module) -> int:
    """Return the number of a module's parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def count_multiply_adds(network: FaceNetwork, input_size: int) -> int:
    """Return the multiply-adds of convolutions and matrix products for one face, forward.

    Args:
        network: the network.
        input_size: side of its input in pixels.
    """
    was_training = network.training
    # Fused attention is not counted on every device.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, input_size, input_size, 3))
    network.train(was_training)
    return int(counter.get_total_flops()) // 2


class StepMemory(NamedTuple):
    """An estimate of the device memory of a training step, in bytes.

    Temporary buffers of operations, the framework's own memory, and the teacher's activations are not included.

    Attributes:
        parts: memory that does not depend on the batch, by name.
        per_face: memory of a face, its targets, and what is saved of it for the backward pass.
        per_step: other memory saved for the backward pass, such as weights in half precision.
        n_faces: faces per step on one device.
    """

    parts: dict[str, int]
    per_face: int
    per_step: int
    n_faces: int

    @property
    def activations(self) -> int:
        """Bytes of a step's activations."""
        return self.per_step + self.per_face * self.n_faces

    @property
    def total(self) -> int:
        """Bytes in total."""
        return sum(self.parts.values()) + self.activations


def estimate_memory(
    network: FaceNetwork, objective: Objective, dataset: FaceBatches, recipe: Recipe
) -> StepMemory:
    """Estimate the memory of a training step on one device, by running the network on a few faces.

    Args:
        network: network to train.
        objective: its losses, with the teacher.
        dataset: training faces.
        recipe: the recipe.
    """
    schedule, runtime = recipe.schedule, recipe.runtime
    n_devices = runtime.devices * runtime.nodes
    trained = sum(value.nbytes for value in (*network.parameters(), *objective.parameters()))
    parts = {
        "weights": _bytes_of(network),
        "gradients": trained,
        "gradients in transit": trained if n_devices > 1 else 0,
        "optimizer": _measure_optimizer(network, objective, recipe),
        # While the second gradient is computed, the weights and the first one are kept.
        "sharpness-aware step": 0 if schedule.sam_rho is None else 2 * trained,
        "moving average": 0 if schedule.ema_decay is None else _bytes_of(network),
        "teacher": 0 if objective.teacher is None else _bytes_of(objective.teacher.network),
    }
    fewer, more = _MEASURED_BATCHES
    first, second = (_measure_step(network, objective, dataset, recipe, n) for n in _MEASURED_BATCHES)
    per_face = (second - first) // (more - fewer)
    return StepMemory(
        {name: size for name, size in parts.items() if size},
        per_face,
        max(0, first - fewer * per_face),
        schedule.batch_size // n_devices,
    )


def _bytes_of(module: nn.Module) -> int:
    return sum(value.nbytes for value in [*module.parameters(), *module.buffers()])


def _measure_optimizer(network: FaceNetwork, objective: Objective, recipe: Recipe) -> int:
    """Return the bytes of the optimizer's state, after a step on weights without memory (meta device)."""
    optimizer = build_optimizer(network, recipe.schedule, further=objective.parameters())
    inner = optimizer.inner if isinstance(optimizer, SharpnessAware) else optimizer
    for group in inner.param_groups:
        group["params"] = [nn.Parameter(torch.empty_like(value, device="meta")) for value in group["params"]]
        for value in group["params"]:
            value.grad = torch.empty_like(value)
    inner.step()
    states = [value for state in inner.state.values() for value in state.values()]
    return sum(value.nbytes for value in states if isinstance(value, Tensor) and value.device.type == "meta")


def _measure_step(
    network: FaceNetwork, objective: Objective, dataset: FaceBatches, recipe: Recipe, n_faces: int
) -> int:
    """Return the bytes of a batch and of what is saved for its backward pass."""
    loaded = dataset.__getitems__([Draw(0, index, index % len(dataset.faces)) for index in range(n_faces)])
    batch = mix_faces(loaded, recipe.data.augment, np.random.default_rng(0))
    tensors = [value for each in (loaded, batch) for value in (each.images_rgb, *each.targets.values())]
    values = {id(value): value for value in tensors}.values()
    known = (
        *network.parameters(),
        *network.buffers(),
        *objective.parameters(),
        *objective.buffers(),
        *values,
    )
    network.train()
    with autocast_like(recipe):
        saved = count_saved_bytes(lambda: objective(network(batch.images_rgb), batch), known=known)
    return saved + sum(value.nbytes for value in values)


def autocast_like(recipe: Recipe, device: str = "cpu") -> AbstractContextManager[object]:
    """Return the autocast with the recipe's element size; every CPU has bfloat16, which is as large as float16."""
    if recipe.runtime.precision == "32-true":
        return nullcontext()
    return torch.autocast(device, dtype=torch.bfloat16)


def count_saved_bytes(forward: Callable[[], object], *, known: Iterable[Tensor]) -> int:
    """Return the bytes that autograd saves in a forward pass, counting each storage once.

    Args:
        forward: runs the forward pass.
        known: tensors that are not counted, such as the weights.
    """
    # Kept alive, so that no freed storage's address is reused by another.
    storages: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage
        return tensor.detach()

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    for tensor in known:
        storages.pop(tensor.untyped_storage().data_ptr(), None)
    return sum(storage.nbytes() for storage in storages.values())
