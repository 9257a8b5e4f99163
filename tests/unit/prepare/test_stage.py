"""The stage: what it refuses, how it resumes, and that the same set gives the same pack."""

import dataclasses
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import mien.artifacts
import mien.prepare.stage
from mien.datasets.csv_table import open_csv
from mien.datasets.labels import parse_label_names
from mien.datasets.list_options import ColumnOptions
from mien.datasets.registry import DatasetOptions
from mien.errors import ArtifactError, DatasetError
from mien.faces import detector_file
from mien.faces.classes import AFFECTNET_CLASSES
from mien.formats.pack import Pack
from mien.prepare.options import ALLOWANCES, PrepareOptions
from mien.prepare.stage import prepare

OPTIONS = PrepareOptions(size=24, workers=1)
ALLOWING = dataclasses.replace(OPTIONS, allow=ALLOWANCES)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limit shards to 4 rows, so that small sets have several."""
    monkeypatch.setattr("mien.prepare.stage.ROWS_PER_SHARD", 4)


@pytest.fixture
def faces(raw_set: Any, tools: Any) -> Path:
    """A set of 18 training rows, two of them bad, and 5 for validation."""
    for number in range(18):
        data = None if number in (5, 11) else tools.encode(tools.draw_image(number))
        raw_set.add(f"{number}.jpg", data, expression=number % 3)
    for number in range(5):
        raw_set.add(f"v{number}.jpg", tools.encode(tools.draw_image(50 + number)), split="validation")
    return raw_set.write()


def content(pack: Path) -> str:
    return str(json.loads((pack / "pack.json").read_text())["content_sha256"])


def prepare_until_shard(
    number: int,
    faces: Path,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: PrepareOptions = OPTIONS,
) -> None:
    """Prepare, and stop as by Ctrl-C at a given shard."""
    make_shard = mien.prepare.stage.make_shard

    def make(task: Any) -> object:
        if task.number >= number:
            raise KeyboardInterrupt
        return make_shard(task)

    with monkeypatch.context() as patched:
        patched.setattr("mien.prepare.stage.make_shard", make)
        with pytest.raises(KeyboardInterrupt):
            prepare("affectnet", faces, out, options)


def test_workers_make_no_difference(faces: Path, tmp_path: Path, small_shards: None) -> None:
    """One process and two give the same content hash, groups, rejects and order."""
    for workers in (1, 2):
        prepare(
            "affectnet", faces, tmp_path / f"{workers}.pack", dataclasses.replace(OPTIONS, workers=workers)
        )
    one, two = tmp_path / "1.pack", tmp_path / "2.pack"
    assert content(one) == content(two)
    for name in ("rejects.csv", "groups.arrow", "train-00002.arrow", "pack.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    assert Pack.open(two).split("train").keys == [f"{n}.jpg" for n in range(18) if n not in (5, 11)]


def test_shards_make_no_difference(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content hash does not depend on how many rows a shard has."""
    prepare("affectnet", faces, tmp_path / "a.pack", OPTIONS)
    monkeypatch.setattr("mien.prepare.stage.ROWS_PER_SHARD", 3)
    prepare("affectnet", faces, tmp_path / "b.pack", OPTIONS)
    assert len(Pack.open(tmp_path / "b.pack").info.shards) == 8
    assert content(tmp_path / "a.pack") == content(tmp_path / "b.pack")


