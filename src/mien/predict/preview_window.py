"""A window that shows a video with its predictions while it is processed.

It uses Python's own tkinter: the OpenCV package that mien depends on has no windows, and conflicts with the one that has.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.drawing.annotate import annotate
from mien.errors import MienError
from mien.inference.results import ImagePrediction

# The fraction of the screen that a frame may fill.
SCREEN_FRACTION = 0.9
CLOSING_KEYS = ("q", "Q", "Escape")


class PreviewWindow:
    """A window with one image. It must be used in the thread that created it."""

    def __init__(self, title: str) -> None:
        """Open the window.

        Raises:
            MienError: there is no display, or this Python has no tkinter.
        """
        try:
            import tkinter as tk  # noqa: PLC0415 - servers often lack it, and only --show needs it
        except ImportError:
            raise MienError(
                "--show needs tkinter, which this Python lacks: install it (Debian and Ubuntu: python3-tk), or use "
                "--draw to write an annotated video"
            ) from None
        try:
            self._root: Any = tk.Tk()
        except tk.TclError as error:
            raise MienError(
                f"--show needs a screen: {error}. Without one, use --draw to write an annotated video"
            ) from None
        self._photo_image = tk.PhotoImage
        self._root.title(title)
        self._root.resizable(False, False)
        self._label = tk.Label(self._root, borderwidth=0)
        self._label.pack()
        self.is_closed = False
        self._label_sides: dict[int, int] = {}
        self._root.protocol("WM_DELETE_WINDOW", self._on_close)
        for key in CLOSING_KEYS:
            self._root.bind(f"<{key}>" if len(key) > 1 else key, self._on_close)

    def _on_close(self, *_event: Any) -> None:
        self.is_closed = True

    def add(self, prediction: ImagePrediction) -> bool:
        """Show a frame with its predictions, and return whether the window was closed."""
        if prediction.image_rgb is not None:
            self.show(annotate(prediction.image_rgb, prediction.rows, sides=self._label_sides))
        return self.is_closed

    def show(self, image_rgb: NDArray[np.uint8]) -> None:
        """Show an image ``(H, W, 3)``, shrunk to fit the screen; q, Esc and the close button close the window."""
        screen_wh = self._root.winfo_screenwidth(), self._root.winfo_screenheight()
        height, width = image_rgb.shape[:2]
        scale = min(1.0, SCREEN_FRACTION * screen_wh[0] / width, SCREEN_FRACTION * screen_wh[1] / height)
        if scale < 1:
            image_rgb = np.asarray(
                cv2.resize(image_rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
            )
        header = f"P6 {image_rgb.shape[1]} {image_rgb.shape[0]} 255\n".encode()
        # Tk drops an image that Python holds no reference to.
        self._image = self._photo_image(data=header + image_rgb.tobytes(), format="PPM")
        self._label.configure(image=self._image)
        self._root.update()

    def close(self) -> None:
        """Close the window."""
        self._root.destroy()
