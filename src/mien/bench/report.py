"""What `mien bench` found, as text and as JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from mien.bench.timing import WARM_UPS, Timing


@dataclass(frozen=True, slots=True)
class BenchReport:
    """Every timing, and what was timed. Its text is what the command prints.

    Attributes:
        model: name of the model file.
        n_bytes: its size.
        input_size: side of its input in pixels.
        detector: ``yunet`` or ``cascade``.
        image: name of the image's file; None of the drawn one.
        image_wh: its width and height in pixels.
        n_found: faces in it.
        threads: of each call.
        rounds: calls of each step.
        timings: in the order of the work.
    """

    model: str
    n_bytes: int
    input_size: int
    detector: str
    image: str | None
    image_wh: tuple[int, int]
    n_found: int
    threads: int
    rounds: int
    timings: tuple[Timing, ...]

    @property
    def image_ms(self) -> float:
        """Of an image with one face, decoding apart: the medians of the steps of one face."""
        return sum(timing.median_ms for timing in self.timings if timing.batch_size == 1)

    def __str__(self) -> str:
        width, height = self.image_wh
        cut = "" if self.n_found else ", so its middle is cut"
        lines = [
            f"{self.model}: {self.n_bytes / 1e6:.2f} MB, {self.input_size} px in",
            f"detector {self.detector}, threads: {self.threads}",
            f"{self.image or 'the drawn image'}, {width} x {height}, faces found: {self.n_found}{cut}",
            f"{self.rounds} calls of each step in turns, after {WARM_UPS} that do not count",
            "",
            f"{'step':8}{'faces':>7}{'median':>13}{'95 %':>13}{'a face':>13}",
        ]
        for timing in self.timings:
            times = (timing.median_ms, timing.p95_ms, timing.median_ms / timing.batch_size)
            lines.append(
                f"{timing.step:8}{timing.batch_size:>7}" + "".join(f"{ms:>10.2f} ms" for ms in times)
            )
        rate = f"{self.image_ms:.1f} ms, {1000 / self.image_ms:.0f} a second"
        return "\n".join([*lines, "", f"an image with one face, without decoding: {rate}"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {**asdict(self), "image_ms": self.image_ms}
