"""Teaching on faces of flat colors, whose features are the means of red, green and blue."""

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mien
from mien.errors import ArtifactError, DatasetError, ModelError
from mien.formats.class_fractions import read_class_fractions
from mien.formats.onnx_model import OnnxModel
from mien.inference.model import Model
from mien.inference.teaching.lesson import REST, Shots, _describe, group_shots, teach

COLORS = {"orange": (230, 140, 30), "teal": (20, 130, 140), "Happy": (20, 240, 30), "Neutral": (240, 20, 30)}


def make_shots(*names: str, n: int = 12, spread: float = 12.0, persons: bool = False, seed: int = 0) -> Shots:
    """Textured faces around the color of their class, each different from the others."""
    random = np.random.default_rng(seed)
    crops, labels, who = [], [], []
    for name in names:
        for index in range(n):
            mean = np.array(COLORS[name]) + random.normal(0, spread, 3)
            coarse = random.normal(0, 60, (8, 8, 1)).repeat(4, axis=0).repeat(4, axis=1)
            crops.append(np.clip(mean + coarse, 0, 255).astype(np.uint8))
            labels.append(name)
            who.append(f"{name}-{index % 4}" if persons else None)
    return Shots(np.stack(crops), tuple(labels), tuple(who))


@pytest.fixture(scope="module")
def base(model_path: Path) -> OnnxModel:
    return OnnxModel.load(model_path, threads=1)


@pytest.fixture(scope="module")
def taught(base: OnnxModel) -> OnnxModel:
    return teach(base, make_shots("orange", "teal", "Happy"))


def test_new_faces_are_predicted(taught: OnnxModel) -> None:
    """Classes are AffectNet's first, and then by the alphabet; all faces of another draw are found."""
    new = make_shots("orange", "teal", "Happy", seed=9)
    assert taught.info.classes == ("Happy", "orange", "teal")
    probabilities = taught.run(new.crops)["expression"]
    assert [taught.info.classes[index] for index in probabilities.argmax(axis=1)] == list(new.labels)
    assert probabilities.max(axis=1).mean() < 0.999  # as few faces as these do not show how rare errors are


def test_the_metadata_says_what_it_was_taught_on(taught: OnnxModel, base: OnnxModel) -> None:
    info = taught.info
    record = info.training["taught"]
    assert record["model_sha256"] == base.sha256
    assert (record["kept_classes"], record["merged"], record["folds"]) == ([], {}, 5)
    assert record["cross_validation"]["classes"]["teal"] == {"n": 12, "groups": 12, "recall": 1.0}
    assert record["cross_validation"]["accuracy"] == 1.0
    assert 0.85 < record["cross_validation"]["accuracy_ci95"][0] < 1
    assert read_class_fractions(info).tolist() == pytest.approx([1 / 3] * 3)
    assert (info.tasks, info.crop, info.input_size) == (base.info.tasks, base.info.crop, base.info.input_size)
    json.dumps(info.to_dict(), allow_nan=False)


def test_what_was_measured_on_the_earlier_head_is_left_out(base: OnnxModel) -> None:
    """Such as the accuracy of an int8 file over the classes that the taught one no longer has."""
    scheme = {"scheme": "static", "float_layers": [], "calibration": {"n": 8}}
    info = replace(
        base.info,
        quantization={**scheme, "gate": {"n": 100, "int8": {"accuracy": 0.9}}},
        training={**base.info.training, "n_parameters": 1234},
    )
    found = _describe(
        info, ("a", "b"), _Head(), {"cross_validation": {"n": 10, "accuracy": 0.5, "balanced_accuracy": 0.5}}
    )
    assert found.quantization == scheme
    assert "n_parameters" not in found.training
    assert info.quantization is not None


class _Head:
    keeps_classes, temperature = False, 1.0


