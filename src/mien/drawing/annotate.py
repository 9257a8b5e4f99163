"""Drawing predictions on an image: for each face a frame with rounded corners, the landmark contours, and a label."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.drawing.contours import visible_contours
from mien.drawing.label_card import OTHER_COLOR, Rgb, build_card, build_pill, class_color
from mien.drawing.label_layout import Box, LabelLayout, area
from mien.inference.results import NO_FACE, FacePrediction

# A smaller image is enlarged to this many pixels, so that labels are legible.
MIN_LONGER_SIDE = 720
# A label with bars is used if it is not much wider than its face and hides little (cost from `label_layout` per pixel
# of the label). It may hide more if the face is the only one, since a close-up leaves no other room.
MAX_CARD_TO_FACE = 1.3
MAX_CARD_COST = 0.04
MAX_CARD_COST_SINGLE_FACE = 0.45
# A hidden face keeps this many blocks a side, and so does this fraction of its box around it: ears, hair and chin.
BLUR_BLOCKS = 6
BLUR_MARGIN = 0.25
# OpenCV takes coordinates in units of 1/16 pixel.
_SHIFT = 4
_DARK: Rgb = (12, 14, 18)
_WHITE: Rgb = (255, 255, 255)

_CIRCLE = np.stack([np.cos(np.arange(16) * np.pi / 8), np.sin(np.arange(16) * np.pi / 8)], axis=1)


def annotate(
    image_rgb: NDArray[np.uint8],
    predictions: Sequence[FacePrediction],
    *,
    sides: dict[int, int] | None = None,
    blur: bool = False,
) -> NDArray[np.uint8]:
    """Return a copy of an image with its predictions drawn on it.

    Args:
        image_rgb: ``(H, W, 3)`` uint8.
        predictions: the image's predictions.
        sides: for the frames of a video, one dictionary shared by all of them: the side of the face that the label of
            each track is on, so that labels do not jump. It is updated.
        blur: make the faces unrecognizable, in place of drawing their landmarks. A face that was not found stays visible.

    Returns:
        ``(H', W', 3)`` uint8 RGB: the image's size, or larger for a small image.
    """
    scale = max(1.0, MIN_LONGER_SIDE / max(image_rgb.shape[:2]))
    drawing = image_rgb.copy()
    if scale > 1:
        drawing = np.asarray(
            cv2.resize(image_rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), dtype=np.uint8
        )
    faces = [
        replace(
            prediction,
            box_xyxy=np.asarray(prediction.box_xyxy, dtype=np.float64) * scale,
            landmarks=None if prediction.landmarks is None else prediction.landmarks * scale,
        )
        for prediction in predictions
        if prediction.box_xyxy is not None
    ]
    boxes = [_box(face) for face in faces]
    for box in boxes if blur else ():
        _hide(drawing, box)
    for face, box in zip(faces, boxes, strict=True):
        color = class_color(face.expression)
        if face.landmarks is not None and not blur:
            _draw_landmarks(drawing, face.landmarks, side=_longer_side(box), color=color)
        _draw_frame(drawing, box, color=color)
    _draw_labels(drawing, faces, boxes, {} if sides is None else sides)
    if any(prediction.status == NO_FACE for prediction in predictions):
        font_px = _font_px(drawing, max(drawing.shape[:2]))
        margin = round(font_px * 0.7)
        _blend(drawing, build_pill("no face found", font_px, color=OTHER_COLOR), margin, margin)
    return drawing


def _hide(drawing: NDArray[np.uint8], box: Box) -> None:
    """Replace a face and its surroundings by the means of a few blocks, from which nothing can be restored."""
    x0, y0, x1, y1 = box
    margin_x, margin_y = BLUR_MARGIN * (x1 - x0), BLUR_MARGIN * (y1 - y0)
    left, top = max(0, math.floor(x0 - margin_x)), max(0, math.floor(y0 - margin_y))
    region = drawing[top : max(0, math.ceil(y1 + margin_y)), left : max(0, math.ceil(x1 + margin_x))]
    if region.size == 0:
        return
    height, width = region.shape[:2]
    few = cv2.resize(
        region, (min(BLUR_BLOCKS, width), min(BLUR_BLOCKS, height)), interpolation=cv2.INTER_AREA
    )
    region[:] = cv2.resize(few, (width, height), interpolation=cv2.INTER_LINEAR)


def _font_px(drawing: NDArray[np.uint8], face_side: float) -> float:
    """Return a font size proportional to the face, within limits proportional to the image."""
    longer = max(drawing.shape[:2])
    return float(np.clip(face_side * 0.08, max(13.0, longer / 64), max(16.0, longer / 34)))


def _draw_landmarks(
    drawing: NDArray[np.uint8], landmarks: NDArray[np.float64], *, side: float, color: Rgb
) -> None:
    """Draw thin contours and dots, light on dark, so that they are visible on any skin and background."""
    margin = max(4.0, side / 20)
    height, width = drawing.shape[:2]
    x0, y0 = np.clip(landmarks.min(axis=0) - margin, 0, (width, height)).astype(int)
    x1, y1 = np.clip(landmarks.max(axis=0) + margin, 0, (width, height)).astype(int)
    region = drawing[y0:y1, x0:x1]
    if region.size == 0:
        return
    points = landmarks - (x0, y0)
    thin = max(1, round(side / 330))
    for line_color, thickness, opacity in ((_DARK, thin + 2, 0.35), (_WHITE, thin, 0.6)):
        layer = region.copy()
        for contour, is_closed in visible_contours(points):
            cv2.polylines(
                layer, [_fixed_point(contour)], is_closed, line_color, thickness, cv2.LINE_AA, _SHIFT
            )
        region[:] = cv2.addWeighted(layer, opacity, region, 1 - opacity, 0)
    radius = max(1.2, side / 165)
    dots = region.copy()
    for point in points:
        _draw_disc(dots, point, radius + 0.8, _DARK)
        _draw_disc(dots, point, radius, color)
    region[:] = dots


def _draw_frame(drawing: NDArray[np.uint8], box: Box, *, color: Rgb) -> None:
    """Draw the four rounded corners of a box."""
    x0, y0, x1, y1 = box
    side = min(x1 - x0, y1 - y0)
    radius = side * 0.09
    angles = np.linspace(0, np.pi / 2, 9)
    arc = np.stack([radius * (1 - np.sin(angles)), radius * (1 - np.cos(angles))], axis=1)
    corner = np.concatenate([[[side * 0.22, 0]], arc, [[0, side * 0.22]]])
    corners = [
        corner * (sign_x, sign_y) + (x, y)
        for x, y, sign_x, sign_y in ((x0, y0, 1, 1), (x1, y0, -1, 1), (x0, y1, 1, -1), (x1, y1, -1, -1))
    ]
    thick = max(2, round(side / 90))
    for line_color, thickness in ((_DARK, thick + 2), (color, thick)):
        lines = [_fixed_point(line) for line in corners]
        cv2.polylines(drawing, lines, False, line_color, thickness, cv2.LINE_AA, _SHIFT)
        for line in corners:
            _draw_disc(drawing, line[0], thickness / 2, line_color)
            _draw_disc(drawing, line[-1], thickness / 2, line_color)


def _draw_disc(drawing: NDArray[np.uint8], center: NDArray[np.float64], radius: float, color: Rgb) -> None:
    """Draw a small disc as a polygon: OpenCV's own small circles are diamonds."""
    cv2.fillConvexPoly(drawing, _fixed_point(center + radius * _CIRCLE), color, cv2.LINE_AA, _SHIFT)


