"""Checks of the environment variables by which launchers number the processes of a run."""

import os

from mien.errors import RecipeError

# Lightning takes the first of these as the rank as soon as it is imported.
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK")


def require_numbers() -> None:
    """Refuse a rank that is not a number.

    Raises:
        RecipeError: it is empty or text.
    """
    for name in _RANKS:
        value = os.environ.get(name, "0")
        if not value.isdecimal():
            raise RecipeError(
                f"{name} in the environment must be the rank of a process, got {value!r}. Remove it: `unset {name}`"
            )


def require_launcher(n_processes: int) -> None:
    """Make sure that the launcher starts as many processes as the recipe asks for.

    Args:
        n_processes: `runtime.devices` times `runtime.nodes`. A single process needs no launcher, and variables
            left by one are ignored.

    Raises:
        RecipeError: it starts another number, or variables left by an earlier launcher would be taken for one.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        _require_equal("torchrun", "WORLD_SIZE", n_processes)
    elif n_processes > 1 and "SLURM_NTASKS" in os.environ:
        if os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive"):
            _require_equal("SLURM", "SLURM_NTASKS", n_processes)
    elif n_processes > 1 and "LOCAL_RANK" in os.environ and "MASTER_PORT" not in os.environ:
        raise RecipeError(
            f"LOCAL_RANK={os.environ['LOCAL_RANK']} in the environment says that a launcher starts the {n_processes} "
            "processes, but there is none: MASTER_PORT is missing. Remove it: `unset LOCAL_RANK`"
        )


def _require_equal(launcher: str, name: str, n_processes: int) -> None:
    n_started = os.environ.get(name)
    if n_started != str(n_processes):
        raise RecipeError(
            f"{launcher} started {n_started} processes ({name}), but `runtime.devices` times `runtime.nodes` is "
            f"{n_processes}. Make them equal"
        )


def require_rank(rank: int, n_processes: int) -> None:
    """Refuse a rank beyond the run's processes: it would wait for others that never start.

    Raises:
        RecipeError: there is no such process.
    """
    if rank >= n_processes:
        raise RecipeError(
            f"This would be process {rank} of {n_processes}, counted from 0, according to NODE_RANK, GROUP_RANK or LOCAL_RANK "
            "in the environment. Correct them, or remove them: `unset NODE_RANK GROUP_RANK LOCAL_RANK`"
        )
