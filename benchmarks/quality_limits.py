"""The limits of the quality rule for a model: from where on its answers for faces that are hard to see are not to be trusted.

    python benchmarks/quality_limits.py --run RUN --packs PACK ... --ferplus FER --photos RAW [--model MODEL] [--out RULE.json]

Faces are those of the run's dev split, which the model was not trained on, made dark, blurred, small or covered at every
strength by the functions of quality.py, found by the detector and, where the set has landmarks, also cropped by these. A limit
lies where half of what the model is worth is lost: where its accuracy falls below the middle between its accuracy on the
unchanged faces and that of always answering the most common class. Accuracy by measure is an isotonic regression, both sets
counting alike. The dev split shares persons with train, so that limits found there are loose: one is used only where it is
stricter than the general one, that of files without a rule, and where at least 100 answers lie beyond it.
`mien export --quality-rule RULE.json` writes the rule into the model file.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.isotonic import IsotonicRegression

import mien
from mien.faces.landmarks import five_from_landmarks
from mien.faces.quality import QUALITY
from mien.formats.run import Run
from mien.inference.decision_rule import sort_by_probability
from mien.pack import Pack
from mien.runtime.progress import Progress
from quality import Change, Image, Labeled, Points, blur, dark, hand, mask, motion_blur, read_faces, small

SEED = 0
MIN_BEYOND = 100
# Of the same sort as the changes that measure the rule, but at every strength.
STRENGTHS: dict[str, Change] = {
    "nothing": lambda image, _, __: image,
    "dark": lambda image, points, random: dark(*(2 * [random.uniform(0.07, 0.7) ** 2]))(
        image, points, random
    ),
    "blur": blur(0.02, 0.3),
    "motion blur": motion_blur(0.1, 0.8),
    "small": lambda image, points, random: small(*(2 * [2 ** random.uniform(2.8, 5.2)]))(
        image, points, random
    ),
    "mask": mask,
    "hand": hand,
}
# Reason: name of the limit, the measure, digits of the limit, the changes it is chosen on, and whether more is better.
LIMITS: dict[str, tuple[str, str, int, tuple[str, ...], bool]] = {
    "too small": ("least_face_px", "face_px", 0, ("small",), True),
    "too dark": ("least_brightness", "brightness", 3, ("dark",), True),
    "blurred": ("least_sharpness", "sharpness", 3, ("blur", "motion blur"), True),
    "covered": ("most_covered", "covered", 2, ("nothing", "mask", "hand"), False),
}


class Answer(NamedTuple):
    """What a model answers for a changed face: the set, the change, the class, whether it is right, and the measures."""

    kind: str
    change: str
    label: str
    is_right: bool
    quality: dict[str, float | None]


def ask(model: mien.Model, kind: str, face: Labeled, random: np.random.Generator) -> Iterator[Answer]:
    """Yield the answers for a face under every change, found by the detector and cropped by its landmarks."""
    found = model.detector.find_faces(face.image_rgb)
    points: Points | None = found[0].points if found else None
    if points is None and face.landmarks is not None:
        points = five_from_landmarks(face.landmarks)
    if points is None:
        return
    for change, apply in STRENGTHS.items():
        changed: Image = apply(face.image_rgb, points, random)
        answers = list(model.predict(changed).faces[:1])
        if kind == "ferplus" and change != "small" and face.landmarks is not None:
            center = (face.landmarks.min(axis=0) + face.landmarks.max(axis=0)) / 2
            if (center >= 0).all() and (center <= changed.shape[1::-1]).all():
                answers += model.predict(changed, landmarks=face.landmarks[None])
        for answer in answers:
            first = sort_by_probability(answer.probabilities or {})[0][0]
            yield Answer(kind, change, face.label, first == face.label, answer.quality or {})


def find_level(answers: list[Answer], kind: str) -> float:
    """Return the accuracy at which half of a model's worth is lost, and print what it lies between."""
    plain = [answer for answer in answers if (answer.kind, answer.change) == (kind, "nothing")]
    accuracy = np.mean([answer.is_right for answer in plain])
    majority = Counter(answer.label for answer in plain).most_common(1)[0][1] / len(plain)
    print(
        f"{kind}: n = {len(plain):,}, unchanged {accuracy:.1%} right, most common class {majority:.1%}, level {(accuracy + majority) / 2:.1%}"
    )
    return float(accuracy + majority) / 2


