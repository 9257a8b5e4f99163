"""Average the weights of runs of one network into another run, as a teacher (Wortsman et al. 2022, arXiv 2203.05482).

    python tools/average_runs.py RUN RUN... --out OUT

Each run counts with its weights after the last epoch (their moving average where it keeps one), not with those that its
dev split selected: a network that started from weights which knew these faces selects its first epoch. OUT is a copy of
the last run with other weights and without its dev outputs: it can teach, but it cannot be exported.
"""

import argparse
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from mien.errors import MienError
from mien.formats.run import DEV_OUTPUTS, Run


def read_last_weights(run: Run) -> dict[str, Tensor]:
    """Return the weights of a run after its last epoch."""
    run.read_result()
    state = torch.load(run.last_checkpoint_path, map_location="cpu", weights_only=True)["state_dict"]
    prefix = "average.module." if "average.n_averaged" in state else "network."
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def main() -> None:
    """Average, and write the run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    try:
        states = [read_last_weights(Run.open(path)) for path in args.runs]
    except MienError as error:
        raise SystemExit(str(error)) from None
    if len({frozenset((name, value.shape) for name, value in state.items()) for state in states}) > 1:
        raise SystemExit("The runs are not of the same network")
    shutil.copytree(args.runs[-1], args.out)
    run = Run.open(args.out)
    result = run.read_result()
    mean = {
        name: torch.stack([state[name] for state in states]).double().mean(dim=0).to(value.dtype)
        for name, value in states[-1].items()
    }
    save_file({name: value.contiguous() for name, value in mean.items()}, run.best_weights_path)
    run.last_checkpoint_path.unlink()
    run.write_result(result)
    (run.path / DEV_OUTPUTS).unlink()


if __name__ == "__main__":
    main()
