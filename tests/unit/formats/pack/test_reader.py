"""Reading intact and damaged packs."""

import json
import multiprocessing
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mien.artifacts import file_sha256, json_sha256
from mien.errors import ArtifactError
from mien.formats.pack import Pack, PackSplit
from mien.formats.pack.schema import FORMAT_VERSION


def _sum_of_pixels(split: PackSplit, indices: list[int]) -> int:
    return sum(int(split.image(index).sum()) for index in indices)


@pytest.fixture
def pack_copy(training_pack: Path, tmp_path: Path) -> Path:
    """A copy of a pack that a test may damage."""
    return shutil.copytree(training_pack, tmp_path / "my.pack")


def change_json(path: Path, **changes: object) -> None:
    """Change values in pack.json and update its hash."""
    value = {**json.loads(path.read_text()), **changes}
    del value["info_sha256"]
    path.write_text(json.dumps({**value, "info_sha256": json_sha256(value)}))


def record_hashes(pack: Path) -> None:
    """Update the recorded hashes of the files, as if another program had written them."""
    value = json.loads((pack / "pack.json").read_text())
    shards = [{**shard, "sha256": file_sha256(pack / shard["name"])} for shard in value["shards"]]
    change_json(pack / "pack.json", shards=shards, groups_sha256=file_sha256(pack / "groups.arrow"))


def test_splits_with_faces(training_pack: Path) -> None:
    """The splits are listed in order, also in the message for a missing one."""
    pack = Pack.open(training_pack)
    assert pack.splits == ("train", "val")
    with pytest.raises(ArtifactError, match=r"no split 'test', it has: train, val"):
        pack.split("test")


def test_image_follows_the_crop_contract(training_pack: Path) -> None:
    """A face is a square RGB image of the size in the contract."""
    pack = Pack.open(training_pack)
    image = pack.split("val").image(3)
    assert image.shape == (pack.info.crop.size, pack.info.crop.size, 3)
    assert image.dtype == np.uint8


def test_faces_beyond_a_batch(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """Faces after the first batch of a shard are found by their index."""
    split = Pack.open(make_training_pack(tmp_path / "pack", n_train=600)).split("train")
    order = np.random.default_rng(0).permutation(600)
    forward = {index: bytes(split.jpeg(index)) for index in range(600)}
    assert all(bytes(split.jpeg(int(index))) == forward[index] for index in order)
    assert len(set(forward.values())) == 600


@pytest.mark.parametrize("n_rows", [192, 50], ids=["one batch", "four batches"])
def test_perceptual_hashes_are_those_written(pack_copy: Path, n_rows: int) -> None:
    """Each face has the hash in its row, across the batches of a shard."""
    hashes = np.random.default_rng(0).integers(0, 256, (192, 32), dtype=np.uint8)
    path = pack_copy / "train-00000.arrow"
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    column_index = table.schema.get_field_index("perceptual_hash")
    column = pa.array([row.tobytes() for row in hashes], table.schema.field(column_index).type)
    table = table.set_column(column_index, table.schema.field(column_index), column)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=n_rows)
    record_hashes(pack_copy)
    read = Pack.open(pack_copy).split("train").read_perceptual_hashes()
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, hashes)


def test_perceptual_hashes_are_of_one_split(training_pack: Path) -> None:
    """Each split returns the hashes of its own faces."""
    pack = Pack.open(training_pack)
    shapes = {name: pack.split(name).read_perceptual_hashes().shape for name in pack.splits}
    assert shapes == {"train": (192, 32), "val": (24, 32)}


@pytest.mark.parametrize("index", [-1, 24, 10**9])
def test_face_index_out_of_range(training_pack: Path, index: int) -> None:
    """An index outside the split is an IndexError, never another face."""
    with pytest.raises(IndexError, match=r"must be from 0 to 23"):
        Pack.open(training_pack).split("val").image(index)


