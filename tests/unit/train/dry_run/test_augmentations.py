"""The preview of training faces: exactly the ones that the network sees."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the train extra")

from PIL import Image

from mien.browse.stage import TITLE_WIDTH
from mien.cli import main
from mien.formats.pack import Pack
from mien.formats.pack.schema import NO_LABEL
from mien.nets.network import FaceNetwork
from mien.recipe import AugmentConfig, Recipe, format_recipe
from mien.train import train
from mien.train.dataloader import FaceBatches
from mien.train.dataset import read_training_faces
from mien.train.dry_run import augmentations as preview
from mien.train.dry_run.augmentations import PreviewRow, preview_faces
from mien.train.mixing import mix_faces
from mien.train.sampler import EpochBatches, FaceOrder


def changed(recipe: Recipe, *, epochs: int = 1, **data: Any) -> Recipe:
    """The recipe for an epoch, with other values of its data."""
    return replace(
        recipe, data=replace(recipe.data, **data), schedule=replace(recipe.schedule, epochs=epochs)
    )


@pytest.fixture
def fed(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Every image that a network is trained on from here on, as bytes, in order."""
    images: list[np.ndarray] = []
    forward = FaceNetwork.forward

    def spy(self: FaceNetwork, images_rgb: Any) -> Any:
        if self.training:
            images.extend(np.rint(images_rgb.numpy()).astype(np.uint8))
        return forward(self, images_rgb)

    monkeypatch.setattr(FaceNetwork, "forward", spy)
    return images


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that the command runs in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def is_among(image: np.ndarray, images: list[np.ndarray]) -> bool:
    return any(np.array_equal(image, other) for other in images)


