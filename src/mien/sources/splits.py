"""The splits: what sets call them, and the split of a face in a set that has none."""

import hashlib
import re

_WORDS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val", "development": "val", "publictest": "val",
    "test": "test", "testing": "test", "privatetest": "test",
}  # fmt: skip
_ENDINGS = re.compile(r"[ _-]?(sets?|split|data|images)$")
# "patition" is RAF-DB's spelling.
_NAMES_OF_COLUMNS = frozenset(
    (
        *("split", "splits", "phase", "usage", "set", "subset", "partition", "patition", "fold", "folds"),
        *("train", "training", "test", "testing"),
    )
)


def split_named(word: str) -> str | None:
    """Return the split that a word means, or None.

    ``PublicTest`` and ``PrivateTest`` are FER2013's.

    Example:
        >>> split_named("Validation"), split_named("train_set"), split_named("happy")
        ('val', 'train', None)
    """
    word = word.strip().lower()
    return _WORDS.get(word) or _WORDS.get(_ENDINGS.sub("", word))


def split_in(text: str) -> str | None:
    """Return the split that a word means, or that a folder of a path or the beginning of its file name does.

    Example:
        >>> split_in("Test"), split_in("faces/val/7.jpg"), split_in("train_00001.jpg"), split_in("a/7.jpg")
        ('test', 'val', 'train', None)
    """
    *folders, name = re.split(r"[/\\]", text)
    words = [text, *folders, *re.findall(r"^([A-Za-z]+)[_-]", name)]
    return next((split for word in words if (split := split_named(word))), None)


def names_a_split(column: str) -> bool:
    """Return whether a column's name has a word for splits in it.

    Example:
        >>> names_a_split("is_test"), names_a_split("dataSplit"), names_a_split("label")
        (True, True, False)
    """
    return not _NAMES_OF_COLUMNS.isdisjoint(
        word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", column)
    )


def drawn_split(key: str, val_fraction: float) -> str:
    """Return ``val`` for about `val_fraction` of all keys and ``train`` for the others, always the same.

    It depends on the key alone, so that a set that grows keeps the split of the faces it had.
    """
    digest = hashlib.sha256(key.encode()).digest()
    return "val" if int.from_bytes(digest[:8], "big") < val_fraction * 2**64 else "train"


def require_val_fraction(val_fraction: float) -> None:
    """Check a share of faces that goes to ``val``.

    Raises:
        ValueError: it is not in [0, 1).
    """
    if not 0 <= val_fraction < 1:
        raise ValueError(f"`val_fraction` must be in [0, 1), got {val_fraction!r}")
