"""Reading a pack, whole or damaged."""

import json
import multiprocessing
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mien.errors import ArtifactError
from mien.pack import FORMAT_VERSION, Pack, PackSplit


def _sum_of_pixels(split: PackSplit, indices: list[int]) -> int:
    return sum(int(split.image(index).sum()) for index in indices)


@pytest.fixture
def pack_copy(training_pack: Path, tmp_path: Path) -> Path:
    """A pack of one's own, to damage."""
    return shutil.copytree(training_pack, tmp_path / "my.pack")


def change_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_splits_that_hold_faces(training_pack: Path) -> None:
    """The splits are named in order, and an absent one is told with those that there are."""
    pack = Pack.open(training_pack)
    assert pack.splits == ("train", "val")
    with pytest.raises(ArtifactError, match=r"no split 'test', it has: train, val"):
        pack.split("test")


def test_image_is_rgb_of_the_contract(training_pack: Path) -> None:
    """A face is a square RGB picture of the size that the contract says."""
    pack = Pack.open(training_pack)
    image = pack.split("val").image(3)
    assert image.shape == (pack.info.crop.size, pack.info.crop.size, 3)
    assert image.dtype == np.uint8


def test_faces_beyond_a_batch(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """Faces behind the first batch of a shard are found, each under its own number."""
    split = Pack.open(make_training_pack(tmp_path / "pack", n_train=600)).split("train")
    order = np.random.default_rng(0).permutation(600)
    forward = {index: bytes(split.jpeg(index)) for index in range(600)}
    assert all(bytes(split.jpeg(int(index))) == forward[index] for index in order)
    assert len(set(forward.values())) == 600


@pytest.mark.parametrize("n_rows", [192, 50], ids=["one batch", "four batches"])
def test_perceptual_hashes_are_those_written(pack_copy: Path, n_rows: int) -> None:
    """Each face has the hash that stands in its row, across the batches of a shard."""
    hashes = np.random.default_rng(0).integers(0, 256, (192, 32), dtype=np.uint8)
    path = pack_copy / "train-00000.arrow"
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    place = table.schema.get_field_index("perceptual_hash")
    column = pa.array([row.tobytes() for row in hashes], table.schema.field(place).type)
    table = table.set_column(place, table.schema.field(place), column)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=n_rows)
    read = Pack.open(pack_copy).split("train").read_perceptual_hashes()
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, hashes)


def test_perceptual_hashes_are_of_one_split(training_pack: Path) -> None:
    """Each split gives the hashes of its own faces."""
    pack = Pack.open(training_pack)
    shapes = {name: pack.split(name).read_perceptual_hashes().shape for name in pack.splits}
    assert shapes == {"train": (192, 32), "val": (24, 32)}


@pytest.mark.parametrize("index", [-1, 24, 10**9])
def test_face_that_is_not_there(training_pack: Path, index: int) -> None:
    """A number outside the split is an IndexError, never another face."""
    with pytest.raises(IndexError, match=r"must be from 0 to 23"):
        Pack.open(training_pack).split("val").image(index)


def test_split_pickles_as_its_path(training_pack: Path) -> None:
    """A split goes to another process as a path, not as pictures, and is the same there."""
    split = Pack.open(training_pack).split("train")
    data = pickle.dumps(split)
    copy = pickle.loads(data)  # noqa: S301 - our own bytes
    assert len(data) < 1000
    assert copy.keys == split.keys
    np.testing.assert_array_equal(copy.landmarks, split.landmarks)
    np.testing.assert_array_equal(copy.image(5), split.image(5))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_reading_from_other_processes(training_pack: Path, method: str) -> None:
    """Forked and spawned processes read the faces that this one reads."""
    split = Pack.open(training_pack).split("train")
    parts = [(split, list(range(start, start + 20))) for start in (0, 20)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(_sum_of_pixels, parts) == [_sum_of_pixels(*part) for part in parts]


def remove_shard(pack: Path) -> None:
    (pack / "train-00000.arrow").unlink()


def truncate_shard(pack: Path) -> None:
    shard = pack / "train-00000.arrow"
    shard.write_bytes(shard.read_bytes()[:-100])


def empty_shard(pack: Path) -> None:
    (pack / "train-00000.arrow").write_bytes(b"")


def swap_shard(pack: Path) -> None:
    shutil.copy(pack / "groups.arrow", pack / "train-00000.arrow")


def take_other_shard(pack: Path) -> None:
    shutil.copy(pack / "val-00000.arrow", pack / "train-00000.arrow")


def remove_groups(pack: Path) -> None:
    (pack / "groups.arrow").unlink()


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (remove_shard, "train-00000.arrow of the pack cannot be read"),
        (truncate_shard, "train-00000.arrow of the pack cannot be read"),
        (empty_shard, "train-00000.arrow of the pack cannot be read"),
        (swap_shard, "train-00000.arrow of the pack has other columns"),
        (take_other_shard, "train-00000.arrow of the pack has 24 faces, pack.json says 192"),
        (remove_groups, "groups.arrow of the pack cannot be read"),
    ],
)
def test_damaged_shards(pack_copy: Path, damage: Callable[[Path], None], told: str) -> None:
    """A damaged file is named in one line, with what to do."""
    damage(pack_copy)
    with pytest.raises(ArtifactError, match=told) as caught:
        Pack.open(pack_copy).split("train")
    assert "Run `mien prepare` again" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, "1", None])
def test_other_version(pack_copy: Path, version: object) -> None:
    """Another format version is told with the one that is read."""
    change_json(pack_copy / "pack.json", format_version=version)
    with pytest.raises(
        ArtifactError, match=rf"format version {version!r}, this release reads {FORMAT_VERSION}"
    ):
        Pack.open(pack_copy)


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("missing", None, "is no pack: it has no pack.json"),
        ("text", "hello", "cannot be read"),
        ("list", "[1]", "must hold a JSON object, got list"),
        ("cut", '{"format_version": 1, "cla', "cannot be read"),
        ("bytes", "\udcff", "cannot be read"),
        ("fields missing", '{"format_version": 1}', "is damaged: 'classes'"),
    ],
)
def test_damaged_pack_json(pack_copy: Path, name: str, content: str | None, told: str) -> None:
    """A pack.json that is none is one clear error."""
    path = pack_copy / "pack.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ArtifactError, match=told) as caught:
        Pack.open(pack_copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": {"method": "eyes"}},
        {"crop": 3},
        {"shards": [{"name": "a"}]},
        {"colour": "red"},
        {"classes": 7},
    ],
)
def test_wrong_fields_of_pack_json(pack_copy: Path, changes: dict[str, object]) -> None:
    """A field of another shape or name is one clear error."""
    change_json(pack_copy / "pack.json", **changes)
    with pytest.raises(ArtifactError, match=r"is damaged"):
        Pack.open(pack_copy)


def test_unfinished_pack(pack_copy: Path) -> None:
    """A pack that prepare has not finished is told as that, with how to finish it."""
    (pack_copy / "pack.json").unlink()
    (pack_copy / ".prepare").mkdir()
    with pytest.raises(ArtifactError, match=r"is unfinished. Run the same `mien prepare` again"):
        Pack.open(pack_copy)


def test_no_pack_at_all(tmp_path: Path) -> None:
    """What does not exist, or is a file, is told with the command that makes a pack."""
    with pytest.raises(ArtifactError, match=r"does not exist. Make one with `mien prepare"):
        Pack.open(tmp_path / "none.pack")
    file = tmp_path / "file.pack"
    file.write_text("x")
    with pytest.raises(ArtifactError, match=r"is a file, a pack is a folder"):
        Pack.open(file)
