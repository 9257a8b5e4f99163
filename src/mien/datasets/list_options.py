"""Options that say what a list of faces holds: which column is what, and which list belongs to which split.

Imports nothing heavy: the command line and its help are built from them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mien.runtime.options import option

# In place of a column's name: the list has none of that kind.
NO_COLUMN = "none"

BoxFormat = Literal[
    "xywh",
    "xyxy",
    "cxcywh",
    "relative-xywh",
    "relative-xyxy",
    "relative-cxcywh",
    "percent-xywh",
    "percent-xyxy",
    "percent-cxcywh",
]


def parse_box_columns(text: str) -> tuple[str, ...]:
    """Parse the names of the columns of a box: four, or one that holds four numbers, or ``none``.

    Raises:
        ValueError: it is another number of names.

    Example:
        >>> parse_box_columns("left, top,right,bottom")
        ('left', 'top', 'right', 'bottom')
    """
    names = tuple(name.strip() for name in text.split(","))
    if len(names) not in (1, 4) or not all(names):
        raise ValueError(f"must be four columns, one that holds four numbers, or {NO_COLUMN}, got {text!r}")
    return names


def parse_affect_columns(text: str) -> tuple[str, ...]:
    """Parse the names of the columns of valence and arousal, or ``none``.

    Raises:
        ValueError: it is another number of names.

    Example:
        >>> parse_affect_columns("V,A")
        ('V', 'A')
    """
    names = tuple(name.strip() for name in text.split(","))
    if names != (NO_COLUMN,) and (len(names) != 2 or not all(names)):
        raise ValueError(f"must be two columns, valence and arousal, or {NO_COLUMN}, got {text!r}")
    return names


def parse_range(text: str) -> tuple[float, float]:
    """Parse two numbers with ``..`` between them.

    Raises:
        ValueError: it is anything else, or the second number is not larger.

    Example:
        >>> parse_range("1..9")
        (1.0, 9.0)
    """
    try:
        low, high = map(float, text.split(".."))
    except ValueError:
        raise ValueError(f"must be like 1..9, got {text!r}") from None
    if not -1e9 < low < high < 1e9:
        raise ValueError(f"must be a smaller and a larger number, got {text!r}")
    return low, high


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnOptions:
    """Which column of a list is what. None looks for the usual names; in a list without names, columns are 1, 2, ...

    Attributes:
        path_column: the path of the image, or a template of it with the names of columns in braces.
        path_prefix: the beginning of the paths that is left off, of a machine where the images were once.
        label_column: the class; or, with commas between them, columns named like classes, whose largest number is the label.
        split_column: words or paths that say train, val or test; `NO_COLUMN` if there is no split.
        split_names: the split of each value of that column that is no name of a split.
        person_column: who it is; `NO_COLUMN` if it is not known.
        clip_column: the video or sequence; `NO_COLUMN` if there is none.
        box_columns: the four columns of the face box in the order of ``box_format``, or one that holds all four
            numbers; ``(NO_COLUMN,)`` for no box.
        box_format: what the four numbers are. ``cx`` and ``cy`` are the center; relative ones are fractions of the
            width and height of the image, those in percent hundredths of them, others are pixels.
        landmarks_column: 68 points; `NO_COLUMN` for none.
        affect_columns: valence and arousal; ``(NO_COLUMN,)`` for neither.
        affect_range: the scale of valence and arousal, which is mapped to -1 to 1.
    """

    path_column: str | None = option(
        None,
        "column of the image's path, or several and the text between them, such as '{folder}/{file}.jpg'",
        metavar="NAME",
    )
    path_prefix: str = option("", "beginning of the paths to remove, such as /home/other/", metavar="TEXT")
    label_column: str | None = option(
        None,
        "column of the class, or columns of votes that are named like the classes, such as happy,sad,fear",
        metavar="NAME",
    )
    split_column: str | None = option(
        None,
        "column of words or paths that say train, val or test, or `none` (default: split)",
        metavar="NAME",
    )
    split_names: tuple[tuple[str, str], ...] = option(
        (),
        "split of each value of the split column, such as 0=train,1=val,2=test",
        metavar="VALUE=SPLIT,...",
        parse="mien.datasets.list_table:parse_split_names",
    )
    person_column: str | None = option(
        None,
        "column that names the person, or `none`; a person is never in both train and val of a split drawn here (default: person, "
        "subject, identity)",
        metavar="NAME",
    )
    clip_column: str | None = option(
        None, "column that names the video or sequence, or `none` (default: clip, video)", metavar="NAME"
    )
    box_columns: tuple[str, ...] | None = option(
        None,
        "columns of the face box in the order of --box-format, or one column of four numbers, or `none`",
        metavar="A,B,C,D",
        parse=parse_box_columns,
    )
    box_format: BoxFormat | None = option(
        None,
        "numbers of the box: left and top or the center, with size or right and bottom; in pixels, relative (0 to 1) or percent (0 to 100) of the image",
    )
    landmarks_column: str | None = option(None, "column of 68 points, or `none`", metavar="NAME")
    affect_columns: tuple[str, ...] | None = option(
        None, "columns of valence and arousal, or `none`", metavar="V,A", parse=parse_affect_columns
    )
    affect_range: tuple[float, float] | None = option(
        None,
        "scale of valence and arousal, such as 1..9 or =-10..10 (default: -1..1)",
        metavar="LOW..HIGH",
        parse=parse_range,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitLists:
    """The list of each split, if they are separate files. RAW is then the folder of the images."""

    train_list: Path | None = option(
        None, "list of the train split; RAW is the folder of the images", metavar="FILE"
    )
    val_list: Path | None = option(None, "list of the val split", metavar="FILE")
    test_list: Path | None = option(None, "list of the test split", metavar="FILE")

    def __bool__(self) -> bool:
        return any((self.train_list, self.val_list, self.test_list))
