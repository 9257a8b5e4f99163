"""Positions of labels."""

from mien.drawing.label_layout import LabelLayout


def test_labels_stay_in_the_image_and_apart() -> None:
    """If there is room for all, labels of neighboring faces overlap neither each other nor a face."""
    boxes = [(100.0 + 180 * index, 200.0, 220.0 + 180 * index, 320.0) for index in range(5)]
    layout = LabelLayout((1100, 600), boxes, boxes)
    for index in range(5):
        position, cost = layout.find_position((150, 80), index)
        assert cost == 0
        assert position[0] >= 0
        assert position[1] >= 0
        assert position[2] <= 1100
        assert position[3] <= 600
        layout.labels.append(position)


def test_label_in_a_close_up_hides_least() -> None:
    """It hides hair rather than features."""
    layout = LabelLayout((400, 400), [(20, 10, 380, 390)], [(80, 150, 320, 380)])
    position, _ = layout.find_position((120, 60), 0)
    assert position[3] <= 150


def test_label_in_a_video_stays_on_its_side_until_another_is_much_better() -> None:
    """Between two similar sides, the previous one is kept; a face that reaches the edge moves its label."""

    def side(box: tuple[float, float, float, float], previous: dict[int, int]) -> tuple[int, float]:
        layout = LabelLayout((640, 480), [box], [box], sides=previous)
        position, _ = layout.find_position((150, 80), 0)
        return layout.sides[0], position[1]

    above, y = side((200, 120, 400, 400), {})
    assert y < 120
    # above the face the label now hides ten rows of it, beside it none
    assert side((200, 75, 400, 355), {})[0] != above
    assert side((200, 75, 400, 355), {0: above})[0] == above
    assert side((200, 5, 400, 285), {0: above})[0] != above
