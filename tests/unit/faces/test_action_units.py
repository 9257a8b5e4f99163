"""Action units: names, kinds, and matching the units of two sets."""

import numpy as np
import pytest

from mien.faces.action_units import ActionUnits, is_present, unit_title

UNITS = ActionUnits(("AU01", "AU06", "AU12"), "intensity")


def test_plain_values_and_back() -> None:
    """What is written is read again."""
    assert UNITS.to_dict() == {"names": ["AU01", "AU06", "AU12"], "kind": "intensity"}
    assert ActionUnits.from_dict(UNITS.to_dict()) == UNITS


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "must have `names` and `kind`"),
        ({"names": ["AU01"]}, "must have `names` and `kind`"),
        ({"names": ["AU01"], "kind": "both"}, "one of presence, intensity"),
        ({"names": [], "kind": "presence"}, "1 to 100 names"),
        ({"names": "AU01", "kind": "presence"}, "1 to 100 names"),
        ({"names": ["smile"], "kind": "presence"}, "such as AU06"),
        ({"names": ["AU02", "AU01"], "kind": "presence"}, "ordered by number"),
        ({"names": ["AU01", "AU01"], "kind": "presence"}, "distinct"),
    ],
)
def test_damaged_metadata(value: object, message: str) -> None:
    """Files come from outside: every value is checked."""
    with pytest.raises(ValueError, match=message):
        ActionUnits.from_dict(value)


def test_another_sets_units_are_matched_by_name() -> None:
    """A unit that the set lacks is missing, whatever the order and number of the others."""
    other = ActionUnits(("AU04", "AU12", "AU100"), "intensity")
    np.testing.assert_array_equal(
        UNITS.align(np.array([[1, 2, 3]], np.float32), other), [[np.nan, 3, np.nan]]
    )
    assert UNITS.merge(other).names == ("AU01", "AU04", "AU06", "AU12", "AU100")


def test_presence_and_intensity_do_not_mix() -> None:
    """A label of 1 means something else in each."""
    with pytest.raises(ValueError, match="intensity, 0 to 5, the other as presence, 0 or 1"):
        UNITS.merge(ActionUnits(("AU01",), "presence"))


def test_present_from() -> None:
    """Half of a probability, or level B of an intensity; a missing label is not present."""
    assert is_present(np.array([0.4, 0.5, np.nan]), "presence").tolist() == [False, True, False]
    assert is_present(np.array([1.9, 2.0, np.nan]), "intensity").tolist() == [False, True, False]


def test_titles() -> None:
    """Known units have a name; others have none."""
    assert (unit_title("AU12"), unit_title("AU99")) == ("lip corner puller", "")