def _fixed_point(points: NDArray[np.floating[Any]]) -> NDArray[np.int32]:
    """Return points in OpenCV's fixed-point units, clipped so that they cannot overflow."""
    return np.asarray(np.round(np.clip(points, -1e6, 1e6) * (1 << _SHIFT)), dtype=np.int32)


def _draw_labels(
    drawing: NDArray[np.uint8], faces: Sequence[FacePrediction], boxes: Sequence[Box], sides: dict[int, int]
) -> None:
    """Label faces in their order, which is largest first: a card if there is room for it, else a single line."""
    tracks = [face.track for face in faces]
    layout = LabelLayout(
        (drawing.shape[1], drawing.shape[0]),
        boxes,
        [_features_box(face) for face in faces],
        sides={
            index: sides[track] for index, track in enumerate(tracks) if track is not None and track in sides
        },
    )
    max_cost = MAX_CARD_COST if len(faces) > 1 else MAX_CARD_COST_SINGLE_FACE
    for index, face in enumerate(faces):
        side = _longer_side(boxes[index])
        font_px = _font_px(drawing, side)
        label = build_card(face, font_px)
        position, cost = layout.find_position((label.shape[1], label.shape[0]), index)
        if label.shape[1] > MAX_CARD_TO_FACE * side or cost > max_cost * area(position):
            confidence = f"{face.confidence or 0:.0%}"
            expression = str(face.expression)
            label = build_pill(expression, font_px, color=class_color(expression), value=confidence)
            position, _ = layout.find_position((label.shape[1], label.shape[0]), index)
        layout.labels.append(position)
        _blend(drawing, label, round(position[0]), round(position[1]))
    sides.clear()
    sides.update({track: layout.sides[index] for index, track in enumerate(tracks) if track is not None})


def _box(face: FacePrediction) -> Box:
    x0, y0, x1, y1 = np.asarray(face.box_xyxy).tolist()
    return x0, y0, x1, y1


def _features_box(face: FacePrediction) -> Box:
    """Return the part of a face that a label should not hide."""
    if face.landmarks is not None:
        (x0, y0), (x1, y1) = face.landmarks.min(axis=0).tolist(), face.landmarks.max(axis=0).tolist()
        return x0, y0, x1, y1
    x0, y0, x1, y1 = _box(face)
    return x0 + 0.12 * (x1 - x0), y0 + 0.22 * (y1 - y0), x1 - 0.12 * (x1 - x0), y1


def _longer_side(box: Box) -> float:
    return max(box[2] - box[0], box[3] - box[1])


def _blend(drawing: NDArray[np.uint8], tile_rgba: NDArray[np.uint8], x: int, y: int) -> None:
    """Blend a tile into the drawing in place, cropped at the image's edges."""
    x, y = max(0, x), max(0, y)
    target = drawing[y : y + tile_rgba.shape[0], x : x + tile_rgba.shape[1]]
    tile = tile_rgba[: target.shape[0], : target.shape[1]].astype(np.float32)
    opacity = tile[:, :, 3:] / 255
    target[:] = np.round(tile[:, :, :3] * opacity + target * (1 - opacity)).astype(np.uint8)
