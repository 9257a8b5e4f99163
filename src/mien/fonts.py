r"""Text drawn into images: a font that has its characters, and what is drawn where no font has them.

Text in ASCII is drawn with Pillow's own font. Other text is drawn with the first font that has all of its characters:
the file that ``MIEN_FONT`` names, DejaVu Sans as matplotlib brings it, what fontconfig knows, and the usual fonts of
Chinese, Japanese and Korean in the system's folders. A character that none has, or that controls a terminal or the
direction of writing, is drawn as its escape: ``\u9ad8``, ``\x1b``.
"""

import os
import shutil
import struct
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import ImageDraw, ImageFont

from mien.errors import SourceError

FONT_VARIABLE = "MIEN_FONT"
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_FOLDERS = {
    "darwin": ("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
    "win32": (r"%WINDIR%\Fonts", r"%LOCALAPPDATA%\Microsoft\Windows\Fonts"),
}
_UNIX_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")
# The beginnings of file names, in order of preference.
_KNOWN_FILES = ("notosanscjk", "notosanssc", "sourcehansans", "wqy-microhei", "wqy-zenhei", "droidsansfallback", "pingfang",
                "hiragino sans gb", "stheiti", "hiragino", "ヒラギノ角ゴシック", "applesdgothicneo", "msyh", "simhei", "simsun",
                "yugoth", "meiryo", "msgothic", "malgun", "arial unicode")  # fmt: skip
_FONT_ENDINGS = (".ttf", ".ttc", ".otf", ".otc")
_OUTLINES = ("glyf", "CFF ", "CFF2")
# Joiners and variation selectors, which are not drawn but shape what stands beside them.
_SHAPING = frozenset(map(chr, (0x200C, 0x200D, *range(0xFE00, 0xFE10))))
_ESCAPE_CHARACTERS = frozenset("\\ux0123456789abcdefU")
_EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "FULLWIDTH", "IDEOGRAPHIC")
_SEARCH_TIMEOUT_S = 10


@dataclass(frozen=True, slots=True)
class Face:
    """One face of a font file.

    Attributes:
        path: of the file, or None for Pillow's own font.
        index: of the face in a collection of several.
    """

    path: str | None = None
    index: int = 0


@dataclass(frozen=True, slots=True)
class FittedText:
    """A text as it is drawn.

    Attributes:
        text: with escapes for characters that are not drawn; newlines are kept.
        face: that has all characters of `text`.
        missing: the characters that no font has.
    """

    text: str
    face: Face = Face()
    missing: str = ""

    def font(self, size_px: int) -> Font:
        """Return the font to draw `text` with."""
        return _load(self.face, size_px)

    def width(self, size_px: int) -> float:
        """Return the width of the longest line in pixels."""
        font = self.font(size_px)
        return max(font.getlength(line) for line in self.text.split("\n"))


def draw_text(
    pen: ImageDraw.ImageDraw, place: tuple[float, float], text: str, *, size_px: int, **how: Any
) -> None:
    """Draw a text with a font that has its characters; `how` goes to `PIL.ImageDraw.ImageDraw.text`.

    Raises:
        SourceError: what ``MIEN_FONT`` names is no font.
    """
    fitted = fit_text(text)
    pen.text(place, fitted.text, font=fitted.font(size_px), **how)


def printable(text: str) -> str:
    """Return a text on one line, with escapes for control characters, whatever a name of a class or file holds."""
    return "".join(
        character if character in _SHAPING or character.isprintable() else _shown_space(character)
        for character in unicodedata.normalize("NFC", text)
    )


def printable_lines(text: str) -> str:
    """Return a text of one line or several as `printable` does, its newlines kept."""
    return "\n".join(map(printable, text.split("\n")))


def _shown_space(character: str) -> str:
    return " " if unicodedata.category(character) == "Zs" else _escape(character)


def _escape(text: str) -> str:
    return text.encode("unicode_escape").decode("ascii")


def fit_text(text: str) -> FittedText:
    """Return how a text of one line or several is drawn.

    Raises:
        SourceError: what ``MIEN_FONT`` names is no font.
    """
    clean = printable_lines(text)
    named = os.environ.get(FONT_VARIABLE, "")
    return FittedText(clean) if clean.isascii() and not named else _fit(clean, named)


