"""Running a model file over the faces of a split: images are decoded while the network works."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from mien.faces.crop import resize_crop
from mien.formats.onnx_model import OnnxModel, Outputs
from mien.formats.pack import PackSplit
from mien.runtime.progress import Progress

_DECODERS = 2
_BATCHES_AHEAD = 3


def read_split(bundle: OnnxModel, split: PackSplit, *, batch_size: int, mirrored: bool = False) -> Outputs:
    """Return what the model says of every face of the split, in its order.

    Args:
        bundle: the model.
        split: the faces.
        batch_size: faces in one run of the network.
        mirrored: show it every face mirrored left to right. Landmarks are then the mirrored image's.

    Raises:
        ModelError: the model gives values that are not finite.
    """
    parts: list[Outputs] = []
    title = "Evaluating mirrored" if mirrored else "Evaluating"
    with Progress(title, total=len(split), unit="face") as progress:
        for images_rgb in _batches(split, bundle.info.input_size, batch_size):
            outputs = bundle.run(np.ascontiguousarray(images_rgb[:, :, ::-1]) if mirrored else images_rgb)
            parts.append(outputs)
            progress.advance(len(images_rgb))
    return Outputs.concatenate(parts)


def _batches(split: PackSplit, size: int, batch_size: int) -> Iterator[NDArray[np.uint8]]:
    """Yield ``(n, size, size, 3)`` batches in order, a few of them decoded ahead."""

    def decode(start: int) -> NDArray[np.uint8]:
        indices = range(start, min(start + batch_size, len(split)))
        return np.stack([resize_crop(split.image(index), size) for index in indices])

    waiting: deque[Future[NDArray[np.uint8]]] = deque()
    with ThreadPoolExecutor(_DECODERS) as pool:
        for start in range(0, len(split), batch_size):
            waiting.append(pool.submit(decode, start))
            if len(waiting) > _BATCHES_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
