"""The size that a video file states in its own outermost structure: a file that is shorter was cut off."""

import os
from pathlib import Path
from typing import BinaryIO

from mien.runtime.regular_files import open_regular

_EBML, _SEGMENT = 0x1A45DFA3, 0x18538067


def count_missing_bytes(path: Path) -> int:
    """Return how many bytes a file lacks by the sizes it states; 0 if it is complete or states none.

    Understood are ISO base media files (MP4, MOV), RIFF (AVI), and EBML (Matroska, WebM).
    """
    with open_regular(path) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        start = file.read(12)
        if start[:4] == b"RIFF":
            end = _end_of_riff(file, n_bytes)
        elif start[:4] == _EBML.to_bytes(4):
            end = _end_of_segment(file)
        elif start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
            end = _end_of_boxes(file, n_bytes)
        else:
            end = 0
    return max(0, end - n_bytes)


def _end_of_riff(file: BinaryIO, n_bytes: int) -> int:
    """Return where the last chunk ends; a large AVI has several."""
    end = 0
    while end + 8 <= n_bytes:
        file.seek(end)
        name, size = file.read(4), int.from_bytes(file.read(4), "little")
        if name != b"RIFF" or size in (
            0,
            0xFFFFFFFF,
        ):  # what follows is not RIFF, or the writer never finished
            break
        end += 8 + size
        end += end % 2 if end < n_bytes else 0
    return end


def _end_of_boxes(file: BinaryIO, n_bytes: int) -> int:
    """Return where the last box ends (ISO/IEC 14496-12, 4.2)."""
    end = 0
    while end + 8 <= n_bytes:
        file.seek(end)
        size, name = int.from_bytes(file.read(4)), file.read(4)
        if size == 1:
            size = int.from_bytes(file.read(8))
        if size < 8 or not name.isalnum():  # the last box takes the rest, or what follows is no box
            break
        end += size
    return end


def _end_of_segment(file: BinaryIO) -> int:
    """Return where the segment ends; 0 if it was written as a stream, without a size (RFC 8794)."""
    end = 0
    for expected in (_EBML, _SEGMENT):
        file.seek(end)
        if int.from_bytes(file.read(4)) != expected:
            return 0
        first = file.read(1)
        n_more = 8 - first[0].bit_length() if first and first[0] else 8
        bits = 7 * (n_more + 1)
        size = int.from_bytes(first + file.read(n_more)) & ((1 << bits) - 1)
        if n_more == 8 or size == (1 << bits) - 1:
            return 0
        end += 4 + 1 + n_more + size
    return end
