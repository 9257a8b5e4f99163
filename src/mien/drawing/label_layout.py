"""Where a face's label goes in a drawing: beside its face, hiding as little as can be."""

from collections.abc import Sequence
from dataclasses import dataclass, field

# xyxy in pixels.
Box = tuple[float, float, float, float]

# What it costs to hide a pixel: of the face's own features, which are in its box too, and of its own box; of
# the boxes of others; of another label.
_FEATURES_COST, _OWN_BOX_COST, _OTHER_BOX_COST, _LABEL_COST = 1.0, 0.25, 1.5, 6.0
_EDGE = 4
# In a video a label stays on its side of the face until another is better by this, by pixel of the label.
_STAY_COST = 0.15


@dataclass(frozen=True, slots=True)
class Layout:
    """What a label should not hide.

    Attributes:
        size_wh: of the drawing.
        boxes: of all faces.
        features: of all faces, in the same order: from the brows to the chin.
        labels: those placed already.
        sides: by face, where its label stood in the frame before, and then where it stands now; a number of
            `_places_around`.
    """

    size_wh: tuple[int, int]
    boxes: Sequence[Box]
    features: Sequence[Box]
    labels: list[Box] = field(default_factory=list)
    sides: dict[int, int] = field(default_factory=dict)


def best_position(label_wh: tuple[int, int], face: int, layout: Layout) -> tuple[Box, float]:
    """Return where a label of a face goes, and the cost of what it hides there.

    Above the face is tried first, then beside and below it; near the edge a place is moved into the image. The side
    is noted in the layout.
    """
    places = [_inside(place, layout.size_wh) for place in _places_around(layout.boxes[face], label_wh)]
    costs = [_cost(place, face, layout) for place in places]
    best = min(range(len(places)), key=lambda index: round(costs[index]))
    before = layout.sides.get(face)
    if before is not None and costs[before] <= costs[best] + _STAY_COST * label_wh[0] * label_wh[1]:
        best = before
    layout.sides[face] = best
    return places[best], costs[best]


def area(box: Box) -> float:
    """Return the area of a box, 0 where it is inside out."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _places_around(face: Box, label_wh: tuple[int, int]) -> list[Box]:
    width, height = label_wh
    gap = 4 + height * 0.06
    x0, y0, x1, y1 = face
    above, below, left, right = y0 - height - gap, y1 + gap, x0 - width - gap, x1 + gap
    corners = (
        (x0, above), (x1 - width, above), (right, y0), (left, y0), (right, y1 - height), (left, y1 - height),
        (x0, below), (x1 - width, below),
    )  # fmt: skip
    return [(x, y, x + width, y + height) for x, y in corners]


def _inside(box: Box, size_wh: tuple[int, int]) -> Box:
    width, height = box[2] - box[0], box[3] - box[1]
    x = max(0.0, min(max(box[0], _EDGE), size_wh[0] - width - _EDGE))
    y = max(0.0, min(max(box[1], _EDGE), size_wh[1] - height - _EDGE))
    return x, y, x + width, y + height


def _cost(place: Box, face: int, layout: Layout) -> float:
    others = [box for index, box in enumerate(layout.boxes) if index != face]
    return (
        _FEATURES_COST * _shared(place, layout.features[face])
        + _OWN_BOX_COST * _shared(place, layout.boxes[face])
        + _OTHER_BOX_COST * sum(_shared(place, box) for box in others)
        + _LABEL_COST * sum(_shared(place, box) for box in layout.labels)
    )


def _shared(one: Box, other: Box) -> float:
    return area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))
