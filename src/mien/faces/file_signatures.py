"""The format of a file by its first bytes, whatever its name."""

from pathlib import Path

from mien.runtime.regular_files import open_regular

# As many bytes as the longest signature and its offset need.
N_SIGNATURE_BYTES = 512

_SIGNATURES = {
    b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n": "PNG", b"GIF8": "GIF", b"BM": "BMP", b"II*\0": "TIFF", b"MM\0*": "TIFF",
    b"P1": "PPM", b"P2": "PPM", b"P3": "PPM", b"P4": "PPM", b"P5": "PPM", b"P6": "PPM", b"Pf": "PPM",
    b"\0\0\0\x0cjP  \r\n": "JPEG 2000", b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL", b"\0\0\0\x0cJXL ": "JPEG XL",
    b"%PDF": "PDF", b"8BPS": "Photoshop", b"v/1\x01": "OpenEXR", b"#?RADIANCE": "Radiance HDR", b"SIMPLE  =": "FITS",
    b"\x93NUMPY": "NumPy", b"\x80\x04\x95": "pickle", b"\x80\x02": "pickle", b"\x89HDF": "HDF5", b"PAR1": "Parquet",
    b"ARROW1": "Arrow", b"SQLite format 3": "SQLite", b"PK\x03\x04": "zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2",
    b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "rar", b"\xfd7zXZ": "xz", b"\xd0\xcf\x11\xe0": "Excel 97",
    b"version https://git-lfs": "Git LFS pointer", b"data:image/": "base64", b"/9j/": "base64", b"iVBORw0KGgo": "base64", b"\x1a\x45\xdf\xa3": "Matroska",
}  # fmt: skip
# ISO base media files (ISO/IEC 14496-12) name their kind in a first box.
_BRANDS = {
    b"heic": "HEIC", b"heix": "HEIC", b"heim": "HEIC", b"heis": "HEIC", b"hevc": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF",
    b"avif": "AVIF", b"avis": "AVIF",
}  # fmt: skip
READABLE_FORMATS = frozenset(("JPEG", "PNG", "GIF", "BMP", "TIFF", "PPM", "WebP", "JPEG 2000", "AVIF"))
VIDEO_FORMATS = frozenset(("AVI", "Matroska", "MP4"))
HEIF_FORMATS = frozenset(("HEIC", "HEIF"))
# Images that are not decoded, or only with an extra.
OTHER_IMAGE_FORMATS = frozenset(
    (*HEIF_FORMATS, "JPEG XL", "Photoshop", "OpenEXR", "Radiance HDR", "SVG", "FITS")
)


def identify_format(data: bytes) -> str | None:
    r"""Return the name of a file's format, or None if it is unknown.

    Args:
        data: the first `N_SIGNATURE_BYTES` of the file, or more.

    Example:
        >>> identify_format(b"\0\0\0\x18ftypheic"), identify_format(b"<!DOCTYPE html>"), identify_format(b"a,b")
        ('HEIC', 'HTML', None)
    """
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:4] == b"RIFF" and data[8:12] == b"AVI ":
        return "AVI"
    if data[4:8] == b"ftyp":
        # AVIF files may name the general brand first, and their own among the compatible ones.
        brands = (data[8:12], *(data[at : at + 4] for at in range(16, min(data[3], len(data)), 4)))
        named = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
        return next((name for name in named if name != "HEIF"), named[0] if named else "MP4")
    for signature, name in _SIGNATURES.items():
        if data.startswith(signature):
            return name
    start = data[:N_SIGNATURE_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "HTML"
    return "SVG" if start.startswith((b"<?xml", b"<svg")) and b"<svg" in start else None


def explain_format(name: str, data: bytes) -> str:
    """Return what a file that is not decoded is, and what to do, as the detail of a rejected image.

    Args:
        name: from `identify_format`.
        data: the first bytes of the file.
    """
    if name in HEIF_FORMATS:
        return f"{name}, the format of phone cameras: install `mien[heif]` to read it, or save it as JPEG"
    if name in OTHER_IMAGE_FORMATS:
        return f"{name}, which is not supported: save it as PNG or JPEG"
    if name in VIDEO_FORMATS:
        return f"{name}, a video, which `mien predict` and `Model.watch` read"
    if name == "Git LFS pointer":
        return "a Git LFS pointer instead of the file: run `git lfs pull` in the set's repository"
    if name == "base64":
        return "an image in base64: pass the bytes that `base64.b64decode` returns, without `data:...,` before it"
    return f"{name} instead of an image, begins with {data[:16]!r}"


def read_signature(path: Path) -> bytes:
    """Return the first `N_SIGNATURE_BYTES` of a regular file, empty if it cannot be read."""
    try:
        with open_regular(path) as file:
            return file.read(N_SIGNATURE_BYTES)
    except OSError:
        return b""
