"""The bytes of a model file: what they hold is looked at before onnxruntime reads them, and compared with their hash.

An ONNX file is one protobuf message. Its metadata entry `HASH_KEY` holds the SHA-256 of the whole file in which the hash's
own 64 digits are zeros, so that any program can check it without knowing what is in the rest.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mien.errors import ArtifactError

HASH_KEY = "mien_sha256"
ZEROS = b"0" * 64
# Protobuf's own limit for one message.
LARGEST_FILE = 2**31 - 1

# Which fields of which messages lead to tensors, by number (onnx.proto3).
_CHILDREN: dict[str, dict[int, str]] = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "function": {7: "node", 11: "attribute"},
    "tensor": {},
}
# ir_version, producer, domain, version, graph, opsets, metadata, functions, devices: all that an export can hold.
_MODEL_FIELDS = frozenset({1, 2, 3, 4, 5, 7, 8, 14, 25, 26})
_GRAPH, _METADATA = 7, 14
_EXTERNAL = (13, 14)


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model file that was looked at.

    Attributes:
        content: its bytes.
        metadata: its metadata entries but the hash.
        sha256: the hash that it should have, or None in a file that was made before hashes were written.
        sha256_start: where the hash's digits stand in ``content``.
    """

    content: bytes
    metadata: dict[str, str]
    sha256: str | None
    sha256_start: int

    def compute_sha256(self) -> str:
        """Return the hash of the content, the hash's own digits taken as zeros."""
        content = memoryview(self.content)
        digest = hashlib.sha256(content[: self.sha256_start])
        digest.update(ZEROS)
        digest.update(content[self.sha256_start + len(ZEROS) :])
        return digest.hexdigest()


def read_model_file(path: Path) -> ModelFile:
    """Read a model file, and compare it with its hash.

    Raises:
        ArtifactError: it cannot be read, is no ONNX file, keeps weights in other files, or is not the one that was
            written.
    """
    try:
        n_bytes = path.stat().st_size
        if n_bytes > LARGEST_FILE:
            raise ArtifactError(f"{path} has {n_bytes:,} bytes, an ONNX file has at most {LARGEST_FILE:,}")
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"Model {path} cannot be read: {error.strerror}") from None
    try:
        file = parse_model_file(content)
    except ValueError as error:
        raise ArtifactError(
            f"{path} is no ONNX model that can be loaded: {error}. Copy it again, or use a file that "
            "`mien export` wrote"
        ) from None
    if file.sha256 is not None and file.sha256 != file.compute_sha256():
        raise ArtifactError(
            f"{path} has changed since it was written: the hash in its metadata is not that of its content. Copy it "
            "again, or export it again"
        )
    return file


def with_hash(content: bytes) -> bytes:
    """Return a model file with its hash, in the place of the zeros that its metadata entry `HASH_KEY` holds.

    Raises:
        ValueError: there is no such entry.
    """
    file = parse_model_file(content)
    if file.sha256 is None:
        raise ValueError(f"the metadata must have an entry {HASH_KEY!r}")
    start = file.sha256_start
    return content[:start] + file.compute_sha256().encode() + content[start + len(ZEROS) :]


def parse_model_file(content: bytes) -> ModelFile:
    """Find the metadata of a model file, and that all its weights are in it.

    Raises:
        ValueError: it is no ONNX file, or refers to others.
    """
    metadata: dict[str, str] = {}
    sha256_start, messages = 0, [("model", 0, len(content))]
    while messages:
        kind, start, end = messages.pop()
        for number, value_start, value_end in _fields(content, start, end):
            if kind == "tensor" and number in _EXTERNAL and content[value_start:value_end] != b"\0":
                raise ValueError("it keeps weights in another file, which is not read")
            if kind == "model" and number not in _MODEL_FIELDS:
                raise ValueError(f"it has a part (field {number}) that no export writes")
            if kind == "model" and number == _METADATA:
                key, value, at = _entry(content, value_start, value_end)
                if key in metadata:
                    raise ValueError(f"its metadata has {key!r:.40} twice")
                metadata[key] = value
                sha256_start = at if key == HASH_KEY else sha256_start
            elif number in _CHILDREN[kind]:
                messages.append((_CHILDREN[kind][number], value_start, value_end))
    if not any(number == _GRAPH for number, _, _ in _fields(content, 0, len(content))):
        raise ValueError("it holds no graph")
    sha256 = metadata.pop(HASH_KEY, None)
    if sha256 is not None and len(sha256.encode()) != len(ZEROS):
        raise ValueError(f"its {HASH_KEY!r} has not {len(ZEROS)} digits")
    return ModelFile(content, metadata, sha256, sha256_start)


def _entry(content: bytes, start: int, end: int) -> tuple[str, str, int]:
    """Return key and value of a metadata entry, and where the value starts."""
    parts = {number: (first, last) for number, first, last in _fields(content, start, end)}
    if set(parts) != {1, 2}:
        raise ValueError("a metadata entry is not a key and a value")
    key, value = (content[first:last].decode() for first, last in (parts[1], parts[2]))
    return key, value, parts[2][0]


def _fields(content: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of the value of each field of a protobuf message.

    Raises:
        ValueError: these bytes are none.
    """
    while start < end:
        tag, start = _varint(content, start)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value_start, (_, start) = start, _varint(content, start)
        elif wire_type == 2:
            length, value_start = _varint(content, start)
            start = value_start + length
        elif wire_type in (1, 5):
            value_start, start = start, start + (8 if wire_type == 1 else 4)
        else:
            raise ValueError(f"wire type {wire_type} at byte {start:,} is none that ONNX uses")
        if not number or start > end:
            raise ValueError(f"it is cut short or damaged at byte {min(start, end):,}")
        yield number, value_start, start


def _varint(content: bytes, start: int) -> tuple[int, int]:
    """Return a number of variable length, and where the next thing starts."""
    value = 0
    for place in range(start, min(start + 10, len(content))):
        value |= (content[place] & 127) << 7 * (place - start)
        if content[place] < 128:
            return value, place + 1
    raise ValueError(f"it is cut short or damaged at byte {start:,}")
