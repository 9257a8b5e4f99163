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
