"""mien itself, with the defaults of `mien predict`, on one thread like the networks of the peers.

Arguments: the name or path of the model, if it is not the default one.
"""

import sys

import cv2
from protocol import installed_bytes, serve

import mien
from mien.faces.detector_file import find_detector_file

MODEL = mien.load(sys.argv[1] if len(sys.argv) > 1 else None, threads=1)


def read(path):
    """Return RGB pixels."""
    return cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)


def predict(image_rgb, cropped):
    """Return the faces of an image."""
    return [
        {"box_xyxy": [float(value) for value in face.box_xyxy], "probabilities": face.probabilities}
        for face in MODEL.predict(image_rgb, cropped=cropped)
        if face.probabilities is not None
    ]


serve(
    {
        "name": f"mien ({MODEL.onnx_model.path.stem})",
        "version": mien.__version__,
        "detector": "YuNet",
        "weights": [str(MODEL.onnx_model.path), str(find_detector_file(None, fallback=""))],
        "install_bytes": installed_bytes("mien"),
    },
    read,
    predict,
)
