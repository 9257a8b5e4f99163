"""Who is who in a video."""

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from mien.faces.detector import DetectedFace, Detector
from mien.inference.video.optical_flow import move_face
from mien.inference.video.tracking import PATIENCE_S, THOROUGH_EVERY_S, Follower, Tracker

RATE = 30.0


def face(x: float, y: float, side: float = 40.0) -> DetectedFace:
    """Return a face with this upper left corner."""
    return DetectedFace(np.array([x, y, x + side, y + side]), 0.9, None)


def texture(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return a part of an image with corners in it."""
    coarse = np.random.default_rng(seed).integers(0, 255, (height // 8 + 1, width // 8 + 1), np.uint8)
    fine = np.kron(coarse, np.ones((8, 8), np.uint8))[:height, :width]
    return np.repeat(fine[:, :, None], 3, axis=2)


def test_numbers_stay_with_their_faces_whatever_the_order() -> None:
    tracker = Tracker()
    assert [track.number for track in tracker.assign([face(0, 0), face(200, 0)], 0.0)] == [0, 1]
    assert [track.number for track in tracker.assign([face(205, 0), face(5, 0)], 0.1)] == [1, 0]


def test_two_faces_that_cross_keep_their_numbers() -> None:
    """One goes right in front, the other left behind it; where they meet the detector sees the front one alone."""
    tracker = Tracker()
    for frame in range(60):
        right, left = 100.0 + 4 * frame, 340.0 - 4 * frame
        faces = [face(right, 50), face(left, 50)]
        if abs(right - left) < 25:
            faces = faces[:1]
        tracks = tracker.assign(faces, frame / RATE)
        assert tracks[0].number == 0
        assert all(track.number == 1 for track in tracks[1:])


def test_a_face_that_comes_back_has_its_number() -> None:
    """Gone for half a second, and a little further when it comes back."""
    tracker = Tracker()
    tracker.assign([face(100, 50)], 0.0)
    tracker.assign([], 0.25)
    assert tracker.assign([face(120, 60)], 0.5)[0].number == 0


def test_a_face_that_comes_back_late_or_elsewhere_or_of_another_size_is_another() -> None:
    for later, again in (
        (PATIENCE_S + 0.1, face(100, 50)),
        (0.2, face(300, 50)),
        (0.2, face(80, 30, side=90)),
    ):
        tracker = Tracker()
        tracker.assign([face(100, 50)], 0.0)
        assert tracker.assign([again], later)[0].number == 1


def test_lost_tracks_are_not_kept_for_ever() -> None:
    tracker = Tracker()
    for index in range(100):
        tracker.assign([face(0, 0)], index * (PATIENCE_S + 1))
    assert len(tracker.tracks) == 1


@pytest.mark.parametrize(("scale", "turn_deg"), [(1.0, 0.0), (1.05, 0.0), (1.0, 4.0)])
def test_a_face_is_moved_as_the_image_moves(scale: float, turn_deg: float) -> None:
    """Box and points follow a shift with growth or a turn, to a pixel or two."""
    image = texture(0, 240, 320)
    motion = cv2.getRotationMatrix2D((160, 120), turn_deg, scale)
    motion[:, 2] += (6, -4)
    after = cv2.warpAffine(image, motion, (320, 240))
    points = np.array([[140.0, 110], [180, 110], [160, 125], [145, 140], [175, 140]])
    moved = move_face(image, after, DetectedFace(np.array([120.0, 80, 200, 160]), 0.9, points))
    assert moved is not None
    assert moved.points is not None
    assert moved.score is None
    np.testing.assert_allclose(moved.points, points @ motion[:, :2].T + motion[:, 2], atol=1.0)
    center = motion[:, :2] @ (160, 120) + motion[:, 2]
    np.testing.assert_allclose((moved.box_xyxy[:2] + moved.box_xyxy[2:]) / 2, center, atol=1.0)
    assert moved.box_xyxy[2] - moved.box_xyxy[0] == pytest.approx(80 * scale, abs=1.5)


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(texture(1, 240, 320), id="another scene"),
        pytest.param(np.full((240, 320, 3), 90, np.uint8), id="nothing there"),
    ],
)
def test_a_face_that_is_gone_is_not_moved(after: NDArray[np.uint8]) -> None:
    assert move_face(texture(0, 240, 320), after, face(120, 80, 80)) is None


def test_a_face_outside_the_image_is_not_moved() -> None:
    image = texture(0, 240, 320)
    assert move_face(image, image, face(900, 80)) is None


def test_the_detector_looks_at_every_kth_frame(detector: Detector, tools: Any) -> None:
    """Between, the face goes where the square goes."""
    counting = tools.CountingDetector(detector)
    follower = Follower(counting, detect_every=4)
    for index in range(12):
        frame = tools.draw_frame(("Happy", 20 + 3 * index, 30 + index, 40))
        ((track, found),) = follower.follow(frame, index / RATE)
        assert track == 0
        np.testing.assert_allclose(
            found.box_xyxy, np.array([20, 30, 60, 70]) + index * np.array([3, 1, 3, 1]), atol=1.0
        )
        assert (found.score is None) == (index % 4 != 0)
    assert counting.n_looks == 3


def test_a_change_of_scene_has_the_detector_look_at_once(detector: Detector, tools: Any) -> None:
    follower = Follower(detector, detect_every=100)
    follower.follow(tools.draw_frame(("Happy", 20, 30, 40)), 0.0)
    ((track, found),) = follower.follow(tools.draw_frame(("Sad", 110, 70, 30)), 0.04)
    assert track == 1
    assert found.box_xyxy.tolist() == [110, 70, 140, 100]
    assert follower.follow(tools.draw_frame(), 0.08) == []


def test_frames_of_another_size_have_the_detector_look(detector: Detector, tools: Any) -> None:
    follower = Follower(detector, detect_every=100)
    follower.follow(tools.draw_frame(("Happy", 20, 30, 40)), 0.0)
    larger = tools.draw_frame(("Happy", 40, 60, 80), size_wh=(320, 240))
    ((_, found),) = follower.follow(larger, 0.04)
    assert found.score is not None


def test_faces_that_cross_in_a_image_keep_their_numbers(detector: Detector, tools: Any) -> None:
    """The blue square passes in front of the green one, the detector looking at every fifth frame."""
    follower = Follower(detector, detect_every=5)
    for index in range(51):
        green, blue = ("Happy", 20 + 4 * index, 40, 40), ("Sad", 220 - 4 * index, 42, 36)
        frame = tools.draw_frame(green, blue, size_wh=(300, 120))
        for track, found in follower.follow(frame, index / RATE):
            x, y = found.box_xyxy.reshape(2, 2).mean(axis=0).astype(int)
            if abs(green[1] - blue[1]) > 44:
                assert frame[y, x].tolist() == ([0, 255, 0] if track == 0 else [0, 0, 255])


class TwoLooks:
    """A detector with a quick look, which sees faces of the sizes asked for alone."""

    def __init__(self, faces: list[DetectedFace]) -> None:
        self.faces = faces
        self.looks: list[str | tuple[float, float]] = []

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """See all."""
        self.looks.append("all")
        return self.faces

    def find_faces_like(
        self, image_rgb: NDArray[np.uint8], *, smallest: float, largest: float
    ) -> list[DetectedFace]:
        """See some."""
        self.looks.append((smallest, largest))
        return [face for face in self.faces if smallest <= face.box_xyxy[2] - face.box_xyxy[0] <= largest]


def look_at(follower: Follower, *seconds: float) -> list[int]:
    """Follow through frames at these times, and return how many faces each has."""
    return [len(follower.follow(np.zeros((240, 320, 3), np.uint8), second)) for second in seconds]


def test_faces_of_other_sizes_are_looked_for_now_and_then() -> None:
    """Between, faces like those that are followed; a smaller one that joins them is found in time."""
    two = TwoLooks([face(10, 10, 60), face(150, 10, 90)])
    follower = Follower(two)
    look_at(follower, 0.0, THOROUGH_EVERY_S / 3)
    two.faces.append(face(250, 200, 20))
    assert look_at(follower, THOROUGH_EVERY_S / 2, THOROUGH_EVERY_S) == [2, 3]
    assert two.looks == ["all", (60, 90), (60, 90), "all"]
    look_at(follower, 1.1 * THOROUGH_EVERY_S)
    assert two.looks[-1] == (20, 90)


def test_while_nobody_is_seen_every_kth_look_is_for_all() -> None:
    """And those between are for faces that fill the image."""
    two = TwoLooks([])
    look_at(Follower(two, detect_every=3), *(index / 100 for index in range(7)))
    assert two.looks == ["all", (320, 320), (320, 320), "all", (320, 320), (320, 320), "all"]


def test_a_face_that_the_quick_look_misses_is_looked_for_again() -> None:
    two = TwoLooks([face(10, 10, 60)])
    follower = Follower(two)
    look_at(follower, 0.0)
    two.faces = []
    assert look_at(follower, 0.1) == [0]
    assert two.looks == ["all", (60, 60), "all"]


def test_a_crowd_is_looked_for_in_every_frame_and_keeps_its_numbers() -> None:
    """Hundreds of faces, each a little further in every frame, in any order."""
    rng = np.random.default_rng(0)
    corners = np.stack(np.meshgrid(np.arange(20) * 60.0, np.arange(15) * 60.0), axis=2).reshape(-1, 2)
    crowd = TwoLooks([])
    follower = Follower(crowd, detect_every=5)
    image = np.zeros((900, 1200, 3), np.uint8)
    numbers: dict[int, int] = {}
    for index in range(4):
        order = rng.permutation(len(corners))
        crowd.faces = [face(*(corners[place] + 2 * index), side=40) for place in order]
        for place, (track, _) in zip(order, follower.follow(image, index / RATE), strict=True):
            assert numbers.setdefault(place, track) == track
    assert len(set(numbers.values())) == 300
    assert len(crowd.looks) == 4