def test_split_pickles_as_its_path(training_pack: Path) -> None:
    """A split is pickled as a path, without images, and is the same afterwards."""
    split = Pack.open(training_pack).split("train")
    data = pickle.dumps(split)
    copy = pickle.loads(data)  # noqa: S301 - our own bytes
    assert len(data) < 1000
    assert copy.keys == split.keys
    np.testing.assert_array_equal(copy.landmarks, split.landmarks)
    np.testing.assert_array_equal(copy.image(5), split.image(5))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_reading_from_other_processes(training_pack: Path, method: str) -> None:
    """Forked and spawned processes read the same faces as this one."""
    split = Pack.open(training_pack).split("train")
    parts = [(split, list(range(start, start + 20))) for start in (0, 20)]
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.starmap(_sum_of_pixels, parts) == [_sum_of_pixels(*part) for part in parts]


def rejection(pack: Path) -> str | None:
    """Read a complete pack; return the one-line message that rejects it, or None."""
    try:
        opened = Pack.open(pack)
        for name in opened.splits:
            opened.split(name)
    except ArtifactError as error:
        line = str(error)
        assert line.encode().count(b"\n") == 0
        return line
    return None


def halve_shard(pack: Path) -> None:
    """Split the training faces into two shards."""
    table = pa.ipc.open_file((pack / "train-00000.arrow").read_bytes()).read_all()
    shards = []
    for number in range(2):
        name = f"train-{number:05d}.arrow"
        with pa.OSFile(str(pack / name), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table[96 * number : 96 * number + 96])
        shards.append({"name": name, "split": "train", "n_faces": 96, "sha256": file_sha256(pack / name)})
    val = json.loads((pack / "pack.json").read_text())["shards"][1]
    change_json(pack / "pack.json", shards=[*shards, val])


def remove_shard(pack: Path) -> None:
    (pack / "train-00000.arrow").unlink()


def truncate_shard(pack: Path) -> None:
    shard = pack / "train-00000.arrow"
    shard.write_bytes(shard.read_bytes()[:-100])


def empty_shard(pack: Path) -> None:
    (pack / "train-00000.arrow").write_bytes(b"")


def swap_shard(pack: Path) -> None:
    shutil.copy(pack / "groups.arrow", pack / "train-00000.arrow")


def copy_other_shard(pack: Path) -> None:
    shutil.copy(pack / "val-00000.arrow", pack / "train-00000.arrow")


def remove_groups(pack: Path) -> None:
    (pack / "groups.arrow").unlink()


def flip_in_image(pack: Path) -> None:
    path = pack / "train-00000.arrow"
    content = bytearray(path.read_bytes())
    content[content.index(b"\xff\xd8") + 300] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [remove_shard, truncate_shard, empty_shard, swap_shard, copy_other_shard,
                                    flip_in_image, remove_groups])  # fmt: skip
def test_changed_files(pack_copy: Path, damage: Callable[[Path], None]) -> None:
    """A changed file gives a one-line message with its name and what to do."""
    damage(pack_copy)
    name = "groups" if damage is remove_groups else "train-00000"
    message = rf"{name}\.arrow (cannot be read: No such file|has changed since it was written)"
    with pytest.raises(ArtifactError, match=message) as caught:
        Pack.open(pack_copy).split("train")
    assert "Copy the pack again, or prepare it again with `mien prepare ... --force`" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate_shard, "train-00000.arrow of the pack cannot be read"),
        (empty_shard, "train-00000.arrow of the pack cannot be read"),
        (swap_shard, "train-00000.arrow of the pack has the wrong columns"),
        (copy_other_shard, "train-00000.arrow of the pack has 24 faces, pack.json says 192"),
    ],
)
def test_wrong_files_with_matching_hashes(
    pack_copy: Path, damage: Callable[[Path], None], message: str
) -> None:
    """Files with matching hashes are still checked for their content."""
    damage(pack_copy)
    record_hashes(pack_copy)
    with pytest.raises(ArtifactError, match=message) as caught:
        Pack.open(pack_copy).split("train")
    assert "\n" not in str(caught.value)


