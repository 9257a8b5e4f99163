"""How far the landmarks that `mien prepare --place-landmarks` places are from those that a set has.

    python benchmarks/landmark_placement.py KIND RAW [--split val] [--faces 3000] [--model MODEL] [--detector FILE]

The set's own landmarks and boxes are hidden, so that each face is found by the detector. The error of a face is the mean
distance of its 68 points over the distance between the outer corners of the eyes (NME); the mean has a 95% bootstrap
interval. "full image" places them without detecting the face first.
"""

import argparse
from pathlib import Path

import numpy as np

from mien.assets import DEFAULT_MODEL
from mien.datasets.base import RejectedRow
from mien.datasets.registry import DatasetOptions, open_dataset
from mien.faces.detector import DetectedFace, open_detector
from mien.faces.detector_file import find_detector_file
from mien.faces.image_files import read_image_file
from mien.faces.images import UnreadableImage, decode_image, to_rgb
from mien.metrics.bootstrap import bootstrap_rows
from mien.metrics.landmarks import mean_nme, nme_per_face
from mien.prepare.landmark_placement import find_landmark_model, match_face, place_landmarks


def main() -> None:
    """Print the error with and without the detector."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("kind")
    parser.add_argument("raw", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--faces", type=int, default=3000)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--detector", type=Path)
    args = parser.parse_args()
    placing = find_landmark_model(args.model)
    model, detector = placing.load(), open_detector(find_detector_file(args.detector))
    dataset = open_dataset(args.kind, args.raw, DatasetOptions())
    truth, placed, full = [], [], []
    n_not_placed = 0
    rows = [row for row in dataset.rows() if row.split == args.split]
    for row in rows:
        if len(truth) + n_not_placed == args.faces:
            break
        try:
            record = dataset.parse(row)
            image = record.image
            if isinstance(image, Path):
                image = read_image_file(image)
            pixels = decode_image(image) if isinstance(image, bytes) else image
        except (RejectedRow, UnreadableImage):
            continue
        if record.landmarks is None:
            continue
        image_rgb = to_rgb(pixels)
        face = match_face(detector.find_faces(image_rgb), None)
        if face is None:
            n_not_placed += 1
            continue
        everything = DetectedFace(np.array([0.0, 0.0, *image_rgb.shape[1::-1]]), None, None)
        truth.append(record.landmarks)
        placed.append(place_landmarks(image_rgb, face, model))
        full.append(place_landmarks(image_rgb, everything, model))
    points = np.array(truth, np.float32)
    print(f"{placing.label} on {dataset.name}, {args.split}: {len(points):,} faces, {n_not_placed} not found")
    for name, found in (("detected face", placed), ("full image", full)):
        errors = nme_per_face(points, np.array(found, np.float32))
        low, high = bootstrap_rows(errors, mean_nme) or (np.nan, np.nan)
        spread = f"median {np.median(errors):.2%}, 95th percentile {np.percentile(errors, 95):.2%}"
        print(f"{name:14} NME {errors.mean():.2%} [{low:.2%}, {high:.2%}], {spread}")


if __name__ == "__main__":
    main()
