"""Progress of long work: a bar with rate and remaining time on a terminal, otherwise a log line every 15 seconds.

Both appear only if the logger `PROGRESS_LOGGER` lets INFO through: `mien` commands set it up, and a program that uses mien
as a library may.
"""

import logging
import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

from mien.runtime.terminal import on_one_line

# The command line prints its lines as they are; those of other loggers start with `mien: `.
PROGRESS_LOGGER = "mien.progress"
SECONDS_BETWEEN_LINES = 15.0
_log = logging.getLogger(PROGRESS_LOGGER)


def report_step(line: str) -> None:
    """Report a step of long work, such as the next one of several runs, in a line of its own."""
    _log.info("%s", line)


def reports_steps() -> bool:
    """Return whether anyone sees the progress."""
    return _log.isEnabledFor(logging.INFO)


def print_above_bars(line: str) -> None:
    """Print a line to standard error; bars that are shown there move below it."""
    tqdm.write(line, file=sys.stderr)
    sys.stderr.flush()


class Progress:
    """Shows progress: a bar on standard error, or lines in the log.

    Example:
        with Progress("Preparing", total=1000, unit="face") as progress:
            progress.advance(10)
    """

    def __init__(
        self, title: str, *, total: int | None = None, unit: str = "item", leave: bool = False
    ) -> None:
        """Store the settings.

        Args:
            title: what is being done.
            total: number of items, if known.
            unit: what an item is, in the singular.
            leave: keep the last line on a terminal, where the bar otherwise disappears.
        """
        self.title = on_one_line(title)
        self.total = total
        self.unit = unit
        self._leave = leave
        self.done = 0
        self._skipped = 0
        self._note = ""
        self._bar: tqdm | None = None

    def __enter__(self) -> Self:
        self._start = self._last_line = time.monotonic()
        if sys.stderr.isatty() and reports_steps():
            self._bar = tqdm(
                total=self.total, desc=self.title, unit=f" {self.unit}s", dynamic_ncols=True, leave=False
            )
        return self

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count finished items; a note, such as the current loss, is shown at the end of the line."""
        self.done += count
        self._note = note or self._note
        if self.total is not None and self.done > self.total:
            # It was an estimate, such as that of a video's header.
            self.total = None
            if self._bar is not None:
                self._bar.total = None
        if self._bar is not None:
            self._bar.update(count)
            if note:
                self._bar.set_postfix_str(note, refresh=False)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._print_line()

    def skip(self, count: int) -> None:
        """Count items that an earlier run finished; they do not affect the rate."""
        self._skipped += count
        self.done += count
        if self._bar is not None:
            self._bar.initial += count
            self._bar.n += count
            self._bar.last_print_n += count
            self._bar.refresh()

    def _print_line(self) -> None:
        elapsed = time.monotonic() - self._start
        rate = (self.done - self._skipped) / elapsed if elapsed else 0.0
        line = f"{self.title}: {self.done:,}"
        if self.total:
            line += f" of {self.total:,} {self.unit}s ({self.done / self.total:.0%})"
            if rate:
                line += f", {max(0.0, self.total - self.done) / rate:.0f} s left"
        else:
            line += f" {self.unit}s"
        line += f", {rate:,.0f} a second"
        report_step(line + (f", {self._note}" if self._note else ""))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if (self._bar is None or self._leave) and kind is None and self.done:
            self._print_line()
