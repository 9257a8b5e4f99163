// The little of protobuf that reading and rewriting an ONNX file takes.

export interface Field {
  number: number;
  /** Offset of the field, including its tag. */
  start: number;
  contentStart: number;
  end: number;
}

/** Yield the fields of a message. `what` names the file in errors, such as "The detector". */
export function* fieldsOf(bytes: Uint8Array, start: number, end: number, what: string): Generator<Field> {
  let at = start;
  while (at < end) {
    const fieldStart = at;
    const tag = readVarint(bytes, at, what);
    at = tag.end;
    let contentStart = at;
    const wireType = tag.value & 7;
    if (wireType === 0) at = readVarint(bytes, at, what).end;
    else if (wireType === 1) at += 8;
    else if (wireType === 5) at += 4;
    else if (wireType === 2) {
      const length = readVarint(bytes, at, what);
      contentStart = length.end;
      at = length.end + length.value;
    } else throw new Error(`${what} is not an ONNX file: invalid wire type ${wireType}`);
    if (at > end) throw new Error(`${what}'s file is truncated`);
    yield { number: Math.floor(tag.value / 8), start: fieldStart, contentStart, end: at };
  }
}

function readVarint(bytes: Uint8Array, start: number, what: string): { value: number; end: number } {
  let value = 0;
  let scale = 1;
  let at = start;
  for (;;) {
    const byte = bytes[at++];
    if (byte === undefined) throw new Error(`${what}'s file is truncated`);
    value += (byte & 127) * scale;
    if (byte < 128) return { value, end: at };
    scale *= 128;
  }
}

/** A field whose bytes and value are cut out of its message. */
export interface Piece {
  number: number;
  /** The field with its tag. */
  bytes: Uint8Array;
  value: Uint8Array;
}

/** Return the fields of a message in order; their bytes together are the message. */
export function splitFields(message: Uint8Array, what: string): Piece[] {
  return Array.from(fieldsOf(message, 0, message.length, what), ({ number, start, contentStart, end }) => ({
    number,
    bytes: message.subarray(start, end),
    value: message.subarray(contentStart, end),
  }));
}

/** Return a field: an integer as a varint, text and bytes with their length before them. */
export function field(number: number, value: number | string | Uint8Array): Uint8Array {
  if (typeof value === "number") return Uint8Array.from([...varint(number * 8), ...varint(value)]);
  const content = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return join([Uint8Array.from([...varint(number * 8 + 2), ...varint(content.length)]), content]);
}

export function join(pieces: Uint8Array[]): Uint8Array {
  const result = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    result.set(piece, at);
    at += piece.length;
  }
  return result;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return [...bytes, value];
}
