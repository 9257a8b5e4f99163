"""One line of the doctor's report."""

from typing import Literal, NamedTuple

State = Literal["ok", "note", "broken"]


class Finding(NamedTuple):
    """The result of one check.

    Attributes:
        section: heading that it is listed under.
        name: what was checked.
        value: what was found, in one line.
        state: ``ok``; ``note`` if something optional is missing; ``broken`` if the plain install cannot work.
        remedy: what to do if the state is not ``ok``.
    """

    section: str
    name: str
    value: str
    state: State = "ok"
    remedy: str = ""
