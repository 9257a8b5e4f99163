"""Drawing readings on an image: a frame with rounded corners, the landmarks' contours, and a label a face."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.drawing.label_card import OTHER_COLOR, Rgb, build_card, build_pill, class_color
from mien.drawing.label_layout import Box, Layout, area, best_position
from mien.faces.landmarks import CONTOURS
from mien.inference.results import NO_FACE, FacePrediction

# A smaller image is drawn enlarged to this many pixels, so that the writing can be read.
MIN_LONGER_SIDE = 720
# A label with bars is drawn where it is not much wider than its face and hides little (a cost of `placement`, by
# pixel of the label); it may hide more of a face that is alone, since a close-up leaves no other room.
MAX_CARD_TO_FACE = 1.3
MAX_CARD_COST = 0.04
MAX_CARD_COST_ALONE = 0.45
# OpenCV takes coordinates in units of 1/16 pixel.
_SHIFT = 4
_DARK: Rgb = (12, 14, 18)
_WHITE: Rgb = (255, 255, 255)

_CIRCLE = np.stack([np.cos(np.arange(16) * np.pi / 8), np.sin(np.arange(16) * np.pi / 8)], axis=1)


@dataclass(frozen=True, slots=True, eq=False)
class _DrawnFace:
    """A face in the pixels of the drawing."""

    reading: FacePrediction
    box: Box
    landmarks: NDArray[np.float64] | None

    @property
    def side(self) -> float:
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def features(self) -> Box:
        """The part of the face that a label should not hide."""
        x0, y0, x1, y1 = self.box
        if self.landmarks is None:
            return x0 + 0.12 * (x1 - x0), y0 + 0.22 * (y1 - y0), x1 - 0.12 * (x1 - x0), y1
        (left, top), (right, bottom) = (
            self.landmarks.min(axis=0).tolist(),
            self.landmarks.max(axis=0).tolist(),
        )
        return left, top, right, bottom


def annotate(
    image_rgb: NDArray[np.uint8], rows: Sequence[FacePrediction], *, sides: dict[int, int] | None = None
) -> NDArray[np.uint8]:
    """Return a copy of an image with its readings drawn on it.

    Args:
        image_rgb: ``(H, W, 3)`` uint8.
        rows: the image's readings.
        sides: for the frames of a video, one dictionary for all: on which side of a track's face its label stands, so
            that labels do not jump. It is changed.

    Returns:
        ``(H', W', 3)`` uint8 RGB: the image's size, or larger for a small image.
    """
    longer = max(image_rgb.shape[:2])
    scale = max(1.0, MIN_LONGER_SIDE / longer)
    drawing = image_rgb.copy()
    if scale > 1:
        drawing = np.asarray(
            cv2.resize(image_rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC), dtype=np.uint8
        )
    faces = [_scaled(row, scale) for row in rows if row.box_xyxy is not None]
    for face in faces:
        color = class_color(face.reading.expression)
        if face.landmarks is not None:
            _draw_landmarks(drawing, face.landmarks, side=face.side, color=color)
        _draw_frame(drawing, face.box, color=color)
    _draw_labels(drawing, faces, {} if sides is None else sides)
    if any(row.status == NO_FACE for row in rows):
        font_px = _font_px(drawing, max(drawing.shape[:2]))
        margin = round(font_px * 0.7)
        _lay(drawing, build_pill("no face found", font_px, color=OTHER_COLOR), margin, margin)
    return drawing


def _scaled(reading: FacePrediction, scale: float) -> _DrawnFace:
    x0, y0, x1, y1 = (float(value) * scale for value in np.asarray(reading.box_xyxy))
    return _DrawnFace(
        reading, (x0, y0, x1, y1), None if reading.landmarks is None else reading.landmarks * scale
    )


def _font_px(drawing: NDArray[np.uint8], face_side: float) -> float:
    """Writing follows the face, within what suits the image."""
    longer = max(drawing.shape[:2])
    return float(np.clip(face_side * 0.08, max(13.0, longer / 64), max(16.0, longer / 34)))


def _draw_landmarks(
    drawing: NDArray[np.uint8], landmarks: NDArray[np.float64], *, side: float, color: Rgb
) -> None:
    """Draw thin contours and dots, light over dark, so that they show on any skin and background."""
    margin = max(4.0, side / 20)
    height, width = drawing.shape[:2]
    x0, y0 = np.clip(landmarks.min(axis=0) - margin, 0, (width, height)).astype(int)
    x1, y1 = np.clip(landmarks.max(axis=0) + margin, 0, (width, height)).astype(int)
    part = drawing[y0:y1, x0:x1]
    if part.size == 0:
        return
    points = landmarks - (x0, y0)
    thin = max(1, round(side / 330))
    for line_color, thickness, opacity in ((_DARK, thin + 2, 0.35), (_WHITE, thin, 0.6)):
        layer = part.copy()
        for contour, closed in CONTOURS:
            cv2.polylines(
                layer, [_fixed(points[contour])], closed, line_color, thickness, cv2.LINE_AA, _SHIFT
            )
        part[:] = cv2.addWeighted(layer, opacity, part, 1 - opacity, 0)
    radius = max(1.2, side / 165)
    dots = part.copy()
    for point in points:
        _draw_disc(dots, point, radius + 0.8, _DARK)
        _draw_disc(dots, point, radius, color)
    part[:] = dots


def _draw_frame(drawing: NDArray[np.uint8], box: Box, *, color: Rgb) -> None:
    side = min(box[2] - box[0], box[3] - box[1])
    thick = max(2, round(side / 90))
    corners = list(_corner_paths(box, reach=side * 0.22, radius=side * 0.09))
    for line_color, thickness in ((_DARK, thick + 2), (color, thick)):
        cv2.polylines(
            drawing, [_fixed(corner) for corner in corners], False, line_color, thickness, cv2.LINE_AA, _SHIFT
        )
        for corner in corners:
            _draw_disc(drawing, corner[0], thickness / 2, line_color)
            _draw_disc(drawing, corner[-1], thickness / 2, line_color)


def _corner_paths(box: Box, *, reach: float, radius: float) -> Iterable[NDArray[np.float64]]:
    """Yield the four rounded corners of a box as lines of points."""
    turn = np.linspace(0, np.pi / 2, 9)
    arc = np.stack([radius * (1 - np.sin(turn)), radius * (1 - np.cos(turn))], axis=1)
    corner = np.concatenate([[[reach, 0]], arc, [[0, reach]]])
    x0, y0, x1, y1 = box
    for x, y, sign_x, sign_y in ((x0, y0, 1, 1), (x1, y0, -1, 1), (x0, y1, 1, -1), (x1, y1, -1, -1)):
        yield corner * (sign_x, sign_y) + (x, y)


def _draw_disc(drawing: NDArray[np.uint8], center: NDArray[np.float64], radius: float, color: Rgb) -> None:
    """Draw a small disc as a polygon: OpenCV's own small circles are diamonds."""
    cv2.fillConvexPoly(drawing, _fixed(center + radius * _CIRCLE), color, cv2.LINE_AA, _SHIFT)


