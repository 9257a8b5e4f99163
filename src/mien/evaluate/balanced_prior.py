"""The same predictions, answered as if all classes were equally common."""

import numpy as np

from mien.errors import ModelError
from mien.formats.class_fractions import read_class_fractions
from mien.formats.onnx_model import ModelInfo
from mien.metrics.prior import divide_by_prior
from mien.tasks import Values

BALANCED_PRIOR_NOTE = (
    "The same probabilities, divided by the class frequencies of the training data, as `mien predict --prior balanced` does: "
    "rare classes are predicted more often, which raises balanced accuracy and usually lowers accuracy. Nothing is fitted on "
    "the evaluated faces. All other metrics are of the predictions as trained."
)


def balance_prior(outputs: Values, info: ModelInfo) -> Values | None:
    """Return the expression probabilities for equally common classes; None if the model does not record its fractions."""
    try:
        fractions = read_class_fractions(info)
    except ModelError:
        return None
    return {"expression": divide_by_prior(outputs["expression"], fractions, 1).astype(np.float32)}