def test_a_class_row_shows_what_training_sees(
    fed: list[np.ndarray], training_pack: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """Each version of a face is, byte for byte, an image that the network sees in that epoch."""
    recipe = changed(tiny_recipe, epochs=2)
    rows = preview_faces(recipe, Pack.open(training_pack), n_versions=3)
    train(recipe, [training_pack], tmp_path / "run")
    half = len(fed) // 2
    epochs = {"epoch 1": fed[:half], "epoch 2": fed[half:]}
    versions = [face for row in rows for face in row.faces[1:] if face.caption in epochs]
    assert len(versions) >= 5
    for face in versions:
        assert is_among(face.image_rgb, epochs[face.caption])


def test_mixed_rows_show_what_training_sees(
    fed: list[np.ndarray], training_pack: Path, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """Mixed faces are the run's own too."""
    recipe = changed(tiny_recipe, augment=AugmentConfig(mixup_prob=0.3, mixup_alpha=1.0, cutmix_prob=0.3))
    rows = preview_faces(recipe, Pack.open(training_pack), n_versions=4)
    assert [row.title for row in rows[3:]] == ["mixup\n30% of faces", "cutmix\n30% of faces"]
    assert [len(row.faces) for row in rows[3:]] == [5, 5]
    train(recipe, [training_pack], tmp_path / "run")
    for face in rows[3].faces + rows[4].faces:
        assert is_among(face.image_rgb, fed)


def test_with_several_devices_the_mixing_is_the_first_ones(training_pack: Path, tiny_recipe: Recipe) -> None:
    """Each device mixes its own part of a step."""
    augment = AugmentConfig(mixup_prob=0.5, mixup_alpha=1.0)
    recipe = changed(tiny_recipe, augment=augment)
    recipe = replace(recipe, runtime=replace(recipe.runtime, devices=2))
    pack = Pack.open(training_pack)
    faces = read_training_faces([pack], recipe.data).train
    dataset, expected = FaceBatches(faces, 32, augment, 0), []
    for step, draws in enumerate(EpochBatches(FaceOrder(faces.labels), 16, 0, rank=0, world_size=2)):
        random = np.random.default_rng(np.random.SeedSequence((0, step, 0)))
        expected.extend(mix_faces(dataset.__getitems__(draws), augment, random).images_rgb.numpy().round())
    for face in preview_faces(recipe, pack, n_versions=4)[3].faces:
        assert is_among(face.image_rgb, expected)


def test_captions_of_mixed_faces_are_their_targets(
    training_pack: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The percentages are those of the loss's targets."""
    targets = []
    mix = preview.mix_faces

    def spy(*args: Any) -> Any:
        mixed = mix(*args)
        targets.extend(zip(mixed.images_rgb.numpy(), mixed.targets["expression"].numpy(), strict=True))
        return mixed

    monkeypatch.setattr(preview, "mix_faces", spy)
    recipe = changed(tiny_recipe, augment=AugmentConfig(mixup_prob=0.4, mixup_alpha=1.0, cutmix_prob=0.4))
    pack = Pack.open(training_pack)
    rows = preview_faces(recipe, pack, n_versions=6)
    for face in rows[3].faces + rows[4].faces:
        expected = next(
            target
            for image, target in targets
            if np.array_equal(np.rint(image).astype(np.uint8), face.image_rgb)
        )
        shares = np.zeros(3)
        for percent, name in re.findall(r"(\d+)% (\w+)", face.caption):
            shares[pack.info.classes.index(name)] += int(percent) / 100
        np.testing.assert_allclose(shares, expected, atol=0.006)


def test_mixed_faces_hide_their_landmarks(training_pack: Path, tiny_recipe: Recipe) -> None:
    """A blend has none, and a face with a pasted rectangle keeps those outside it."""
    augment = AugmentConfig(mixup_prob=0.5, mixup_alpha=1.0, cutmix_prob=0.5)
    rows = preview_faces(changed(tiny_recipe, augment=augment), Pack.open(training_pack), n_versions=9)
    blended, pasted = rows[3].faces, rows[4].faces
    assert not any(np.isfinite(face.landmarks).any() for face in blended)
    seen = [np.isfinite(face.landmarks).mean() for face in pasted]
    assert any(0 < share < 1 for share in seen)


def test_without_mixing_there_are_only_class_rows(training_pack: Path, tiny_recipe: Recipe) -> None:
    """A row for each class in the network's order, starting with the face as stored."""
    pack = Pack.open(training_pack)
    rows = preview_faces(changed(tiny_recipe, classes=["Sad", "Happy"]), pack, n_versions=2, seed=5)
    faces = read_training_faces([pack], changed(tiny_recipe, classes=["Sad", "Happy"]).data).train
    assert [row.title.split("\n")[0] for row in rows] == ["Sad", "Happy"]
    for label, row in enumerate(rows):
        assert [face.caption for face in row.faces] == ["in the pack", "epoch 1", "epoch 2"]
        members = np.flatnonzero(faces.labels == label)
        assert row.title.split("\n")[1] == f"{len(members)} faces"
        number = next(i for i in members if np.array_equal(faces.image(i), row.faces[0].image_rgb))
        np.testing.assert_array_equal(row.faces[0].landmarks, faces.targets["landmarks"][number])
        assert np.isfinite(row.faces[1].landmarks).all()


def test_the_seed_chooses_the_faces_and_the_recipe_changes_them(
    training_pack: Path, tiny_recipe: Recipe
) -> None:
    """One seed shows the same faces with any recipe; the augmentation is the recipe's."""

    def show(recipe: Recipe, seed: int) -> list[PreviewRow]:
        return preview_faces(recipe, Pack.open(training_pack), n_versions=1, seed=seed)

    other_run = replace(tiny_recipe, runtime=replace(tiny_recipe.runtime, seed=9))
    one, same, run, seed = (
        show(*how) for how in ((tiny_recipe, 1), (tiny_recipe, 1), (other_run, 1), (tiny_recipe, 2))
    )
    assert all(
        np.array_equal(a.faces[1].image_rgb, b.faces[1].image_rgb) for a, b in zip(one, same, strict=True)
    )
    assert all(
        np.array_equal(a.faces[0].image_rgb, b.faces[0].image_rgb) for a, b in zip(one, run, strict=True)
    )
    assert not any(
        np.array_equal(a.faces[1].image_rgb, b.faces[1].image_rgb) for a, b in zip(one, run, strict=True)
    )
    assert not all(
        np.array_equal(a.faces[0].image_rgb, b.faces[0].image_rgb) for a, b in zip(one, seed, strict=True)
    )


def test_sampling_decides_in_which_epochs_a_face_is_drawn(
    training_pack: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A face of a rare class is drawn several times in an epoch, one of a common class not in every epoch."""
    read = preview.read_training_faces

    def read_uneven(*args: Any, **options: Any) -> Any:
        split = read(*args, **options)
        faces = split.train
        kept = (faces.labels != 1) | (np.cumsum(faces.labels == 1) <= 4)
        return replace(split, train=faces.part(kept))

    monkeypatch.setattr(preview, "read_training_faces", read_uneven)
    rows = preview_faces(changed(tiny_recipe, sampling="inverse"), Pack.open(training_pack), n_versions=8)
    common, rare = ([face.caption for face in rows[row].faces[1:]] for row in (0, 1))
    assert rare.count("epoch 1") > 1
    assert len(set(common)) > len(set(rare))
    assert len(common) == len(rare) == 8


def test_a_class_without_faces_has_an_empty_row(
    training_pack: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network predicts it all the same, and the sheet shows that it has no faces."""
    read = preview.read_training_faces

    def read_without_happy(*args: Any, **options: Any) -> Any:
        split = read(*args, **options)
        return replace(split, train=split.train.part(split.train.labels != 1))

    monkeypatch.setattr(preview, "read_training_faces", read_without_happy)
    rows = preview_faces(tiny_recipe, Pack.open(training_pack), n_versions=2)
    assert (rows[1].title, rows[1].faces) == ("Happy\n0 faces", [])


def test_faces_without_an_expression_keep_their_place(
    training_pack: Path, tiny_recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run trains on them for its other tasks, so that they decide which face is drawn when."""
    read = preview.read_training_faces

    def read_some_unlabeled(*args: Any, **options: Any) -> Any:
        assert options["tasks"] == ["landmarks", "valence_arousal"]
        split = read(*args, **options)
        labels = split.train.labels.copy()
        labels[::2] = NO_LABEL
        return replace(split, train=replace(split.train, labels=labels))

    monkeypatch.setattr(preview, "read_training_faces", read_some_unlabeled)
    mixed = replace(tiny_recipe.data.augment, mixup_prob=1.0)
    rows = preview_faces(changed(tiny_recipe, augment=mixed), Pack.open(training_pack), n_versions=4)
    assert [row.title.split("\n")[0] for row in rows] == ["Neutral", "Happy", "Sad", "mixup"]
    assert any("no label" in face.caption for face in rows[-1].faces)


def test_the_sheet_of_a_recipe_without_a_backbone(
    training_pack: Path, trained_run: Path, tiny_recipe: Recipe, in_folder: Path
) -> None:
    """It has the pixels of the network that the run takes from its weights, 32 here, not the default's 224."""
    (in_folder / "from_run.yaml").write_text(f"model: {{weights: {trained_run}}}\n")
    (in_folder / "tiny.yaml").write_text(format_recipe(tiny_recipe))
    sizes = []
    for recipe in ("from_run", "tiny"):
        command = ["browse", str(training_pack), "--recipe", f"{recipe}.yaml", "--out", f"{recipe}.png"]
        assert main(command) == 0
        with Image.open(in_folder / f"{recipe}.png") as image:
            sizes.append(image.size)
    assert sizes[0] == sizes[1]


def test_votes_are_in_the_title(
    make_training_pack: Callable[..., Path], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """A face with a soft label shows its votes, the largest first."""
    pack = Pack.open(make_training_pack(tmp_path / "votes.pack", votes=True))
    rows = preview_faces(changed(tiny_recipe, labels="votes"), pack, n_versions=1)
    assert rows[2].title.split("\n")[2:] == ["80% Sad", "10% Neutral", "10% Happy"]


def test_rare_mixing_is_found(training_pack: Path, tiny_recipe: Recipe) -> None:
    """If an epoch mixes fewer faces than a row holds, all of them are shown."""
    recipe = changed(tiny_recipe, augment=AugmentConfig(cutmix_prob=0.02))
    rows = preview_faces(recipe, Pack.open(training_pack), n_versions=50)
    assert 1 <= len(rows[3].faces) <= 12


def test_the_command_draws_the_networks_pixels(
    make_training_pack: Callable[..., Path], tiny_recipe: Recipe, tmp_path: Path
) -> None:
    """On a sheet of faces without landmarks every cell is a previewed face, pixel for pixel."""
    pack = make_training_pack(tmp_path / "bare.pack", n_missing=192)
    recipe = changed(tiny_recipe, augment=AugmentConfig(mixup_prob=0.5))
    (tmp_path / "recipe.yaml").write_text(format_recipe(recipe), encoding="utf-8")
    out = tmp_path / "sheet.png"
    command = ["browse", str(pack), "--recipe", str(tmp_path / "recipe.yaml"), "--out", str(out)]
    assert main([*command, "--per-class", "3", "--seed", "4"]) == 0
    with Image.open(out) as image:
        sheet = np.asarray(image)
    rows = preview_faces(recipe, Pack.open(pack), n_versions=3, seed=4)
    scale = round(144 / 32)
    pitch = 32 * scale + 2
    top = 0
    for row in rows:
        for column, face in enumerate(row.faces):
            if face.caption != "in the pack":
                left = TITLE_WIDTH + column * pitch
                cell = sheet[top : top + 32 * scale, left : left + 32 * scale]
                np.testing.assert_array_equal(cell[::scale, ::scale], face.image_rgb)
        top += pitch + 18 * (1 + row.faces[0].caption.count("\n"))
    assert top == len(sheet)


@pytest.mark.parametrize(
    ("options", "code", "expected"),
    [
        pytest.param(["--recipe", "none.yaml"], 2, r"none\.yaml does not exist", id="no recipe"),
        pytest.param(["--recipe", "r.yaml", "--out", "x.gif"], 1, "must end in", id="ending"),
        pytest.param(["--recipe", "r.yaml", "--out", "mine.png"], 1, "already exists", id="exists"),
        pytest.param(["--recipe", "big.yaml"], 1, "`schedule.batch_size` is 500", id="no whole step"),
    ],
)
def test_mistakes_are_one_line(
    options: list[str],
    code: int,
    expected: str,
    training_pack: Path,
    in_folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each is one line, and no sheet is written."""
    Path("r.yaml").write_text("model: {pretrained: false}\ndata: {input_size: 32}\n", encoding="utf-8")
    Path("big.yaml").write_text("schedule: {batch_size: 500}\n", encoding="utf-8")
    Path("mine.png").write_text("mine", encoding="utf-8")
    out = [] if "--out" in options else ["--out", "sheet.png"]
    assert main(["browse", str(training_pack), *out, *options]) == code
    printed = capsys.readouterr().err
    assert re.search(expected, printed)
    assert printed.count("\n") == 1
    assert {path.name for path in in_folder.iterdir()} == {"r.yaml", "big.yaml", "mine.png"}
    assert Path("mine.png").read_text(encoding="utf-8") == "mine"


def test_only_train_faces_are_augmented(training_pack: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Other splits are never augmented, so asking for one is wrong usage."""
    with pytest.raises(SystemExit) as ended:
        main(["browse", str(training_pack), "--recipe", "r.yaml", "--out", "s.png", "--split", "val"])
    assert ended.value.code == 2
    assert "the train split" in capsys.readouterr().err
