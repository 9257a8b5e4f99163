"""The bytes of a model file: inspected and checked against their hash before onnxruntime reads them.

An ONNX file is one protobuf message. Its metadata entry `HASH_KEY` holds the SHA-256 of the file with the hash's own
64 digits set to zero, so any program can verify it without parsing the rest.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

from mien.errors import ArtifactError
from mien.faces.file_signatures import identify_format
from mien.runtime.protobuf import read_fields

HASH_KEY = "mien_sha256"
ZEROS = b"0" * 64
# Protobuf's size limit for one message.
MAX_FILE_BYTES = 2**31 - 1

# Field numbers that lead to tensors, by message (onnx.proto3).
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
# ir_version, producer, domain, version, graph, opsets, metadata, functions, devices: all that an export can contain.
_MODEL_FIELDS = frozenset({1, 2, 3, 4, 5, 7, 8, 14, 25, 26})
_GRAPH, _METADATA = 7, 14
_EXTERNAL_DATA = (13, 14)


class ModelFile(NamedTuple):
    """A model file that has been inspected.

    Attributes:
        content: bytes of the file.
        metadata: metadata entries except the hash.
        sha256: the recorded hash, or None in files from before hashes were written.
        sha256_start: offset of the hash's digits in ``content``.
    """

    content: bytes
    metadata: dict[str, str]
    sha256: str | None
    sha256_start: int

    def compute_sha256(self) -> str:
        """Return the hash of the content, with the hash's own digits taken as zeros."""
        content = memoryview(self.content)
        digest = hashlib.sha256(content[: self.sha256_start])
        digest.update(ZEROS)
        digest.update(content[self.sha256_start + len(ZEROS) :])
        return digest.hexdigest()


def read_model_file(path: Path) -> ModelFile:
    """Read a model file and verify its hash.

    Raises:
        ArtifactError: it cannot be read, is not an ONNX file, stores weights in other files, or has changed since it
            was written.
    """
    try:
        n_bytes = path.stat().st_size
        if n_bytes > MAX_FILE_BYTES:
            raise ArtifactError(f"{path} has {n_bytes:,} bytes, an ONNX file has at most {MAX_FILE_BYTES:,}")
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"Model {path} cannot be read: {error.strerror}") from None
    return read_model_content(content, where=str(path))


def read_model_content(content: bytes, *, where: str) -> ModelFile:
    """Inspect the content of a model file and verify its hash.

    Raises:
        ArtifactError: see `read_model_file`.
    """
    try:
        file = parse_model_file(content)
    except ValueError as error:
        name = identify_format(content)
        if name is not None:
            what = f"{name} data" + (" (torch saves such files)" if name == "zip" else "")
            raise ArtifactError(
                f"{where} is not a loadable ONNX model but {what}. Use a file written by `mien export`"
            ) from None
        raise ArtifactError(
            f"{where} is not a loadable ONNX model: {error}. Copy it again, or use a file written by `mien export`"
        ) from None
    if file.sha256 is not None and file.sha256 != file.compute_sha256():
        raise ArtifactError(
            f"{where} has changed since it was written: the hash in its metadata does not match its content. Copy it "
            "again, or export it again"
        )
    return file


def with_hash(content: bytes) -> bytes:
    """Return a model file with its hash in place of the zeros in its metadata entry `HASH_KEY`.

    Raises:
        ValueError: there is no such entry.
    """
    file = parse_model_file(content)
    if file.sha256 is None:
        raise ValueError(f"the metadata must have an entry {HASH_KEY!r}")
    start = file.sha256_start
    return content[:start] + file.compute_sha256().encode() + content[start + len(ZEROS) :]


def parse_model_file(content: bytes) -> ModelFile:
    """Find the metadata of a model file, and make sure that it contains all its weights.

    Raises:
        ValueError: it is not an ONNX file, or refers to others.
    """
    metadata: dict[str, str] = {}
    sha256_start, messages = 0, [("model", 0, len(content))]
    while messages:
        kind, start, end = messages.pop()
        for number, value_start, value_end in read_fields(content, start, end):
            if kind == "tensor" and number in _EXTERNAL_DATA and content[value_start:value_end] != b"\0":
                raise ValueError("it stores weights in another file, which is not supported")
            if kind == "model" and number not in _MODEL_FIELDS:
                raise ValueError(f"it contains a field ({number}) that no export writes")
            if kind == "model" and number == _METADATA:
                spans = {field: span for field, *span in read_fields(content, value_start, value_end)}
                if set(spans) != {1, 2}:
                    raise ValueError("a metadata entry is not a key and a value")
                key, value = (content[slice(*spans[field])].decode() for field in (1, 2))
                if key in metadata:
                    raise ValueError(f"its metadata has the key {key!r:.40} twice")
                metadata[key] = value
                sha256_start = spans[2][0] if key == HASH_KEY else sha256_start
            elif number in _CHILDREN[kind]:
                messages.append((_CHILDREN[kind][number], value_start, value_end))
    if not any(number == _GRAPH for number, _, _ in read_fields(content, 0, len(content))):
        raise ValueError("it has no graph")
    sha256 = metadata.pop(HASH_KEY, None)
    if sha256 is not None and len(sha256.encode()) != len(ZEROS):
        raise ValueError(f"its {HASH_KEY!r} does not have {len(ZEROS)} digits")
    return ModelFile(content, metadata, sha256, sha256_start)
