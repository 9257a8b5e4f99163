"""Errors that end a training early, in one line each: out of memory, a lost process, SIGTERM."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import torch
from torch.distributed import DistError

from mien.errors import MienError, ModelError, StoppedError


class _Terminated(KeyboardInterrupt):
    """A SIGTERM, handled like Ctrl-C, which ends the other processes and waits for none."""


def stop_at_sigterm() -> None:
    """Handle SIGTERM in place of Lightning.

    Lightning exits with code 0, as if the training were complete, and with several processes its handler waits
    for those that may be waiting for this one (pull request 20825 of Lightning).
    """

    def stop(number: int, _: object) -> NoReturn:
        signal.signal(number, signal.SIG_DFL)
        raise _Terminated

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)


@contextmanager
def one_line_errors(batch_size: int) -> Iterator[None]:
    """Turn the known ways for a training to end early into errors of one line. Others keep their traceback.

    Args:
        batch_size: faces per step.

    Raises:
        MienError: an error in a loader's process, without that process's traceback.
        ModelError: memory ran out, or the processes lost each other.
        StoppedError: SIGTERM was received.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"The device has too little memory for {batch_size} faces per step. Lower "
            "`schedule.batch_size` (`--plan` estimates what a step needs), or set `runtime.precision: bf16-mixed`"
        ) from error
    except DistError as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"The processes of `runtime.devices` and `runtime.nodes` cannot reach each other: {reason}. Start the run "
            "again with --resume; if it happens immediately, MASTER_ADDR and MASTER_PORT in the environment may be wrong"
        ) from error
    except MienError as error:
        # A loader's process sends its traceback as the message; what it raised is the last line.
        lines = str(error).splitlines() or [""]
        if "in DataLoader worker process" not in lines[0]:
            raise
        raise type(error)(lines[-1].partition(": ")[2]) from error
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise ModelError(
            "A loader process was killed, most often for lack of memory (in a container, of shared memory: /dev/shm). "
            "Lower `runtime.workers` and add --resume"
        ) from error
    except SystemExit as stop:  # Lightning turns an interrupt into an exit
        if isinstance(stop.__context__, _Terminated):
            raise StoppedError(
                "Stopped by SIGTERM. Finished epochs are kept; add --resume to continue"
            ) from None
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise stop.__context__ from None
        raise
