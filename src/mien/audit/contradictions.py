"""Labels that contradict what else is known of a face, whatever a network says.

Each check returns sentences by the index of the face.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.faces.detector import Detector
from mien.faces.landmarks import LEFT_EYE_OUTER_CORNER, RIGHT_EYE_OUTER_CORNER
from mien.formats.pack.schema import NO_LABEL
from mien.formats.pack.selection import FaceSelection
from mien.metrics.landmarks import nme_per_face
from mien.runtime.progress import Progress

Details = dict[int, str]

# The sign of valence and of arousal, 0 where either may occur, as in Russell's circumplex (A circumplex model of affect, 1980)
# and in AffectNet's tutorial for annotators, which follows it (Mollahosseini et al. 2017; for Happy it gives valence in
# (0, 1]). Surprise may be pleasant or not.
AFFECT_SIGNS = {
    "Happy": (1, 0), "Sad": (-1, 0), "Surprise": (0, 1), "Fear": (-1, 1), "Disgust": (-1, 0), "Anger": (-1, 1),
    "Contempt": (-1, 0),
}  # fmt: skip
# Annotators vary: only values this far on the wrong side contradict the label.
AFFECT_TOLERANCE = 0.2
# Neutral is the origin of the plane; this far from it a face is not neutral.
NEUTRAL_RADIUS = 0.5
# A face that the detector is this sure of is plainly visible.
CLEAR_FACE_SCORE = 0.8
# Beyond a fifth of the distance between the outer eye corners, landmarks are failures, as in the report of `evaluate`.
LARGEST_NME = 0.2
# Around a tight crop, for the detector, as a fraction of the side.
_BORDER = 0.25


def find_affect_contradictions(names: Sequence[str | None], valence_arousal: NDArray[np.floating]) -> Details:
    """Return the faces whose valence or arousal has the wrong sign for their label, or is far from neutral.

    Args:
        names: the label of each of N faces, None without one.
        valence_arousal: ``(N, 2)``, NaN where missing.
    """
    found = {}
    for face in np.flatnonzero(np.isfinite(valence_arousal).any(axis=1)).tolist():
        name, values = names[face], valence_arousal[face]
        if name == "Neutral" and np.hypot(*values) > NEUTRAL_RADIUS:
            found[face] = f"valence {values[0]:.2f} and arousal {values[1]:.2f} are far from neutral"
        for dimension, sign, value in zip(
            ("valence", "arousal"), AFFECT_SIGNS.get(name or "", (0, 0)), values, strict=True
        ):
            if value * sign < -AFFECT_TOLERANCE:
                wanted = "positive" if sign > 0 else "negative"
                found[face] = f"{dimension} {value:.2f}, although {name} has {wanted} {dimension}"
    return found


def find_duplicate_disagreements(names: Sequence[str | None], groups: NDArray[np.integer]) -> Details:
    """Return the faces of near-duplicate groups whose labels differ.

    Args:
        names: the label of each of N faces, None without one.
        groups: ``(N,)`` equal for near-duplicates.
    """
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(sizes[numbers] > 1)
    members: dict[int, list[int]] = {}
    for face in repeated.tolist():
        if names[face] is not None:
            members.setdefault(int(groups[face]), []).append(face)
    found = {}
    for faces in members.values():
        for face in faces:
            others = sorted({str(names[other]) for other in faces} - {str(names[face])})
            if others:
                found[face] = f"a near-duplicate is labeled {' and '.join(others)}"
    return found


def find_faces_in_nonface(faces: FaceSelection, indices: NDArray[np.integer], detector: Detector) -> Details:
    """Return the faces labeled NonFace in whose crop a face is plainly visible.

    Args:
        faces: all faces.
        indices: those that are labeled NonFace.
        detector: finds faces. It has to give scores.
    """
    found = {}
    with Progress("Looking for faces", total=len(indices), unit="crop") as progress:
        for face in indices.tolist():
            crop = faces.image(face)
            border = round(_BORDER * len(crop))
            padded = np.pad(crop, ((border, border), (border, border), (0, 0)), mode="edge")
            scores = [one.score for one in detector.find_faces(padded) if one.score is not None]
            if scores and max(scores) >= CLEAR_FACE_SCORE:
                found[face] = f"the detector finds a face, with a score of {max(scores):.2f}"
            progress.advance()
    return found


def find_landmark_misfits(landmarks: NDArray[np.floating], predicted: NDArray[np.floating] | None) -> Details:
    """Return the faces whose landmarks cannot be those of the face in the crop.

    They are impossible if the eye corners coincide or change sides, or all points lie outside of the crop; and unfit if
    predicted ones are further away than `LARGEST_NME`.

    Args:
        landmarks: ``(N, 68, 2)`` fractions of the crop, NaN where missing.
        predicted: the same as a network that has not seen the face predicts them; None if there is none.
    """
    found = {}
    known = np.isfinite(landmarks.reshape(len(landmarks), -1)).all(axis=1)
    right, left = landmarks[:, RIGHT_EYE_OUTER_CORNER], landmarks[:, LEFT_EYE_OUTER_CORNER]
    width = np.ptp(np.nan_to_num(landmarks[:, :, 0]), axis=1)
    is_outside = np.all(np.any((landmarks < 0) | (landmarks > 1), axis=2), axis=1)
    errors = nme_per_face(landmarks, landmarks if predicted is None else predicted)
    for face in np.flatnonzero(known).tolist():
        if right[face, 0] - left[face, 0] < 0.05 * width[face]:
            found[face] = "the eye corners of the landmarks coincide, or left and right are swapped"
        elif is_outside[face]:
            found[face] = "all landmarks lie outside of the crop"
        elif errors[face] > LARGEST_NME:
            found[face] = (
                f"the landmarks are {100 * errors[face]:.0f}% of the eye distance from those that the model predicts"
            )
    return found


def label_names(labels: NDArray[np.integer], classes: Sequence[str]) -> list[str | None]:
    """Return the name of each label, None for a face without one."""
    return [None if label == NO_LABEL else classes[label] for label in labels.tolist()]
