"""The stage `export` for a pack: its faces as Parquet files, which other programs read."""

from dataclasses import dataclass
from pathlib import Path

from mien.artifacts import new_folder, write_text
from mien.errors import ArtifactError
from mien.formats.pack import Pack
from mien.formats.pack.parquet import write_parquet

# Marks a folder as one that `mien export` wrote and may replace; programs that read datasets skip hidden files.
MARK = ".mien-parquet"


@dataclass(frozen=True, slots=True)
class PackExportSummary:
    """What `export_pack` did. Its text is what the command prints.

    Attributes:
        out: the folder.
        names: names of its Parquet files.
        n_bytes: their size.
        n_faces: number of faces by split.
        content_sha256: content hash of the pack.
    """

    out: Path
    names: tuple[str, ...]
    n_bytes: int
    n_faces: dict[str, int]
    content_sha256: str

    def __str__(self) -> str:
        faces = ", ".join(f"{split} {n:,}" for split, n in self.n_faces.items())
        return "\n".join(
            (
                f"faces: {faces}",
                f"files: {', '.join(self.names[:6])}{', ...' * (len(self.names) > 6)}; {self.n_bytes / 1e6:.1f} MB",
                f"content: {self.content_sha256}",
                f"parquet: {self.out}",
            )
        )


def export_pack(pack_path: Path, out: Path, *, force: bool = False) -> PackExportSummary:
    """Write the faces of a pack as Parquet files with images and class names.

    Args:
        pack_path: the pack.
        out: folder of the files, which are named as the `datasets` library expects.
        force: replace a folder that this function wrote.

    Raises:
        ArtifactError: the pack is missing or damaged, or ``out`` exists or is named like a model file.
    """
    if out.suffix.lower() == ".onnx":
        raise ArtifactError(
            f"{pack_path} is a pack, which is exported as a folder of Parquet files, not as {out.name}. For a model file, "
            "give the run that was trained on it"
        )
    pack = Pack.open(pack_path)
    with new_folder(out, force=force, kind_mark=MARK) as partial:
        paths = write_parquet(pack, partial)
        write_text(partial / MARK, f"{pack.info.content_sha256}\n")
        names = tuple(path.name for path in paths)
        n_bytes = sum(path.stat().st_size for path in paths)
    n_faces = {split: pack.info.n_faces(split) for split in pack.splits}
    return PackExportSummary(out, names, n_bytes, n_faces, pack.info.content_sha256)
