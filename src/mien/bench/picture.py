"""The picture that is looked at: a file, or the drawn one beside this module, of 640 x 480 pixels with one face.

What a detector costs depends on what it sees: a cascade takes four times as long over noise.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import SourceError
from mien.faces.image_files import read_image_file
from mien.faces.images import UnreadableImage, decode_image, to_rgb

DRAWN_PICTURE = Path(__file__).with_name("picture.jpg")


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Return a picture file ``(H, W, 3)`` uint8 RGB, upright.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        return to_rgb(decode_image(read_image_file(path)))
    except UnreadableImage as error:
        reason = error.detail or error.reason
        raise SourceError(f"The photo {path} cannot be read: {reason}. Give another with --photo") from None
