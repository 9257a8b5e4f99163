"""A pack as Parquet files, written for other programs and read back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from mien.datasets.registry import DatasetOptions
from mien.errors import ArtifactError, DatasetError
from mien.export.pack import export_pack
from mien.faces.images import decode_jpeg_rgb
from mien.formats.pack import Pack
from mien.formats.pack import parquet as pack_parquet
from mien.prepare.options import PrepareOptions
from mien.prepare.stage import prepare


def say_more(number: int) -> dict[str, Any]:
    """What the pack states about some of its faces besides the labels."""
    if number % 3:
        return {}
    return {"person": f"p{number}", "clip": f"c{number // 2}", "attributes": {"age": str(number), "sex": "F"}}


@pytest.fixture(scope="module")
def pack_path(make_training_pack: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack with votes, persons, clips and attributes, and with faces that lack landmarks."""
    folder = tmp_path_factory.mktemp("exported") / "my.pack"
    return make_training_pack(folder, n_train=18, n_val=6, n_missing=4, votes=True, stated=say_more)


def test_other_programs_find_images_and_class_names(pack_path: Path, tmp_path: Path) -> None:
    """Any Parquet reader gets the JPEG files; the names of the classes are where the Hub's programs look for them."""
    summary = export_pack(pack_path, tmp_path / "out")
    names = ("train-00000-of-00001.parquet", "validation-00000-of-00001.parquet")
    assert (summary.names, summary.n_faces) == (names, {"train": 18, "val": 6})
    table = pq.read_table(tmp_path / "out" / names[0])
    faces = Pack.open(pack_path).split("train")
    features = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert features["label"] == {"names": ["Neutral", "Happy", "Sad"], "_type": "ClassLabel"}
    assert features["image"] == {"_type": "Image"}
    assert table["label"].to_pylist() == faces.labels.tolist()
    for index, image in enumerate(table["image"].to_pylist()):
        assert image["path"] == faces.keys[index]
        np.testing.assert_array_equal(decode_jpeg_rgb(image["bytes"]), faces.image(index))


def test_datasets_library_loads_it(pack_path: Path, tmp_path: Path) -> None:
    """The library that people read such files with gets splits, images and class names."""
    datasets = pytest.importorskip("datasets", reason="the datasets library is not installed")
    export_pack(pack_path, tmp_path / "out")
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in loaded.items()} == {"train": 18, "validation": 6}
    assert loaded["train"].features["label"].names == ["Neutral", "Happy", "Sad"]
    assert loaded["train"][0]["image"].size == (40, 40)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_round_trip_has_the_same_content(pack_path: Path, tmp_path: Path, n_workers: int) -> None:
    """The faces come back bit for bit, with all that the pack says of them."""
    summary = export_pack(pack_path, tmp_path / "out")
    again = prepare("parquet", tmp_path / "out", tmp_path / "again.pack", PrepareOptions(workers=n_workers))
    original = Pack.open(pack_path).info
    assert again.info.content_sha256 == original.content_sha256 == summary.content_sha256
    for name in ("classes", "crop", "counts", "crop_methods", "source", "n_rejected"):
        assert getattr(again.info, name) == getattr(original, name)


