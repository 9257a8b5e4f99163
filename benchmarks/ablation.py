"""Trains variants of one recipe with several seeds at equal budgets, and compares them on the evaluation split.

    python benchmarks/ablation.py {multitask,imbalance} --recipe RECIPE --pack PACK --out OUT [--seeds 3]
                                  [--protocol all] [--schedule.epochs 4 ...]

Further options are passed to `mien train` unchanged. Every run is exported and evaluated; the table at the end is that of
`mien compare --group`. If the script is killed, the same command resumes.
"""

import argparse
import subprocess
import sys
from pathlib import Path

# The first setting of each table is the baseline.
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
    """Run a mien command with this script's standard output and error."""
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
    """Train and compare the settings of a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--recipe", required=True)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--protocol", default="all", help="class protocol of the final table")
    args, overrides = parser.parse_known_args()
    reports = {}
    # All settings of one seed before the next seed, so that stopping early leaves equal numbers of each.
    for seed in range(args.seeds):
        for setting, options in TABLES[args.table].items():
            words = [*options, *overrides, "--runtime.seed", str(seed)]
            folder = args.out / setting / f"seed-{seed}"
            reports[setting, seed] = measure(folder, args, words)
    in_order = [reports[setting, seed] for setting in TABLES[args.table] for seed in range(args.seeds)]
    mien("compare", "--group", "--protocol", args.protocol, *in_order)


if __name__ == "__main__":
    main()