def test_kept_classes_keep_their_odds(base: OnnxModel) -> None:
    """Old classes lose probability to the new one only in proportion, whatever the image; labels of the old do not matter."""
    shots = make_shots("orange", "Happy", "Neutral")
    model = teach(base, shots, keep_classes=True)
    assert model.info.classes == ("Neutral", "Happy", "Sad", "orange")
    images = np.random.default_rng(2).integers(0, 256, (50, 32, 32, 3), dtype=np.uint8)
    ours, theirs = model.run(images)["expression"], base.run(images)["expression"]
    np.testing.assert_allclose(ours[:, :3] / ours[:, :3].sum(1, keepdims=True), theirs, atol=1e-4)
    new = make_shots("orange", "Happy", seed=7)
    predicted = model.run(new.crops)["expression"].argmax(axis=1)
    assert (predicted[:12] == 3).all()
    assert (predicted[12:] == 1).all()
    record = model.info.training["taught"]
    assert record["kept_classes"] == ["Neutral", "Happy", "Sad"]
    assert record["cross_validation"]["classes"][REST]["n"] == 24
    swapped = Shots(
        shots.crops, tuple("Sad" if name == "Happy" else name for name in shots.labels), shots.persons
    )
    again = teach(base, swapped, keep_classes=True).run(images)["expression"]
    np.testing.assert_allclose(again, ours, atol=1e-6)


def test_merged_classes(base: OnnxModel) -> None:
    """Labels are merged before they are taught; kept classes add up."""
    shots = make_shots("orange", "teal", "Happy")
    merged = teach(base, shots, merge={"odd": ["orange", "teal"]})
    assert merged.info.classes == ("Happy", "odd")
    assert merged.info.training["taught"]["merged"] == {"odd": ["orange", "teal"]}
    kept = teach(base, make_shots("orange", "Happy"), keep_classes=True, merge={"calm": ["neutral", "Sad"]})
    plain = teach(base, make_shots("orange", "Happy"), keep_classes=True)
    assert kept.info.classes == ("calm", "Happy", "orange")
    ours, theirs = (model.run(shots.crops)["expression"] for model in (kept, plain))
    np.testing.assert_allclose(
        ours, np.column_stack([theirs[:, 0] + theirs[:, 2], theirs[:, [1, 3]]]), atol=1e-5
    )
    with pytest.raises(
        DatasetError, match=r"no class 'blue' to merge into 'odd'\. The classes are Happy, orange"
    ):
        teach(base, make_shots("orange", "Happy"), merge={"odd": ["blue"]})
    with pytest.raises(DatasetError, match=r"'orange' is merged into both 'a' and 'b'"):
        teach(base, shots, merge={"a": ["orange"], "b": ["orange"]})


