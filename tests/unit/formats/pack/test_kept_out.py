"""Faces to keep out of training that are in none of its packs."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.datasets.registry import DatasetOptions
from mien.errors import ArtifactError, DatasetError
from mien.formats.pack import Pack, kept_out
from mien.formats.pack.kept_out import find_repeats
from mien.prepare.options import PrepareOptions
from mien.prepare.stage import prepare
from mien.recipe import DataConfig, Recipe
from mien.sample.image import draw_image
from mien.train import train
from mien.train.dataset import read_training_faces

CLASSES = ("Happy", "Sad")
OPTIONS = PrepareOptions(size=96, workers=1, dataset=DatasetOptions(val_fraction=0.0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 drawn faces in the pack ``set.pack``; turned copies of four of them and four others in ``test/``."""
    folder = tmp_path_factory.mktemp("kept_out")
    (folder / "test" / "deep").mkdir(parents=True)
    for index in range(44):
        image = draw_image(CLASSES[index % 2], seed=3, index=index).pixels[:, :, ::-1]
        if index < 40:
            path = folder / "raw" / CLASSES[index % 2] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
        if index in (0, 1, 2, 3, 40, 41, 42, 43):
            height, width = image.shape[:2]
            turned = cv2.warpAffine(
                image, cv2.getRotationMatrix2D((width / 2, height / 2), 8, 1), (width, height)
            )
            cv2.imwrite(str(folder / "test" / "deep" / f"t{index}.jpg"), turned)
    prepare("folder", folder / "raw", folder / "set.pack", OPTIONS)
    return folder


def repeated(folder: Path, *kept_out: Path) -> list[str]:
    pack = Pack.open(folder / "set.pack")
    mask = find_repeats([pack], kept_out)
    return sorted(
        Path(key).stem for key, is_repeat in zip(pack.split("train").keys, mask, strict=True) if is_repeat
    )


def test_copies_of_images_in_a_folder(folder: Path) -> None:
    """Turned copies at any depth are found, and no other face."""
    assert repeated(folder) == []
    assert repeated(folder, folder / "test") == ["0", "1", "2", "3"]


def test_copies_of_the_faces_of_a_pack(folder: Path, tmp_path: Path) -> None:
    """Every split of the other pack counts."""
    for name in CLASSES:
        shutil.copytree(folder / "test" / "deep", tmp_path / "raw" / name)
    prepare("folder", tmp_path / "raw", tmp_path / "other.pack", OPTIONS)
    assert repeated(folder, tmp_path / "other.pack") == ["0", "1", "2", "3"]


def test_a_pack_with_another_crop_is_refused(folder: Path, tmp_path: Path) -> None:
    """Its crops cannot be compared."""
    options = PrepareOptions(
        size=96, workers=1, crop="box", margin=0.4, dataset=DatasetOptions(val_fraction=0.0)
    )
    for name in CLASSES:
        shutil.copytree(folder / "test" / "deep", tmp_path / "raw" / name)
    prepare("folder", tmp_path / "raw", tmp_path / "box.pack", options)
    with pytest.raises(DatasetError, match="cropped alike: it has whole crops of"):
        repeated(folder, tmp_path / "box.pack")


def test_what_cannot_be_read_is_reported(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder without an image is an error, some damaged images are a warning with their number."""
    with pytest.raises(DatasetError, match="there is none at"):
        repeated(folder, tmp_path / "missing")
    (tmp_path / "broken.jpg").write_bytes(b"not an image")
    with pytest.raises(DatasetError, match="no readable image of a face to keep out among 1 images"):
        repeated(folder, tmp_path)
    cv2.imwrite(str(tmp_path / "fine.png"), np.full((50, 50), 90, np.uint8))
    with caplog.at_level(logging.WARNING, logger="mien"):
        assert repeated(folder, tmp_path) == []
    assert "1 of 2 images" in caplog.text


def test_training_leaves_them_out_and_counts_them(folder: Path) -> None:
    """Neither train nor dev has them, also if leaks between splits are not excluded."""
    packs = [Pack.open(folder / "set.pack")]
    kept_out = [str(folder / "test")]
    for exclude_leaks in (True, False):
        config = DataConfig(keep_out=kept_out, exclude_leaks=exclude_leaks, dev_fraction=0.45)
        faces = read_training_faces(packs, config)
        keys = {Path(part.key(index)).stem for part in (faces.train, faces.dev) for index in range(len(part))}
        assert keys == {str(index) for index in range(4, 40)}
        assert (faces.n_kept_out, faces.n_leaks) == (4, 0)


def test_a_run_does_not_resume_with_other_images_to_keep_out(
    folder: Path, tmp_path: Path, tiny_recipe: Recipe
) -> None:
    """Its dev faces would be others, some of which it was trained on."""
    kept_out = Path(shutil.copytree(folder / "test", tmp_path / "test"))
    data = replace(tiny_recipe.data, keep_out=[str(kept_out)], dev_fraction=0.45)
    recipe = replace(tiny_recipe, data=data, schedule=replace(tiny_recipe.schedule, epochs=1, batch_size=4))
    train(recipe, [folder / "set.pack"], tmp_path / "run")
    (tmp_path / "run" / "result.json").unlink()
    (kept_out / "deep" / "t0.jpg").unlink()
    with pytest.raises(ArtifactError, match=r"The images of `data\.keep_out` .* have changed since run"):
        train(recipe, [folder / "set.pack"], tmp_path / "run", resume=True)


def test_images_without_a_face_are_counted(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are kept out as a whole only, which is said; the detector is the one that `prepare` uses."""

    class FindsNothing:
        def find_faces(self, _: object) -> list[object]:
            return []

    monkeypatch.setattr(kept_out, "load_detector", FindsNothing)
    options = PrepareOptions(size=96, workers=1, crop="box", dataset=DatasetOptions(val_fraction=0.0))
    raw = tmp_path / "list.csv"
    name = folder / "raw" / CLASSES[0] / "0.png"
    raw.write_text(f"path,label,x,y,w,h\n{name},Happy,2,2,90,90\n")
    prepare(
        "csv",
        raw,
        tmp_path / "box.pack",
        replace(options, dataset=replace(options.dataset, images=(folder,))),
    )
    with caplog.at_level(logging.WARNING, logger="mien"):
        find_repeats([Pack.open(tmp_path / "box.pack")], [folder / "test"])
    assert "No face is found in 8 of 8 images" in caplog.text


def test_an_address_is_refused(folder: Path) -> None:
    """It would become a path of this machine."""
    with pytest.raises(DatasetError, match="each must be a path of this machine, got an address: copy"):
        find_repeats([Pack.open(folder / "set.pack")], ["s3://bucket/test"])
