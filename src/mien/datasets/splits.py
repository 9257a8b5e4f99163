"""Splits: the names that datasets give them, and the assignment of faces in a set that has none."""

import hashlib
import re
import shlex
import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mien.datasets.list_options import NO_COLUMN
from mien.datasets.list_table import normalize_value
from mien.errors import DatasetError
from mien.formats.pack.grouping import connect

# In lower case; the languages are those in which `mien.faces.classes` knows the names of classes.
_NAMES = {
    "train": "train training entraînement apprentissage entrenamiento treino treinamento addestramento обучение 训练 訓練 学習 훈련 학습",
    "val": "val valid validation dev development publictest validierung validación validação validazione валидация 验证 驗證 検証 검증",
    "test": "test testing privatetest testen prueba pruebas teste тест 测试 測試 テスト 시험 테스트",
}
_SPLIT_NAMES = {word: split for split, words in _NAMES.items() for word in words.split()}
_ENDS = frozenset("tsa集タ트")
_SUFFIXES = re.compile(r"[ _-]?(sets?|split|data|images|集|データ|세트)$")
# They say that faces are held out from training, but not which split they are; or that they are several.
_UNCLEAR = frozenset(("holdout", "heldout", "held", "eval", "evaluation", "trainval"))
# "patition" is RAF-DB's spelling.
_COLUMN_WORDS = frozenset(
    (
        *("split", "splits", "phase", "usage", "set", "subset", "partition", "patition", "fold", "folds"),
        *("train", "training", "test", "testing", "validation", "holdout", "heldout", "eval", "evaluation"),
    )
)


def parse_split(word: str) -> str | None:
    """Return the split that a word means, or None.

    ``PublicTest`` and ``PrivateTest`` are FER2013's.

    Example:
        >>> parse_split("Validation"), parse_split("train_set"), parse_split("训练集"), parse_split("happy")
        ('val', 'train', 'train', None)
    """
    word = (word if word.isascii() else unicodedata.normalize("NFC", word)).strip().lower()
    # Called for every cell of most columns of a list: the expression takes ten times as long as the look at the end.
    ends = word[-1:] in _ENDS
    return _SPLIT_NAMES.get(word) or (_SPLIT_NAMES.get(_SUFFIXES.sub("", word)) if ends else None)


def parse_last_split(cell: str) -> str | None:
    """Return the split that a cell means, or its last word; called for every cell of most columns.

    Example:
        >>> parse_last_split("train"), parse_last_split("rafdb_test"), parse_last_split("test_7")
        ('train', 'test', None)
    """
    place = max(cell.rfind("_"), cell.rfind("-"))
    return parse_split(cell) or (
        parse_split(cell[place + 1 :]) if place >= 0 and cell[-1].isalpha() else None
    )


def find_split(text: str) -> str | None:
    """Return the split that a word means; for a path, the split of a folder or of the prefix of the file name.

    A prefix in front of another split, as in ``train_val``, means neither.

    Example:
        >>> find_split("Test"), find_split("faces/val/7.jpg"), find_split("train_00001.jpg"), find_split("a/7.jpg")
        ('test', 'val', 'train', None)
        >>> find_split("train_val"), find_split("train-holdout")
        (None, None)
    """
    *folders, name = re.split(r"[/\\]", text)
    prefix, *others = re.findall(r"[A-Za-z]+", name) if re.match(r"[A-Za-z]+[_-]", name) else [""]
    if any(
        word.lower() in _UNCLEAR or parse_split(word) not in (None, parse_split(prefix)) for word in others
    ):
        prefix = ""
    return next((split for word in (text, *folders, prefix) if (split := parse_split(word))), None)


def named_split(raw: Path) -> str | None:
    """Return the split that the name of a folder means, or that a word in the name of a list or the name of its folder does.

    ``dev`` is also a folder of projects.

    Example:
        >>> named_split(Path("raf/fer_test.csv")), named_split(Path("raf/test/list.csv")), named_split(Path("dev/list.csv"))
        ('test', 'test', None)
    """
    names = [raw.name] if raw.is_dir() else [*re.split(r"[\W\d_]+", raw.name.split(".")[0]), raw.parent.name]
    found = {split for name in names if (split := parse_split(name)) and name.lower() != "dev"}
    return found.pop() if len(found) == 1 else None