def _fixed(points: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return points in OpenCV's fixed-point units, kept where they cannot overflow."""
    return np.round(np.clip(points, -1e6, 1e6) * (1 << _SHIFT)).astype(np.int32)


def _draw_labels(drawing: NDArray[np.uint8], faces: Sequence[_DrawnFace], sides: dict[int, int]) -> None:
    """Label the large faces first: a full card where there is room for it, else one line."""
    tracks = [face.reading.track for face in faces]
    layout = Layout(
        (drawing.shape[1], drawing.shape[0]),
        [face.box for face in faces],
        [face.features for face in faces],
        sides={
            index: sides[track] for index, track in enumerate(tracks) if track is not None and track in sides
        },
    )
    max_cost = MAX_CARD_COST if len(faces) > 1 else MAX_CARD_COST_ALONE
    for index, face in enumerate(faces):
        font_px = _font_px(drawing, face.side)
        label = build_card(face.reading, font_px)
        place, cost = best_position((label.shape[1], label.shape[0]), index, layout)
        if label.shape[1] > MAX_CARD_TO_FACE * face.side or cost > max_cost * area(place):
            confidence = f"{face.reading.confidence or 0:.0%}"
            expression = str(face.reading.expression)
            label = build_pill(expression, font_px, color=class_color(expression), value=confidence)
            place, _ = best_position((label.shape[1], label.shape[0]), index, layout)
        layout.labels.append(place)
        _lay(drawing, label, round(place[0]), round(place[1]))
    sides.clear()
    sides.update({track: layout.sides[index] for index, track in enumerate(tracks) if track is not None})


def _lay(drawing: NDArray[np.uint8], tile_rgba: NDArray[np.uint8], x: int, y: int) -> None:
    """Blend a tile onto the drawing in place; what reaches beyond the image is left out."""
    x, y = max(0, x), max(0, y)
    target = drawing[y : y + tile_rgba.shape[0], x : x + tile_rgba.shape[1]]
    tile = tile_rgba[: target.shape[0], : target.shape[1]].astype(np.float32)
    opacity = tile[:, :, 3:] / 255
    target[:] = np.round(tile[:, :, :3] * opacity + target * (1 - opacity)).astype(np.uint8)
