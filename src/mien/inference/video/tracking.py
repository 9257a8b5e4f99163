"""Following faces through a video: which face is whose, and in which frames the detector has to look.

A track is a person's number. It goes on where a face stands about where the track was going to, and waits a while for a
face that is hidden or turned away.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mien.faces.boxes import iou_xyxy
from mien.faces.detector import DetectedFace, Detector, QuickDetector
from mien.inference.video.optical_flow import move_face

# A track waits so long for its face.
PATIENCE_S = 1.0
# A face belongs to a track whose box it shares so much of, or whose centre is so near, in sides of the face; each second
# that the track has waited adds to how far.
MIN_IOU = 0.2
MAX_DISTANCE, MAX_DISTANCE_PER_S = 0.6, 1.0
# The sides of one face in neighbouring looks differ by less than this factor.
MAX_SIDE_RATIO = 2.0
# The speed of a track is a mean over about this time, and is trusted so long.
SPEED_TIME_S, TRUSTED_SPEED_S = 0.15, 0.5
# Where two faces share so much of their boxes, one may be taken for the other: the detector looks at every frame.
CLOSE_IOU = 0.05
# Following so many faces takes as long as looking for them.
MAX_FOLLOWED = 24
# Faces of all sizes are looked for this often, since that costs several times as much as looking for those of the sizes
# that are followed.
THOROUGH_EVERY_S = 0.5


@dataclass(slots=True, eq=False)
class Track:
    """A person in a video.

    Attributes:
        number: 0-based, in the order in which the persons appear; never used again.
        face: as last seen.
        seconds: when that was.
        speed: ``(2,)`` of the box's centre in pixels a second.
    """

    number: int
    face: DetectedFace
    seconds: float
    speed: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))

    def see(self, face: DetectedFace, seconds: float) -> None:
        """Take the face of a later frame."""
        interval = seconds - self.seconds
        if interval > 0:
            speed = (_centers(face.box_xyxy[None]) - _centers(self.face.box_xyxy[None]))[0] / interval
            self.speed += (speed - self.speed) * (1 - np.exp(-interval / SPEED_TIME_S))
        self.face, self.seconds = face, seconds

    def expected_box(self, seconds: float) -> NDArray[np.float64]:
        """Return where the box should be if the face goes on as it went."""
        return self.face.box_xyxy + np.tile(self.speed * min(seconds - self.seconds, TRUSTED_SPEED_S), 2)


@dataclass(slots=True)
class Tracker:
    """Gives faces their tracks.

    Attributes:
        tracks: those that go on, and those that wait for their face.
    """

    tracks: list[Track] = field(default_factory=list)
    _n_tracks: int = 0

    def assign(self, faces: list[DetectedFace], seconds: float) -> list[Track]:
        """Return the track of each face of a frame, new ones for faces that belong to none."""
        self.tracks = [track for track in self.tracks if seconds - track.seconds <= PATIENCE_S]
        found = dict(_pairs(self.tracks, faces, seconds))
        tracks = []
        for index, face in enumerate(faces):
            track = found.get(index)
            if track is None:
                track = Track(self._n_tracks, face, seconds)
                self._n_tracks += 1
                self.tracks.append(track)
            track.see(face, seconds)
            tracks.append(track)
        return tracks


def _pairs(tracks: list[Track], faces: list[DetectedFace], seconds: float) -> list[tuple[int, Track]]:
    """Return which face belongs to which track: the surest pair first, then the surest of the rest."""
    if not tracks or not faces:
        return []
    expected = np.stack([track.expected_box(seconds) for track in tracks])
    boxes = np.stack([face.box_xyxy for face in faces])
    waited = np.array([seconds - track.seconds for track in tracks])[:, None]
    sides = _sides(expected)[:, None], _sides(boxes)[None]
    distance = np.linalg.norm(_centers(expected)[:, None] - _centers(boxes)[None], axis=2) / np.minimum(
        *sides
    )
    shared = iou_xyxy(expected, boxes)
    may_be = (shared >= MIN_IOU) | (distance <= MAX_DISTANCE + MAX_DISTANCE_PER_S * waited)
    may_be &= np.maximum(*sides) < MAX_SIDE_RATIO * np.minimum(*sides)
    cost = np.where(may_be, distance - shared, np.inf)
    pairs: list[tuple[int, Track]] = []
    for _ in range(min(cost.shape)):
        row, column = np.unravel_index(np.argmin(cost), cost.shape)
        if not np.isfinite(cost[row, column]):
            break
        pairs.append((int(column), tracks[row]))
        cost[row], cost[:, column] = np.inf, np.inf
    return pairs


def _centers(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((boxes[:, :2] + boxes[:, 2:]) / 2, dtype=np.float64)


def _sides(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).max(axis=1).clip(1e-9), dtype=np.float64)


class Follower:
    """The faces of a video's frames, one frame after the other."""

    def __init__(self, detector: Detector, *, detect_every: int = 1) -> None:
        """Begin a video.

        Args:
            detector: finds the faces.
            detect_every: it looks at one frame of so many. Between, faces are moved on by the image
                (`flow.move_face`). Where nobody is seen, where that is not certain, where faces touch, and in a crowd it
                looks at every frame; a face that joins others is found at the next look.
        """
        self._detector = detector
        self._detect_every = detect_every
        self._tracker = Tracker()
        self._seen: list[Track] = []
        self._before: NDArray[np.uint8] | None = None
        self._n_since_look = 0
        self._n_since_thorough = 0
        self._thorough_look_s: float | None = None

    def follow(self, image_rgb: NDArray[np.uint8], seconds: float) -> list[tuple[int, DetectedFace]]:
        """Return the faces of the next frame, the largest first, each with the number of its track."""
        self._n_since_look += 1
        faces = self._moved(image_rgb)
        if faces is None:
            self._seen = self._tracker.assign(self._look(image_rgb, seconds), seconds)
            self._n_since_look = 0
        else:
            for track, face in zip(self._seen, faces, strict=True):
                track.see(face, seconds)
            self._seen.sort(key=lambda track: -track.face.area)
        self._before = image_rgb
        return [(track.number, track.face) for track in self._seen]

    def _moved(self, image_rgb: NDArray[np.uint8]) -> list[DetectedFace] | None:
        """Return the faces of the last frame as they stand now, None where the detector has to look."""
        before = self._before
        if before is None or before.shape != image_rgb.shape or self._n_since_look >= self._detect_every:
            return None
        if not 0 < len(self._seen) <= MAX_FOLLOWED or _are_close([track.face for track in self._seen]):
            return None
        faces = []
        for track in self._seen:
            face = move_face(before, image_rgb, track.face)
            if face is None:
                return None
            faces.append(face)
        return faces

    def _look(self, image_rgb: NDArray[np.uint8], seconds: float) -> list[DetectedFace]:
        """Find the faces: those like the ones that are followed, and now and then those of any size."""
        if isinstance(self._detector, QuickDetector) and not self._is_thorough_due(seconds):
            sides = [max(image_rgb.shape[:2])] if not self._seen else _sides(_boxes(self._seen))
            faces = self._detector.find_faces_like(
                image_rgb, smallest=float(min(sides)), largest=float(max(sides))
            )
            if len(faces) >= len(self._seen):
                return faces
        self._thorough_look_s, self._n_since_thorough = seconds, 0
        return self._detector.find_faces(image_rgb)

    def _is_thorough_due(self, seconds: float) -> bool:
        """While nobody is seen every look is quick but each K-th, so that nobody appears much later than with others."""
        self._n_since_thorough += 1
        if self._thorough_look_s is None or seconds - self._thorough_look_s >= THOROUGH_EVERY_S:
            return True
        return not self._seen and self._n_since_thorough >= self._detect_every


def _boxes(tracks: list[Track]) -> NDArray[np.float64]:
    return np.stack([track.face.box_xyxy for track in tracks])


def _are_close(faces: list[DetectedFace]) -> bool:
    if len(faces) < 2:
        return False
    boxes = np.stack([face.box_xyxy for face in faces])
    return bool(np.triu(iou_xyxy(boxes, boxes) > CLOSE_IOU, k=1).any())
