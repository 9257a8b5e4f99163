"""Protobuf's wire format, as far as ONNX files need it: fields with their numbers, read and written without a schema.

References:
    [0] https://protobuf.dev/programming-guides/encoding/
"""

from collections.abc import Iterator


def read_fields(content: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yield the number of each field of a protobuf message, and the start and end of its value.

    Raises:
        ValueError: the bytes are not a protobuf message.
    """
    while start < end:
        tag, start = read_varint(content, start)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value_start, (_, start) = start, read_varint(content, start)
        elif wire_type == 2:
            length, value_start = read_varint(content, start)
            start = value_start + length
        elif wire_type in (1, 5):
            value_start, start = start, start + (8 if wire_type == 1 else 4)
        else:
            raise ValueError(f"ONNX does not use wire type {wire_type}, found at byte {start:,}")
        if not number or start > end:
            raise ValueError(f"it is truncated or damaged at byte {min(start, end):,}")
        yield number, value_start, start


def read_varint(content: bytes, start: int) -> tuple[int, int]:
    """Return a variable-length integer and the offset of what follows it."""
    value = 0
    for index in range(start, min(start + 10, len(content))):
        value |= (content[index] & 127) << 7 * (index - start)
        if content[index] < 128:
            return value, index + 1
    raise ValueError(f"it is truncated or damaged at byte {start:,}")


def split_fields(message: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return the number of each field of a message, its bytes, and the bytes of its value, in order.

    The fields' bytes together are the message.

    Raises:
        ValueError: the bytes are not a protobuf message.
    """
    fields, at = [], 0
    for number, start, end in read_fields(message, 0, len(message)):
        fields.append((number, message[at:end], message[start:end]))
        at = end
    return fields


def write_varint(value: int) -> bytes:
    """Return a non-negative integer in protobuf's variable-length form.

    Example:
        >>> write_varint(300).hex()
        'ac02'
    """
    content = bytearray()
    while value >= 128:
        content.append(value & 127 | 128)
        value >>= 7
    return bytes([*content, value])


def write_field(number: int, value: int | str | bytes) -> bytes:
    """Return a field of a message: an integer as a varint, text and bytes with their length before them.

    Example:
        >>> write_field(1, "ab").hex(), write_field(2, 5).hex()
        ('0a026162', '1005')
    """
    if isinstance(value, int):
        return write_varint(number << 3) + write_varint(value)
    content = value.encode() if isinstance(value, str) else value
    return write_varint(number << 3 | 2) + write_varint(len(content)) + content
