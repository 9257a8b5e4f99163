"""Action units in a CSV: which columns, which kind, and which cells are labels."""

from pathlib import Path

import numpy as np
import pytest

from mien.datasets.action_unit_columns import decide_kind, find_unit_columns, parse_units
from mien.datasets.csv_table import open_csv
from mien.errors import DatasetError
from mien.faces.action_units import ActionUnits

PATH = Path("faces.csv")


def test_columns_in_any_spelling_and_order() -> None:
    """Units are ordered by number, not as in the file; other columns are none of them."""
    header = ["path", "AU12", "au1", "AU06", "AUC", "AU", "AU123", "author", "Au_26"]
    assert find_unit_columns(header, path=PATH) == {
        "AU01": "au1", "AU06": "AU06", "AU12": "AU12", "AU26": "Au_26",
    }  # fmt: skip


@pytest.mark.parametrize("suffix", ["_c", "_r"])
def test_openface_columns_of_one_kind(suffix: str) -> None:
    """OpenFace writes the kind behind the number."""
    assert find_unit_columns([f"AU01{suffix}", f"AU45{suffix}"], path=PATH) == {
        "AU01": f"AU01{suffix}", "AU45": f"AU45{suffix}",
    }  # fmt: skip


@pytest.mark.parametrize(
    "header", [["AU01_r", "AU01_c"], ["AU01_r", "AU28_c"], ["AU01", "AU02_r"], ["AU1", "AU01"]]
)
def test_two_kinds_or_columns_for_a_unit_are_refused(header: list[str]) -> None:
    """Nothing says which of them is meant."""
    with pytest.raises(
        DatasetError, match=r"one column for each action unit, all of one kind; it has `AU"
    ) as error:
        find_unit_columns(header, path=PATH)
    assert "Remove the columns of one kind" in str(error.value)


def cells(**columns: str) -> list[dict[str, str]]:
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*(c.split(",") for c in columns.values()), strict=True)
    ]


def test_only_zeros_and_ones_are_presence() -> None:
    """The marks of a missing label and an invalid cell do not make intensities of them."""
    kind, notes = decide_kind(cells(AU01="0,1,9,-1", AU12="999,1,,7"), {"AU01": "AU01", "AU12": "AU12"})
    assert kind == "presence"
    assert notes == (
        "Action units are read as presence, 0 or 1: AU01, AU12.",
        "Action units without a label: AU01 2, AU12 2.",
    )


def test_one_level_makes_the_set_intensities() -> None:
    """The kind is that of the whole set; units with only 0 and 1 are named."""
    kind, notes = decide_kind(cells(AU01="0,3,0", AU28="0,1,1"), {"AU01": "au1", "AU28": "AU28"})
    assert kind == "intensity"
    assert notes[0] == "Action units are read as intensity, 0 to 5 (`au1` holds 3): AU01, AU28."
    assert "Only 0 and 1 occur in AU28" in notes[1]


def test_empty_columns_are_reported_and_not_used() -> None:
    """A set without a single label has no action units."""
    kind, notes = decide_kind(cells(AU01=",9"), {"AU01": "AU01"})
    assert kind is None
    assert notes == ("The action unit columns are empty, and not used: AU01.",)


def test_cells() -> None:
    """Missing labels are NaN; what is no label is NaN too, with a warning that names the unit."""
    units = ActionUnits(("AU01", "AU02", "AU04", "AU05", "AU06"), "intensity")
    found, warnings = parse_units(
        {"AU01": "5", "AU02": "9", "AU04": "6", "AU05": "x", "AU06": " nan "}, units
    )
    np.testing.assert_array_equal(found, [5, np.nan, np.nan, np.nan, np.nan])
    assert warnings == ("action_unit_value_AU04", "action_unit_value_AU05")


def test_a_csv_with_action_units(tmp_path: Path) -> None:
    """The set says which units it has, and each face has their values in that order."""
    for name in "abc":
        (tmp_path / f"{name}.jpg").touch()
    path = tmp_path / "faces.csv"
    path.write_text(
        "path,label,split,AU12,AU01\na.jpg,happy,train,3,-1\nb.jpg,sad,train,0,0\nc.jpg,sad,val,,8\n"
    )
    dataset = open_csv(path)
    units = ActionUnits(("AU01", "AU12"), "intensity")
    assert dataset.annotations == {"action_units": units}  # type: ignore[attr-defined]
    records = [dataset.parse(row) for row in dataset.rows()]
    np.testing.assert_array_equal(
        [record.annotations["action_units"] for record in records], [[np.nan, 3], [0, 0], [np.nan, np.nan]]
    )
    assert [record.warnings for record in records] == [(), (), ("action_unit_value_AU01",)]
    assert any("intensity" in note for note in dataset.notes)
    assert not any("Columns not used" in note for note in dataset.notes)


def test_a_csv_without_expressions(tmp_path: Path) -> None:
    """Sets of action units often have none: the message says what to do."""
    (tmp_path / "faces.csv").write_text("path,AU06\na.jpg,1\n")
    with pytest.raises(
        DatasetError,
        match=r"must have a column `label`.*a set of action units without expressions needs a column",
    ):
        open_csv(tmp_path / "faces.csv")


def test_a_csv_without_action_units(tmp_path: Path) -> None:
    """Most sets have none."""
    (tmp_path / "faces.csv").write_text("path,label,split\na.jpg,happy,train\n")
    assert open_csv(tmp_path / "faces.csv").annotations == {}  # type: ignore[attr-defined]


def test_fractions_up_to_1_are_neither_presence_nor_intensity() -> None:
    """Probabilities would be intensities that never reach the one from which a unit is present."""
    with pytest.raises(DatasetError, match=r"fractions from 0 to 1 \(`AU01` holds 0.25\)"):
        decide_kind(cells(AU01="0,.25,1", AU12="1,0,.5"), {"AU01": "AU01", "AU12": "AU12"})
    kind, _ = decide_kind(cells(AU01="0,.25,1"), {"AU01": "AU01_r"})  # OpenFace's intensities of a calm face
    assert kind == "intensity"


def test_values_that_were_left_out_are_not_said_to_be_missing() -> None:
    """Percentages: only the 0 is valid."""
    _, notes = decide_kind(cells(AU01="0,40,80", AU12="0,2,3"), {"AU01": "AU01", "AU12": "AU12"})
    assert not any(note.startswith("Only 0 and 1") for note in notes)
