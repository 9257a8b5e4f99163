"""The rows of a sheet by a task other than the expression: the functions that `Task.groups` names."""

import numpy as np
from numpy.typing import NDArray

from mien.faces.action_units import ActionUnits, is_present, unit_title
from mien.tasks import Annotations


def affect_quadrants(values: NDArray[np.float32], _annotations: Annotations) -> dict[str, NDArray[np.bool_]]:
    """Return the faces in each quadrant of valence and arousal ``(N, 2)``; 0 counts as positive."""
    known = np.isfinite(values).all(axis=1)
    pleasant, excited = values[:, 0] >= 0, values[:, 1] >= 0
    return {
        f"{feeling},\n{energy}": known & (pleasant == is_pleasant) & (excited == is_excited)
        for feeling, is_pleasant in (("pleasant", True), ("unpleasant", False))
        for energy, is_excited in (("excited", True), ("calm", False))
    }


def faces_by_unit(values: NDArray[np.float32], annotations: Annotations) -> dict[str, NDArray[np.bool_]]:
    """Return the faces that show each action unit."""
    units: ActionUnits = annotations["action_units"]
    present = is_present(values, units.kind)
    return {f"{name}\n{unit_title(name)}".strip(): present[:, k] for k, name in enumerate(units.names)}
