"""The run that another one replaces: it waits beside it until that is finished."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mien.artifacts import claim_output, drop_aside, restore_aside, set_aside
from mien.run import Run


def claim_run(out: Path, *, force: bool) -> None:
    """Make sure that a run may be written, and move an earlier one out of the way.

    Raises:
        ArtifactError: OUT exists and may not be replaced.
    """
    claim_output(out, force=force, kind_mark="run.json")
    if os.path.lexists(out):
        aside = set_aside(out, kind_mark="run.json", whole_mark="result.json")
        if aside is not None:
            sys.stderr.write(f"mien: {aside} keeps the earlier run until this one is finished\n")


@contextmanager
def keep_earlier_run(run: Run) -> Iterator[None]:
    """Remove the run that this one replaces once this one is finished; put it back if there is no checkpoint of this one."""
    try:
        yield
    except BaseException:
        if not run.last_checkpoint_path.exists():
            restore_aside(run.path, kind_mark="run.json")
        raise
    drop_aside(run.path, kind_mark="run.json")
