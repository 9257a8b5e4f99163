"""Tracking faces through a video: which face belongs to which person, and which frames the detector must see.

A track is a person's number. It continues with the face closest to its predicted position that looks like the last one,
and survives for a while when the face is hidden or turned away.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.faces.boxes import iou_xyxy
from mien.faces.detector import CERTAIN_SCORE, DetectedFace, Detector, QuickDetector
from mien.inference.video.appearance import describe_face
from mien.inference.video.optical_flow import propagate_face

# How long a track survives without its face.
PATIENCE_S = 1.0
# A face can belong to a track if their boxes overlap this much, or if their centers are this close, in face sides; the
# distance grows with each second that the track has been without a face.
MIN_IOU = 0.2
MAX_DISTANCE, MAX_DISTANCE_PER_S = 0.6, 1.0
# The largest ratio between the sides of one face in two successive detections.
MAX_SIDE_RATIO = 2.0
# Descriptors of one person's faces a few frames apart correlate more than this, those of two people mostly less; and how
# much the correlation counts against the distance in face sides. Measured by `benchmarks/tracks.py`.
MIN_SIMILARITY, SIMILARITY_WEIGHT = 0.5, 1.0
# The overlap of a face that optical flow carried along with the same face as detected.
SAME_IOU = 0.5
# How much of a track's descriptor is replaced by that of a new face.
DESCRIPTOR_RATE = 0.5
# A track's velocity is averaged over about this time, and extrapolated for this long at most.
VELOCITY_TIME_S, MAX_EXTRAPOLATION_S = 0.15, 0.5
# Faces whose boxes overlap this much could be mistaken for each other: the detector runs on every frame.
CLOSE_IOU = 0.05
# Tracking more faces than this by optical flow takes as long as detecting them.
MAX_PROPAGATED = 24
# Faces of all sizes are detected this often: it costs several times as much as detecting those of the tracked sizes.
THOROUGH_EVERY_S = 0.5
# A head does not roll further than this between two detections. A quick search that says so has taken a face that is upside
# down for an upright one: only a thorough search looks at it in every turn.
MAX_ROLL_DEG = 60.0


class Track:
    """A person in a video.

    Attributes:
        number: 0-based, in order of appearance; never reused.
        face: as last seen.
        seconds: when that was.
        velocity: ``(2,)`` of the box center, in pixels per second.
        descriptor: how its faces look, of length 1; None if unknown.
    """

    __slots__ = ("descriptor", "face", "number", "seconds", "velocity")

    def __init__(self, number: int, face: DetectedFace, seconds: float) -> None:
        """Start with a first face."""
        self.number, self.face, self.seconds = number, face, seconds
        self.velocity = np.zeros(2)
        self.descriptor: NDArray[np.float32] | None = None

    def update(
        self, face: DetectedFace, seconds: float, descriptor: NDArray[np.float32] | None = None
    ) -> None:
        """Add the face of a later frame, with its descriptor if it was computed."""
        if descriptor is not None:
            if self.descriptor is not None:
                descriptor = self.descriptor + DESCRIPTOR_RATE * (descriptor - self.descriptor)
                descriptor /= max(float(np.linalg.norm(descriptor)), 1e-9)
            self.descriptor = descriptor
        interval = seconds - self.seconds
        if interval > 0:
            velocity = (_centers(face.box_xyxy[None]) - _centers(self.face.box_xyxy[None]))[0] / interval
            self.velocity += (velocity - self.velocity) * (1 - np.exp(-interval / VELOCITY_TIME_S))
        self.face, self.seconds = face, seconds

    def predicted_box(self, seconds: float) -> NDArray[np.float64]:
        """Return the box at a later time, at constant velocity."""
        return self.face.box_xyxy + np.tile(
            self.velocity * min(seconds - self.seconds, MAX_EXTRAPOLATION_S), 2
        )


class TrackMatcher:
    """Assigns faces to tracks.

    Attributes:
        tracks: the active ones, and those waiting for their face to come back.
    """

    def __init__(self) -> None:
        """Start without a track."""
        self.tracks: list[Track] = []
        self._n_tracks = 0

    def assign(
        self,
        faces: list[DetectedFace],
        seconds: float,
        descriptors: Sequence[NDArray[np.float32] | None] = (),
        is_continuous: Callable[[Track, DetectedFace], bool] = lambda _track, _face: False,
    ) -> list[Track]:
        """Return the track of each face of a frame; faces that match none start new tracks.

        Args:
            faces: of the frame.
            seconds: its time.
            descriptors: how each face looks, from `appearance.describe_face`; empty if unknown.
            is_continuous: whether a face that does not look like a track's last one still is the same, such as behind a hand.
        """
        descriptors = descriptors or [None] * len(faces)
        self.tracks = [track for track in self.tracks if seconds - track.seconds <= PATIENCE_S]
        matches = _match(self.tracks, faces, seconds, descriptors, is_continuous)
        assigned = []
        for index, face in enumerate(faces):
            track = matches.get(index)
            if track is None:
                track = Track(self._n_tracks, face, seconds)
                self._n_tracks += 1
                self.tracks.append(track)
            track.update(face, seconds, descriptors[index])
            assigned.append(track)
        return assigned


def _match(
    tracks: list[Track],
    faces: list[DetectedFace],
    seconds: float,
    descriptors: Sequence[NDArray[np.float32] | None],
    is_continuous: Callable[[Track, DetectedFace], bool],
) -> dict[int, Track]:
    """Return tracks by the index of their face, matched greedily: the best pair first, then the best of the rest."""
    if not tracks or not faces:
        return {}
    predicted = np.stack([track.predicted_box(seconds) for track in tracks])
    boxes = np.stack([face.box_xyxy for face in faces])
    gap_s = np.array([seconds - track.seconds for track in tracks])[:, None]
    sides = _sides(predicted)[:, None], _sides(boxes)[None]
    distance = np.linalg.norm(_centers(predicted)[:, None] - _centers(boxes)[None], axis=2) / np.minimum(
        *sides
    )
    overlap = iou_xyxy(predicted, boxes)
    can_match = (overlap >= MIN_IOU) | (distance <= MAX_DISTANCE + MAX_DISTANCE_PER_S * gap_s)
    can_match &= np.maximum(*sides) < MAX_SIDE_RATIO * np.minimum(*sides)
    # A pair without descriptors neither gains nor loses.
    similarity = np.array(
        [
            [
                MIN_SIMILARITY if ours is None or theirs is None else float(ours @ theirs)
                for theirs in descriptors
            ]
            for ours in (track.descriptor for track in tracks)
        ]
    )
    for row, column in np.argwhere(can_match & (similarity < MIN_SIMILARITY)):
        can_match[row, column] = is_continuous(tracks[row], faces[column])
    cost = np.where(can_match, distance - overlap - SIMILARITY_WEIGHT * similarity, np.inf)
    matches: dict[int, Track] = {}
    for _ in range(min(cost.shape)):
        row, column = np.unravel_index(np.argmin(cost), cost.shape)
        if not np.isfinite(cost[row, column]):
            break
        matches[int(column)] = tracks[row]
        cost[row], cost[:, column] = np.inf, np.inf
    return matches


def _centers(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2, dtype=np.float64)


def _sides(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).max(axis=1).clip(1e-9), dtype=np.float64)


class FaceTracker:
    """Finds the faces of successive frames: detected in some, carried along by optical flow in the others."""

    def __init__(self, detector: Detector, *, detect_every: int = 1) -> None:
        """Start a video.

        Args:
            detector: finds the faces.
            detect_every: it runs on every K-th frame. In between, faces are carried along by optical flow
                (`optical_flow.propagate_face`). It runs on every frame while there is no face, where the flow is
                uncertain, where faces overlap, and in a crowd; a face that appears in between is found at the next
                detection.
        """
        self._detector = detector
        self._detect_every = detect_every
        self._matcher = TrackMatcher()
        self._visible: list[Track] = []
        self._previous_rgb: NDArray[np.uint8] | None = None
        self._n_since_detection = 0
        self._n_since_thorough = 0
        self._thorough_s: float | None = None

    def track(self, image_rgb: NDArray[np.uint8], seconds: float) -> list[tuple[int, DetectedFace]]:
        """Return the faces of the next frame, the largest first, each with its track number."""
        self._n_since_detection += 1
        faces = self._propagate(image_rgb)
        if faces is None:
            faces = self._detect(image_rgb, seconds)
            descriptors = [describe_face(image_rgb, face) for face in faces]
            self._visible = self._matcher.assign(
                faces, seconds, descriptors, lambda track, face: self._is_continuous(image_rgb, track, face)
            )
            self._n_since_detection = 0
        else:
            for track, face in zip(self._visible, faces, strict=True):
                track.update(face, seconds)
            self._visible.sort(key=lambda track: -track.face.area)
        self._previous_rgb = image_rgb
        return [(track.number, track.face) for track in self._visible]

    def end_tracks(self) -> None:
        """End all tracks, because the next frame belongs to another shot: its faces get new numbers."""
        self._matcher.tracks, self._visible, self._previous_rgb, self._thorough_s = [], [], None, None

    def _propagate(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace] | None:
        """Return the faces of the last frame at their new positions, None if the detector must run."""
        previous_rgb = self._previous_rgb
        if (
            previous_rgb is None
            or previous_rgb.shape != image_rgb.shape
            or self._n_since_detection >= self._detect_every
            or not 0 < len(self._visible) <= MAX_PROPAGATED
        ):
            return None
        boxes = np.stack([track.face.box_xyxy for track in self._visible])
        if np.triu(iou_xyxy(boxes, boxes) > CLOSE_IOU, k=1).any():
            return None
        faces = []
        for track in self._visible:
            face = propagate_face(previous_rgb, image_rgb, track.face)
            if face is None:
                return None
            faces.append(face)
        return faces

    def _is_continuous(self, image_rgb: NDArray[np.uint8], track: Track, face: DetectedFace) -> bool:
        """Return whether optical flow carries a track's face of the last frame to a face of the current one."""
        previous_rgb = self._previous_rgb
        if track not in self._visible or previous_rgb is None or previous_rgb.shape != image_rgb.shape:
            return False
        carried = propagate_face(previous_rgb, image_rgb, track.face)
        return carried is not None and iou_xyxy(carried.box_xyxy[None], face.box_xyxy[None])[0, 0] >= SAME_IOU

    def _has_doubtful(self, faces: list[DetectedFace]) -> bool:
        """Return whether a quick search may have taken a face that is upside down for an upright one.

        It may if the face scores low and either is new or has rolled further than a head can. In a crowd, new faces are too
        many to search for them again.
        """
        doubtful = [face for face in faces if face.score is not None and face.score < CERTAIN_SCORE]
        if not doubtful or len(faces) > MAX_PROPAGATED:
            return False
        if not self._visible:
            return True
        boxes = np.stack([face.box_xyxy for face in doubtful])
        tracked = [track.face for track in self._visible]
        roll_deg = np.array([[face.roll_deg - known.roll_deg for known in tracked] for face in doubtful])
        is_known = iou_xyxy(boxes, np.stack([face.box_xyxy for face in tracked])) >= SAME_IOU
        is_known &= np.abs((roll_deg + 180) % 360 - 180) <= MAX_ROLL_DEG
        return not is_known.any(axis=1).all()

    def _detect(self, image_rgb: NDArray[np.uint8], seconds: float) -> list[DetectedFace]:
        """Detect faces of the tracked sizes and, from time to time, of all sizes.

        While there is no face, every K-th detection is for all sizes, so that a new face is not found much later than
        with other detectors.
        """
        self._n_since_thorough += 1
        is_thorough = (
            self._thorough_s is None
            or seconds - self._thorough_s >= THOROUGH_EVERY_S
            or (not self._visible and self._n_since_thorough >= self._detect_every)
        )
        if isinstance(self._detector, QuickDetector) and not is_thorough:
            if self._visible:
                sides = _sides(np.stack([track.face.box_xyxy for track in self._visible])).tolist()
            else:
                sides = [max(image_rgb.shape[:2])]
            faces = self._detector.find_faces_like(
                image_rgb, smallest=float(min(sides)), largest=float(max(sides))
            )
            if len(faces) >= len(self._visible) and not self._has_doubtful(faces):
                return faces
        self._thorough_s, self._n_since_thorough = seconds, 0
        return self._detector.find_faces(image_rgb)
