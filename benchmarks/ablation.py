"""Trains one recipe in several settings and seeds at equal budgets, and compares them on the evaluation split.

    python benchmarks/ablation.py {multitask,imbalance} --recipe RECIPE --pack PACK --out OUT [--seeds 3]
                                  [--protocol all] [--schedule.epochs 4 ...]

What stands after the options goes to `mien train` as it is. Every run is exported and evaluated; the table at the end
is that of `mien compare --group`. A script that was killed goes on where it was.
"""

import argparse
import subprocess
import sys
from pathlib import Path

# The first setting of each table is the one that the others are compared with.
TABLES = {
    "multitask": {
        "expression_only": ["--model.landmarks", "false"],
        "with_landmarks": ["--model.landmarks", "true"],
        "landmarks_fed_forward": ["--model.landmarks", "true", "--model.condition_on_landmarks", "true"],
    },
    "imbalance": {
        "none": [],
        "class_weights": ["--schedule.loss.class_weights", "inverse"],
        "sampler": ["--data.sampling", "inverse"],
        "capped_sampler": ["--data.sampling", "inverse", "--data.sampling_max_repeats", "5"],
        "logit_adjustment": ["--schedule.loss.logit_adjustment", "1"],
    },
}


def mien(*words: object) -> None:
    """Run a command of mien; its output goes where this script's goes."""
    subprocess.run([sys.executable, "-m", "mien", *map(str, words)], check=True)


def measure(folder: Path, args: argparse.Namespace, options: list[str]) -> Path:
    """Train, export and evaluate one run, and return its report."""
    run, model, report = folder / "run", folder / "model.onnx", folder / "report"
    if not (run / "result.json").exists():
        mien("train", "--recipe", args.recipe, "--pack", args.pack, "--out", run, "--resume", *options)
    if not (report / "metrics.json").exists():
        mien("export", run, "--out", model, "--force")
        mien("evaluate", "--model", model, "--pack", args.pack, "--out", report)
        model.unlink()
    return report


def main() -> None:
    """Run a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--protocol", default="all", help="of the table at the end")
    args, overrides = parser.parse_known_args()
    reports = {}
    # All settings of a seed before the next seed: a script that is stopped early has equally many of each.
    for seed in range(args.seeds):
        for setting, options in TABLES[args.table].items():
            words = [*options, *overrides, "--runtime.seed", str(seed)]
            folder = args.out / setting / f"seed-{seed}"
            reports[setting, seed] = measure(folder, args, words)
    in_order = [reports[setting, seed] for setting in TABLES[args.table] for seed in range(args.seeds)]
    mien("compare", "--group", "--protocol", args.protocol, *in_order)


if __name__ == "__main__":
    main()
