"""From the network's outputs, which the losses take, to the model file's.

Each function takes a task's ``(B, *shape)`` output, the `Annotations`, and the temperature. They run inside the exported
graph.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from mien.tasks import TASKS, Annotations


def calibrated_probabilities(logits: Tensor, _annotations: Annotations, temperature: float) -> Tensor:
    """Return ``(B, C)`` probabilities of the classes, after temperature scaling."""
    return torch.softmax(logits / temperature, dim=1)


def bounded_action_units(values: Tensor, annotations: Annotations, _temperature: float) -> Tensor:
    """Return ``(B, K)`` probabilities that the units are present, or their intensities in [0, 5]."""
    units = annotations["action_units"]
    return torch.sigmoid(values) if units.kind == "presence" else values.clamp(*units.limits)


def decode_further_tasks(outputs: Mapping[str, Tensor], annotations: Annotations) -> dict[str, Tensor]:
    """Return the network's outputs as the model file has them, but for the expression's logits."""
    decoded = {}
    for name, value in outputs.items():
        is_decoded = name != "expression" and TASKS[name].decode is not None
        decoded[name] = TASKS[name].resolve("decode")(value, annotations, 1.0) if is_decoded else value
    return decoded