def test_labels_that_do_not_match_pack_json(pack_copy: Path) -> None:
    """Labels must match the counts in pack.json."""
    counts = json.loads((pack_copy / "pack.json").read_text())["counts"]
    counts["train"] = {"Neutral": 63, "Happy": 65, "Sad": 64}
    change_json(pack_copy / "pack.json", counts=counts)
    with pytest.raises(
        ArtifactError, match=r"labels of split 'train' .* do not match the counts in pack\.json"
    ):
        Pack.open(pack_copy).split("train")


def test_changed_rejects(pack_copy: Path) -> None:
    """The list of rejected rows is verified too."""
    (pack_copy / "rejects.csv").write_text("split,row\n")
    change_json(pack_copy / "pack.json", rejects_sha256=file_sha256(pack_copy / "rejects.csv"))
    Pack.open(pack_copy)
    (pack_copy / "rejects.csv").write_text("split,raw\n")
    with pytest.raises(ArtifactError, match=r"rejects\.csv has changed"):
        Pack.open(pack_copy)


def test_every_flipped_bit_is_detected(pack_copy: Path) -> None:
    """A flipped bit in any file of a pack gives a one-line message."""
    (pack_copy / "rejects.csv").write_text("split,row,path,label\ntrain,7,a.jpg,Happy\n")
    change_json(pack_copy / "pack.json", rejects_sha256=file_sha256(pack_copy / "rejects.csv"))
    random = np.random.default_rng(0)
    for path in sorted(pack_copy.iterdir()):
        content = path.read_bytes()
        for bit in random.integers(0, 8 * len(content), 30).tolist():
            changed = bytearray(content)
            changed[bit // 8] ^= 1 << bit % 8
            path.write_bytes(changed)
            assert rejection(pack_copy) is not None, (path.name, bit)
        path.write_bytes(content)
    assert len(Pack.open(pack_copy).split("train")) == 192


ODD_VALUES = [
    None,
    -1,
    0,
    7.5,
    float("inf"),
    float("nan"),
    "x",
    "\udcff",
    [],
    [[]],
    {},
    {"x": 1},
    10**40,
    True,
    [None],
]


def test_invalid_values_in_pack_json(pack_copy: Path) -> None:
    """Any value of pack.json replaced by an invalid one gives a one-line message, with a stale or a matching hash."""
    path = pack_copy / "pack.json"
    text = path.read_text()
    original = json.loads(text)
    key_paths = [(name,) for name in original]
    key_paths += [("crop", name) for name in original["crop"]] + [
        ("counts", "train"),
        ("counts", "train", "Sad"),
    ]
    key_paths += [("shards", 0), *(("shards", 0, name) for name in original["shards"][0]), ("classes", 0)]
    for key_path in key_paths:
        for odd in ODD_VALUES:
            value = json.loads(text)
            *above, last = key_path
            part = value
            for name in above:
                part = part[name]
            if part[last] == odd and type(part[last]) is type(odd):
                continue
            part[last] = odd
            for is_own in (False, True):
                if is_own and key_path != ("info_sha256",):
                    value["info_sha256"] = json_sha256({k: v for k, v in value.items() if k != "info_sha256"})
                path.write_text(json.dumps(value))
                if rejection(pack_copy) is None:
                    assert is_own
                    assert key_path[0] in HARMLESS or (key_path, odd) == (("crop", "margin"), 0), (
                        key_path,
                        odd,
                    )


# Only for people who read pack.json.
HARMLESS = ("mien_version", "source", "terms", "warnings", "duplicates", "rejected", "rejected_by_reason")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda shards: shards[1:], id="first removed"),
        pytest.param(lambda shards: shards[:-1], id="last removed"),
        pytest.param(lambda shards: shards[::-1], id="reversed"),
        pytest.param(lambda shards: [shards[1], shards[0], *shards[2:]], id="two swapped"),
        pytest.param(lambda shards: [shards[0], *shards], id="one repeated"),
        pytest.param(
            lambda shards: [{**shards[0], "name": "../x-00000.arrow"}, *shards[1:]], id="outside the pack"
        ),
        pytest.param(
            lambda shards: [{**shards[0], "name": "val-00000.arrow"}, *shards[1:]], id="name of another"
        ),
        pytest.param(lambda shards: [{**shards[0], "split": "val"}, *shards[1:]], id="another split"),
    ],
)
def test_shards_in_another_order_or_number(pack_copy: Path, change: Callable[[list], list]) -> None:
    """Groups rely on the order of the shards: a list that lacks one, repeats one or swaps two is rejected."""
    halve_shard(pack_copy)
    assert len(Pack.open(pack_copy).split("train")) == 192
    path = pack_copy / "pack.json"
    change_json(path, shards=change(json.loads(path.read_text())["shards"]))
    with pytest.raises(ArtifactError, match=r"is damaged: `(shards|counts)"):
        Pack.open(pack_copy)


