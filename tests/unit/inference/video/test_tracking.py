"""Which face belongs to which person in a video."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.faces.detector import DetectedFace, Detector
from mien.inference.video.tracking import PATIENCE_S, THOROUGH_EVERY_S, FaceTracker, TrackMatcher

RATE = 30.0


def face(x: float, y: float, side: float = 40.0) -> DetectedFace:
    """Return a face with this upper left corner."""
    return DetectedFace(np.array([x, y, x + side, y + side]), 0.9, None)


def test_track_numbers_do_not_depend_on_the_order_of_faces() -> None:
    tracker = TrackMatcher()
    assert [track.number for track in tracker.assign([face(0, 0), face(200, 0)], 0.0)] == [0, 1]
    assert [track.number for track in tracker.assign([face(205, 0), face(5, 0)], 0.1)] == [1, 0]


def test_two_faces_that_cross_keep_their_tracks() -> None:
    """One passes in front of the other; where they meet, the detector finds only the front one."""
    tracker = TrackMatcher()
    for frame in range(60):
        right, left = 100.0 + 4 * frame, 340.0 - 4 * frame
        faces = [face(right, 50), face(left, 50)]
        if abs(right - left) < 25:
            faces = faces[:1]
        tracks = tracker.assign(faces, frame / RATE)
        assert tracks[0].number == 0
        assert all(track.number == 1 for track in tracks[1:])


def test_a_face_that_returns_keeps_its_track() -> None:
    """After half a second, at a slightly different position."""
    tracker = TrackMatcher()
    tracker.assign([face(100, 50)], 0.0)
    tracker.assign([], 0.25)
    assert tracker.assign([face(120, 60)], 0.5)[0].number == 0


def test_a_face_that_returns_late_or_elsewhere_or_at_another_size_is_a_new_track() -> None:
    for later, again in (
        (PATIENCE_S + 0.1, face(100, 50)),
        (0.2, face(300, 50)),
        (0.2, face(80, 30, side=90)),
    ):
        tracker = TrackMatcher()
        tracker.assign([face(100, 50)], 0.0)
        assert tracker.assign([again], later)[0].number == 1


def test_lost_tracks_are_discarded() -> None:
    tracker = TrackMatcher()
    for index in range(100):
        tracker.assign([face(0, 0)], index * (PATIENCE_S + 1))
    assert len(tracker.tracks) == 1


def test_the_detector_runs_on_every_kth_frame(detector: Detector, tools: Any) -> None:
    """In between, the face follows the square."""
    counting = tools.CountingDetector(detector)
    tracker = FaceTracker(counting, detect_every=4)
    for index in range(12):
        frame = tools.draw_frame(("Happy", 20 + 3 * index, 30 + index, 40))
        ((track, found),) = tracker.track(frame, index / RATE)
        assert track == 0
        np.testing.assert_allclose(
            found.box_xyxy, np.array([20, 30, 60, 70]) + index * np.array([3, 1, 3, 1]), atol=1.0
        )
        assert (found.score is None) == (index % 4 != 0)
    assert counting.n_calls == 3


def test_a_scene_change_runs_the_detector_immediately(detector: Detector, tools: Any) -> None:
    tracker = FaceTracker(detector, detect_every=100)
    tracker.track(tools.draw_frame(("Happy", 20, 30, 40)), 0.0)
    ((track, found),) = tracker.track(tools.draw_frame(("Sad", 110, 70, 30)), 0.04)
    assert track == 1
    assert found.box_xyxy.tolist() == [110, 70, 140, 100]
    assert tracker.track(tools.draw_frame(), 0.08) == []


def test_a_change_of_frame_size_runs_the_detector(detector: Detector, tools: Any) -> None:
    tracker = FaceTracker(detector, detect_every=100)
    tracker.track(tools.draw_frame(("Happy", 20, 30, 40)), 0.0)
    larger = tools.draw_frame(("Happy", 40, 60, 80), size_wh=(320, 240))
    ((_, found),) = tracker.track(larger, 0.04)
    assert found.score is not None


def test_faces_that_cross_in_a_video_keep_their_tracks(detector: Detector, tools: Any) -> None:
    """The blue square passes in front of the green one; the detector runs on every fifth frame."""
    tracker = FaceTracker(detector, detect_every=5)
    for index in range(51):
        green, blue = ("Happy", 20 + 4 * index, 40, 40), ("Sad", 220 - 4 * index, 42, 36)
        frame = tools.draw_frame(green, blue, size_wh=(300, 120))
        for track, found in tracker.track(frame, index / RATE):
            x, y = found.box_xyxy.reshape(2, 2).mean(axis=0).astype(int)
            if abs(green[1] - blue[1]) > 44:
                assert frame[y, x].tolist() == ([0, 255, 0] if track == 0 else [0, 0, 255])


class TwoPassDetector:
    """A detector with a quick mode that finds only faces of the requested sizes."""

    def __init__(self, faces: list[DetectedFace]) -> None:
        self.faces = faces
        self.calls: list[str | tuple[float, float]] = []

    def find_faces(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace]:
        """Find all faces."""
        self.calls.append("all")
        return self.faces

    def find_faces_like(
        self, image_rgb: NDArray[np.uint8], *, smallest: float, largest: float
    ) -> list[DetectedFace]:
        """Find the faces of these sizes."""
        self.calls.append((smallest, largest))
        return [face for face in self.faces if smallest <= face.box_xyxy[2] - face.box_xyxy[0] <= largest]


def count_faces(tracker: FaceTracker, *seconds: float) -> list[int]:
    """Track through frames at these times, and return the number of faces in each."""
    return [len(tracker.track(np.zeros((240, 320, 3), np.uint8), second)) for second in seconds]


def test_faces_of_other_sizes_are_searched_periodically() -> None:
    """In between, only faces of the tracked sizes; a smaller one that appears is found in time."""
    detector = TwoPassDetector([face(10, 10, 60), face(150, 10, 90)])
    tracker = FaceTracker(detector)
    count_faces(tracker, 0.0, THOROUGH_EVERY_S / 3)
    detector.faces.append(face(250, 200, 20))
    assert count_faces(tracker, THOROUGH_EVERY_S / 2, THOROUGH_EVERY_S) == [2, 3]
    assert detector.calls == ["all", (60, 90), (60, 90), "all"]
    count_faces(tracker, 1.1 * THOROUGH_EVERY_S)
    assert detector.calls[-1] == (20, 90)


def test_without_a_face_every_kth_detection_is_thorough() -> None:
    """The ones in between search for faces that fill the image."""
    detector = TwoPassDetector([])
    count_faces(FaceTracker(detector, detect_every=3), *(index / 100 for index in range(7)))
    assert detector.calls == ["all", (320, 320), (320, 320), "all", (320, 320), (320, 320), "all"]


def test_a_face_that_the_quick_mode_misses_triggers_a_thorough_detection() -> None:
    detector = TwoPassDetector([face(10, 10, 60)])
    tracker = FaceTracker(detector)
    count_faces(tracker, 0.0)
    detector.faces = []
    assert count_faces(tracker, 0.1) == [0]
    assert detector.calls == ["all", (60, 60), "all"]


def test_a_face_that_is_upside_down_is_not_taken_for_an_upright_one() -> None:
    """A quick search sees such a face upright, with a low score: a thorough one decides, also on a face that is new."""
    upright = replace(
        face(10, 10, 60), score=0.75, points=np.array([[20.0, 20], [50, 20], [35, 40], [25, 50], [45, 50]])
    )
    turned = replace(upright, score=0.92, points=80 - upright.points)  # type: ignore[operator]

    class SeesUpright(TwoPassDetector):
        def find_faces_like(self, image_rgb: NDArray[np.uint8], **_: float) -> list[DetectedFace]:
            self.calls.append("quick")
            return [upright for _ in self.faces]

    detector = SeesUpright([turned])
    tracker = FaceTracker(detector, detect_every=3)
    image = np.zeros((240, 320, 3), np.uint8)
    rolls = [tracker.track(image, seconds)[0][1].roll_deg for seconds in (0.0, 0.1, 0.2)]
    assert rolls == [180, 180, 180]
    assert detector.calls == ["all", "quick", "all", "quick", "all"]

    detector.faces, detector.calls = [], []
    assert tracker.track(image, 0.3) == []
    detector.faces = [turned]
    assert [found.roll_deg for _, found in tracker.track(image, 0.35)] == [180]
    assert detector.calls == ["quick", "all", "quick", "all"]
    # A low score of a face that stays as it is costs nothing.
    detector.faces, detector.calls = [upright], []
    tracker = FaceTracker(detector)
    count_faces(tracker, 0.0, 0.1, 0.2)
    assert detector.calls == ["all", "quick", "quick"]


def test_a_crowd_is_detected_in_every_frame_and_keeps_its_tracks() -> None:
    """Hundreds of faces, each moving a little in every frame, in any order."""
    rng = np.random.default_rng(0)
    corners = np.stack(np.meshgrid(np.arange(20) * 60.0, np.arange(15) * 60.0), axis=2).reshape(-1, 2)
    crowd = TwoPassDetector([])
    tracker = FaceTracker(crowd, detect_every=5)
    image = np.zeros((900, 1200, 3), np.uint8)
    numbers: dict[int, int] = {}
    for index in range(4):
        order = rng.permutation(len(corners))
        crowd.faces = [face(*(corners[person] + 2 * index), side=40) for person in order]
        for person, (track, _) in zip(order, tracker.track(image, index / RATE), strict=True):
            assert numbers.setdefault(person, track) == track
    assert len(set(numbers.values())) == 300
    assert len(crowd.calls) == 4


def unit(*values: float) -> NDArray[np.float32]:
    """Return a descriptor."""
    return np.asarray(np.array(values) / np.linalg.norm(values), dtype=np.float32)


def test_another_face_in_the_same_place_is_another_track() -> None:
    """And the first one, when it is back within a second, has its track again."""
    matcher = TrackMatcher()
    looks = [unit(1, 0.1), unit(1, 0.2), unit(0.1, 1), unit(0, 1), unit(1, 0)]
    numbers = [
        matcher.assign([face(100, 50)], index / RATE, [look])[0].number for index, look in enumerate(looks)
    ]
    assert numbers == [0, 0, 1, 1, 0]


def test_a_face_that_changes_without_a_break_keeps_its_track() -> None:
    """Such as behind a hand: the flow leads to it."""
    matcher = TrackMatcher()
    matcher.assign([face(100, 50)], 0.0, [unit(1, 0)])
    (track,) = matcher.assign([face(100, 50)], 0.1, [unit(0, 1)], lambda _track, _face: True)
    assert track.number == 0


def test_looks_decide_between_faces_that_are_close() -> None:
    """Two people swap places between two detections."""
    matcher = TrackMatcher()
    matcher.assign([face(100, 50), face(130, 50)], 0.0, [unit(1, 0), unit(0, 1)])
    tracks = matcher.assign([face(100, 50), face(130, 50)], 0.2, [unit(0, 1), unit(1, 0)])
    assert [track.number for track in tracks] == [1, 0]


def test_a_cut_ends_all_tracks(detector: Detector, tools: Any) -> None:
    tracker = FaceTracker(detector, detect_every=100)
    frame = tools.draw_frame(("Happy", 20, 30, 40))
    assert [track for track, _ in tracker.track(frame, 0.0)] == [0]
    tracker.end_tracks()
    assert [(track, found.score) for track, found in tracker.track(frame, 0.04)] == [(1, 0.9)]
