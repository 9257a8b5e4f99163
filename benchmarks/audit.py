"""How well `mien audit` finds wrong labels, and what finding them is worth: labels of FER+ that are flipped on purpose.

    python benchmarks/audit.py rank  --pack FERPLUS.pack --out OUT [--seeds 3] [--faces N]
    python benchmarks/audit.py train --raw FERPLUS --out OUT [--seeds 3] [--rate 0.2] [--epochs 12] [--schedule... ...]

`rank` flips 5, 10 and 20% of the labels of the train split, to any other class alike (symmetric) or as FER+'s annotators
confuse them (confusion: the mean votes of the faces of a class). The predictor has to know nothing of FER+: logistic
regression on histograms of oriented gradients, which nobody trained, cross-validated in five folds that do not divide
near-duplicates. Its probabilities are ranked by mien and by cleanlab, and compared with a random order. FER+ has wrong labels
of its own, which count as false alarms here: the precision is a lower bound. What is finished is kept in OUT: the same
command resumes.

`train` goes the way of a user: flips labels with `mien prepare --corrections`, cross-validates with `mien train --folds`, runs
`mien audit`, and prepares again with the suspects dropped or relabeled as suggested, without anybody looking. Networks are
then trained on the flipped labels as they are (none), on these two (dropped, corrected), and on the unflipped labels (clean),
for the same number of steps, and evaluated on the val split. If it is killed, the same command resumes.
"""

import argparse
import csv
import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from mien.formats.pack import Pack, PackSplit
from mien.metrics.label_quality import judge_labels

RATES = (0.05, 0.1, 0.2)
KINDS = ("symmetric", "confusion")
N_FOLDS = 5


def flip_labels(split: PackSplit, kind: str, rate: float, seed: int) -> NDArray[np.int64]:
    """Return the labels with a fraction of them flipped."""
    rng = np.random.default_rng([seed, KINDS.index(kind), round(1000 * rate)])
    labels, n_classes = split.labels, len(split.pack.info.classes)
    if kind == "symmetric":
        chances = np.ones((n_classes, n_classes))
    else:
        if split.distributions is None:
            raise SystemExit("the pack has no votes")
        chances = np.stack([split.distributions[labels == label].mean(axis=0) for label in range(n_classes)])
    np.fill_diagonal(chances, 0)
    cumulative = np.cumsum(chances / chances.sum(axis=1, keepdims=True), axis=1)
    flipped = labels.copy()
    chosen = rng.permutation(len(labels))[: round(rate * len(labels))]
    drawn = (rng.random(len(chosen))[:, None] > cumulative[labels[chosen]]).sum(axis=1)
    flipped[chosen] = np.minimum(drawn, n_classes - 1)
    return flipped


def predict_out_of_fold(
    features: NDArray[np.float32], labels: NDArray[np.int64], folds: NDArray[np.int64], n_classes: int
) -> NDArray[np.float64]:
    """Return the probabilities of a logistic regression that was not fitted on the face."""
    probabilities = np.zeros((len(labels), n_classes))
    for fold in range(N_FOLDS):
        held_out = folds == fold
        model = LogisticRegression(max_iter=100).fit(features[~held_out], labels[~held_out])
        probabilities[np.ix_(held_out, model.classes_)] = model.predict_proba(features[held_out])
    return probabilities


