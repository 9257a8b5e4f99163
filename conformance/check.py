"""Compare what a port of mien computed with what the conformance kit expects. Needs only Python's standard library.

    python check.py results.json

Exit code 0: conformant, whether with or without a detector; 1: not conformant; 2: the results cannot be read.
"""

import argparse
import base64
import binascii
import json
import math
import sys
from pathlib import Path

HERE = Path(__file__).parent
FORMAT_VERSION = 1
# Without the detector's file, a port can still be held to the rest.
OPTIONAL_PARTS = ("detections", "faces")


class NotConformantError(Exception):
    """A result that is missing, has another shape, or is of the wrong kind."""


def compare_crops(kit, results):
    """Return the largest mean difference in gray levels of any crop, which must also have the expected method."""
    largest = 0.0
    for case, result in pair_up(kit["crops"], results):
        if result.get("method") != case["method"]:
            raise NotConformantError(
                f"{case['name']}: method {result.get('method')!r}, expected {case['method']!r}"
            )
        expected = (HERE / case["file"]).read_bytes()
        try:
            found = base64.b64decode(result["rgb"], validate=True)
        except (KeyError, TypeError, binascii.Error) as error:
            raise NotConformantError(f"{case['name']}: `rgb` must be base64: {error!r}") from None
        if len(found) != len(expected):
            raise NotConformantError(f"{case['name']}: {len(found)} bytes, expected {len(expected)}")
        difference = sum(abs(a - b) for a, b in zip(found, expected, strict=True)) / len(expected)
        largest = max(largest, difference)
    return {"mean_difference": largest}


def compare_predictions(kit, results):
    """Return the largest differences of the model's outputs; landmarks are fractions of the crop."""
    return worst_of(
        compare_outputs(case, result, 1.0) for case, result in pair_up(kit["predictions"], results)
    )


def compare_priors(kit, results):
    """Return the largest difference of any probability under any prior."""
    return worst_of(
        {"probability": largest_difference(case[prior], result.get(prior), f"prior {prior}")}
        for case, result in pair_up(kit["priors"], results)
        for prior in case
    )


def compare_detections(kit, results):
    """Return the smallest IoU, and the largest difference of points (by the face's width) and scores."""
    found = []
    for case, result in pair_up(kit["detections"], results):
        for face, other in pair_up(case["faces"], result.get("faces")):
            overlap = iou(face["box_xyxy"], numbers(other.get("box_xyxy"), 4, "box_xyxy"))
            width = face["box_xyxy"][2] - face["box_xyxy"][0]
            found.append(
                {
                    "iou": overlap,
                    "point": farthest(face["points"], other.get("points"), "points") / width,
                    "score": largest_difference([face["score"]], [other.get("score")], "score"),
                }
            )
    return worst_of(found)


def compare_faces(kit, results):
    """Return the differences of the whole chain, from the image to the predictions; landmarks by the face's width."""
    found = []
    for case, result in pair_up(kit["faces"], results):
        if result.get("expression") != case["expression"]:
            raise NotConformantError(
                f"expression {result.get('expression')!r}, expected {case['expression']!r}"
            )
        width = case["box_xyxy"][2] - case["box_xyxy"][0]
        overlap = iou(case["box_xyxy"], numbers(result.get("box_xyxy"), 4, "box_xyxy"))
        found.append({"iou": overlap, **compare_outputs(case, result, width)})
    return worst_of(found)


def compare_outputs(case, result, side):
    """Return the differences of probabilities, of landmarks as fractions of a side, and of valence and arousal."""
    found = {
        "probability": largest_difference(case["probabilities"], result.get("probabilities"), "probabilities")
    }
    if case["landmarks"] is not None:
        found["landmark"] = farthest(case["landmarks"], result.get("landmarks"), "landmarks") / side
    if case["valence_arousal"] is not None:
        found["valence_arousal"] = largest_difference(
            case["valence_arousal"], result.get("valence_arousal"), "valence_arousal"
        )
    return found


