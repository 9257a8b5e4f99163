r"""Drawing text in any script: finding a font with the required glyphs, and escapes for missing ones.

ASCII text is drawn with Pillow's default font. Other text is drawn with the first font that has all of its characters:
the file in ``MIEN_FONT``, DejaVu Sans from matplotlib, fontconfig's match, and the common Chinese, Japanese and Korean
fonts in the system's folders. A character that no font has, or that controls a terminal or the text direction, is
drawn as an escape: ``\u9ad8``, ``\x1b``.
"""

import logging
import os
import shutil
import struct
import subprocess
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import ImageDraw, ImageFont

from mien.errors import SourceError
from mien.runtime.terminal import escape, escape_invisible

_log = logging.getLogger(__name__)

FONT_VARIABLE = "MIEN_FONT"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_FOLDERS = {
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": (r"%WINDIR%\Fonts", r"%LOCALAPPDATA%\Microsoft\Windows\Fonts"),
}
_UNIX_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
# Prefixes of file names, in order of preference.
_KNOWN_FILES = ("notosanscjk", "notosanssc", "sourcehansans", "wqy-microhei", "wqy-zenhei", "droidsansfallback", "pingfang",
                "hiragino sans gb", "stheiti", "hiragino", "ヒラギノ角ゴシック", "applesdgothicneo", "msyh", "simhei", "simsun",
                "yugoth", "meiryo", "msgothic", "malgun", "arial unicode")  # fmt: skip
_FONT_ENDINGS = (".ttf", ".ttc", ".otf", ".otc")
_OUTLINES = ("glyf", "CFF ", "CFF2")
# Joiners and variation selectors: not drawn, but they shape adjacent characters.
_SHAPING = frozenset(map(chr, (0x200C, 0x200D, *range(0xFE00, 0xFE10))))
_ESCAPE_CHARACTERS = frozenset("\\ux0123456789abcdefU")
_EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "FULLWIDTH", "IDEOGRAPHIC")
_SEARCH_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class FontFace:
    """One face of a font file.

    Attributes:
        path: the font file, or None for Pillow's default font.
        index: index of the face in a font collection.
    """

    path: str | None = None
    index: int = 0


@dataclass(frozen=True, slots=True)
class FittedText:
    """A text ready to be drawn.

    Attributes:
        text: the text with escapes for missing and control characters, and its newlines.
        face: a font face that has all characters of `text`.
        missing: characters that no font has.
    """

    text: str
    face: FontFace = FontFace()
    missing: str = ""

    def font(self, size_px: int) -> Font:
        """Return the font to draw `text` with."""
        return _load(self.face, size_px)

    def width(self, size_px: int) -> float:
        """Return the width of the longest line in pixels."""
        font = self.font(size_px)
        return max(font.getlength(line) for line in self.text.split("\n"))


def draw_text(
    pen: ImageDraw.ImageDraw, xy: tuple[float, float], text: str, *, size_px: int, **options: Any
) -> None:
    """Draw a text with a font that has its characters; `options` go to `PIL.ImageDraw.ImageDraw.text`.

    Raises:
        SourceError: ``MIEN_FONT`` is not a font.
    """
    fitted = fit_text(text)
    pen.text(xy, fitted.text, font=fitted.font(size_px), **options)


def text_width(text: str, size_px: int) -> float:
    """Return the width in pixels of the longest line of a text as `draw_text` draws it.

    Raises:
        SourceError: ``MIEN_FONT`` is not a font.
    """
    return fit_text(text).width(size_px)


def printable(text: str) -> str:
    """Return a text as a single line with control characters escaped, for names of classes and files."""
    escaped = escape_invisible(unicodedata.normalize("NFC", text), keep=_SHAPING)
    return "".join(" " if unicodedata.category(character) == "Zs" else character for character in escaped)