def test_content_hash_sees_a_label(faces: Path, tmp_path: Path) -> None:
    """Another label, another image or another size gives another content hash."""
    prepare("affectnet", faces, tmp_path / "a.pack", OPTIONS)
    prepare("affectnet", faces, tmp_path / "b.pack", dataclasses.replace(OPTIONS, size=25))
    text = (faces / "training.csv").read_text()
    (faces / "training.csv").write_text(text.replace(",0,0.25", ",6,0.25", 1))
    prepare("affectnet", faces, tmp_path / "c.pack", OPTIONS)
    assert len({content(tmp_path / f"{name}.pack") for name in "abc"}) == 3


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_stopped_run_goes_on(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_shards: None, stop: int
) -> None:
    """A run that was stopped resumes and ends in the same pack, including the rejects."""
    prepare("affectnet", faces, tmp_path / "whole.pack", OPTIONS)
    out = tmp_path / "stopped.pack"
    prepare_until_shard(stop, faces, out, monkeypatch)
    with pytest.raises(ArtifactError, match=r"is unfinished"):
        Pack.open(out)
    summary = prepare("affectnet", faces, out, OPTIONS)
    assert summary.n_resumed == stop
    assert ("resumed: " in str(summary)) == (stop > 0)
    assert content(out) == content(tmp_path / "whole.pack")
    for path in (tmp_path / "whole.pack").iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_half_written_shard_is_made_again(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_shards: None
) -> None:
    """What a kill leaves of a shard, a part or the shard without notes, is not a finished shard."""
    prepare("affectnet", faces, tmp_path / "whole.pack", OPTIONS)
    out = tmp_path / "stopped.pack"
    prepare_until_shard(2, faces, out, monkeypatch)
    (out / "train-00002.arrow.0123abcd.partial").write_bytes(b"half")
    (out / ".prepare" / "train-00001.json").unlink()
    (out / "train-00001.arrow").write_bytes(b"unfinished")
    assert prepare("affectnet", faces, out, OPTIONS).n_resumed == 1
    assert content(out) == content(tmp_path / "whole.pack")
    assert not list(out.glob("*.partial"))


def test_run_killed_before_its_plan_begins_again(faces: Path, tmp_path: Path) -> None:
    """A kill right at the start leaves a folder that the same command simply uses."""
    out = tmp_path / "my.pack"
    (out / ".prepare").mkdir(parents=True)
    assert prepare("affectnet", faces, out, OPTIONS).info.n_kept == 21


