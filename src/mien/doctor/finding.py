"""One line of the doctor's report."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "broken"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at and what was found.

    Attributes:
        section: it belongs to.
        name: of what was looked at.
        value: what was found, in one line.
        state: ``ok``; ``note`` where something optional is missing; ``broken`` where the plain install cannot work.
        remedy: what to do, where the state is not ``ok``.
    """

    section: str
    name: str
    value: str
    state: State = "ok"
    remedy: str = ""