def score_rankings(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], is_wrong: NDArray[np.bool_]
) -> dict[str, dict[str, float]]:
    """Return the figures of each ranking and set of suspects."""
    judged = judge_labels(probabilities, labels)

    def quality(method: str, *, adjusted: bool = False) -> NDArray[np.float64]:
        return 1 - get_label_quality_scores(labels, probabilities, method=method, adjust_pred_probs=adjusted)

    suspects = {
        "mien": judged.is_suspect,
        "cleanlab, confident learning": find_label_issues(
            labels, probabilities, filter_by="confident_learning", n_jobs=1
        ),
        "cleanlab, by noise rate (default)": find_label_issues(labels, probabilities, n_jobs=1),
        "top-1 differs": probabilities.argmax(axis=1) != labels,
    }
    orders = {
        "mien": judged.wrongness,
        "cleanlab, self-confidence (default)": quality("self_confidence"),
        "cleanlab, normalized margin": quality("normalized_margin"),
        "cleanlab, self-confidence adjusted": quality("self_confidence", adjusted=True),
        "cleanlab, normalized margin adjusted": quality("normalized_margin", adjusted=True),
        "chance": np.random.default_rng(0).random(len(labels)),
    }
    figures: dict[str, dict[str, float]] = {}
    for name, order in orders.items():
        worst = np.argsort(-order, kind="stable")
        figures[f"order: {name}"] = {
            "roc_auc": float(roc_auc_score(is_wrong, order)),
            "precision_at_100": float(is_wrong[worst[:100]].mean()),
            "precision_at_1_percent": float(is_wrong[worst[: len(labels) // 100]].mean()),
            "precision_at_n_wrong": float(is_wrong[worst[: is_wrong.sum()]].mean()),
        }
    for name, found in suspects.items():
        figures[f"suspects: {name}"] = {
            "n": float(found.sum()),
            "precision": float(is_wrong[found].mean()),
            "recall": float(found[is_wrong].mean()),
        }
    return figures


def rank(args: argparse.Namespace, _overrides: list[str]) -> None:
    """Flip, predict, rank; print and write the table."""
    split = Pack.open(args.pack).split("train")
    chosen = np.sort(np.random.default_rng(0).permutation(len(split))[: args.faces])
    gradients = cv2.HOGDescriptor((48, 48), (16, 16), (8, 8), (8, 8), 9)
    grays = (cv2.cvtColor(cv2.resize(split.image(i), (48, 48)), cv2.COLOR_RGB2GRAY) for i in chosen.tolist())
    features = np.stack([gradients.compute(gray).ravel() for gray in grays]).astype(np.float32)
    truth, n_classes = split.labels[chosen], len(split.pack.info.classes)
    # A group of near-duplicates is in one fold.
    folds = np.random.default_rng(0).integers(0, N_FOLDS, split.groups.max() + 1)[split.groups[chosen]]
    runs: dict[str, list[dict[str, dict[str, float]]]] = {}
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in range(args.seeds):
        for kind, rate in product(KINDS, (0.0, *RATES)):
            if rate == 0 and (kind, seed) != (KINDS[0], 0):
                continue
            name = f"{kind}-{rate}-seed-{seed}" if rate else "not-flipped"
            path = args.out / f"rank-{len(chosen)}-{name}.json"
            if not path.exists():
                labels = flip_labels(split, kind, rate, seed)[chosen] if rate else truth
                probabilities = predict_out_of_fold(features, labels, folds, n_classes)
                agreement = {
                    "all": {"accuracy_out_of_fold": float((probabilities.argmax(axis=1) == truth).mean())}
                }
                scores = score_rankings(probabilities, labels, labels != truth) if rate else {}
                path.write_text(json.dumps(agreement | scores, indent=2) + "\n")
            runs.setdefault(f"{kind}, {100 * rate:g}% flipped", []).append(json.loads(path.read_text()))
        print(f"{len(chosen):,} faces, {seed + 1} of {args.seeds} seeds: mean (standard deviation)")
        for title, found in runs.items():
            print(title)
            for name, figures in found[0].items():
                columns = [np.array([one[name][key] for one in found]) for key in figures]
                cells = (
                    f"{key} {one.mean():.3f} ({one.std(ddof=min(1, len(one) - 1)):.3f})"
                    for key, one in zip(figures, columns, strict=True)
                )
                print(f"  {name:42}", "  ".join(cells), flush=True)


def mien(*words: object) -> None:
    """Run a mien command with this script's standard output and error."""
    subprocess.run([sys.executable, "-m", "mien", *map(str, words), "--quiet"], check=True)


def prepare(raw: Path, out: Path, corrections: dict[tuple[str, int], tuple[str, str]]) -> Pack:
    """Make a pack with corrections by key and row, unless it is there."""
    path = out.with_suffix(".csv")
    if not (out / "pack.json").exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["key", "label", "split", "row", "why"])
            writer.writerows(
                [key, label, "train", row, why] for (key, row), (label, why) in corrections.items()
            )
        options = ["--corrections", path] if corrections else []
        mien("prepare", "ferplus", raw, "--out", out, "--size", 48, *options)
    return Pack.open(out)


def train(args: argparse.Namespace, overrides: list[str]) -> None:
    """Flip, cross-validate, audit, prepare again, train, evaluate; print and write the table."""
    out: Path = args.out
    # The votes of a flipped face would give its label away.
    recipe = ["--recipe", args.recipe, "--model.backbone", args.backbone, "--data.labels", "hard", *overrides]
    clean = prepare(args.raw, out / "clean.pack", {})
    split = clean.split("train")
    classes = clean.info.classes
    flipped = flip_labels(split, "confusion", args.rate, 0)
    places = list(zip(split.keys, split.row_numbers.tolist(), strict=True))
    noise = {places[i]: (classes[flipped[i]], "flipped") for i in np.flatnonzero(flipped != split.labels)}
    noisy = prepare(args.raw, out / "none.pack", noise)
    folds, audited = out / "folds", out / "audit"
    if not (folds / "summary.json").exists():
        mien("train", *recipe, "--pack", noisy.path, "--folds", 3, "--out", folds, "--resume",
             "--schedule.epochs", args.epochs)  # fmt: skip
    if not (audited / "audit.json").exists():
        mien("audit", noisy.path, "--folds", folds, "--out", audited)
    with (audited / "findings.csv").open(newline="") as file:
        found = [row for row in csv.DictReader(file) if "prediction" in row["reasons"].split(";")]
    suspects = {(row["key"], int(row["row"])): row["suggested"] for row in found}
    dropped = noise | dict.fromkeys(suspects, ("drop", "suspect"))
    corrected = noise | {place: (name, "suspect") for place, name in suspects.items()}
    packs = {
        "none": noisy,
        "dropped": prepare(args.raw, out / "dropped.pack", dropped),
        "corrected": prepare(args.raw, out / "corrected.pack", corrected),
        "clean": clean,
    }
    truth = dict(zip(places, (classes[label] for label in split.labels), strict=True))
    n_hits = sum(place in noise for place in suspects)
    summary: dict[str, object] = {
        "n": len(split),
        "n_flipped": len(noise),
        "n_suspects": len(suspects),
        "precision": n_hits / len(suspects),
        "recall": n_hits / len(noise),
        "right_suggestions_among_flipped_suspects": float(
            np.mean([truth[place] == name for place, name in suspects.items() if place in noise])
        ),
        "epochs": {},
    }
    reports = []
    for seed in range(args.seeds):
        for name, pack in packs.items():
            # Fewer faces, more epochs: the number of steps is the same.
            epochs = round(args.epochs * noisy.info.n_faces("train") / pack.info.n_faces("train"))
            summary["epochs"][name] = epochs  # type: ignore[index]
            folder = out / name / f"seed-{seed}"
            reports.append(folder / "report")
            if not (folder / "run" / "result.json").exists():
                mien("train", *recipe, "--pack", pack.path, "--out", folder / "run", "--resume",
                     "--schedule.epochs", epochs, "--runtime.seed", seed)  # fmt: skip
            if not (folder / "report" / "metrics.json").exists():
                mien("export", folder / "run", "--out", folder / "model.onnx", "--force")
                mien(
                    "evaluate",
                    "--model",
                    folder / "model.onnx",
                    "--pack",
                    clean.path,
                    "--out",
                    folder / "report",
                    "--force",
                )
        (out / "train.json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary, indent=2), flush=True)
    mien("compare", *reports, "--group", "--out", out / "comparison.json", "--force")


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("rank", "train"))
    parser.add_argument("--pack", type=Path, help="rank: a pack of FER+")
    parser.add_argument("--faces", type=int, help="rank: as many faces of the train split (default: all)")
    parser.add_argument("--raw", type=Path, help="train: FER+")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--recipe", default="ferplus_resnet10_48")
    parser.add_argument("--backbone", default="mien_resnet10")
    args, overrides = parser.parse_known_args()
    {"rank": rank, "train": train}[args.what](args, overrides)


if __name__ == "__main__":
    main()