def test_run_killed_while_clearing_up_is_finished(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill at the very end leaves a pack; the same command reports it instead of refusing it."""
    out = tmp_path / "my.pack"
    with monkeypatch.context() as patched:
        patched.setattr("mien.prepare.closing.remove_folder", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            prepare("affectnet", faces, out, OPTIONS)
    shutil.copytree(out, tmp_path / "my.pack.replaced")
    for note in (out / ".prepare").glob("train-*"):
        note.unlink()
    before = (out / "pack.json").read_bytes()
    assert prepare("affectnet", faces, out, OPTIONS).info.n_kept == 21
    assert (out / "pack.json").read_bytes() == before
    assert not (out / ".prepare").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.pack", "raw"]


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    "changes", [{"size": 32}, {"margin": 0.2}, {"crop": "box"}, {"annotations": Path("lists")}]
)
def test_going_on_with_other_options_is_refused(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """Half a pack of one kind is not completed with another; --force starts over."""
    out = tmp_path / "my.pack"
    prepare_until_shard(0, faces, out, monkeypatch)
    if "annotations" in changes:
        changes = {"annotations": tmp_path / "lists"}
    with pytest.raises(ArtifactError, match=r"was begun with other options"):
        prepare("affectnet", faces, out, dataclasses.replace(OPTIONS, **changes))
    summary = prepare("affectnet", faces, out, dataclasses.replace(OPTIONS, **changes, force=True))
    assert summary.n_resumed == 0


def test_going_on_with_other_rows_is_refused(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_shards: None
) -> None:
    """Shards of a list that has changed since do not match: a row would be in two of them or in none."""
    out = tmp_path / "my.pack"
    prepare_until_shard(2, faces, out, monkeypatch)
    path = faces / "training.csv"
    header, first, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([header, *rest, first]))
    with pytest.raises(ArtifactError, match=r"was begun with other options, other rows"):
        prepare("affectnet", faces, out, OPTIONS)
    assert prepare("affectnet", faces, out, dataclasses.replace(OPTIONS, force=True)).n_resumed == 0


def test_workers_may_change_when_going_on(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_shards: None
) -> None:
    """The number of processes may differ."""
    out = tmp_path / "my.pack"
    prepare_until_shard(2, faces, out, monkeypatch)
    assert prepare("affectnet", faces, out, dataclasses.replace(OPTIONS, workers=2)).n_resumed == 2


def test_existing_pack_is_kept_without_force(faces: Path, tmp_path: Path) -> None:
    """A pack is replaced only with --force, and then completely."""
    out = tmp_path / "my.pack"
    prepare("affectnet", faces, out, OPTIONS)
    before = content(out)
    with pytest.raises(ArtifactError, match=r"already exists. Choose another path, or add --force"):
        prepare("affectnet", faces, out, dataclasses.replace(OPTIONS, size=32))
    assert content(out) == before
    (out / "old shard.arrow").write_text("x")
    prepare("affectnet", faces, out, dataclasses.replace(OPTIONS, size=32, force=True))
    assert content(out) != before
    assert not (out / "old shard.arrow").exists()


def test_force_keeps_the_old_pack_until_the_new_one_is_whole(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_shards: None
) -> None:
    """Stopped half-way, the old pack is unchanged; the same command resumes next to it, then replaces it."""
    out, new = tmp_path / "my.pack", dataclasses.replace(OPTIONS, size=32, force=True)
    prepare("affectnet", faces, out, OPTIONS)
    before = content(out)
    prepare_until_shard(2, faces, out, monkeypatch, new)
    assert content(out) == before
    assert len(Pack.open(out).split("train")) == 16
    assert (tmp_path / "my.pack.partial" / "train-00001.arrow").exists()
    with pytest.raises(ArtifactError, match=r"already exists"):
        prepare("affectnet", faces, out, dataclasses.replace(new, force=False))
    assert prepare("affectnet", faces, out, new).n_resumed == 2
    assert Pack.open(out).info.crop.size == 32
    prepare_until_shard(2, faces, out, monkeypatch, new)
    assert prepare("affectnet", faces, out, dataclasses.replace(new, size=48)).n_resumed == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my.pack", "raw"]


def test_a_set_without_a_usable_row_replaces_no_pack(faces: Path, tmp_path: Path) -> None:
    """An old pack is worth more than an empty new one."""
    out = tmp_path / "my.pack"
    prepare("affectnet", faces, out, OPTIONS)
    for image in (faces / "Manually_Annotated_Images").iterdir():
        image.write_bytes(b"")
    with pytest.raises(DatasetError, match=r"my\.pack\.partial/rejects\.csv"):
        prepare("affectnet", faces, out, dataclasses.replace(OPTIONS, force=True))
    assert Pack.open(out).info.n_kept == 21


def test_folder_in_the_way_of_the_new_pack(faces: Path, tmp_path: Path) -> None:
    """An unrelated folder with that name is kept, and so is the pack."""
    out, other = tmp_path / "my.pack", tmp_path / "my.pack.partial"
    prepare("affectnet", faces, out, OPTIONS)
    other.mkdir()
    (other / "dear.jpg").write_text("x")
    with pytest.raises(ArtifactError, match=r"my\.pack\.partial is in the way"):
        prepare("affectnet", faces, out, dataclasses.replace(OPTIONS, force=True))
    assert (other / "dear.jpg").exists()
    assert Pack.open(out).info.n_kept == 21


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_damaged_plan_is_reported(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_shards: None, text: str
) -> None:
    """Without its plan the origin of the shards is unknown; --force starts over."""
    out = tmp_path / "my.pack"
    prepare_until_shard(2, faces, out, monkeypatch)
    (out / ".prepare" / "plan.json").write_text(text)
    with pytest.raises(
        ArtifactError, match=r"plan\.json of the unfinished pack .*or add --force to start over"
    ):
        prepare("affectnet", faces, out, OPTIONS)
    assert prepare("affectnet", faces, out, dataclasses.replace(OPTIONS, force=True)).n_resumed == 0


def test_damaged_shards_are_made_again(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_shards: None
) -> None:
    """Notes or shards that a power failure emptied or truncated are not finished shards."""
    prepare("affectnet", faces, tmp_path / "whole.pack", OPTIONS)
    out = tmp_path / "my.pack"
    prepare_until_shard(4, faces, out, monkeypatch)
    (out / ".prepare" / "train-00000.json").write_text("")
    (out / "train-00001.arrow").write_text("")
    shard = out / "train-00002.arrow"
    shard.write_bytes(shard.read_bytes()[:-8] + bytes(8))
    assert prepare("affectnet", faces, out, OPTIONS).n_resumed == 1
    for path in (tmp_path / "whole.pack").iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes()


def test_force_replaces_only_a_pack(faces: Path, tmp_path: Path) -> None:
    """A folder of something else is kept, whatever the options."""
    out = tmp_path / "photos"
    out.mkdir()
    (out / "dear.jpg").write_text("x")
    with pytest.raises(ArtifactError, match=r"holds no pack.json, so mien did not make it"):
        prepare("affectnet", faces, out, dataclasses.replace(OPTIONS, force=True))
    assert (out / "dear.jpg").exists()


@pytest.mark.parametrize("place", ["my.pack", "Manually_Annotated_Images/my.pack", "."])
def test_output_inside_the_raw_set_is_refused(
    faces: Path, place: str, hash_tree: Callable[[Path], str]
) -> None:
    """Nothing is ever written inside the raw dataset, not even through a link to it."""
    before = hash_tree(faces)
    link = faces.parent / "link"
    link.symlink_to(faces)
    for root in (faces, link):
        with pytest.raises(ArtifactError, match=r"raw dataset .*, which is never written to"):
            prepare("affectnet", faces, root / place, dataclasses.replace(OPTIONS, force=True))
    options = dataclasses.replace(OPTIONS, annotations=faces / "lists")
    with pytest.raises(ArtifactError, match=r"raw dataset .*, which is never written to"):
        prepare("affectnet", faces, faces.parent / "my.pack", options)
    assert hash_tree(faces) == before


def test_output_around_the_raw_set_is_refused(faces: Path) -> None:
    """Replacing a pack whose folder contains the raw dataset would remove the raw dataset."""
    (faces.parent / "pack.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"lies inside .*, the path of the pack"):
        prepare("affectnet", faces, faces.parent, dataclasses.replace(OPTIONS, force=True))
    assert (faces / "training.csv").exists()


def test_output_next_to_the_raw_set(faces: Path) -> None:
    """A folder is inside another by its parts: one whose name merely begins like the set's is next to it."""
    beside = faces.with_name(f"{faces.name}.pack")
    options = dataclasses.replace(OPTIONS, annotations=faces.with_name(f"{faces.name}-lists"))
    prepare("affectnet", faces, beside, options)
    assert Pack.open(beside).splits == ("train", "val")


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31m", "n" * 201])
def test_class_that_no_terminal_should_show(tmp_path: Path, name: str) -> None:
    """A class that a reader of the pack would refuse is refused before any work."""
    image = tmp_path / "set" / "face.png"
    image.parent.mkdir()
    Image.new("L", (32, 32)).save(image)
    rows = "".join(f'face.png,"{label}"\n' for label in (name, "Happy"))
    (tmp_path / "set" / "list.csv").write_text(f"path,label\n{rows}")
    with pytest.raises(DatasetError, match=r"control character|characters instead of 1 to"):
        prepare("csv", tmp_path / "set" / "list.csv", tmp_path / "my.pack", OPTIONS)


def test_annotation_files(faces: Path, tmp_path: Path) -> None:
    """train.txt and val.txt have a line for each kept face, the path and the number of its class."""
    lists = tmp_path / "deep" / "lists"
    options = dataclasses.replace(OPTIONS, annotations=lists)
    prepare("affectnet", faces, tmp_path / "my.pack", options)
    kept = [number for number in range(18) if number not in (5, 11)]
    assert (lists / "train.txt").read_text().splitlines() == [f"{n}.jpg {n % 3}" for n in kept]
    assert (lists / "val.txt").read_text().splitlines() == [f"v{n}.jpg 1" for n in range(5)]
    assert sorted(path.name for path in lists.iterdir()) == ["classes.txt", "train.txt", "val.txt"]
    images = faces / "Manually_Annotated_Images"
    read = open_csv(lists, images=(images,))
    assert [read.class_of(row) for row in read.rows() if row.split == "val"] == [AFFECTNET_CLASSES[1]] * 5
    assert read.parse(next(read.rows())).image == (images / "0.jpg").resolve()


def test_existing_annotation_files_are_reported_at_once(faces: Path, tmp_path: Path) -> None:
    """Files in the way are reported before the work, not after it; --force replaces them."""
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "val.txt").write_text("mine")
    options = dataclasses.replace(OPTIONS, annotations=lists)
    with pytest.raises(ArtifactError, match=r"val.txt already exists"):
        prepare("affectnet", faces, tmp_path / "my.pack", options)
    assert not (tmp_path / "my.pack").exists()
    prepare("affectnet", faces, tmp_path / "my.pack", dataclasses.replace(options, force=True))
    assert (lists / "val.txt").read_text().startswith("v0.jpg 1")


