"""Who is who: tracks of known people through synthetic cuts, changes of place, crossings, re-entries and covered faces.

    python benchmarks/tracks.py --photos FOLDER [--sequences 12] [--seed 0]

Every photo (default layout: any folder of photographs of one face each, searched recursively) is one person; a person moves, turns,
changes brightness and is deformed smoothly, as a face is by an expression, so that one image stands for a face in motion. Detector and
flow are those of `mien predict`, the detector in every third frame. Printed for tracking by position alone and for what `mien` does:

- mixed: frames of a track that belong to another person than most of its frames, as a fraction of all frames with a face
- switches: how often a track goes over from one person to another
- splits: how often a person gets another track without a cut and without having been away for longer than tracks survive

and how alike two faces of one person a few frames apart, and of two people, look to `appearance.describe_face`.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.boxes import iou_xyxy
from mien.faces.detector import Detector, load_detector
from mien.faces.images import decode_image, to_rgb
from mien.inference.video import tracking
from mien.inference.video.appearance import describe_face
from mien.inference.video.cuts import CutDetector
from mien.inference.video.tracking import PATIENCE_S, FaceTracker

SIZE_WH, RATE, N_FRAMES = (640, 480), 25.0, 75
FACE_PX, MIN_SCORE = 130.0, 0.8
DETECT_EVERY = 3


class Person(NamedTuple):
    """A photo around a face that is `FACE_PX` high, and the face's box in it."""

    photo_rgb: NDArray[np.uint8]
    box_xyxy: NDArray[np.float64]


class Placed(NamedTuple):
    """A person in a frame: where the center of the face is, how large it is, and how much of it is covered."""

    person: int
    x: float
    y: float
    scale: float = 1.0
    is_covered: bool = False


class Shot(NamedTuple):
    """A frame: the persons from back to front, the background, and how far the camera has turned, in pixels."""

    persons: list[Placed]
    background: int = 0
    pan_px: int = 0


Scene = list[Shot]


