"""Where the label of a face goes in a drawing: next to its face, hiding as little as possible."""

from collections.abc import Sequence
from dataclasses import dataclass, field

# xyxy in pixels.
Box = tuple[float, float, float, float]

# Cost of each hidden pixel: of the face's features, which are inside its box and thus count for both; of its own box;
# of the boxes of other faces; of another label.
_FEATURES_COST, _OWN_BOX_COST, _OTHER_BOX_COST, _LABEL_COST = 1.0, 0.25, 1.5, 6.0
_MARGIN = 4
# In a video a label stays on its side of the face until another side is better by this much per pixel of the label.
_SWITCHING_COST = 0.15


@dataclass(frozen=True, slots=True)
class LabelLayout:
    """What labels should not hide.

    Attributes:
        size_wh: width and height of the drawing.
        boxes: box of each face.
        features: area from the brows to the chin of each face.
        labels: labels placed so far.
        sides: for each face, the side its label was on in the previous frame, then the side it is on now; an index
            into the candidate positions of `find_position`.
    """

    size_wh: tuple[int, int]
    boxes: Sequence[Box]
    features: Sequence[Box]
    labels: list[Box] = field(default_factory=list)
    sides: dict[int, int] = field(default_factory=dict)

    def find_position(self, label_wh: tuple[int, int], face: int) -> tuple[Box, float]:
        """Return the best position for the label of a face, and the cost of what it hides there.

        Positions above the face are preferred, then beside and below it; near the edge they are moved into the
        image. `sides` is updated.
        """
        width, height = label_wh
        gap = 4 + height * 0.06
        x0, y0, x1, y1 = self.boxes[face]
        above, below, left, right = y0 - height - gap, y1 + gap, x0 - width - gap, x1 + gap
        corners = (
            (x0, above), (x1 - width, above), (right, y0), (left, y0), (right, y1 - height), (left, y1 - height),
            (x0, below), (x1 - width, below),
        )  # fmt: skip
        max_x, max_y = self.size_wh[0] - width - _MARGIN, self.size_wh[1] - height - _MARGIN
        positions: list[Box] = []
        for corner_x, corner_y in corners:
            x, y = max(0.0, min(max(corner_x, _MARGIN), max_x)), max(0.0, min(max(corner_y, _MARGIN), max_y))
            positions.append((x, y, x + width, y + height))
        costs = [self._cost(position, face) for position in positions]
        best = min(range(len(positions)), key=lambda index: round(costs[index]))
        previous = self.sides.get(face)
        if previous is not None and costs[previous] <= costs[best] + _SWITCHING_COST * width * height:
            best = previous
        self.sides[face] = best
        return positions[best], costs[best]

    def _cost(self, position: Box, face: int) -> float:
        others = [box for index, box in enumerate(self.boxes) if index != face]
        return (
            _FEATURES_COST * _overlap(position, self.features[face])
            + _OWN_BOX_COST * _overlap(position, self.boxes[face])
            + _OTHER_BOX_COST * sum(_overlap(position, box) for box in others)
            + _LABEL_COST * sum(_overlap(position, box) for box in self.labels)
        )


def area(box: Box) -> float:
    """Return the area of a box, 0 if it is inside out."""
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def _overlap(one: Box, other: Box) -> float:
    return area((max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])))
