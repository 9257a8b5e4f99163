"""A face without its features, which stands for "nothing to see here" where parts of it are hidden."""

import cv2
import numpy as np
from numpy.typing import NDArray

# Standard deviation as a fraction of the crop's side: no feature is left, but light and background are.
BLUR = 0.15


def blur_crop(crop_rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return a crop ``(S, S, 3)`` without features, as float32 in [0, 255]."""
    sigma = BLUR * crop_rgb.shape[0]
    blurred = cv2.GaussianBlur(crop_rgb.astype(np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, dtype=np.float32)
