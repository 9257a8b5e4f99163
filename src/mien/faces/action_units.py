"""Facial action units: the muscle movements of the Facial Action Coding System, and how a set annotates them.

A set codes either the presence of units, 0 or 1, or their intensity, from 0 (absent) to 5; FACS writes 1 to 5 as A to E.

References:
    [0] Ekman, Friesen and Hager, Facial Action Coding System, 2002.
    [1] Mavadati et al., DISFA, 2013, https://doi.org/10.1109/T-AFFC.2013.4: intensities from 0 to 5, and a unit counts as
        present from 2 on.
"""

import re
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Kind = Literal["presence", "intensity"]
KINDS: dict[Kind, str] = {"presence": "presence, 0 or 1", "intensity": "intensity, 0 to 5"}

MAX_INTENSITY = 5.0
# Intensities from here on count as present [1].
PRESENT_INTENSITY = 2.0
# A predicted probability from here on counts as present.
PRESENT_PROBABILITY = 0.5

MAX_UNITS = 100
TITLES = {
    1: "inner brow raiser", 2: "outer brow raiser", 4: "brow lowerer", 5: "upper lid raiser", 6: "cheek raiser",
    7: "lid tightener", 9: "nose wrinkler", 10: "upper lip raiser", 11: "nasolabial deepener", 12: "lip corner puller",
    13: "cheek puffer", 14: "dimpler", 15: "lip corner depressor", 16: "lower lip depressor", 17: "chin raiser",
    18: "lip pucker", 19: "tongue show", 20: "lip stretcher", 22: "lip funneler", 23: "lip tightener", 24: "lip pressor",
    25: "lips part", 26: "jaw drop", 27: "mouth stretch", 28: "lip suck", 43: "eyes closed", 45: "blink", 46: "wink",
}  # fmt: skip
_NAME = re.compile(r"AU(\d{2,3})")


def unit_name(number: int) -> str:
    """Return the name of a unit.

    Example:
        >>> unit_name(6), unit_name(12)
        ('AU06', 'AU12')
    """
    return f"AU{number:02d}"


def is_unit_name(name: str) -> bool:
    """Return whether a name is that of a unit, as `unit_name` writes it."""
    return _NAME.fullmatch(name) is not None


def unit_title(name: str) -> str:
    """Return what a unit does, such as ``cheek raiser``; empty if it is not known."""
    return TITLES.get(int(name.removeprefix("AU")), "")


@dataclass(frozen=True, slots=True)
class ActionUnits:
    """The action units of a set, a run or a model.

    Attributes:
        names: such as ``AU06``, by number.
        kind: ``presence``, or ``intensity`` from 0 to 5.
    """

    names: tuple[str, ...]
    kind: Kind

    @classmethod
    def from_dict(cls, value: Any) -> "ActionUnits":
        """Parse the result of `to_dict`.

        Raises:
            ValueError: it is anything else.
        """
        if not isinstance(value, dict) or set(value) != {"names", "kind"} or value["kind"] not in KINDS:
            raise ValueError(
                f"`action_units` must have `names` and `kind`, one of {', '.join(KINDS)}, got {value!r:.80}"
            )
        names = value["names"]
        is_list = isinstance(names, list) and 0 < len(names) <= MAX_UNITS
        if not is_list or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
            raise ValueError(
                f"`action_units.names` must be 1 to {MAX_UNITS} names such as AU06, got {names!r:.80}"
            )
        if sorted(set(names), key=_number) != names:
            raise ValueError(
                f"`action_units.names` must be distinct and ordered by number, got {names!r:.80}"
            )
        return cls(tuple(names), value["kind"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "names": list(self.names)}

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest value."""
        return 0.0, 1.0 if self.kind == "presence" else MAX_INTENSITY

    def align(self, values: NDArray[np.float32], other: "ActionUnits") -> NDArray[np.float32]:
        """Return ``(N, K)`` values with another set's units, NaN in those that this one lacks; the kind stays."""
        aligned = np.full((len(values), len(other.names)), np.nan, dtype=np.float32)
        for column, name in enumerate(other.names):
            if name in self.names:
                aligned[:, column] = values[:, self.names.index(name)]
        return aligned

    def merge(self, other: "ActionUnits") -> "ActionUnits":
        """Return the units of both.

        Raises:
            ValueError: one has presence, the other intensity.
        """
        if self.kind != other.kind:
            raise ValueError(
                f"one has action units as {KINDS[self.kind]}, the other as {KINDS[other.kind]}. Use one kind"
            )
        return ActionUnits(tuple(sorted({*self.names, *other.names}, key=_number)), self.kind)


def is_present(values: NDArray[np.floating], kind: Kind) -> NDArray[np.bool_]:
    """Return which annotated or predicted values count as present; NaN does not."""
    return np.asarray(values >= (PRESENT_PROBABILITY if kind == "presence" else PRESENT_INTENSITY))


def _number(name: str) -> int:
    return int(name.removeprefix("AU"))
