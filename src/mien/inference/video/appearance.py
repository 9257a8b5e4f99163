"""How a face looks, cheaply: enough to tell two people who follow each other in one place of a video.

A descriptor is an aligned gray patch without its mean and contrast, so that the product of two is their correlation. It does
not recognize a person: it only says that two faces a moment apart are hardly the same.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.crop import CropContract, crop_image, crop_matrix
from mien.faces.detector import DetectedFace

PATCH_SIZE = 24
_CONTRACT = CropContract(method="aligned", margin=0.0, size=PATCH_SIZE)
# A patch with less contrast than this, in gray values, tells nothing.
LEAST_CONTRAST = 4.0


def describe_face(image_rgb: NDArray[np.uint8], face: DetectedFace) -> NDArray[np.float32] | None:
    """Return the descriptor of a face, ``(PATCH_SIZE ** 2,)`` of length 1; None if the patch is nearly uniform."""
    matrix, _ = crop_matrix(_CONTRACT, image_rgb.shape[1::-1], anchors=face.anchors, box_xyxy=face.box_xyxy)
    patch_rgb = crop_image(image_rgb, matrix, PATCH_SIZE)
    values = cv2.cvtColor(patch_rgb, cv2.COLOR_RGB2GRAY).astype(np.float32).ravel()
    values -= values.mean()
    if values.std() < LEAST_CONTRAST:
        return None
    return np.asarray(values / np.linalg.norm(values), dtype=np.float32)