def main() -> None:
    """Choose the limits."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True, help="the run that the model was exported from")
    parser.add_argument("--packs", type=Path, nargs="+", required=True, help="its packs, in its order")
    parser.add_argument("--ferplus", type=Path, required=True, help="the set in FER+'s layout")
    parser.add_argument("--photos", type=Path, required=True, help="the set in AffectNet's layout")
    parser.add_argument("--model", help="model file, or name of a bundled one (default: the bundled one)")
    parser.add_argument("--faces", type=int, default=400, help="at most so many of each set")
    parser.add_argument("--out", type=Path, metavar="RULE.json")
    args = parser.parse_args()
    dev = Run.open(args.run).read_dev_outputs()
    if dev.pack_numbers is None or dev.rows is None:
        parser.error("the run does not record its dev split")
    keys = set()
    for number, path in enumerate(args.packs):
        names = Pack.open(path).split("train").keys
        keys |= {names[row] for row in dev.rows[dev.pack_numbers == number]}
    model, random, answers = mien.load(args.model, quality_rule=False), np.random.default_rng(SEED), []
    for kind, raw in (("affectnet", args.photos), ("ferplus", args.ferplus)):
        faces = list(read_faces(kind, raw, split="train", keys=keys))
        chosen = sorted(random.permutation(len(faces))[: args.faces].tolist())
        with Progress("Predicting", total=len(chosen), unit="face") as progress:
            for index in chosen:
                answers += ask(model, kind, faces[index], random)
                progress.advance()
    level = float(np.mean([find_level(answers, kind) for kind in ("affectnet", "ferplus")]))
    rule: dict[str, dict[str, float]] = {"limits": {}, "right_answers": {}}
    print("| reason | found | answers | beyond it | right among these | limit |\n|---|---|---|---|---|---|")
    for reason, (name, measure, digits, changes, is_increasing) in LIMITS.items():
        mine = [one for one in answers if one.change in changes and one.quality.get(measure) is not None]
        values = np.array([one.quality[measure] for one in mine], dtype=np.float64)
        right = np.array([one.is_right for one in mine], dtype=np.float64)
        counts = Counter(one.kind for one in mine)
        weights = np.array([1 / counts[one.kind] for one in mine])
        fitted = IsotonicRegression(increasing=is_increasing).fit(values, right, sample_weight=weights)
        lost = values[fitted.predict(values) < level]
        none = 0.0 if is_increasing else 1.0
        limit = round(float(max(lost) if is_increasing else min(lost)) if len(lost) else none, digits)
        beyond = values < limit if is_increasing else values > limit
        share = f"{right[beyond].mean():.1%}" if beyond.any() else "-"
        general = QUALITY["limits"][name]
        is_stricter = limit > general if is_increasing else limit < general
        if is_stricter and beyond.sum() >= MIN_BEYOND:
            chosen_limit, answered = limit, round(float(right[beyond].mean()), 2)
        else:
            chosen_limit, answered = general, QUALITY["right_answers"][reason]
        rule["limits"][name], rule["right_answers"][reason] = chosen_limit, answered
        print(
            f"| {reason} | {limit:g} | {len(mine):,} | {int(beyond.sum()):,} | {share} | {chosen_limit:g} |"
        )
    print(json.dumps(rule))
    if args.out is not None:
        args.out.write_text(json.dumps(rule, indent=2) + "\n")


if __name__ == "__main__":
    main()