@pytest.mark.parametrize(
    ("shots", "keep_classes", "message"),
    [
        pytest.param(
            make_shots("orange"), False, r"All 12 faces are 'orange': .*--keep-classes", id="one class"
        ),
        pytest.param(make_shots("Happy"), True, r"add faces of a new class", id="no new class"),
        pytest.param(
            make_shots("orange", "teal", n=4), False, r"at least 5 faces, got orange 4, teal 4", id="few"
        ),
        pytest.param(
            make_shots("orange"),
            True,
            r"none of the new classes 0.*needed as counterexamples",
            id="no others",
        ),
    ],
)
def test_too_little_to_learn_from(base: OnnxModel, shots: Shots, keep_classes: bool, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        teach(base, shots, keep_classes=keep_classes)


def test_copies_count_once(base: OnnxModel) -> None:
    """Twelve faces that are the same two again and again, mirrored too, are two groups."""
    shots = make_shots("orange", "teal")
    copies = shots.crops.copy()
    copies[:12] = shots.crops[np.arange(12) % 2]
    copies[3] = copies[3, :, ::-1]
    repeated = Shots(copies, shots.labels, shots.persons)
    assert len(np.unique(group_shots(repeated)[:12])) == 2
    with pytest.raises(DatasetError, match=r"12 faces of 'orange' must be of at least 3 persons.* got 2"):
        teach(base, repeated)


def test_persons_are_groups_with_their_copies() -> None:
    """A copy that is named as another person joins the two."""
    shots = make_shots("orange", "teal", persons=True)
    groups = group_shots(shots)
    assert len(np.unique(groups)) == 8
    assert groups[0] == groups[4] == groups[8] != groups[1]
    crops = shots.crops.copy()
    crops[13] = crops[1]
    joined = group_shots(Shots(crops, shots.labels, shots.persons))
    assert joined[1] == joined[13] == joined[17] == joined[5]


def test_classes_that_do_not_differ_are_refused_with_the_numbers(base: OnnxModel) -> None:
    shots = make_shots("orange", n=24)
    labels = tuple("ab"[index] for index in np.random.default_rng(1).permutation(24) % 2)
    with pytest.raises(
        ModelError, match=r"24 faces gives no evidence .* \d+\.\d% \[.*always answering one class 50\.0%"
    ):
        teach(base, Shots(shots.crops, labels, shots.persons))


@pytest.mark.parametrize(
    ("names", "keep_classes", "message"),
    [
        (("smile", "Smile "), False, "'Smile ' and 'smile' differ only in case or blanks"),
        (("happy", "Sad"), True, "'Happy' and 'happy' differ only in case"),
        (("smile", "Unsure"), False, "a face without a certain class is called 'unsure'"),
        (("smile", None), False, "labels must be names of classes: None is not a string"),
        (("smile", 1), False, "1 is not a string"),
    ],
)
def test_names_that_would_be_confused_are_refused(
    base: OnnxModel, names: tuple[Any, Any], keep_classes: bool, message: str
) -> None:
    shots = make_shots("orange", "teal")
    labels = tuple(names[name == "teal"] for name in shots.labels)
    with pytest.raises(DatasetError, match=message):
        teach(base, replace(shots, labels=labels), keep_classes=keep_classes)


def test_who_it_is_is_not_taken_for_what_it_shows(base: OnnxModel) -> None:
    """Persons that each have a color of their own: apart they show nothing of the labels, which follow the person."""
    random = np.random.default_rng(5)
    crops, labels, persons = [], [], []
    for person in range(8):
        color = random.uniform(60, 200, 3)
        for _ in range(6):
            coarse = random.normal(0, 40, (8, 8, 1)).repeat(4, axis=0).repeat(4, axis=1)
            crops.append(np.clip(color + random.normal(0, 3, 3) + coarse, 0, 255).astype(np.uint8))
            labels.append("ab"[person % 2])
            persons.append(f"p{person}")
    unnamed = teach(base, Shots(np.stack(crops), tuple(labels), (None,) * 48))
    assert unnamed.info.training["taught"]["cross_validation"]["accuracy"] > 0.8
    with pytest.raises(ModelError, match="no evidence"):
        teach(base, Shots(np.stack(crops), tuple(labels), tuple(persons)))


def test_from_python_to_a_file_and_back(model_path: Path, tmp_path: Path, caplog: Any) -> None:
    """`Model.teach` takes what `predict` takes; the result predicts before it is saved, pickled, and when it is loaded."""
    shots = make_shots("orange", "teal")
    model = mien.load(model_path, threads=1)
    images = [*shots.crops, str(tmp_path / "missing.png")]
    taught = model.teach(images, [*shots.labels, "teal"], cropped=True)
    assert "1 of 25 images are left out" in caplog.text
    path = taught.save(tmp_path / "mine.onnx")
    card = (tmp_path / "mine.md").read_text(encoding="utf-8")
    assert "# mine" in card
    assert "| orange | 12 | 12 | 100 |" in card
    new = list(make_shots("orange", "teal", n=2, seed=8).crops)

    def predict(one: Model) -> list[str | None]:
        return [prediction.faces[0].expression for prediction in one.predict(new, cropped=True)]

    for one in (taught, mien.load(path, threads=1), pickle.loads(pickle.dumps(taught))):  # noqa: S301 - our own
        assert predict(one) == ["orange", "orange", "teal", "teal"]
    with pytest.raises(ArtifactError, match=r"mine\.onnx already exists"):
        taught.save(path)
    assert taught.save(path, force=True) == path
    with pytest.raises(TypeError, match="`labels` must be a list with the class of each image, got 'Happy'"):
        model.teach(["a.jpg"] * 5, "Happy")
    with pytest.raises(ValueError, match="as many, got 25, 1 and 25"):
        model.teach(images, ["teal"], cropped=True)