def printable_lines(text: str) -> str:
    """Return a text of one or more lines with each made `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def fit_text(text: str) -> FittedText:
    """Choose a font for a text of one or more lines, and escape what cannot be drawn.

    Raises:
        SourceError: ``MIEN_FONT`` is not a font.
    """
    clean = printable_lines(text)
    named = os.environ.get(FONT_VARIABLE, "")
    return FittedText(clean) if clean.isascii() and not named else _fit(clean, named)


def warn_of_missing_characters(texts: Iterable[str]) -> None:
    """Log in one line which characters of these texts no font has, if any, and what to install.

    Raises:
        SourceError: ``MIEN_FONT`` is not a font.
    """
    missing = "".join(dict.fromkeys("".join(fit_text(text).missing for text in texts)))
    if not missing:
        return
    is_east_asian = any(unicodedata.name(character, "").startswith(_EAST_ASIAN) for character in missing)
    package = "fonts-noto-cjk" if is_east_asian else "fonts-noto-core"
    shown = missing if len(missing) <= 12 else f"{missing[:12]}..."
    _log.warning(
        "No font on this machine has %s: drawn as escapes such as %s. Install one (Debian, Ubuntu: apt install %s), or "
        "set %s to a font file",
        shown,
        escape(missing[0]),
        package,
        FONT_VARIABLE,
    )


def plot_text(text: str) -> str:
    """Return a text as a single line for matplotlib, to be drawn with `plot_style`.

    Raises:
        SourceError: ``MIEN_FONT`` is not a font.
    """
    # matplotlib omits labels that begin with an underscore from legends.
    shown = fit_text(printable(text)).text
    return f" {shown}" if shown.startswith("_") else shown


def plot_style(texts: Iterable[str]) -> dict[Any, Any]:
    """Return matplotlib's rcParams for these texts: fonts that have their characters, and no math mode.

    Raises:
        SourceError: ``MIEN_FONT`` is not a font.
    """
    from matplotlib import font_manager  # noqa: PLC0415 - only plots need it

    families = ["sans-serif"]
    for path in dict.fromkeys(fit_text(printable(text)).face.path for text in texts):
        if path is not None:
            font_manager.fontManager.addfont(path)
            families.append(font_manager.FontProperties(fname=path).get_name())
    return {"font.family": families, "text.parse_math": False}


@lru_cache(maxsize=256)
def _fit(text: str, named: str) -> FittedText:
    wanted = frozenset(
        character for character in text if not character.isspace() and character not in _SHAPING
    )
    best, fewest_missing = FontFace(), wanted
    for face in _candidates("".join(sorted(wanted)), named):
        missing = wanted - _characters(face)
        if len(missing) < len(fewest_missing) and (not missing or _characters(face) >= _ESCAPE_CHARACTERS):
            best, fewest_missing = face, missing
        if not missing:
            break
    in_order = "".join(dict.fromkeys(character for character in text if character in fewest_missing))
    shown = "".join(escape(character) if character in fewest_missing else character for character in text)
    return FittedText(shown, best, in_order)


def _candidates(characters: str, named: str) -> Iterator[FontFace]:
    """Yield font faces in order of preference.

    Raises:
        SourceError: ``MIEN_FONT``, here `named`, is not a font.
    """
    if named:
        face = FontFace(str(Path(named).expanduser()))
        if not _characters(face):
            raise SourceError(
                f"{FONT_VARIABLE} must be a readable TrueType or OpenType font, and {named} is not. "
                "Use another file, or unset it"
            )
        yield face
    if characters.isascii():
        return
    try:
        from matplotlib import get_data_path  # noqa: PLC0415 - only text that Pillow's font lacks waits for it
    except ModuleNotFoundError:  # it belongs to the `data` extra
        pass
    else:
        yield FontFace(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"))
    yield from _ask_fontconfig(characters)
    yield from _known_faces()


def _ask_fontconfig(characters: str) -> Iterator[FontFace]:
    """Yield fontconfig's match for these characters, if fontconfig is installed."""
    program = shutil.which("fc-match")
    if program is None:
        return
    charset = " ".join(f"{ord(character):x}" for character in characters if not character.isascii())
    try:
        answer = subprocess.run(  # noqa: S603
            [program, "--format", "%{file}\n%{index}", f":charset={charset}"],
            capture_output=True,
            text=True,
            check=True,
            timeout=_SEARCH_TIMEOUT_S,
        ).stdout
    except (OSError, ValueError, subprocess.SubprocessError):
        return
    path, _, index = answer.partition("\n")
    # The upper 16 bits are the instance of a variable font.
    if index.isdigit():
        yield FontFace(path, int(index) & 0xFFFF)


@lru_cache(maxsize=1)
def _known_faces() -> tuple[FontFace, ...]:
    """Return the common Chinese, Japanese and Korean fonts in the system's folders."""
    found: list[tuple[int, str]] = []
    for folder in _FOLDERS.get(sys.platform, _UNIX_FOLDERS):
        # `Path.expanduser` raises if there is no home folder.
        for path in Path(os.path.expanduser(os.path.expandvars(folder))).rglob("*"):  # noqa: PTH111
            name = path.name.lower()
            rank = next((n for n, known in enumerate(_KNOWN_FILES) if name.startswith(known)), None)
            if rank is not None and name.endswith(_FONT_ENDINGS):
                found.append((rank, str(path)))
    return tuple(FontFace(path) for _, path in sorted(found))


@lru_cache(maxsize=64)
def _characters(face: FontFace) -> frozenset[str]:
    """Return the characters of a font face, or none if it cannot be drawn."""
    from fontTools.ttLib import TTFont, TTLibError  # noqa: PLC0415 - only text that Pillow's font lacks waits for it

    if face.path is None:
        return frozenset(map(chr, range(32, 127)))
    try:
        ImageFont.truetype(face.path, 16, face.index)
        with TTFont(face.path, fontNumber=face.index, lazy=True) as font:
            if not any(table in font for table in _OUTLINES):
                return frozenset()
            return frozenset(map(chr, font.getBestCmap() or {}))
    except (OSError, TTLibError, ValueError, KeyError, AssertionError, struct.error):
        return frozenset()


@lru_cache(maxsize=64)
def _load(face: FontFace, size_px: int) -> Font:
    return (
        ImageFont.load_default(size_px)
        if face.path is None
        else ImageFont.truetype(face.path, size_px, face.index)
    )