def test_first_version_is_read(pack_copy: Path) -> None:
    """A pack of format version 1 has no hash of groups.arrow and pack.json; its shards' hashes are verified."""
    path = pack_copy / "pack.json"
    value = {
        name: entry
        for name, entry in json.loads(path.read_text()).items()
        if name not in ("info_sha256", "groups_sha256", "rejects_sha256")
    }
    path.write_text(json.dumps({**value, "format_version": 1}))
    assert len(Pack.open(pack_copy).split("val")) == 24
    flip_in_image(pack_copy)
    with pytest.raises(ArtifactError, match=r"train-00000\.arrow has changed"):
        Pack.open(pack_copy).split("train")


def test_second_version_is_read(pack_copy: Path) -> None:
    """A pack of format version 2 has no terms."""
    path = pack_copy / "pack.json"
    value = json.loads(path.read_text())
    for name in ("terms", "info_sha256"):
        del value[name]
    value["format_version"] = 2
    path.write_text(json.dumps({**value, "info_sha256": json_sha256(value)}))
    pack = Pack.open(pack_copy)
    assert (pack.info.terms, pack.split("val").persons, pack.split("val").clips) == (None, None, None)


def test_persons_clips_and_attributes(make_training_pack: Callable[..., Path], tmp_path: Path) -> None:
    """A split has what its faces state, also if one shard has a column and another has not."""

    def state(number: int) -> dict[str, object]:
        return {"person": f"S{number}", "attributes": {"age": "20-29"}} if number < 2 else {}

    path = make_training_pack(tmp_path / "pack", stated=state)
    train, val = (Pack.open(path).split(name) for name in ("train", "val"))
    assert train.persons == ["S0", "S1", *[None] * 190]
    assert (train.clips, val.persons) == (None, None)
    assert train.read_attributes() == [{"age": "20-29"}] * 2 + [{}] * 190
    assert val.read_attributes() == [{}] * 24


@pytest.mark.parametrize("text", ["[]", '{"age": 20}', "{", "null"])
def test_damaged_attributes(make_training_pack: Callable[..., Path], tmp_path: Path, text: str) -> None:
    """Attributes are a JSON object of strings."""
    pack = make_training_pack(tmp_path / "pack", stated=lambda _: {"attributes": {"age": "20"}})
    path = pack / "train-00000.arrow"
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    table = table.set_column(table.num_columns - 1, "attributes", pa.array([text] * 192))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    record_hashes(pack)
    with pytest.raises(
        ArtifactError, match=r"`attributes` of split 'train' .* must be JSON objects of strings"
    ):
        Pack.open(pack).split("train").read_attributes()


