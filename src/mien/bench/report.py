"""The results of `mien bench`, as text and as JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from mien.bench.timing import WARM_UPS, Timing


@dataclass(frozen=True, slots=True)
class BenchReport:
    """All timings and the setup they were measured in; `str()` gives the text that the command prints.

    Attributes:
        model: name of the model file.
        n_bytes: size of the model file.
        input_size: side of the model's input in pixels.
        detector: ``yunet`` or ``cascade``.
        image: name of the image file; None for the bundled drawing.
        image_wh: width and height of the image in pixels.
        n_found: faces detected in the image.
        threads: threads per call of the model.
        rounds: timed calls per step.
        timings: in pipeline order.
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
        """Time for a decoded image with one face: the sum of the medians of all steps at batch size 1."""
        return sum(timing.median_ms for timing in self.timings if timing.batch_size == 1)

    def __str__(self) -> str:
        width, height = self.image_wh
        fallback = "" if self.n_found else ", so its center is cropped"
        lines = [
            f"{self.model}: {self.n_bytes / 1e6:.2f} MB, input {self.input_size} px",
            f"detector {self.detector}, threads: {self.threads}",
            f"{self.image or 'bundled drawing'}, {width} x {height}, faces found: {self.n_found}{fallback}",
            f"{self.rounds} calls of each step, interleaved, after {WARM_UPS} warm-up calls",
            "",
            f"{'step':8}{'faces':>7}{'median':>13}{'95%':>13}{'per face':>13}",
        ]
        for timing in self.timings:
            times = (timing.median_ms, timing.p95_ms, timing.median_ms / timing.batch_size)
            lines.append(
                f"{timing.step:8}{timing.batch_size:>7}" + "".join(f"{ms:>10.2f} ms" for ms in times)
            )
        rate = f"{self.image_ms:.1f} ms, {1000 / self.image_ms:.0f} per second"
        return "\n".join([*lines, "", f"an image with one face, without decoding: {rate}"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "image_ms": self.image_ms}
