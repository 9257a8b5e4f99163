"""`mien.pack`, the public names for reading packs."""

from pathlib import Path

from mien import pack
from mien.formats.pack import Pack


def test_a_pack_is_read_by_its_public_name(training_pack: Path) -> None:
    """The example of the module's docstring, typed."""
    assert pack.Pack is Pack
    faces = pack.Pack.open(training_pack).split("train")
    assert faces.image(0).ndim == 3
    assert len(faces.labels) == len(faces.keys) == len(faces)