def pair_up(expected, found):
    """Return pairs of expected and found items, by name where they have one, else in order."""
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise NotConformantError("expected a list of objects")
    if expected and "name" in expected[0]:
        by_name = {one.get("name"): one for one in found}
        missing = [one["name"] for one in expected if one["name"] not in by_name]
        if missing:
            raise NotConformantError(f"missing: {', '.join(missing)}")
        return [(one, by_name[one["name"]]) for one in expected]
    if len(found) != len(expected):
        raise NotConformantError(f"{len(found)} items, expected {len(expected)}")
    return list(zip(expected, found, strict=True))


def numbers(values, count, name):
    """Return a list of that many finite numbers."""
    is_list = isinstance(values, list) and len(values) == count
    if not is_list or not all(type(one) in (int, float) and math.isfinite(one) for one in values):
        raise NotConformantError(f"`{name}` must be a list of {count} finite numbers")
    return values


def largest_difference(expected, found, name):
    """Return the largest absolute difference of two lists of numbers."""
    found = numbers(found, len(expected), name)
    return max(abs(a - b) for a, b in zip(expected, found, strict=True))


def farthest(expected, found, name):
    """Return the largest distance of two lists of points."""
    if not isinstance(found, list) or len(found) != len(expected):
        raise NotConformantError(f"`{name}` must be a list of {len(expected)} points")
    return max(math.dist(a, numbers(b, 2, name)) for a, b in zip(expected, found, strict=True))


def iou(a, b):
    """Return the intersection over union of two boxes (x0, y0, x1, y1)."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    intersection = max(width, 0) * max(height, 0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return intersection / (areas - intersection) if areas > intersection else 0.0


def worst_of(differences):
    """Return the worst of each difference: the smallest IoU, and the largest of everything else."""
    worst = {}
    for found in differences:
        for name, value in found.items():
            known = worst.get(name, value)
            worst[name] = min(known, value) if name == "iou" else max(known, value)
    return worst


COMPARISONS = {
    "crops": compare_crops,
    "predictions": compare_predictions,
    "priors": compare_priors,
    "detections": compare_detections,
    "faces": compare_faces,
}


def check(kit, results):
    """Print a line per part, and return whether all that is required conforms."""
    is_conformant, is_complete = True, True
    for part, compare in COMPARISONS.items():
        found = results.get(part)
        if found is None and part in OPTIONAL_PARTS:
            print(f"{part:12} not reported")
            is_complete = False
            continue
        try:
            worst = compare(kit, found)
        except NotConformantError as error:
            print(f"{part:12} FAILED  {error}")
            is_conformant = False
            continue
        verdicts, is_fine = [], True
        for name, value in worst.items():
            limit = kit["tolerances"][part][name]
            is_fine = is_fine and (value >= limit if name == "iou" else value <= limit)
            verdicts.append(f"{name} {value:.3g} (at {'least' if name == 'iou' else 'most'} {limit:g})")
        print(f"{part:12} {'ok    ' if is_fine else 'FAILED'}  {len(kit[part])} cases: {', '.join(verdicts)}")
        is_conformant = is_conformant and is_fine
    verdict = "conformant" if is_complete else "conformant, without a detector"
    print(f"{results.get('runtime', 'this port')}: {verdict if is_conformant else 'not conformant'}")
    return is_conformant


def main():
    """Check a file of results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "results", type=Path, help="JSON file that the port wrote; docs/conformance.md has its format"
    )
    path = parser.parse_args().results
    kit = json.loads((HERE / "conformance.json").read_text(encoding="utf-8"))
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        parser.error(f"{path} cannot be read: {error}")
    version = results.get("format_version") if isinstance(results, dict) else None
    if version != FORMAT_VERSION:
        parser.error(f"{path} must be an object with `format_version` {FORMAT_VERSION}, got {version!r}")
    sys.exit(0 if check(kit, results) else 1)


if __name__ == "__main__":
    main()