def load_people(folder: Path, detector: Detector, count: int, rng: np.random.Generator) -> list[Person]:
    """Return photos with exactly one clear face."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".png"))
    people: list[Person] = []
    for index in rng.permutation(len(paths)):
        photo = to_rgb(decode_image(paths[index].read_bytes()))
        faces = detector.find_faces(photo)
        if len(faces) != 1 or (faces[0].score or 0) < MIN_SCORE:
            continue
        x0, y0, x1, y1 = faces[0].box_xyxy
        scale = FACE_PX / (y1 - y0)
        photo = np.asarray(
            cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8
        )
        box = np.array([x0, y0, x1, y1]) * scale
        # a head's worth around the face
        low = np.clip(box[:2] - 0.45 * FACE_PX, 0, None).astype(int)
        high = (box[2:] + 0.45 * FACE_PX).astype(int)
        people.append(Person(photo[low[1] : high[1], low[0] : high[0]], box - np.tile(low, 2)))
        if len(people) == count:
            break
    return people


def draw(
    frame: NDArray[np.uint8], person: Person, placed: Placed, index: int, phase: float
) -> NDArray[np.float64]:
    """Draw a person onto a frame, deformed as the frame's number says, and return the box of the face."""
    height, width = person.photo_rgb.shape[:2]
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    # smooth waves of 3% of the face, as when the mouth opens and the cheeks rise
    bend = 0.03 * FACE_PX * np.sin(index / 7 + phase)
    xs_bent = xs + (0.4 * bend * np.sin(ys / 23 + phase)).astype(np.float32)
    ys_bent = ys + (bend * np.sin(xs / 31 + 2 * phase) * np.sin(ys / 37)).astype(np.float32)
    photo = cv2.remap(person.photo_rgb, xs_bent, ys_bent, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    photo = np.clip(photo * (1 + 0.12 * np.sin(index / 11 + phase)), 0, 255).astype(np.uint8)
    box = person.box_xyxy
    center = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    if placed.is_covered:  # a hand in front of the mouth
        hand = (int(center[0]), int(center[1] + 0.3 * FACE_PX)), (int(0.3 * FACE_PX), int(0.2 * FACE_PX))
        cv2.ellipse(photo, *hand, 0, 0, 360, (205, 160, 135), -1)
    motion = cv2.getRotationMatrix2D(center, 7 * np.sin(index / 13 + phase), placed.scale)
    motion[:, 2] += np.array([placed.x, placed.y]) - center
    cv2.warpAffine(photo, motion, SIZE_WH, dst=frame, borderMode=cv2.BORDER_TRANSPARENT)
    half = (box[2:] - box[:2]) / 2 * placed.scale
    at = np.array([placed.x, placed.y])
    return np.concatenate([at - half, at + half])


def sway(index: int) -> tuple[float, float]:
    """Return how far a person who sits still moves."""
    return 12 * np.sin(index / 9), 7 * np.cos(index / 12)


def alternation(rng: np.random.Generator, *, changes_background: bool) -> Scene:
    """Return two close-ups that follow each other, once a second or so, in nearly one place."""
    scene: Scene = []
    shots = [0, 1, 0, 1]
    length = N_FRAMES // len(shots)
    offsets = rng.uniform(-25, 25, (4, 2))
    for index in range(length * len(shots)):
        shot = index // length
        x, y = np.array([320, 240]) + offsets[shot] + sway(index)
        scene.append(Shot([Placed(shots[shot], x, y, 1.4)], shots[shot] if changes_background else 0))
    return scene


def crossing(rng: np.random.Generator) -> Scene:
    """Return two people who pass each other, one in front."""
    height = rng.uniform(-25, 25)
    scene: Scene = []
    for index in range(N_FRAMES):
        step = 400 * index / N_FRAMES
        scene.append(Shot([Placed(0, 120 + step, 240), Placed(1, 520 - step, 240 + height)]))
    return scene


def reentry(rng: np.random.Generator) -> Scene:
    """Return a person who leaves; after less than a second another one is in that place, and then the first one again."""
    scene: Scene = []
    shift = rng.uniform(-20, 20, 2)
    for index in range(N_FRAMES):
        part, x = index * 5 // N_FRAMES, np.array([320.0, 240.0])
        at = x + sway(index) + (shift if part == 2 else 0)
        visible = {0: [Placed(0, *at)], 2: [Placed(1, *at)], 4: [Placed(0, *at)]}.get(part, [])
        scene.append(Shot(visible))
    return scene


def covered(rng: np.random.Generator) -> Scene:
    """Return a person whose mouth a hand covers for a while, and who walks out of the room's light."""
    start = int(rng.integers(15, 35))
    return [
        Shot([Placed(0, *(np.array([320, 240]) + sway(index)), is_covered=start <= index < start + 25)])
        for index in range(N_FRAMES)
    ]


def pan(rng: np.random.Generator) -> Scene:
    """Return two people before a camera that swings left and right, by up to 25 pixels a frame."""
    swings = [round(160 * np.sin(index / 6.4 + rng.uniform(0, 0.01))) for index in range(N_FRAMES)]
    return [
        Shot([Placed(0, 220 + swing, 240), Placed(1, 420 + swing, 250)], pan_px=swing) for swing in swings
    ]


SCENES: dict[str, Callable[[np.random.Generator], Scene]] = {
    "cuts": lambda rng: alternation(rng, changes_background=True),
    "alternation in one place": lambda rng: alternation(rng, changes_background=False),
    "crossings": crossing,
    "re-entries": reentry,
    "covered mouths": covered,
    "swinging camera": pan,
}


class Counts(NamedTuple):
    """Of one sequence."""

    n_rows: int
    n_mixed: int
    n_switches: int
    n_splits: int


def follow(frames: list[NDArray[np.uint8]], tracker: FaceTracker, *, sees_cuts: bool) -> Iterator[list]:
    """Yield the tracks and faces of each frame."""
    cuts = CutDetector()
    for index, frame in enumerate(frames):
        if sees_cuts and cuts.is_cut(frame):
            tracker.end_tracks()
        yield tracker.track(frame, index / RATE)


def measure(
    scene: Scene,
    people: list[Person],
    backgrounds: list[NDArray[np.uint8]],
    detector: Detector,
    *,
    is_full: bool,
) -> Counts:
    """Draw and track a scene, and count what went wrong."""
    frames, truth = [], []
    for index, (placed, background, pan_px) in enumerate(scene):
        frame = np.roll(backgrounds[background], pan_px, axis=1)
        truth.append(
            [(one.person, draw(frame, people[one.person], one, index, one.person)) for one in placed]
        )
        frames.append(frame)
    seen: list[tuple[int, int, int]] = []  # frame, track, person
    tracker = FaceTracker(detector, detect_every=DETECT_EVERY)
    for index, tracked in enumerate(follow(frames, tracker, sees_cuts=is_full)):
        for track, face in tracked:
            overlaps = [iou_xyxy(face.box_xyxy[None], box[None])[0, 0] for _, box in truth[index]]
            if overlaps and max(overlaps) > 0.3:
                seen.append((index, track, truth[index][int(np.argmax(overlaps))][0]))
    owners = {
        track: Counter(person for _, other, person in seen if other == track)
        for track in {t for _, t, _ in seen}
    }
    n_mixed = sum(sum(owner.values()) - max(owner.values()) for owner in owners.values())
    n_switches = sum(
        before != after
        for track in owners
        for before, after in pairwise(person for _, other, person in seen if other == track)
    )
    n_splits = 0
    for person in {person for _, _, person in seen}:
        for (frame, track, _), (later, other, _) in pairwise(row for row in seen if row[2] == person):
            is_one_shot = len({shot.background for shot in scene[frame : later + 1]}) == 1
            is_alone = all(
                one.person == person or len(shot.persons) > 1
                for shot in scene[frame : later + 1]
                for one in shot.persons
            )
            n_splits += track != other and later - frame <= PATIENCE_S * RATE and is_one_shot and is_alone
    return Counts(len(seen), n_mixed, n_switches, n_splits)


def print_similarities(people: list[Person], background: NDArray[np.uint8], detector: Detector) -> None:
    """Print quantiles of the correlation within and between people."""
    within, first = [], []
    for number, person in enumerate(people):
        descriptors = []
        for index in (0, 3, 6, 9):
            frame = background.copy()
            draw(frame, person, Placed(number, 320 + index, 240), index, number)
            faces = detector.find_faces(frame)
            if faces and (descriptor := describe_face(frame, faces[0])) is not None:
                descriptors.append(descriptor)
        within += [float(a @ b) for a, b in pairwise(descriptors)]
        first += descriptors[:1]
    between = [float(a @ b) for index, a in enumerate(first) for b in first[:index]]
    for name, values in (("one person", within), ("two people", between)):
        quantiles = np.quantile(values, [0.01, 0.05, 0.5, 0.95, 0.99]).round(2).tolist()
        print(f"similarity of {name}: {quantiles} at 1, 5, 50, 95, 99% (n = {len(values):,})")


def main() -> None:
    """Track every scene both ways."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--photos", type=Path, required=True, help="folder of photographs of one face each")
    parser.add_argument("--sequences", type=int, default=12, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = np.random.default_rng(args.seed)
    detector = load_detector()
    people = load_people(args.photos, detector, 2 * args.sequences, rng)
    rooms = rng.integers(20, 235, (2, 6, 8, 3), np.uint8)
    backgrounds = [
        np.asarray(cv2.resize(room, SIZE_WH, interpolation=cv2.INTER_CUBIC), np.uint8) for room in rooms
    ]
    print_similarities(people, backgrounds[0], detector)
    settings = tracking.MIN_SIMILARITY, tracking.SIMILARITY_WEIGHT
    for is_full in (False, True):
        tracking.MIN_SIMILARITY, tracking.SIMILARITY_WEIGHT = settings if is_full else (-1.0, 0.0)
        print("mien:" if is_full else "position alone:")
        for name, make in SCENES.items():
            total = np.zeros(4, dtype=int)
            for sequence in range(args.sequences):
                pair = people[2 * sequence : 2 * sequence + 2]
                scene = make(np.random.default_rng([args.seed, sequence]))
                total += measure(scene, pair, backgrounds, detector, is_full=is_full)
            n_rows, n_mixed, n_switches, n_splits = total.tolist()
            print(
                f"  {name:<26} mixed {n_mixed / n_rows:6.1%} of {n_rows:,}, {n_switches:3} switches, {n_splits:3} splits "
                f"in {args.sequences} sequences"
            )


if __name__ == "__main__":
    main()
