"""mien against other packages on the same faces: accuracy, calibration, faces not found, time, sizes.

    python benchmarks/arena/run.py --ferplus FER --lfw RAW --envs DIR [--peers fer human] [--sets "given boxes"]
                                   [--split val] [--model MODEL] [--limit N] [--out FILE.json]

The README in this folder says how to set up the peers' environments in DIR. Four sets are measured:

- ``FER+``: the faces of the majority rule, each a cropped face of 48 px.
- ``photographs``: those of a set in AffectNet's layout, end to end with each peer's own detector. The answer that counts is
  that of the detected face nearest to the annotated one, if its center lies in the annotated box; otherwise the face is
  not found, and wrong.
- ``bordered photographs``: the same with a black border as wide as the photograph, for detectors that miss a face which
  fills the image.
- ``given boxes``: the same photographs, cut to the annotated box.

All peers choose among the 7 classes that they share (``7_closed``): further classes are ignored, and the rest add up to 1.
One image at a time goes to every peer in turn, so that the times are of the same minutes, and only one peer works at a time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.artifacts import write_json
from mien.datasets.base import RejectedRow
from mien.datasets.registry import DatasetOptions, open_dataset
from mien.errors import MienError
from mien.faces.classes import EXPRESSIONS_7, canonical_class
from mien.faces.detector_file import find_detector_file, how_to_get_yunet
from mien.faces.images import decode_image, to_rgb
from mien.metrics.bootstrap import bootstrap_confusion
from mien.metrics.calibration import expected_calibration_error, reliability_bins
from mien.metrics.classification import accuracy, balanced_accuracy, confusion_matrix
from mien.runtime.progress import Progress

PEERS = Path(__file__).parent / "peers"
ITSELF = "mien"
WARM_UP_IMAGES = 5
NOT_FOUND = len(EXPRESSIONS_7)

# What is known about a peer's training data, by peer and set. "" is for all sets.
TRAINING_DATA = {
    (ITSELF, "FER+"): "trained on FER+ Train; chosen on a dev split of it",
    (ITSELF, ""): "the default model: photographs of other persons, from the same source",
    (
        "fer",
        "FER+",
    ): "its source is `face_classification`, whose script trains on FER2013's Training rows and chooses the "
    "checkpoint on the others, with these images among them",
    ("human", "FER+"): "its source is `face_classification`, as for fer",
    ("face-api", ""): "unknown: public datasets and images from the web, says face-api.js",
    ("", ""): "unknown",
}


@dataclass(frozen=True)
class Face:
    """A labeled face.

    Attributes:
        image_rgb: ``(H, W, 3)`` uint8.
        label: index into `EXPRESSIONS_7`.
        box_xyxy: the annotated box, or None if the image is a cropped face.
    """

    image_rgb: NDArray[np.uint8]
    label: int
    box_xyxy: NDArray[np.float64] | None = None


@dataclass
class Peer:
    """A running adapter and its answers by set.

    Attributes:
        name: the adapter's file name without its suffix.
        process: the adapter.
        description: its first line.
        probabilities: ``(7,)`` for each face of a set, None if it was not found.
        seconds: of each face of a set.
    """

    name: str
    process: subprocess.Popen[str]
    description: dict[str, Any]
    probabilities: dict[str, list[NDArray[np.float64] | None]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def ask(self, image: Path, *, cropped: bool) -> dict[str, Any]:
        """Return the answer for an image.

        Raises:
            SystemExit: the adapter has ended.
        """
        stdin, stdout = self.process.stdin, self.process.stdout
        if stdin is None or stdout is None:
            raise TypeError("the adapter needs pipes")
        stdin.write(json.dumps({"image": str(image), "cropped": cropped}) + "\n")
        stdin.flush()
        return _parse_answer(stdout.readline(), self.name)


def _parse_answer(line: str, name: str) -> dict[str, Any]:
    if not line:
        raise SystemExit(f"The adapter {name!r} ended; its message is above")
    answer: dict[str, Any] = json.loads(line)
    return answer


def require_detector() -> Path:
    """Return YuNet's file.

    Raises:
        SystemExit: there is none; with the weaker detector mien would not be what is compared.
    """
    file = find_detector_file()
    if file is None:
        raise SystemExit(f"The arena needs the YuNet face detector. {how_to_get_yunet()}")
    return file


def start_peer(name: str, envs: Path, arguments: Sequence[str] = ()) -> Peer:
    """Start an adapter, with further arguments, with the Python or the packages of its environment.

    Raises:
        SystemExit: there is no such adapter or environment.
    """
    found = [path for suffix in (".py", ".mjs") if (path := PEERS / f"{name}{suffix}").is_file()]
    if not found:
        known = ", ".join(sorted(path.stem for path in PEERS.iterdir() if path.suffix in (".py", ".mjs")))
        raise SystemExit(f"There is no adapter {name!r} in {PEERS}, only {known}")
    adapter, env = found[0], envs / name
    command, folder = [str(env / "bin" / "python"), str(adapter)], None
    if name == ITSELF:
        command = [sys.executable, str(adapter), *arguments]
    elif adapter.suffix == ".mjs":
        command, folder = ["node", str(adapter), *arguments], env
    if name != ITSELF and not (env / "node_modules" if folder else Path(command[0])).exists():
        raise SystemExit(f"{env} is missing: set it up as {PEERS.parent / 'README.md'} says")
    # Adapters import `protocol`, and not each other: their files have the names of packages.
    paths = [
        str(PEERS.parent),
        *([os.environ["PYTHONPATH"]] if name == ITSELF and "PYTHONPATH" in os.environ else []),
    ]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    if process.stdout is None:
        raise TypeError("the adapter needs pipes")
    return Peer(name, process, _parse_answer(process.stdout.readline(), name))


def read_faces(kind: str, raw: Path, split: str, limit: int | None) -> list[Face]:
    """Read the faces of the seven expressions in a split of a raw dataset."""
    dataset = open_dataset(kind, raw, DatasetOptions())
    faces: list[Face] = []
    for row in dataset.rows():
        if row.split != split or len(faces) == limit:
            continue
        try:
            record = dataset.parse(row)
        except RejectedRow:
            continue
        label = record.label
        name = dataset.classes[label] if label >= 0 else None
        if name not in EXPRESSIONS_7:
            continue
        if isinstance(record.image, np.ndarray):
            image_rgb = to_rgb(record.image)
        else:
            data = record.image if isinstance(record.image, bytes) else record.image.read_bytes()
            image_rgb = to_rgb(decode_image(data))
        faces.append(
            Face(image_rgb, EXPRESSIONS_7.index(name), None if kind == "ferplus" else record.box_xyxy)
        )
    return faces


def add_border(face: Face) -> Face:
    """Return the photograph in the middle of a black one of three times its height and width."""
    height, width = face.image_rgb.shape[:2]
    image_rgb = cv2.copyMakeBorder(face.image_rgb, height, height, width, width, cv2.BORDER_CONSTANT)
    box = None if face.box_xyxy is None else face.box_xyxy + np.array([width, height, width, height])
    return Face(image_rgb, face.label, box)


def cut_to_box(face: Face) -> Face:
    """Return the part of the image inside the annotated box as a cropped face."""
    if face.box_xyxy is None:
        return face
    height, width = face.image_rgb.shape[:2]
    x0, y0, x1, y1 = np.clip(face.box_xyxy, 0, [width, height, width, height]).round().astype(int)
    return Face(np.ascontiguousarray(face.image_rgb[y0:y1, x0:x1]), face.label)


def probabilities_of(answer: dict[str, Any], face: Face) -> NDArray[np.float64] | None:
    """Return the ``(7,)`` probabilities of the answer that counts, or None if the face was not found."""
    found = answer["faces"]
    if face.box_xyxy is not None:
        x0, y0, x1, y1 = face.box_xyxy
        middle = np.array([x0 + x1, y0 + y1]) / 2
        boxes = [np.array(one["box_xyxy"], dtype=np.float64) for one in found]
        centers = [(box[:2] + box[2:]) / 2 for box in boxes]
        inside = [
            (float(np.linalg.norm(center - middle)), index)
            for index, center in enumerate(centers)
            if x0 <= center[0] <= x1 and y0 <= center[1] <= y1
        ]
        found = [found[min(inside)[1]]] if inside else []
    if not found:
        return None
    by_class = dict.fromkeys(EXPRESSIONS_7, 0.0)
    for name, value in found[0]["probabilities"].items():
        known = canonical_class(name)
        if known in by_class:
            by_class[known] = float(value)
    values = np.array(list(by_class.values()))
    # Two peers round to hundredths, so that all may be 0.
    return values / values.sum() if values.sum() > 0 else np.full(len(values), 1 / len(values))


def measure(name: str, faces: Sequence[Face], peers: Sequence[Peer], change: Callable[[Face], Face]) -> None:
    """Send every changed face to every peer in turn, and record the answers under the set's name."""
    for peer in peers:
        peer.probabilities[name], peer.seconds[name] = [], []
    with tempfile.TemporaryDirectory() as folder, Progress(name, total=len(faces), unit="face") as progress:
        path = Path(folder) / "face.ppm"
        for index, face in enumerate(map(change, [*faces[:WARM_UP_IMAGES], *faces])):
            cv2.imwrite(str(path), cv2.cvtColor(face.image_rgb, cv2.COLOR_RGB2BGR))
            # The first one after a pause is slower: each is first as often as any other.
            order = [*peers[index % len(peers) :], *peers[: index % len(peers)]]
            for peer in order:
                answer = peer.ask(path, cropped=face.box_xyxy is None)
                if index >= WARM_UP_IMAGES:
                    peer.probabilities[name].append(probabilities_of(answer, face))
                    peer.seconds[name].append(answer["seconds"])
            if index >= WARM_UP_IMAGES:
                progress.advance(1)


