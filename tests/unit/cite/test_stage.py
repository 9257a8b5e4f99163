"""What `mien cite` lists for a model."""

import re
from dataclasses import asdict

import pytest

from mien.cite.references import DATA, METHODS, UNPUBLISHED, find_data, read_references
from mien.cite.stage import cite, data_references, recipe_references
from mien.cli import main
from mien.datasets.registry import DATASETS
from mien.faces.crop import CropContract
from mien.formats.onnx_model import ModelInfo
from mien.recipe import Recipe
from mien.runtime.nested import flatten

# What a file format reads is not a set.
FORMATS = {"folder", "csv", "imagefolder", "yolo", "parquet", "yaml"}


def test_every_set_that_is_read_has_a_reference() -> None:
    """A set without a paper is listed as such, so that none is forgotten."""
    assert {name for name in DATASETS if name not in FORMATS} <= {*DATA, *UNPUBLISHED}


def test_every_reference_exists_and_is_well_formed() -> None:
    """Each entry has authors, a title and a year, and balanced braces."""
    entries = read_references()
    named = {key for keys in DATA.values() for key in keys} | {key for *_, key in METHODS}
    assert named <= set(entries)
    for key, entry in entries.items():
        assert re.match(rf"@\w+{{{key},\n", entry)
        assert entry.count("{") == entry.count("}")
        assert {"author", "title", "year"} <= set(re.findall(r"^  (\w+) = {.+},?$", entry, re.MULTILINE)), key


def test_methods_are_named_by_keys_of_recipes() -> None:
    """And a value that cites nothing is one that the key can have."""
    defaults = flatten(asdict(Recipe()))
    assert {name for name, *_ in METHODS} <= set(defaults)


@pytest.mark.parametrize(
    ("model", "data_and_methods", "trained"),
    [
        (
            "mien-base",
            ["ferplus", "fer2013", "lfw", "resnet", "adamw", "random_erasing", "distillation"],
            "26,940 faces; best accuracy of 80 epochs",
        ),
        (
            "ferplus-resnet10-int8",
            ["ferplus", "fer2013", "resnet", "adamw", "random_erasing"],
            "22,178 faces; best accuracy of 30 epochs",
        ),
    ],
)
def test_bundled_models(model: str, data_and_methods: list[str], trained: str) -> None:
    """Their sets, their network, the methods of their recipes, some of whose keys have had other names, and the software."""
    text = cite(model)
    cited = re.findall(r"^@\w+{(\w+),$", text, re.MULTILINE)
    assert cited == [*data_and_methods, "calibration", "timm", "yunet", "mien"]
    assert f"% trained on {trained}" in text
    assert all("@" not in line for line in text.splitlines() if line.startswith("%"))


def test_what_has_no_reference_is_said() -> None:
    """A person's own set, the weights that training started from, and a network without an entry."""
    training = {
        "backbone": "ghostnet_100",
        "pack": {"source": "affectnet-2017 + my faces", "terms": {"rafdb-compound+fer2013": "x"}},
        "recipe": {
            "model": {"weights": "theirs@work.pth", "pretrained": True},
            "data": {"augment": {"mixup": 0.5}},
        },
    }
    title, notes, keys = data_references(training)
    assert title == "Data: affectnet-2017, my faces, rafdb-compound, fer2013"
    assert keys == ["affectnet", "rafdb", "fer2013"]
    assert any(note.startswith("my faces: no reference is known") for note in notes)
    assert any("theirs@work.pth" in note for note in notes)
    crop = CropContract(method="aligned", margin=0.0, size=48)
    _, notes, keys = recipe_references(
        ModelInfo(("Happy", "Sad"), crop, 48, ("expression",), training=training)
    )
    assert keys == ["mixup", "calibration"]
    assert [note.split(":")[0] for note in notes] == [
        "ghostnet_100",
        "started from timm's weights of ghostnet_100",
    ]


@pytest.mark.parametrize("training", [{}, {"pack": "x", "recipe": [1]}])
def test_files_that_say_nothing(training: dict) -> None:
    """The comment says so."""
    assert "the file does not say what it was trained on" in data_references(training)[1]


def test_merged_sets_are_found_by_their_longest_name() -> None:
    assert find_data("affectnet-plus") == ("affectnet", "affectnet_plus")
    assert find_data("affectnetlike") is None


def test_the_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cite"]) == 0
    assert capsys.readouterr().out.rstrip("\n") == cite()
