"""Occlusion sensitivity: how much a model's answer depends on each part of a face.

A soft spot moves over the crop and blurs what is below it; where that costs the answer most, the model looks. It needs only
the model's outputs, so it works for any model file, int8 included.

References:
    [0] Zeiler and Fergus, Visualizing and Understanding Convolutional Networks, 2014, https://arxiv.org/abs/1311.2901,
        section 4.2. Deviations: the drop is in log-odds, since the probability of a confident answer saturates; a pixel's
        value is the mean over all positions, weighted by how much each hides it; and [1].
    [1] Fong and Vedaldi, Interpretable Explanations of Black Boxes by Meaningful Perturbation, 2017,
        https://arxiv.org/abs/1704.03296, section 4.1: a blurred copy hides a part, where a gray square would add edges that
        no face has.
"""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from mien.faces.blur import blur_crop

# Standard deviation of the spot as a fraction of the crop's side: it covers about an eye with its brow, or a mouth.
SPOT = 0.1
# Positions of the spot along each side.
STEPS = 12
BATCH_CROPS = 48
# Of a probability: float32 has no smaller one next to 1.
_SMALLEST = 1e-7


def log_odds(probabilities: NDArray[np.floating], target: int) -> NDArray[np.float64]:
    """Return the log-odds ``(N,)`` of a class against all others.

    Args:
        probabilities: ``(N, C)``.
        target: index of the class.
    """
    others = np.delete(probabilities.astype(np.float64), target, axis=1).sum(axis=1)
    own = probabilities[:, target].astype(np.float64)
    return np.asarray(np.log(np.maximum(own, _SMALLEST)) - np.log(np.maximum(others, _SMALLEST)))


def occlusion_map(
    crop_rgb: NDArray[np.uint8],
    target: int,
    predict: Callable[[NDArray[np.uint8]], NDArray[np.floating]],
    *,
    steps: int = STEPS,
) -> NDArray[np.float32]:
    """Return the drop in log-odds of a class where a part of a face is hidden.

    Args:
        crop_rgb: ``(S, S, 3)`` uint8, the model's input.
        target: index of the class.
        predict: takes crops ``(N, S, S, 3)`` uint8, and returns probabilities ``(N, C)``.
        steps: positions of the spot along each side; the model runs on steps x steps crops.

    Returns:
        ``(S, S)``: positive where the part is evidence for the class, negative where it speaks against it.
    """
    side = crop_rgb.shape[0]
    centers = (np.arange(steps) + 0.5) * side / steps
    # (steps, S): the spot is the product of a column and a row.
    profiles = np.exp(-0.5 * ((np.arange(side) + 0.5 - centers[:, None]) / (SPOT * side)) ** 2)
    full, blurred = crop_rgb.astype(np.float32), blur_crop(crop_rgb)
    places = [(y, x) for y in range(steps) for x in range(steps)]

    def hidden_crops() -> Iterator[NDArray[np.uint8]]:
        for first in range(0, len(places), BATCH_CROPS):
            rows, columns = np.transpose(places[first : first + BATCH_CROPS])
            spots = (profiles[rows][:, :, None] * profiles[columns][:, None, :]).astype(np.float32)[..., None]
            yield np.rint(full + spots * (blurred - full)).astype(np.uint8)

    answers = [log_odds(predict(crops), target) for crops in hidden_crops()]
    drops = log_odds(predict(crop_rgb[None]), target) - np.concatenate(answers)
    heat = profiles.T @ drops.reshape(steps, steps) @ profiles
    weights = np.outer(profiles.sum(axis=0), profiles.sum(axis=0))
    return np.asarray(heat / weights, dtype=np.float32)