def score(name: str, faces: Sequence[Face], peer: Peer, itself: Peer) -> dict[str, Any]:
    """Return a peer's row of a set's table."""
    answers = peer.probabilities[name]
    truth = np.array([face.label for face in faces])
    predicted = np.array([NOT_FOUND if one is None else int(one.argmax()) for one in answers])
    confusion = confusion_matrix(truth, predicted, n_classes=len(EXPRESSIONS_7) + 1)
    is_found = predicted != NOT_FOUND
    confidence = np.array([one.max() for one in answers if one is not None])
    bins = reliability_bins(confidence, (truth == predicted)[is_found]) if is_found.any() else ()
    ratios = [a / b for a, b in zip(peer.seconds[name], itself.seconds[name], strict=True)]
    key = (peer.name, name)
    return {
        "n": len(faces),
        "accuracy": float(accuracy(confusion)),
        "accuracy_ci95": list(bootstrap_confusion(confusion, accuracy)),
        "accuracy_of_found": float((truth == predicted)[is_found].mean()) if is_found.any() else None,
        "balanced_accuracy": float(balanced_accuracy(confusion)),
        "balanced_accuracy_ci95": list(bootstrap_confusion(confusion, balanced_accuracy)),
        "ece_of_found": expected_calibration_error(bins),
        "n_not_found": int((~is_found).sum()),
        "recall": {
            label: float(confusion[index, index] / max(1, confusion[index].sum()))
            for index, label in enumerate(EXPRESSIONS_7)
        },
        "median_ms": 1000 * statistics.median(peer.seconds[name]),
        "median_ratio": statistics.median(ratios),
        "training_data": TRAINING_DATA.get(key)
        or TRAINING_DATA.get((peer.name, ""))
        or TRAINING_DATA["", ""],
    }