def test_files_are_hashed_once(training_pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file is hashed once per opened pack, and not again when a split is sent to a worker."""
    hashed: list[str] = []

    def count(path: Path) -> str:
        hashed.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr("mien.artifacts.file_sha256", count)
    pack = Pack.open(training_pack)
    assert hashed == []
    split = pack.split("train")
    pack.split("train"), pack.split("val")
    pickle.loads(pickle.dumps(split)).image(0)  # noqa: S301 - our own bytes
    assert sorted(hashed) == ["groups.arrow", "train-00000.arrow", "val-00000.arrow"]


def test_a_worker_does_not_read_another_pack(
    pack_copy: Path, make_training_pack: Callable[..., Path]
) -> None:
    """A pack that was replaced after its files were verified is rejected."""
    data = pickle.dumps(Pack.open(pack_copy).split("train"))
    shutil.rmtree(pack_copy)
    make_training_pack(pack_copy, n_val=12)
    with pytest.raises(ArtifactError, match=r"was replaced while it was in use"):
        pickle.loads(data)  # noqa: S301 - our own bytes


def test_a_shard_truncated_while_in_use(pack_copy: Path) -> None:
    """Truncation of an open pack gives a one-line message; accessing the missing bytes would raise SIGBUS."""
    split = Pack.open(pack_copy).split("train")
    with (pack_copy / "train-00000.arrow").open("r+b") as file:
        file.truncate(4096)
    with pytest.raises(ArtifactError, match=r"train-00000\.arrow changed while it was read: .* now 4,096"):
        split.image(191)


@pytest.mark.parametrize("version", [FORMAT_VERSION + 1, "1", None, True, 1.0])
def test_other_version(pack_copy: Path, version: object) -> None:
    """The message for another format version names the supported ones."""
    change_json(pack_copy / "pack.json", format_version=version)
    with pytest.raises(ArtifactError, match=rf"format version {version!r}, this release reads 1 to 3"):
        Pack.open(pack_copy)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing", None, "is not a pack: it has no pack.json"),
        ("text", "hello", "cannot be read"),
        ("list", "[1]", "must hold a JSON object, got list"),
        ("deep", "[" * 100_000, "cannot be read: it is nested too deeply"),
        ("no number", '{"format_version": NaN}', "cannot be read: the number NaN is not finite"),
        ("cut", '{"format_version": 1, "cla', "cannot be read"),
        ("bytes", "\udcff", "cannot be read"),
        ("fields missing", '{"format_version": 1}', "is damaged: 'classes' is missing"),
    ],
)
def test_damaged_pack_json(pack_copy: Path, name: str, content: str | None, message: str) -> None:
    """An unreadable pack.json gives a one-line message."""
    path = pack_copy / "pack.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ArtifactError, match=message) as caught:
        Pack.open(pack_copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"crop": {"method": "eyes"}},
        {"crop": 3},
        {"shards": [{"name": "a"}]},
        {"color": "red"},
        {"classes": 7},
    ],
)
def test_wrong_fields_of_pack_json(pack_copy: Path, changes: dict[str, object]) -> None:
    """A field of another type or name is rejected."""
    change_json(pack_copy / "pack.json", **changes)
    with pytest.raises(ArtifactError, match=r"is damaged"):
        Pack.open(pack_copy)


def test_unfinished_pack(pack_copy: Path) -> None:
    """The message for an unfinished pack says how to finish it."""
    (pack_copy / "pack.json").unlink()
    (pack_copy / ".prepare").mkdir()
    with pytest.raises(ArtifactError, match=r"is unfinished. Run the same `mien prepare` again"):
        Pack.open(pack_copy)


def test_a_path_is_a_text_too(training_pack: Path) -> None:
    """As everywhere in Python."""
    assert Pack.open(str(training_pack)).path == training_pack


def test_no_pack_at_all(tmp_path: Path) -> None:
    """The message for a missing pack, or a file, names the command that prepares one."""
    with pytest.raises(ArtifactError, match=r"does not exist. Make one with `mien prepare"):
        Pack.open(tmp_path / "none.pack")
    file = tmp_path / "file.pack"
    file.write_text("x")
    with pytest.raises(ArtifactError, match=r"is a file, a pack is a folder"):
        Pack.open(file)
