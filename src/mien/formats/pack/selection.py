"""Choosing faces from one or several packs, and decoding them in batches as a model takes them."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from mien.faces.crop import resize_crop
from mien.formats.pack.reader import PackSplit
from mien.tasks import NO_ANNOTATIONS, TASKS, Annotations, Values, align_columns

_DECODERS = 2
_PREFETCHED_BATCHES = 3


class Faces(Protocol):
    """Anything that holds face crops, such as a `PackSplit` or a `FaceSelection`."""

    def __len__(self) -> int: ...

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return a face as ``(S, S, 3)`` uint8 RGB."""


@dataclass(frozen=True)
class FaceSelection:
    """Faces of one split from each of several packs. A subclass may add arrays, or dicts of them, with a row per face.

    Attributes:
        splits: the split of each pack.
        pack_numbers: ``(N,)`` int64 indices into ``splits``.
        rows: ``(N,)`` int64 rows within that split.
        labels: ``(N,)`` int64 classes of the network; -1 where it lacks the face's class.
    """

    splits: tuple[PackSplit, ...]
    pack_numbers: NDArray[np.int64]
    rows: NDArray[np.int64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Return a face as ``(S, S, 3)`` uint8 RGB."""
        return self.splits[int(self.pack_numbers[index])].image(int(self.rows[index]))

    def stored_image(self, index: int) -> NDArray[np.uint8]:
        """Return a face as its pack stores it, ``(S, S, 3)`` uint8 RGB."""
        return self.splits[int(self.pack_numbers[index])].stored_image(int(self.rows[index]))

    def crop_matrices(self, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return ``(B, 2, 3)`` matrices from fractions of the stored images to fractions of the faces' crops."""
        return self._gather([split.crop_matrices for split in self.splits], indices)

    def box_matrices(self, indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return ``(B, 2, 3)`` matrices from fractions of the faces' crops to fractions of their boxes."""
        return self._gather([split.box_matrices for split in self.splits], indices)

    def _gather(self, by_split: list[NDArray[np.float64]], indices: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the matrices of some faces out of those of each split."""
        pairs = zip(self.pack_numbers[indices], self.rows[indices], strict=True)
        return np.stack([by_split[pack][row] for pack, row in pairs])

    def key(self, index: int) -> str:
        """Return the path of a face's image as its source writes it."""
        return self.splits[int(self.pack_numbers[index])].keys[int(self.rows[index])]

    def part(self, chosen: NDArray[np.bool_] | NDArray[np.int64]) -> Self:
        """Return the faces chosen by a ``(N,)`` mask or by indices."""
        arrays: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, dict):
                arrays[field.name] = {name: array[chosen] for name, array in value.items()}
            elif field.name != "splits":
                arrays[field.name] = value[chosen]
        return replace(self, **arrays)

    def read_annotations(self, annotations: Annotations = NO_ANNOTATIONS) -> Values:
        """Return ``(N, *shape)`` values by task, with the columns of `annotations`, and the task's mark where missing."""
        values: Values = {}
        for name, task in TASKS.items():
            shape = task.shape(0, annotations)
            if shape is None or not task.pack_columns(annotations):
                continue
            values[name] = np.full((len(self), *shape), task.missing, dtype=np.float32)
            for number, split in enumerate(self.splits):
                if name in split.annotations:
                    is_here = self.pack_numbers == number
                    found = split.annotations[name][self.rows[is_here]]
                    values[name][is_here] = align_columns(
                        name, found, split.pack.info.annotations, annotations
                    )
        return values


def read_batches(faces: Faces, *, size: int, batch_size: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the faces in order as ``(n, size, size, 3)`` uint8 RGB batches; a few are decoded ahead in threads."""

    def decode(start: int) -> NDArray[np.uint8]:
        indices = range(start, min(start + batch_size, len(faces)))
        return np.stack([resize_crop(faces.image(index), size) for index in indices])

    pending: deque[Future[NDArray[np.uint8]]] = deque()
    with ThreadPoolExecutor(_DECODERS) as pool:
        for start in range(0, len(faces), batch_size):
            pending.append(pool.submit(decode, start))
            if len(pending) > _PREFETCHED_BATCHES:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
