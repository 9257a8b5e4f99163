"""The class fractions that a model was trained on, as its metadata records them."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import ModelError
from mien.formats.onnx_model import ModelInfo
from mien.runtime.nested import find_dict, flatten

# With these values the loss counts every face once, so that the fractions are those of the faces.
_PLAIN_RECIPE: dict[str, Any] = {
    "data.sampling": "uniform",
    "schedule.loss.class_weights": "none",
    "schedule.loss.logit_adjustment": 0,
}


def read_class_fractions(info: ModelInfo) -> NDArray[np.float64]:
    """Return the class fractions ``(C,)`` that a model was trained on, which sum to 1.

    ``training.pack.class_fractions`` takes sampling, class weights and logit adjustment into account. A model file from
    before it was recorded has only ``train_counts``, which say the same where the recipe uses none of these.

    Raises:
        ModelError: the file does not record them, or its recipe shows that the counts are not what it was trained on.
    """
    pack, recipe = find_dict(info.training, "pack"), flatten(find_dict(info.training, "recipe"))
    for key in ("class_fractions", "train_counts"):
        values = pack.get(key)
        if values is None:
            continue
        if not _are_fractions(values, len(info.classes)):
            raise ModelError(
                f"The model's `{key}` must be {len(info.classes)} numbers, none of them negative and not all 0, got "
                f"{values!r:.80}. Export it again"
            )
        if key == "train_counts":
            weighted = [name for name, plain in _PLAIN_RECIPE.items() if recipe.get(name, plain) != plain]
            if weighted:
                raise ModelError(
                    f"This model was trained with {', '.join(f'{name} {recipe[name]}' for name in weighted)}, and does not "
                    "record which class fractions that amounts to. Use prior `as-trained`, or train it again with this release"
                )
        fractions = np.array(values, dtype=np.float64)
        return np.asarray(fractions / fractions.sum())
    raise ModelError(
        "This model does not record how many faces of each class it was trained on. Use prior `as-trained`, or a model "
        "written by `mien export`"
    )


def _are_fractions(values: object, n_classes: int) -> bool:
    return (
        isinstance(values, list)
        and len(values) == n_classes
        and all(type(value) in (int, float) and 0 <= value < math.inf for value in values)
        and sum(values) > 0
    )