def test_round_trip_of_action_units(tmp_path: Path) -> None:
    """Units and their missing labels come back too, also from sets that were merged and corrected."""
    random = np.random.default_rng(0)
    for name in "abcd":
        Image.fromarray(random.integers(0, 255, (40, 40, 3), np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "one.csv").write_text("path,label,split,AU12\na.png,Happy,train,1\nb.png,Sad,train,9\n")
    (tmp_path / "two.csv").write_text("path,label,split,AU01\nc.png,Happy,train,0\nd.png,Sad,val,1\n")
    (tmp_path / "sets.yaml").write_text(
        "sources:\n- {kind: csv, raw: one.csv, name: one}\n- {kind: csv, raw: two.csv, name: two}\n"
    )
    (tmp_path / "corrections.csv").write_text("key,label,why\none/b.png,Happy,smiles\n")
    options = PrepareOptions(workers=1, corrections=tmp_path / "corrections.csv", allow=("empty-classes",))
    pack = prepare("yaml", tmp_path / "sets.yaml", tmp_path / "units.pack", options)
    faces = Pack.open(pack.out).split("train")
    assert pack.info.annotations["action_units"].names == ("AU01", "AU12")
    assert faces.labels.tolist() == [0, 0, 0]
    np.testing.assert_array_equal(
        faces.annotations["action_units"], [[np.nan, 1], [np.nan, np.nan], [0, np.nan]]
    )
    export_pack(pack.out, tmp_path / "out")
    as_it_is = PrepareOptions(workers=1, allow=("empty-classes",))
    again = prepare("parquet", tmp_path / "out", tmp_path / "again.pack", as_it_is)
    assert again.info.content_sha256 == pack.info.content_sha256
    assert again.info.annotations == pack.info.annotations


def test_large_splits_are_several_files(
    pack_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The faces keep their order over several shards and files; a missing file is reported."""
    export_pack(pack_path, tmp_path / "one")
    monkeypatch.setattr("mien.prepare.stage.ROWS_PER_SHARD", 4)
    sharded = prepare("parquet", tmp_path / "one", tmp_path / "sharded.pack", PrepareOptions(workers=1))
    shard = tmp_path / "sharded.pack" / "train-00000.arrow"
    monkeypatch.setattr(pack_parquet, "MAX_FILE_BYTES", 2 * shard.stat().st_size)
    names = export_pack(sharded.out, tmp_path / "many").names
    assert names[0] == "train-00000-of-00003.parquet"
    assert len(names) == 4
    again = prepare("parquet", tmp_path / "many", tmp_path / "again.pack", PrepareOptions(workers=1))
    assert again.info.content_sha256 == sharded.info.content_sha256
    (tmp_path / "many" / names[1]).unlink()
    fewer = prepare("parquet", tmp_path / "many", tmp_path / "fewer.pack", PrepareOptions(workers=1))
    assert f"The set is incomplete: `{names[1]}` missing of 3 files." in fewer.notes


def test_a_pack_is_not_exported_as_a_model(pack_path: Path, tmp_path: Path) -> None:
    """A pack given in place of its run does not become a folder with the name of a model file."""
    with pytest.raises(ArtifactError, match="For a model file, give the run that was trained on it"):
        export_pack(pack_path, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_output_is_not_overwritten_unasked(pack_path: Path, tmp_path: Path) -> None:
    """With --force it replaces its own folders, and no others."""
    export_pack(pack_path, tmp_path / "out")
    with pytest.raises(ArtifactError, match="already exists"):
        export_pack(pack_path, tmp_path / "out")
    export_pack(pack_path, tmp_path / "out", force=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(ArtifactError, match="mien did not make it"):
        export_pack(pack_path, tmp_path / "mine", force=True)


@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (PrepareOptions(size=64), "--size 40"),
        (PrepareOptions(crop="aligned"), "--crop whole"),
        (PrepareOptions(margin=0.5), "--margin 0.1"),
    ],
)
def test_another_crop_is_refused(pack_path: Path, tmp_path: Path, options: PrepareOptions, flag: str) -> None:
    """Finished crops cannot be cropped otherwise: the original images are not there."""
    export_pack(pack_path, tmp_path / "out")
    with pytest.raises(DatasetError, match=f"cropped already, with {flag}"):
        prepare("parquet", tmp_path / "out", tmp_path / "again.pack", options)


def test_classes_of_a_pack_are_not_renamed_in_passing(pack_path: Path, tmp_path: Path) -> None:
    """Options for unknown labels are refused where the classes are known."""
    export_pack(pack_path, tmp_path / "out")
    options = PrepareOptions(dataset=DatasetOptions(label_names=(("0", "Sad"),)))
    with pytest.raises(DatasetError, match="leave out --label-names"):
        prepare("parquet", tmp_path / "out", tmp_path / "again.pack", options)


def test_changed_crop_is_rejected(pack_path: Path, tmp_path: Path) -> None:
    """A file that was edited is not trusted: a crop of another size is a rejected row."""
    export_pack(pack_path, tmp_path / "out")
    path = tmp_path / "out" / "train-00000-of-00001.parquet"
    table = pq.read_table(path)
    cells = table.to_pylist()
    cells[0]["image"]["bytes"] = b"no image"
    cells[1]["label"] = 7
    cells[2]["landmarks"] = [float("nan")] * 136
    cells[3]["crop_method"] = "cut"
    pq.write_table(type(table).from_pylist(cells, schema=table.schema), path)
    summary = prepare("parquet", tmp_path / "out", tmp_path / "again.pack", PrepareOptions(workers=1))
    assert summary.info.rejected_by_reason == {"broken_annotation": 2, "not_an_image": 1, "unknown_label": 1}


def test_files_of_several_packs_are_refused(
    pack_path: Path, make_training_pack: Callable[..., Path], tmp_path: Path
) -> None:
    """Their crops could differ."""
    export_pack(pack_path, tmp_path / "out")
    other = make_training_pack(tmp_path / "other.pack", n_train=6, n_val=6, votes=False)
    export_pack(other, tmp_path / "more")
    (tmp_path / "more" / "train-00000-of-00001.parquet").rename(
        tmp_path / "out" / "train-00000-of-00001.parquet"
    )
    with pytest.raises(DatasetError, match="Parquet files of one pack"):
        prepare("parquet", tmp_path / "out", tmp_path / "again.pack")
