"""mien: facial expression recognition, from labeled faces to a single ONNX file.

Example:
    >>> import mien
    >>> model = mien.load()
    >>> for face in model.predict("photo.jpg"):
    ...     print(face.expression, face.confidence)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mien.runtime.telemetry import switch_off_telemetry

if TYPE_CHECKING:
    from mien.inference.aggregation import aggregate
    from mien.inference.baseline import measure_baseline, subtract_baseline
    from mien.inference.explanation import Explanation
    from mien.inference.interop import to_arrow
    from mien.inference.model import Model, load
    from mien.inference.results import FacePrediction, ImagePrediction, to_pandas

__version__ = "0.1.0"
__all__ = [
    "Explanation",
    "FacePrediction",
    "ImagePrediction",
    "Model",
    "__version__",
    "aggregate",
    "load",
    "measure_baseline",
    "subtract_baseline",
    "to_arrow",
    "to_pandas",
]

switch_off_telemetry()

_MODULES = {
    "Explanation": "mien.inference.explanation",
    "Model": "mien.inference.model",
    "load": "mien.inference.model",
    "FacePrediction": "mien.inference.results",
    "ImagePrediction": "mien.inference.results",
    "aggregate": "mien.inference.aggregation",
    "measure_baseline": "mien.inference.baseline",
    "subtract_baseline": "mien.inference.baseline",
    "to_arrow": "mien.inference.interop",
    "to_pandas": "mien.inference.results",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first access: `mien --help` must not wait for onnxruntime and OpenCV."""
    if name not in _MODULES:
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
