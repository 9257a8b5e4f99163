"""The YuNet network in onnxruntime: what its file computes, and how its outputs become faces.

OpenCV's ``FaceDetectorYN`` needs two threads and more time for the same file (benchmarks/detector.py). Boxes, points, scores and the
suppression of repeats are computed as there [0], which a test compares.

References:
    [0] https://github.com/opencv/opencv/blob/4.x/modules/objdetect/src/face_detect.cpp
"""

from collections.abc import Iterator, Mapping

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

STRIDES = (8, 16, 32)
# Images are filled up with black to whole multiples of this.
BLOCK = 32
NMS_IOU = 0.3
MAX_CANDIDATES = 5000
_INPUT = "input"
_OUTPUTS = tuple(f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps"))

# Numbers of protobuf fields on the way to the sizes that the file names (onnx.proto): graph, its inputs, outputs and
# inner values, type, tensor, shape.
_GRAPH, _INNER_VALUES = 7, 13
_TO_SHAPES = ((_GRAPH,), (11, 12), (2,), (1,), (2,))


class YuNet:
    """A loaded network. It can be used from several threads at once."""

    def __init__(self, data: bytes) -> None:
        """Load the network from its file's bytes.

        Raises:
            ValueError: it is not YuNet, or not one that onnxruntime can load.
        """
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        # A second thread gains nothing on images of the usual sizes, and its waiting slows the rest.
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                open_sizes(data), options, providers=["CPUExecutionProvider"]
            )
            names = {value.name for value in self._session.get_outputs()}
        except Exception as error:  # noqa: BLE001 - onnxruntime raises its own kinds, and RuntimeError
            raise ValueError(str(error).splitlines()[0][:200]) from None
        if not names.issuperset(_OUTPUTS):
            raise ValueError(f"it gives {', '.join(sorted(names)[:4])}, not {', '.join(_OUTPUTS[:4])}, ...")

    def detect(self, image_bgr: NDArray[np.uint8], *, score_threshold: float) -> NDArray[np.float32]:
        """Return the faces of an image at its own size.

        Args:
            image_bgr: ``(H, W, 3)`` uint8.
            score_threshold: least certainty, in [0, 1].

        Returns:
            ``(N, 15)``: x, y, width, height of the box and x, y of the five points in pixels, and the score.
        """
        height, width = image_bgr.shape[:2]
        bottom, right = -height % BLOCK, -width % BLOCK
        if bottom or right:
            image_bgr = np.asarray(
                cv2.copyMakeBorder(image_bgr, 0, bottom, 0, right, cv2.BORDER_CONSTANT), dtype=np.uint8
            )
        pixels = np.ascontiguousarray(image_bgr.transpose(2, 0, 1)[None], dtype=np.float32)
        outputs = dict(zip(_OUTPUTS, self._session.run(_OUTPUTS, {_INPUT: pixels}), strict=True))
        columns = image_bgr.shape[1]
        rows = [_faces_of(outputs, stride, columns // stride, score_threshold) for stride in STRIDES]
        return _without_overlaps(np.concatenate(rows), score_threshold)


def _faces_of(
    outputs: Mapping[str, NDArray[np.float32]], stride: int, n_columns: int, score_threshold: float
) -> NDArray[np.float32]:
    """Return the candidates of one grid of cells, as the rows of `YuNet.detect`."""
    class_score, objectness = (outputs[f"{kind}_{stride}"].reshape(-1).clip(0, 1) for kind in ("cls", "obj"))
    scores = np.sqrt(class_score * objectness)
    cells = np.flatnonzero(scores >= score_threshold)
    corner = np.stack([cells % n_columns, cells // n_columns], axis=1).astype(np.float32)
    box = outputs[f"bbox_{stride}"].reshape(-1, 4)[cells]
    points = outputs[f"kps_{stride}"].reshape(-1, 5, 2)[cells]
    size = np.exp(box[:, 2:]) * stride
    origin = (corner + box[:, :2]) * stride - size / 2
    points = (points + corner[:, None]) * stride
    return np.concatenate([origin, size, points.reshape(-1, 10), scores[cells, None]], axis=1)


def _without_overlaps(rows: NDArray[np.float32], score_threshold: float) -> NDArray[np.float32]:
    """Keep the most certain of boxes that overlap. Boxes are compared in whole pixels, as OpenCV does."""
    if not len(rows):
        return rows
    boxes = rows[:, :4].astype(np.int32).tolist()
    kept = cv2.dnn.NMSBoxes(boxes, rows[:, 14].tolist(), score_threshold, NMS_IOU, top_k=MAX_CANDIDATES)
    return rows[np.asarray(kept, dtype=np.int64).reshape(-1)]


def open_sizes(data: bytes) -> bytes:
    """Return an ONNX file without the sizes that it names for its inputs, outputs and inner values.

    YuNet's file names 640 x 640, though its graph computes any size.

    Raises:
        ValueError: it is no protobuf message.
    """
    return _without_shapes(data, 0)


def _without_shapes(message: bytes, depth: int) -> bytes:
    parts = []
    for field, whole, content in _fields(message):
        if depth == 1 and field == _INNER_VALUES:
            continue
        if content is None or field not in _TO_SHAPES[depth]:
            parts.append(whole)
        elif depth < len(_TO_SHAPES) - 1:
            inner = _without_shapes(content, depth + 1)
            parts.append(_varint(field << 3 | 2) + _varint(len(inner)) + inner)
    return b"".join(parts)


def _fields(message: bytes) -> Iterator[tuple[int, bytes, bytes | None]]:
    """Yield the fields of a protobuf message: number, the whole of it, and its content where it has a length."""
    place = 0
    while place < len(message):
        start = place
        key, place = _read_varint(message, place)
        kind, content = key & 7, None
        if kind == 0:
            _, place = _read_varint(message, place)
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        elif kind == 2:
            length, place = _read_varint(message, place)
            content = message[place : place + length]
            place += length
        else:
            raise ValueError("it is no ONNX file")
        if place > len(message):
            raise ValueError("the file ends too early")
        yield key >> 3, message[start:place], content


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    """Return a number of variable length, and the place after it."""
    value = shift = 0
    while place < len(message) and shift < 70:
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    raise ValueError("it is no ONNX file")


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])
