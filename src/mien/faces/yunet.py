"""The YuNet network in onnxruntime: inference and the decoding of its outputs.

OpenCV's ``FaceDetectorYN`` needs two threads and more time for the same file (benchmarks/detector.py). Boxes, points,
scores and non-maximum suppression follow it [0]; a test compares the results.

References:
    [0] https://github.com/opencv/opencv/blob/4.x/modules/objdetect/src/face_detect.cpp
"""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.runtime.onnx_session import OnnxSession
from mien.runtime.protobuf import split_fields, write_field

STRIDES = (8, 16, 32)
# Images are padded with black to multiples of this.
BLOCK = 32
NMS_IOU = 0.3
MAX_CANDIDATES = 5000
_INPUT = "input"
_OUTPUTS = tuple(f"{kind}_{stride}" for stride in STRIDES for kind in ("cls", "obj", "bbox", "kps"))

# Protobuf field numbers on the path to the shapes in the file (onnx.proto): graph; its inputs and outputs; type; tensor;
# shape. `value_info` of the graph holds the shapes of intermediate values.
_SHAPE_PATH = ((7,), (11, 12), (2,), (1,), (2,))
_VALUE_INFO_DEPTH, _VALUE_INFO = 1, 13


class YuNet:
    """A loaded network. It can be used from several threads at once."""

    def __init__(self, data: bytes) -> None:
        """Load the network from the bytes of its file.

        Raises:
            ValueError: it is not YuNet, or onnxruntime cannot load it.
        """
        try:
            graph = remove_shapes(data)
            # A second thread gains nothing at the usual image sizes, and its busy waiting slows everything else down.
            self._session = OnnxSession(graph, read_again=lambda: graph, threads=1)
            names = {value.name for value in self._session.get_outputs()}
        except Exception as error:  # noqa: BLE001 - onnxruntime raises its own types, and RuntimeError
            raise ValueError(str(error).splitlines()[0][:200]) from None
        if not names.issuperset(_OUTPUTS):
            raise ValueError(
                f"its outputs are {', '.join(sorted(names)[:4])}, not {', '.join(_OUTPUTS[:4])}, ..."
            )

    def detect(self, image_bgr: NDArray[np.uint8], *, score_threshold: float) -> NDArray[np.float32]:
        """Return the faces in an image, which is not rescaled.

        Args:
            image_bgr: ``(H, W, 3)`` uint8.
            score_threshold: minimum score, in [0, 1].

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
        rows = np.concatenate(
            [_decode_stride(outputs, stride, columns // stride, score_threshold) for stride in STRIDES]
        )
        if not len(rows):
            return rows
        # Boxes are compared as integers, as in OpenCV.
        boxes, scores = rows[:, :4].astype(np.int32).tolist(), rows[:, 14].tolist()
        kept = cv2.dnn.NMSBoxes(boxes, scores, score_threshold, NMS_IOU, top_k=MAX_CANDIDATES)
        return np.asarray(rows[np.asarray(kept, dtype=np.int64).reshape(-1)], dtype=np.float32)


def _decode_stride(
    outputs: Mapping[str, NDArray[np.float32]], stride: int, n_columns: int, score_threshold: float
) -> NDArray[np.float32]:
    """Return the candidates of one grid of cells, in the format of `YuNet.detect`."""
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


def remove_shapes(message: bytes, depth: int = 0) -> bytes:
    """Return an ONNX file without the shapes of its inputs, outputs and intermediate values.

    YuNet's file fixes them for images of 640 x 640, although its graph accepts any size.

    Args:
        message: the file, or at a greater depth a message inside it, in protobuf's encoding.
        depth: number of steps along `_SHAPE_PATH`.

    Raises:
        ValueError: it is not a protobuf message.
    """
    parts = []
    for field, encoded, content in split_fields(message):
        if (depth, field) == (_VALUE_INFO_DEPTH, _VALUE_INFO):
            continue
        if field not in _SHAPE_PATH[depth]:
            parts.append(encoded)
        elif depth < len(_SHAPE_PATH) - 1:
            parts.append(write_field(field, remove_shapes(content, depth + 1)))
    return b"".join(parts)