def format_report(results: dict[str, Any]) -> str:
    """Return the tables as Markdown."""
    lines = []
    for name, rows in results["sets"].items():
        n = next(iter(rows.values()))["n"]
        lines += [
            f"{name}, 7 classes, n = {n:,}",
            "",
            "| package | accuracy | balanced accuracy | ECE | not found | ms per face | relative to mien | trained on these faces? |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for peer, row in rows.items():
            cells = [
                results["peers"][peer]["name"],
                *(
                    f"{100 * row[key]:.1f}% [{100 * row[f'{key}_ci95'][0]:.1f}, {100 * row[f'{key}_ci95'][1]:.1f}]"
                    for key in ("accuracy", "balanced_accuracy")
                ),
                "–" if row["ece_of_found"] is None else f"{100 * row['ece_of_found']:.1f}%",
                f"{row['n_not_found']:,}",
                f"{row['median_ms']:.2f}",
                f"{row['median_ratio']:.2f}",
                row["training_data"],
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    lines += ["| package | version | detector | weights | installed |", "|---|---|---|---|---|"]
    for peer in results["peers"].values():
        cells = [
            peer["name"],
            peer["version"],
            peer["detector"],
            f"{peer['weights_bytes'] / 1e6:.2f} MB ({', '.join(f'{name} {size / 1e6:.2f}' for name, size in peer['weights'].items())})",
            f"{peer['install_bytes'] / 1e6:,.0f} MB",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


# By set: the raw dataset that it is made from, and how its faces are changed.
SETS: dict[str, tuple[str, Callable[[Face], Face]]] = {
    "FER+": ("ferplus", lambda face: face),
    "photographs": ("affectnet", lambda face: face),
    "bordered photographs": ("affectnet", add_border),
    "given boxes": ("affectnet", cut_to_box),
}


def main() -> None:
    """Run the comparison."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ferplus", type=Path, metavar="FER", help="FER+, with fer2013new.csv")
    parser.add_argument("--lfw", type=Path, metavar="RAW", help="photographs in AffectNet's layout")
    parser.add_argument("--envs", type=Path, required=True, metavar="DIR", help="the peers' environments")
    parser.add_argument("--peers", nargs="*", default=["fer", "face-api", "human"], metavar="PEER")
    parser.add_argument(
        "--sets", nargs="*", choices=list(SETS), default=list(SETS), metavar="SET", help=", ".join(SETS)
    )
    parser.add_argument("--split", default="val")
    parser.add_argument("--model", help="mien's model (default: its default model)")
    parser.add_argument("--limit", type=int, metavar="N", help="use the first N faces of each set only")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="also write all figures to this file")
    args = parser.parse_args()
    if ITSELF in args.peers or len(set(args.peers)) < len(args.peers):
        parser.error("--peers takes each of the other packages once: mien always takes part")
    raw = {kind: path for kind, path in (("ferplus", args.ferplus), ("affectnet", args.lfw)) if path}
    names = [name for name in args.sets if SETS[name][0] in raw]
    if not names:
        parser.error("name at least one set: --ferplus or --lfw")
    try:
        faces_of = {kind: read_faces(kind, path, args.split, args.limit) for kind, path in raw.items()}
    except MienError as error:
        raise SystemExit(str(error)) from None
    require_detector()
    peers = [start_peer(ITSELF, args.envs, [args.model] if args.model else [])]
    peers += [start_peer(name, args.envs) for name in args.peers]
    results: dict[str, Any] = {"sets": {}, "peers": {}}
    for name in names:
        kind, change = SETS[name]
        faces = faces_of[kind]
        measure(name, faces, peers, change)
        results["sets"][name] = {peer.name: score(name, faces, peer, peers[0]) for peer in peers}
    for peer in peers:
        weights = {Path(path).name: Path(path).stat().st_size for path in peer.description.pop("weights")}
        results["peers"][peer.name] = {
            **peer.description,
            "weights": weights,
            "weights_bytes": sum(weights.values()),
        }
        if peer.process.stdin is not None:
            peer.process.stdin.close()
        peer.process.wait()
    if args.out:
        write_json(args.out, results)
    print(format_report(results))


if __name__ == "__main__":
    main()
