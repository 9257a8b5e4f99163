"""Running a model on all faces of a split."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mien.formats.onnx_model import OnnxModel
from mien.formats.pack import PackSplit
from mien.formats.pack.selection import read_batches
from mien.runtime.progress import Progress
from mien.tasks import Values

BATCH_SIZE = 32


class PredictedSplit(NamedTuple):
    """What a model returns for N faces.

    Attributes:
        outputs: ``(N, *shape)`` by task.
        features: ``(N, F)``, what the expression's linear layer takes.
    """

    outputs: Values
    features: NDArray[np.float32]


def predict_split(
    model: OnnxModel, faces: PackSplit, *, batch_size: int = BATCH_SIZE, mirrored: bool = False
) -> PredictedSplit:
    """Return what the model returns for every face of a split, in order.

    Args:
        model: the model.
        faces: the split.
        batch_size: number of faces per batch.
        mirrored: mirror every crop left to right; landmarks are then those of the mirrored crops.

    Raises:
        ModelError: the model's outputs are not finite or out of range.
    """
    batches = read_batches(faces, size=model.info.input_size, batch_size=batch_size)
    if mirrored:
        batches = (np.ascontiguousarray(images_rgb[:, :, ::-1]) for images_rgb in batches)
    title = "Evaluating mirrored" if mirrored else "Evaluating"
    with Progress(title, total=len(faces), unit="face") as progress:
        return PredictedSplit(*model.run_batches_with_features(batches, progress=progress))
