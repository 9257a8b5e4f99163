"""mien: facial-expression recognition from labelled faces to one ONNX file.

Example:
    >>> import mien
    >>> model = mien.load()
    >>> for face in model.predict("photo.jpg"):
    ...     print(face.expression, face.confidence)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mien.telemetry import switch_off_telemetry

if TYPE_CHECKING:
    from mien.reading.model import Model, load
    from mien.reading.readings import FaceReading, PictureReading

__version__ = "0.1.0"
__all__ = ["FaceReading", "Model", "PictureReading", "__version__", "load"]

switch_off_telemetry()

_HOMES = {
    "Model": "mien.reading.model",
    "load": "mien.reading.model",
    "FaceReading": "mien.reading.readings",
    "PictureReading": "mien.reading.readings",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for at its first use: `mien --help` must not wait for onnxruntime and OpenCV."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mien' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