def test_set_without_a_usable_row(raw_set: Any, tools: Any, tmp_path: Path) -> None:
    """The reasons are reported; once the set is fixed the same command looks at every row again."""
    for number in range(6):
        raw_set.add(f"{number}.jpg")
    raw, out = raw_set.write(), tmp_path / "my.pack"
    with pytest.raises(DatasetError, match=r"None of 6 rows could be used.*missing_file.*rejects.csv"):
        prepare("affectnet", raw, out, OPTIONS)
    assert len((out / "rejects.csv").read_text().splitlines()) == 7
    for number in range(6):
        raw_set.put(f"{number}.jpg", tools.encode(tools.draw_image(number)))
    assert prepare("affectnet", raw, out, OPTIONS).info.n_kept == 6


def test_split_without_a_usable_row(raw_set: Any, tools: Any, tmp_path: Path) -> None:
    """A split without kept faces is counted, but is not a split of the pack."""
    raw_set.add("a.jpg", tools.encode(tools.draw_image()))
    raw_set.add("b.jpg", split="validation", expression=4)
    info = prepare("affectnet", raw_set.write(), tmp_path / "my.pack", ALLOWING).info
    assert (info.n_kept, info.n_rejected, info.rejected) == (1, 1, {"val": {"Fear": 1}})
    assert Pack.open(tmp_path / "my.pack").splits == ("train",)


