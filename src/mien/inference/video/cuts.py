"""Cuts: where one shot of a video ends and the next one begins."""

import cv2
import numpy as np
from numpy.typing import NDArray

# A frame is compared as this many cells, each the mean of its part: motion within a cell does not show.
GRID_WH = (16, 12)
# A cell has changed if its gray value differs by this much; a cut changes this fraction of the cells, as they are and with
# the frames' brightness and contrast made equal. Measured by `benchmarks/tracks.py`.
CELL_CHANGE, CUT_FRACTION = 24.0, 0.45
# A frame with less contrast than this is nearly uniform, such as in a fade: its contrast is not matched.
LEAST_CONTRAST = 8.0


class CutDetector:
    """Compares each frame of a video with the one before it."""

    def __init__(self) -> None:
        """Start without a frame."""
        self._previous: NDArray[np.float64] | None = None

    def is_cut(self, image_rgb: NDArray[np.uint8]) -> bool:
        """Return whether a frame, ``(H, W, 3)`` uint8, belongs to another shot than the one before it.

        A flash, or a lamp that is switched on, changes brightness and contrast of the whole frame and is no cut.
        """
        # Every cell needs a few of its rows only.
        rows_rgb = image_rgb[:: max(1, len(image_rgb) // 96)]
        cells_rgb = cv2.resize(rows_rgb, GRID_WH, interpolation=cv2.INTER_AREA)
        cells = cv2.cvtColor(cells_rgb, cv2.COLOR_RGB2GRAY).astype(np.float64)
        previous, self._previous = self._previous, cells
        if previous is None:
            return False
        before, now = previous.std(), cells.std()
        versions = [cells]
        if min(before, now) > LEAST_CONTRAST:
            versions.append((cells - cells.mean()) / now * before + previous.mean())
        return all((np.abs(version - previous) > CELL_CHANGE).mean() >= CUT_FRACTION for version in versions)
