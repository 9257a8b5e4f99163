"""A window that shows a video while it is read.

It is Python's own tkinter: the OpenCV that mien depends on has no windows, and the one that has cannot be installed
beside it.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.drawing.annotate import annotate
from mien.errors import MienError
from mien.inference.results import ImagePrediction

# Of the screen, what a frame may take.
SCREEN_SHARE = 0.9
CLOSING_KEYS = ("q", "Q", "Escape")


class Window:
    """A window with one image. It must be used in the thread that made it."""

    def __init__(self, title: str) -> None:
        """Open the window.

        Raises:
            MienError: there is no screen, or this Python has no tkinter.
        """
        try:
            import tkinter as tk  # noqa: PLC0415 - many servers have none, and only --show needs it
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
        self._image_of = tk.PhotoImage
        self._root.title(title)
        self._root.resizable(False, False)
        self._label = tk.Label(self._root, borderwidth=0)
        self._label.pack()
        self.is_closed = False
        self._sides: dict[int, int] = {}
        self._root.protocol("WM_DELETE_WINDOW", self._end)
        for key in CLOSING_KEYS:
            self._root.bind(f"<{key}>" if len(key) > 1 else key, self._end)

    def _end(self, *_event: Any) -> None:
        self.is_closed = True

    def take(self, reading: ImagePrediction) -> bool:
        """Show a frame with its readings, and return whether the window was closed."""
        if reading.image_rgb is not None:
            self.show(annotate(reading.image_rgb, reading.rows, sides=self._sides))
        return self.is_closed

    def show(self, image_rgb: NDArray[np.uint8]) -> None:
        """Show an image ``(H, W, 3)``, made smaller where the screen is; q, Esc and the close button end it."""
        limits = self._root.winfo_screenwidth(), self._root.winfo_screenheight()
        height, width = image_rgb.shape[:2]
        scale = min(1.0, SCREEN_SHARE * limits[0] / width, SCREEN_SHARE * limits[1] / height)
        if scale < 1:
            image_rgb = np.asarray(
                cv2.resize(image_rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
            )
        header = f"P6 {image_rgb.shape[1]} {image_rgb.shape[0]} 255\n".encode()
        # Tk forgets an image that Python does not hold.
        self._image = self._image_of(data=header + image_rgb.tobytes(), format="PPM")
        self._label.configure(image=self._image)
        self._root.update()

    def close(self) -> None:
        """Close the window."""
        self._root.destroy()
