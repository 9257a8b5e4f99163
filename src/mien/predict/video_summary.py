"""What a video comes to, person by person: a few lines for a terminal instead of a line a frame."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from mien.inference.results import NO_FACE, OK, FacePrediction, ImagePrediction

# A crowd is told by those who were seen longest.
MAX_TRACKS = 20
# Expressions that a person showed for a smaller part of the time are left out.
MIN_SHARE = 0.01


@dataclass(slots=True)
class _Person:
    """One track. Sums are weighted by seconds.

    Attributes:
        seconds: seen.
        expressions: seconds of each.
        valence, arousal: sums; None where the model has none.
    """

    seconds: float = 0.0
    expressions: Counter[str] = field(default_factory=Counter)
    valence: float | None = None
    arousal: float | None = None

    def add(self, row: FacePrediction, seconds: float) -> None:
        self.seconds += seconds
        self.expressions[str(row.expression)] += seconds  # type: ignore[assignment]
        if row.valence is not None and row.arousal is not None:
            self.valence = (self.valence or 0.0) + row.valence * seconds
            self.arousal = (self.arousal or 0.0) + row.arousal * seconds

    def mean(self, total: float | None) -> str:
        return "-" if total is None or not self.seconds else f"{total / self.seconds:+.2f}"


class VideoSummary:
    """Counts the readings of one video."""

    def __init__(self, name: str, *, rate: float) -> None:
        """Begin a video.

        Args:
            name: of the video.
            rate: frames a second, for how long the first frame counts.
        """
        self._name, self._step = name, 1 / rate
        self._people: dict[int, _Person] = {}
        self._last_s: float | None = None
        self._n_frames = self._n_with_face = 0
        self._seconds = 0.0
        self._problems: list[str] = []

    def take(self, reading: ImagePrediction) -> None:
        """Count a frame: it stands for the time since the frame before it."""
        first = reading.rows[0]
        if first.status not in (OK, NO_FACE):
            self._problems.append(f"{first.status}: {first.detail}")
            return
        now = first.seconds or 0.0
        seconds = self._step if self._last_s is None else now - self._last_s
        self._last_s = now
        self._n_frames += 1
        self._seconds += seconds
        self._n_with_face += first.status == OK
        for row in reading.faces:
            self._people.setdefault(row.track or 0, _Person()).add(row, seconds)

    def lines(self) -> Iterator[str]:
        """Yield what to tell: a line for the video, one a person, one for whatever could not be read."""
        if self._n_frames:
            share = self._n_with_face / self._n_frames
            yield f"{self._name}: {self._n_frames:,} frames, {self._seconds:.1f} s, a face in {share:.0%} of them"
            yield from self._lines_of_people()
        for problem in self._problems:
            yield f"{self._name}: {problem}"

    def _lines_of_people(self) -> Iterator[str]:
        people = sorted(self._people.items(), key=lambda item: (-item[1].seconds, item[0]))
        if people:
            yield f"  {'track':>5}  {'seen':>8}  {'valence':>7}  {'arousal':>7}  expressions"
        for number, person in people[:MAX_TRACKS]:
            shares = [(name, seconds / person.seconds) for name, seconds in person.expressions.most_common()]
            told = ", ".join(f"{name} {share:.0%}" for name, share in shares if share >= MIN_SHARE)
            valence, arousal = person.mean(person.valence), person.mean(person.arousal)
            yield f"  {number:>5}  {person.seconds:>6.1f} s  {valence:>7}  {arousal:>7}  {told}"
        if len(people) > MAX_TRACKS:
            yield f"  and {len(people) - MAX_TRACKS:,} more, each seen {people[MAX_TRACKS][1].seconds:.1f} s or less"
