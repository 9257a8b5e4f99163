"""Progress of long work: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

from tqdm import tqdm

from mien.terminal import on_one_line

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Shows how far work has come, on standard error.

    Example:
        with Progress("Preparing", total=1000, unit="face") as progress:
            progress.advance(10)
    """

    def __init__(
        self, title: str, *, total: int | None = None, unit: str = "item", stays: bool = False
    ) -> None:
        """Prepare it.

        Args:
            title: what is done.
            total: how many items there are, if that is known.
            unit: what an item is.
            stays: leave the last line on a terminal too, where else the bar vanishes.
        """
        self.title = on_one_line(title)
        self.total = total
        self.unit = unit
        self._stays = stays
        self.done = 0
        self._skipped = 0
        self._note = ""
        self._bar: tqdm | None = None

    def __enter__(self) -> Self:
        self._start = self._last_line = time.monotonic()
        if sys.stderr.isatty():
            self._bar = tqdm(
                total=self.total, desc=self.title, unit=f" {self.unit}s", dynamic_ncols=True, leave=False
            )
        return self

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count finished items; a note, such as the present loss, stands at the end of the line."""
        self.done += count
        self._note = note or self._note
        if self._bar is not None:
            self._bar.update(count)
            if note:
                self._bar.set_postfix_str(note, refresh=False)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._print_line()

    def skip(self, count: int) -> None:
        """Count items that an earlier run finished; they do not count for the rate."""
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
        sys.stderr.write(line + (f", {self._note}" if self._note else "") + "\n")
        sys.stderr.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        if (self._bar is None or self._stays) and kind is None and self.done:
            self._print_line()