def test_duplicates_are_found(raw_set: Any, tools: Any, tmp_path: Path) -> None:
    """Copies, recompressed and rescaled ones too, are one group, also across splits; other faces are not."""
    points = tools.write_points(tools.face_points())
    images = [tools.draw_photo(seed) for seed in range(6)]
    doubled = tools.write_points(tools.face_points() * 2)
    box = tuple(2 * value for value in tools.box)
    for number, image in enumerate(images):
        raw_set.add(f"{number}.jpg", tools.encode(image), points=doubled, box=box)
    raw_set.add("0 again.jpg", tools.encode(images[0]), points=doubled, box=box)
    raw_set.add(
        "1 poor.jpg", tools.encode(images[1], quality=50), points=doubled, box=box, split="validation"
    )
    half = np.asarray(Image.fromarray(images[2]).resize((120, 96), Image.Resampling.BOX))
    raw_set.add("2 small.png", tools.encode(half, "PNG"), points=points, split="validation")
    raw_set.add("0 third.jpg", tools.encode(images[0]), points=doubled, box=box, split="validation")
    options = dataclasses.replace(OPTIONS, size=128)
    summary = prepare("affectnet", raw_set.write(), tmp_path / "my.pack", options)
    pack = Pack.open(tmp_path / "my.pack")
    assert pack.split("train").groups.tolist() == [0, 1, 2, 3, 4, 5, 0]
    assert pack.split("val").groups.tolist() == [1, 2, 0]
    assert pack.info.duplicates == {"exact_copies": 2, "near_copies": 4, "in_several_splits": 7}
    assert "4 faces repeat another (2 of them exactly); 7 faces are in more" in str(summary)


