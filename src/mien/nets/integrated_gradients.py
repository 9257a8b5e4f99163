"""Integrated gradients: how much each pixel of a face contributes to an answer, from the gradients of the run's network.

References:
    [0] Sundararajan, Taly and Yan, Axiomatic Attribution for Deep Networks, 2017, https://arxiv.org/abs/1703.01365. The
        baseline is a blurred copy of the face, which has no features left; the contributions of all pixels sum to the
        difference of the log-odds between the two (completeness).

Shapes: B batch, S side of the input, C classes.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.errors import ModelError
from mien.faces.blur import blur_crop
from mien.formats.onnx_model import OnnxModel
from mien.formats.run import Run
from mien.nets.checkpoint import load_network
from mien.nets.model_file_network import require_same_outputs
from mien.nets.network import FaceNetwork

# Points between baseline and face at which the gradient is taken; completeness holds to a percent or two.
STEPS = 64
BATCH_CROPS = 32

# Takes a crop ``(S, S, 3)`` uint8 and the index of a class; returns the contributions ``(S, S)`` float32.
GradientMap = Callable[[NDArray[np.uint8], int], NDArray[np.float32]]


def open_gradient_map(run_path: Path, model: OnnxModel) -> GradientMap:
    """Return the function that computes maps with the network of the run that a model file was exported from.

    Raises:
        ArtifactError: the run is missing, unfinished or damaged.
        ModelError: the model file was exported from another run.
    """
    run = Run.open(run_path)
    run.read_result()
    network, info = load_network(run), model.info
    if run.classes != info.classes or run.recipe["data"]["input_size"] != info.input_size:
        raise ModelError(
            f"Run {run_path} must be the one that {model.path} was exported from, but it has the classes "
            f"{', '.join(run.classes)} at {run.recipe['data']['input_size']} px, the file {', '.join(info.classes)} at "
            f"{info.input_size} px. Give its own run"
        )
    require_same_outputs(
        network,
        model,
        what=f"The network of run {run_path}",
        advice="Give the run that the file was exported from",
    )
    return lambda crop_rgb, target: integrated_gradients(network, crop_rgb, target)


def integrated_gradients(
    network: FaceNetwork, crop_rgb: NDArray[np.uint8], target: int, *, steps: int = STEPS
) -> NDArray[np.float32]:
    """Return what each pixel contributes to the log-odds of a class, ``(S, S)``, summed over the color channels.

    Args:
        network: in evaluation mode; the temperature is not applied.
        crop_rgb: ``(S, S, 3)`` uint8.
        target: index of the class.
        steps: number of points at which the gradient is taken.
    """
    face = torch.from_numpy(crop_rgb.astype(np.float32))
    difference = face - torch.from_numpy(blur_crop(crop_rgb))
    # The midpoint rule.
    fractions = (torch.arange(steps) + 0.5) / steps
    total = torch.zeros_like(face)
    for batch in torch.split(fractions, BATCH_CROPS):
        images = face - (1 - batch[:, None, None, None]) * difference
        images.requires_grad_()
        odds = log_odds_of_logits(network(images)["expression"], target)
        (gradients,) = torch.autograd.grad(odds.sum(), images)
        total += gradients.sum(dim=0)
    contributions = (total / steps * difference).sum(dim=-1)
    return np.asarray(contributions.detach().numpy(), dtype=np.float32)


def log_odds_of_logits(logits_BC: Tensor, target: int) -> Tensor:  # noqa: N803 - the shape is part of the name
    """Return the log-odds ``(B,)`` of a class against all others."""
    others = torch.ones(logits_BC.shape[1], dtype=torch.bool)
    others[target] = False
    return logits_BC[:, target] - torch.logsumexp(logits_BC[:, others], dim=1)
