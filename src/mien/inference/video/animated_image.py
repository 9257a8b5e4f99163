"""Animated images (GIF, WebP, PNG, AVIF) as videos, decoded by Pillow."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mien.faces.images import UnreadableImage
from mien.inference.video.frames import Frame, plausible_frame_rate, too_large
from mien.runtime.regular_files import open_regular

# Formats that can hold an animation, by how their files begin.
_GIF, _PNG, _RIFF = b"GIF8", b"\x89PNG\r\n\x1a\n", b"RIFF"
# A PNG is animated if this chunk comes before the pixels; color profiles may be in between.
_PNG_HEAD_BYTES = 65_536
# Browsers show a frame that lasts 10 ms or less for this long.
SHORTEST_S, DEFAULT_S = 0.011, 0.1


def is_animated_image(path: Path, header: bytes) -> bool:
    """Return whether a file is an image of several frames; False if it cannot be read.

    Args:
        path: of the file.
        header: its first bytes, at least 24.
    """
    try:
        if header.startswith(_PNG):
            with open_regular(path) as file:
                return b"acTL" in file.read(_PNG_HEAD_BYTES).partition(b"IDAT")[0]
        is_webp = header[:4] == _RIFF and header[8:16] == b"WEBPVP8X" and bool(header[20] & 2)
        if not (header.startswith(_GIF) or is_webp or header[4:12] == b"ftypavis"):
            return False
        with open_regular(path) as file, Image.open(file) as image:
            return bool(getattr(image, "is_animated", False))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


class AnimatedImage:
    """The frames of an animated image, composed as a browser shows them; transparent parts are black."""

    is_live = False

    def __init__(self, name: str, path: Path) -> None:
        """Open the file.

        Raises:
            UnreadableImage: its first frame cannot be read.
        """
        self.name = name
        self._file = open_regular(path)
        try:
            self._image = Image.open(self._file)
            self.n_frames: int | None = int(getattr(self._image, "n_frames", 1))
            if too_large(*self._image.size) is None:
                self._image.load()  # before, a WebP does not say for how long its frame is shown
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            self._file.close()
            raise UnreadableImage("truncated_video", str(error)) from None
        self.frame_rate = plausible_frame_rate(1 / self._duration_s())

    def _duration_s(self) -> float:
        """Return for how long the current frame, which is loaded, is shown."""
        seconds = float(self._image.info.get("duration") or 0) / 1000
        return seconds if seconds >= SHORTEST_S else DEFAULT_S

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames, and a last one without pixels if the file ends early."""
        seconds = 0.0
        n_frames = self.n_frames or 0
        try:
            refused = too_large(*self._image.size)
            if refused is not None:
                yield refused
                return
            for number in range(n_frames):
                try:
                    self._image.seek(number)
                    image_rgba = self._image.convert("RGBA")
                except (OSError, ValueError, SyntaxError, EOFError) as error:
                    detail = f"frames from {number:,} on cannot be read, of {n_frames:,}: {error}"
                    yield Frame(number, seconds, None, ("truncated_video", detail))
                    return
                black = Image.new("RGBA", image_rgba.size, (0, 0, 0, 255))
                black.alpha_composite(image_rgba)
                yield Frame(number, seconds, np.asarray(black.convert("RGB"), dtype=np.uint8))
                seconds += self._duration_s()
        finally:
            self._image.close()
            self._file.close()
