"""What goes into a pack comes out of it."""

import dataclasses
import hashlib
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mien.faces.crop import CropContract
from mien.faces.images import encode_jpeg
from mien.formats.pack import FORMAT_VERSION, Pack, PackedFace, PackInfo
from mien.formats.pack.schema import SPLITS
from mien.formats.pack.writer import close_pack, compute_content_sha256, write_shard

CLASSES = ("Neutral", "Happy", "öde")
JPEGS = [encode_jpeg(np.full((16, 16, 3), value, np.uint8)) for value in (0, 90, 250)]

floats = st.floats(-1, 1, width=32)


@st.composite
def faces(draw: st.DrawFn) -> PackedFace:
    jpeg = draw(st.sampled_from(JPEGS))
    landmarks = draw(st.none() | st.integers(0, 9))
    return PackedFace(
        key=draw(st.text(min_size=1, alphabet=st.characters(exclude_categories=["Cs"]))),
        row=draw(st.integers(1, 2**40)),
        jpeg=jpeg,
        image_sha256=hashlib.sha256(jpeg).digest(),
        perceptual_hash=draw(st.binary(min_size=32, max_size=32)),
        label=draw(st.integers(0, len(CLASSES) - 1)),
        crop_method="whole",
        distribution=draw(st.none() | st.tuples(floats, floats, floats)),
        landmarks=None
        if landmarks is None
        else np.random.default_rng(landmarks).normal(size=(68, 2)).astype(np.float32),
        valence=draw(st.none() | floats),
        arousal=draw(st.none() | floats),
    )


def write_pack(folder: Path, shards_of: dict[str, list[list[PackedFace]]]) -> None:
    shards, counts = [], {}
    for split in SPLITS:
        for number, members in enumerate(shards_of.get(split, [])):
            shards.append(write_shard(folder / f"{split}-{number:05d}.arrow", split, members, len(CLASSES)))
        labels = [face.label for members in shards_of.get(split, []) for face in members]
        if labels:
            counts[split] = {name: labels.count(index) for index, name in enumerate(CLASSES)}
    n = sum(shard.n_faces for shard in shards)
    info = PackInfo(
        format_version=FORMAT_VERSION, mien_version="0", source="test", classes=CLASSES,
        crop=CropContract(method="whole", size=16), counts=counts, rejected={}, rejected_by_reason={},
        warnings={}, crop_methods={"whole": n}, duplicates={}, n_rows=n, n_kept=n, n_rejected=0,
        content_sha256=compute_content_sha256(folder, shards, CLASSES), shards=tuple(shards),
    )  # fmt: skip
    close_pack(folder, info, np.arange(n, dtype=np.int64) * 7)


def expected(values: list[Any], width: int) -> np.ndarray:
    nothing = np.full(width, np.nan, np.float32)
    return np.array([nothing if value is None else np.ravel(value) for value in values], np.float32)


@settings(max_examples=40)
@given(
    st.dictionaries(
        st.sampled_from(SPLITS), st.lists(st.lists(faces(), max_size=4), min_size=1, max_size=3), min_size=1
    )
)
def test_round_trip(shards_of: dict[str, list[list[PackedFace]]]) -> None:
    """Every face of every split comes back with its image and all that it is labeled with."""
    with tempfile.TemporaryDirectory() as folder:
        write_pack(Path(folder), shards_of)
        pack = Pack.open(Path(folder))
        given_faces = {
            split: [face for shard in shards for face in shard] for split, shards in shards_of.items()
        }
        assert pack.splits == tuple(split for split in SPLITS if given_faces.get(split))
        start = 0
        for name in pack.splits:
            split, members = pack.split(name), given_faces[name]
            assert split.keys == [face.key for face in members]
            assert split.labels.tolist() == [face.label for face in members]
            assert [bytes(split.jpeg(i)) for i in range(len(split))] == [face.jpeg for face in members]
            assert split.groups.tolist() == [7 * (start + i) for i in range(len(split))]
            start += len(split)
            landmarks = expected([face.landmarks for face in members], 136).reshape(-1, 68, 2)
            np.testing.assert_array_equal(split.landmarks, landmarks)
            affect = [[np.nan if v is None else v for v in (face.valence, face.arousal)] for face in members]
            np.testing.assert_array_equal(split.valence_arousal, np.array(affect, np.float32))
            votes = [face.distribution for face in members]
            if any(votes):
                np.testing.assert_array_equal(split.distributions, expected(votes, len(CLASSES)))
            else:
                assert split.distributions is None


@settings(max_examples=20)
@given(st.lists(faces(), min_size=1, max_size=6), st.integers(1, 5), st.data())
def test_content_hash_knows_content_alone(members: list[PackedFace], cut: int, data: st.DataObject) -> None:
    """The hash does not see how faces are sharded to shards, and sees any change of a face's content."""
    hashes = []
    index = data.draw(st.integers(0, len(members) - 1))
    field, value = data.draw(
        st.sampled_from([("key", "other\n"), ("valence", 0.123), ("label", -1), ("image_sha256", bytes(32))])
    )
    changed = [*members]
    changed[index] = dataclasses.replace(members[index], **{field: value})
    row_only = [dataclasses.replace(face, crop_method="box") for face in members]
    for sharded in ([members], [members[:cut], members[cut:]], [row_only], [changed]):
        with tempfile.TemporaryDirectory() as folder:
            shards = [
                write_shard(Path(folder) / f"train-{number}.arrow", "train", part, len(CLASSES))
                for number, part in enumerate(sharded)
            ]
            hashes.append(compute_content_sha256(Path(folder), shards, CLASSES))
    assert hashes[0] == hashes[1] == hashes[2]
    assert (hashes[3] != hashes[0]) == (getattr(members[index], field) != value)