def is_split_column(column: str) -> bool:
    """Return whether the name of a column contains a word for splits.

    Example:
        >>> is_split_column("is_test"), is_split_column("dataSplit"), is_split_column("label")
        (True, True, False)
        >>> is_split_column("is_valid"), is_split_column("valid")  # fastai's; the other one may be about the row
        (True, False)
    """
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", column)}
    return not words.isdisjoint(_COLUMN_WORDS) or words in ({"is", "valid"}, {"is", "val"}, {"is", "dev"})


def assign_split(key: str, val_fraction: float) -> str:
    """Return ``val`` for about `val_fraction` of all keys and ``train`` for the others.

    It is a hash of the key alone, so existing faces keep their split when the set grows.
    """
    digest = hashlib.sha256(key.encode(errors="surrogateescape")).digest()
    return "val" if int.from_bytes(digest[:8], "big") < val_fraction * 2**64 else "train"


# The person and the clip of faces, each empty where the dataset names none.
PersonAndClip = tuple[str, str]


def choose_val_persons(counts: Mapping[PersonAndClip, int], val_fraction: float) -> frozenset[PersonAndClip]:
    """Choose persons and clips for ``val`` that have about `val_fraction` of the faces; the others are ``train``.

    Persons who share a clip, and clips that share a person, stay together. The order in which they are considered is that
    of a hash of their names. If there are several, at least one is chosen and at least one is not.

    Args:
        counts: number of faces of each person and clip; at least one of the two is named.
        val_fraction: in [0, 1).

    Example:
        >>> sorted(choose_val_persons({("Ann", ""): 5, ("Bo", ""): 5, ("Cy", ""): 5}, 0.3))
        [('Bo', '')]
    """
    persons, clips = (
        ([name or None for name in names] for names in zip(*counts, strict=True)) if counts else ([], [])
    )
    by_group: dict[int, list[PersonAndClip]] = {}
    for names, group in zip(counts, connect(persons, clips).tolist(), strict=True):
        by_group.setdefault(group, []).append(names)
    parts = list(by_group.values())
    if not val_fraction or len(parts) < 2:
        return frozenset()
    parts.sort(key=lambda part: hashlib.sha256("\0".join(min(part)).encode()).digest())
    target, n_chosen = val_fraction * sum(counts.values()), 0
    chosen: list[list[PersonAndClip]] = []
    for part in parts:
        n_faces = sum(counts[names] for names in part)
        if len(chosen) < len(parts) - 1 and abs(n_chosen + n_faces - target) < abs(n_chosen - target):
            chosen.append(part)
            n_chosen += n_faces
    smallest = min(parts, key=lambda part: sum(counts[names] for names in part))
    return frozenset(names for part in chosen or [smallest] for names in part)


def require_val_fraction(val_fraction: float) -> None:
    """Check the fraction of faces assigned to ``val``.

    Raises:
        ValueError: it is not in [0, 1).
    """
    if not 0 <= val_fraction < 1:
        raise ValueError(f"`val_fraction` must be in [0, 1), got {val_fraction!r}")


def require_splits(values: Counter[str], *, column: str, where: str) -> None:
    """Check that a column says the split of most rows.

    Args:
        values: number of rows with each value.
        column: its name.
        where: the list, for the error message.

    Raises:
        DatasetError: it does not, with the option that states what its values mean.
    """
    unknown = {value: count for value, count in values.items() if find_split(value) is None}
    if 2 * sum(unknown.values()) > values.total():
        names = dict.fromkeys(normalize_value(value) or "''" for value in sorted(unknown)[:10])
        example = ",".join(f"{name}=SPLIT" for name in names)
        raise DatasetError(
            f"The column `{column}` of {where} must name splits, it has {', '.join(map(repr, sorted(unknown)[:10]))}: add "
            f"--split-names {shlex.quote(example)} with train, val or test for SPLIT, or --split-column {NO_COLUMN}"
        )