def tell_missing(texts: Iterable[str], announce: Callable[[str], None]) -> None:
    """Tell in one line which characters of these texts no font has, and what to install; nothing where all are drawn.

    Raises:
        SourceError: what ``MIEN_FONT`` names is no font.
    """
    missing = "".join(dict.fromkeys("".join(fit_text(text).missing for text in texts)))
    if not missing:
        return
    is_east_asian = any(unicodedata.name(character, "").startswith(_EAST_ASIAN) for character in missing)
    package = "fonts-noto-cjk" if is_east_asian else "fonts-noto-core"
    shown = missing if len(missing) <= 12 else f"{missing[:12]}..."
    announce(
        f"No font on this machine has {shown}: drawn as {_escape(missing[0])} and the like. Install one "
        f"(Debian, Ubuntu: apt install {package}), or name a font's file in {FONT_VARIABLE}"
    )


def plot_text(text: str) -> str:
    """Return a text on one line for matplotlib, to be drawn within `plot_style`.

    Raises:
        SourceError: what ``MIEN_FONT`` names is no font.
    """
    # matplotlib leaves labels that begin with an underscore out of a legend.
    shown = fit_text(printable(text)).text
    return f" {shown}" if shown.startswith("_") else shown


def plot_style(texts: Iterable[str]) -> dict[Any, Any]:
    """Return matplotlib's settings for a figure that shows these texts: fonts that have them, and dollars as dollars.

    Raises:
        SourceError: what ``MIEN_FONT`` names is no font.
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
    best, least = Face(), wanted
    for face in _candidates("".join(sorted(wanted)), named):
        lacking = wanted - _characters(face)
        if len(lacking) < len(least) and (not lacking or _characters(face) >= _ESCAPE_CHARACTERS):
            best, least = face, lacking
        if not lacking:
            break
    missing = "".join(dict.fromkeys(character for character in text if character in least))
    shown = "".join(_escape(character) if character in least else character for character in text)
    return FittedText(shown, best, missing)


def _candidates(characters: str, named: str) -> Iterator[Face]:
    """Yield faces in the order in which they are preferred."""
    if named:
        yield _named_face(named)
    if characters.isascii():
        return
    from matplotlib import get_data_path  # noqa: PLC0415 - only text that Pillow's font lacks waits for it

    yield Face(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"))
    yield from _ask_fontconfig(characters)
    yield from _known_faces()


def _named_face(named: str) -> Face:
    """Return the face of the file that ``MIEN_FONT`` names.

    Raises:
        SourceError: it is no font.
    """
    face = Face(str(Path(named).expanduser()))
    if not _characters(face):
        raise SourceError(
            f"{FONT_VARIABLE} must name a TrueType or OpenType font, and {named} is none or cannot be read. "
            "Name another file, or unset it"
        )
    return face


def _ask_fontconfig(characters: str) -> Iterator[Face]:
    """Yield the face that fontconfig finds for characters, where there is fontconfig."""
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
    # The upper half of the number is the instance of a variable font.
    if index.isdigit():
        yield Face(path, int(index) & 0xFFFF)


@lru_cache(maxsize=1)
def _known_faces() -> tuple[Face, ...]:
    """Return the usual fonts of Chinese, Japanese and Korean that are in the system's folders."""
    found: list[tuple[int, str]] = []
    for folder in _FOLDERS.get(sys.platform, _UNIX_FOLDERS):
        for path in Path(os.path.expandvars(folder)).expanduser().rglob("*"):
            name = path.name.lower()
            rank = next((n for n, known in enumerate(_KNOWN_FILES) if name.startswith(known)), None)
            if rank is not None and name.endswith(_FONT_ENDINGS):
                found.append((rank, str(path)))
    return tuple(Face(path) for _, path in sorted(found))


@lru_cache(maxsize=64)
def _characters(face: Face) -> frozenset[str]:
    """Return the characters of a face, none where it cannot be drawn."""
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
def _load(face: Face, size_px: int) -> Font:
    return (
        ImageFont.load_default(size_px)
        if face.path is None
        else ImageFont.truetype(face.path, size_px, face.index)
    )
