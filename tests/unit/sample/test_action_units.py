"""The action units of drawn faces."""

import csv
from pathlib import Path

import pytest

from mien.datasets.affectnet import open_affectnet
from mien.datasets.csv_table import open_csv
from mien.faces.action_units import ActionUnits
from mien.sample.action_units import UNIT_NAMES, action_unit_levels
from mien.sample.expressions import Movement
from mien.sample.write import write_sample


def levels(**movement: float) -> dict[str, int]:
    found = dict(zip(UNIT_NAMES, action_unit_levels(Movement(**movement)), strict=True))
    return {name: level for name, level in found.items() if level}


@pytest.mark.parametrize(
    ("movement", "expected"),
    [
        ({}, {}),
        ({"smile": 1.0, "squint": 0.5, "part": 0.5}, {"AU06": 2, "AU12": 4, "AU25": 2}),
        ({"squint": 0.5}, {"AU07": 2}),
        ({"smile": -1.0}, {"AU15": 4}),
        ({"brow_inner": 1.0, "brow_knit": 0.5, "lid": 1.5}, {"AU01": 4, "AU04": 2, "AU05": 5}),
        ({"corner_asym": -1.0}, {"AU14": 4}),
        ({"jaw": 0.75}, {"AU25": 3, "AU26": 3}),
        ({"wink": -1.0}, {"AU43": 4}),
    ],
)
def test_movements_are_units(movement: dict[str, float], expected: dict[str, int]) -> None:
    """Each movement is the unit that FACS names it, at rest there are none, and no level is above 5."""
    assert levels(**movement) == expected


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small drawn set."""
    out = tmp_path_factory.mktemp("drawn") / "faces"
    write_sample(out, n_faces=24, workers=1)
    return out


def test_the_list_is_a_set_of_its_own(drawn: Path) -> None:
    """Its rows are the usable faces of AffectNet's lists, with the same boxes, landmarks and splits."""
    dataset = open_csv(drawn / "action_units.csv")
    assert dataset.annotations == {"action_units": ActionUnits(UNIT_NAMES, "intensity")}  # type: ignore[attr-defined]
    assert dataset.natural_crop == "aligned"
    found = {
        row.key.removeprefix("Manually_Annotated_Images/"): (row.split, dataset.parse(row))
        for row in dataset.rows()
    }
    assert all(not record.warnings for _, record in found.values())
    others = open_affectnet(drawn)
    n_faces = 0
    for row in others.rows():
        if (
            others.class_of(row) in ("NonFace", "?")
            or not (drawn / "Manually_Annotated_Images" / row.key).exists()
        ):
            continue
        if row.key not in found:  # one of the faulty images
            continue
        n_faces += 1
        split, record = found[row.key]
        other = others.parse(row)
        assert split == row.split
        assert (record.landmarks == other.landmarks).all()
        assert (record.box_xyxy == other.box_xyxy).all()
        assert (record.valence, record.arousal) == (other.valence, other.arousal)
    assert n_faces == len(found) == 24 - 2


def test_happy_faces_smile(drawn: Path) -> None:
    """The levels are those of the expression that was drawn."""
    with (drawn / "action_units.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert all(int(row["AU12"]) >= 1 for row in rows if row["label"] == "Happy")
    assert all(int(row["AU12"]) == 0 for row in rows if row["label"] == "Anger")