def test_what_a_disk_refuses_a_worker(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of a worker process is one clear error, as one of this process is."""
    out = tmp_path / "my.pack"
    prepare_until_shard(0, faces, out, monkeypatch)
    (out / "train-00000.arrow").mkdir()
    for workers in (1, 2):
        with pytest.raises(ArtifactError, match=r"train-00000\.arrow cannot be written: Is a directory"):
            prepare("affectnet", faces, out, dataclasses.replace(OPTIONS, workers=workers))
    (out / "train-00000.arrow").rmdir()
    assert prepare("affectnet", faces, out, OPTIONS).info.n_kept == 21


@pytest.mark.parametrize(
    ("name", "n_resumed"),
    [("train-00000.arrow", 0), ("rejects.csv", 2), ("groups.arrow", 2), ("pack.json", 2)],
)
def test_full_disk(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, n_resumed: int
) -> None:
    """A full disk is reported with what to do, and no earlier work is lost."""
    out, sync_file = tmp_path / "my.pack", mien.artifacts._sync_file

    def refuse(path: Path) -> None:
        if path.name.startswith(name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync_file(path)

    with monkeypatch.context() as patched:
        patched.setattr(mien.artifacts, "_sync_file", refuse)
        with pytest.raises(
            ArtifactError, match=r"The disk is full while writing .*it resumes where it stopped"
        ):
            prepare("affectnet", faces, out, OPTIONS)
    assert not (out / "pack.json").exists()
    assert prepare("affectnet", faces, out, OPTIONS).n_resumed == n_resumed


def test_folder_that_vanishes(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the unfinished pack is removed there is one clear error, whichever process notices."""
    out = tmp_path / "my.pack"
    make_shard = mien.prepare.stage.make_shard

    def make_and_remove(task: Any) -> None:
        make_shard(task)
        shutil.rmtree(out)

    monkeypatch.setattr("mien.prepare.stage.make_shard", make_and_remove)
    with pytest.raises(ArtifactError, match=r"vanished while it was written"):
        prepare("affectnet", faces, out, OPTIONS)


def test_moved_pack_is_the_same(faces: Path, tmp_path: Path) -> None:
    """A pack contains no path of the machine that made it: it can be moved."""
    prepare("affectnet", faces, tmp_path / "my.pack", OPTIONS)
    moved = shutil.move(tmp_path / "my.pack", tmp_path / "moved.pack")
    assert len(Pack.open(moved).split("train")) == 16
    for path in moved.iterdir():
        assert str(tmp_path).encode() not in path.read_bytes()


@pytest.fixture
def detector_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the detector's path in an empty cache, without a network."""
    monkeypatch.delenv("MIEN_DETECTOR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(detector_file, "YUNET_URL", "http://127.0.0.1:9/nobody-listens")
    monkeypatch.setattr(detector_file, "YUNET_SHA256", hashlib.sha256(b"official").hexdigest())
    path = detector_file.cached_detector_file()
    path.parent.mkdir(parents=True)
    return path


@pytest.mark.parametrize("is_there", [True, False], ids=["vanishes", "appears"])
def test_a_detector_that_comes_or_goes_does_not_mix(
    faces: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_shards: None,
    detector_cache: Path,
    is_there: bool,
) -> None:
    """A pack begun with one detector is not finished with another; with the first one it is."""
    out = tmp_path / "my.pack"

    def put(there: bool) -> None:
        if there:
            detector_cache.write_bytes(b"official")
        else:
            detector_cache.unlink(missing_ok=True)

    put(is_there)
    prepare_until_shard(2, faces, out, monkeypatch)
    put(not is_there)
    with pytest.raises(ArtifactError, match="was begun with other options"):
        prepare("affectnet", faces, out, OPTIONS)
    put(is_there)
    assert prepare("affectnet", faces, out, OPTIONS).n_resumed == 2


@pytest.mark.parametrize(
    "where", ["cv2.__version__", "simplejpeg.__version__", "mien.faces.images.MAX_PIXELS"]
)
def test_what_changes_pixels_is_part_of_the_plan(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_shards: None, where: str
) -> None:
    """Another decoder or another limit would give other faces."""
    out = tmp_path / "my.pack"
    prepare_until_shard(2, faces, out, monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(where, 12345)
        with pytest.raises(ArtifactError, match="was begun with other options"):
            prepare("affectnet", faces, out, OPTIONS)
    assert prepare("affectnet", faces, out, OPTIONS).n_resumed == 2


def test_the_detector_is_looked_for_once(
    tmp_path: Path, tools: Any, monkeypatch: pytest.MonkeyPatch, detector_cache: Path
) -> None:
    """Before the work; a worker does not download a different one than the plan has."""
    for name in ("happy", "sad"):
        (tmp_path / "raw" / name).mkdir(parents=True)
        (tmp_path / "raw" / name / "a.jpg").write_bytes(tools.encode(tools.draw_image()))
    fetched: list[Path] = []

    def fetch(target: Path) -> None:
        fetched.append(target)
        raise OSError("no network")

    monkeypatch.setattr(detector_file, "_fetch_yunet", fetch)
    with pytest.raises(DatasetError, match="no_face"):
        prepare(
            "folder", tmp_path / "raw", tmp_path / "my.pack", dataclasses.replace(OPTIONS, crop="aligned")
        )
    assert fetched == [detector_cache]


def test_a_class_without_kept_faces_is_reported(tmp_path: Path, tools: Any) -> None:
    """Its images are all broken: the summary says so before its table."""
    for name in ("happy", "sad", "fear"):
        (tmp_path / "raw" / name).mkdir(parents=True)
        data = b"broken" if name == "fear" else tools.encode(tools.draw_image())
        (tmp_path / "raw" / name / "a.jpg").write_bytes(data)
    with pytest.raises(
        DatasetError, match=r"no face of Fear is kept, 1 rejected.*add --allow empty-classes to"
    ):
        prepare("folder", tmp_path / "raw", tmp_path / "my.pack", OPTIONS)
    summary = prepare("folder", tmp_path / "raw", tmp_path / "my.pack", ALLOWING)
    assert summary.n_resumed > 0
    assert "No face was kept for: Fear." in str(summary)


def test_a_class_without_a_training_face(tmp_path: Path, tools: Any) -> None:
    """No network learns it, though the pack holds faces of it."""
    for place in ("train/happy", "train/sad", "test/happy", "test/fear"):
        (tmp_path / "raw" / place).mkdir(parents=True)
        (tmp_path / "raw" / place / "a.jpg").write_bytes(tools.encode(tools.draw_image()))
    with pytest.raises(DatasetError, match="no training face of Fear is kept, 1 in other splits"):
        prepare("folder", tmp_path / "raw", tmp_path / "my.pack", OPTIONS)
    assert prepare("folder", tmp_path / "raw", tmp_path / "my.pack", ALLOWING).info.n_kept == 4


def test_a_set_of_which_most_rows_are_rejected(raw_set: Any, tools: Any, tmp_path: Path) -> None:
    """It is refused with the first row and its remedy; what was rejected is read again once it is corrected."""
    for number in range(5):
        raw_set.add(f"{number}.jpg", tools.encode(tools.draw_image(number)) if number < 2 else None)
    raw, out = raw_set.write(), tmp_path / "my.pack"
    with pytest.raises(
        DatasetError, match=r"3 of 5 rows are rejected \(3 missing_file\).*row 3, '2.jpg'.*restore"
    ):
        prepare("affectnet", raw, out, OPTIONS)
    assert not (out / "pack.json").exists()
    for number in range(2, 5):
        raw_set.put(f"{number}.jpg", tools.encode(tools.draw_image(number)))
    assert prepare("affectnet", raw, out, OPTIONS).info.n_kept == 5


def test_corrected_annotations_are_read_again(tools: Any, tmp_path: Path, small_shards: None) -> None:
    """Without rejected rows too: those that were misread are in files of their own; so is a loss beside an allowed one."""
    raw, out = tmp_path / "raw", tmp_path / "my.pack"
    for part in ("images", "annotations"):
        (raw / "train_set" / part).mkdir(parents=True)
    for number in range(6):
        annotations = raw / "train_set" / "annotations"
        (raw / "train_set" / "images" / f"{number}.jpg").write_bytes(tools.encode(tools.draw_image(number)))
        np.save(annotations / f"{number}_exp.npy", np.array(str(number % 2)))
        np.save(annotations / f"{number}_lnd.npy", np.full(136, 7.0))
    options = dataclasses.replace(OPTIONS, crop="whole", allow=("empty-classes",))
    for _ in range(2):
        with pytest.raises(DatasetError, match="6 of 6 faces have the warning landmark_place"):
            prepare("affectnet", raw, out, options)
    for number in range(6):
        np.save(annotations / f"{number}_lnd.npy", tools.face_points().ravel())
    info = prepare("affectnet", raw, out, options).info
    assert (info.n_kept, [code for code in info.warnings if code.startswith("landmark")]) == (6, [])


def test_a_set_whose_boxes_are_of_another_format(tools: Any, tmp_path: Path) -> None:
    """Most of them reach beyond the image, so it is refused with the option that states the format, or allowed."""
    raw, out = tmp_path / "raw", tmp_path / "my.pack"
    raw.mkdir()
    for number in range(6):
        (raw / f"{number}.png").write_bytes(tools.encode(tools.draw_image(number), "PNG"))
    rows = [f"{number}.png,{('happy', 'sad')[number % 2]},70,50,110,90" for number in range(6)]
    (raw / "list.csv").write_text("\n".join(["path,label,x,y,w,h", *rows]))
    with pytest.raises(DatasetError, match=r"6 of 6 faces have the warning box_beyond_image .*--box-format"):
        prepare("csv", raw, out, OPTIONS)
    columns = ColumnOptions(box_columns=("x", "y", "w", "h"), box_format="xyxy")
    stated = dataclasses.replace(OPTIONS, dataset=DatasetOptions(columns=columns))
    assert prepare("csv", raw, out, stated).info.warnings == {}
    allowing = dataclasses.replace(OPTIONS, allow=("unusable-annotations",))
    assert prepare("csv", raw, tmp_path / "other.pack", allowing).info.warnings == {"box_beyond_image": 6}


def test_a_set_whose_labels_are_numbered_from_another_number(tools: Any, tmp_path: Path) -> None:
    """RAF-DB's folders from 0 would be read as those from 1, and one class be missing: refused, read as the advice says."""
    raw = tmp_path / "raw"
    for number in range(7):
        for place in range(5):
            file = raw / "train" / str(number) / f"{place}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(tools.encode(tools.draw_image(10 * number + place), "PNG"))
    with pytest.raises(
        DatasetError, match=r"no row is of Neutral, and 5 of 35 rows have one label .*--label-names"
    ):
        prepare("rafdb", raw, tmp_path / "my.pack", OPTIONS)
    names = parse_label_names("0=Surprise,1=Fear,2=Disgust,3=Happy,4=Sad,5=Anger,6=Neutral")
    stated = dataclasses.replace(OPTIONS, dataset=DatasetOptions(label_names=names))
    info = prepare("folder", raw, tmp_path / "other.pack", stated).info
    assert {
        name: sum(info.counts[split][name] for split in info.counts) for name in info.classes
    } == dict.fromkeys(info.classes, 5)


def test_a_refused_set_may_be_prepared_with_other_options(raw_set: Any, tools: Any, tmp_path: Path) -> None:
    """Without --force, since nothing usable is replaced."""
    raw_set.add("a.jpg")
    raw, out, images = raw_set.write(), tmp_path / "my.pack", tmp_path / "elsewhere"
    with pytest.raises(
        DatasetError, match=r"None of 1 rows could be used: 1 missing_file\. The first: train row 1"
    ):
        prepare("affectnet", raw, out, OPTIONS)
    images.mkdir()
    (images / "a.jpg").write_bytes(tools.encode(tools.draw_image()))
    options = dataclasses.replace(OPTIONS, dataset=DatasetOptions(images=(images,)))
    assert prepare("affectnet", raw, out, options).info.n_kept == 1


def test_faces_that_are_all_transparent_are_rejected(tools: Any, tmp_path: Path) -> None:
    """They are black, and would be trained on as such."""
    raw = tmp_path / "raw"
    for number in range(6):
        pixels = np.dstack(
            [tools.draw_image(number), np.full((*tools.draw_image(0).shape[:2], 1), 255, np.uint8)]
        )
        pixels[..., 3] = 0 if number == 1 else 255
        path = raw / ("happy", "sad")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels, "RGBA").save(path)
    info = prepare("folder", raw, tmp_path / "my.pack", OPTIONS).info
    assert info.rejected_by_reason == {"blank_image": 1}


def test_a_margin_is_not_for_whole_images(raw_set: Any, tmp_path: Path) -> None:
    """Where it would have no effect, it is refused, before anything is written."""
    raw_set.add("a.jpg")
    options = dataclasses.replace(OPTIONS, crop="whole", margin=0.4)
    with pytest.raises(DatasetError, match=r"--margin 0.4 is for crops by boxes or landmarks"):
        prepare("affectnet", raw_set.write(), tmp_path / "my.pack", options)
    assert not (tmp_path / "my.pack").exists()
