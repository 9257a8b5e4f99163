// YuNet's file declares a fixed input size of 640 x 640, though the network accepts any multiple of 32. OpenCV ignores the
// declaration; for onnxruntime it is removed here: inputs and outputs get dynamic axes, and intermediate shapes are dropped.
//
// ONNX is a protobuf message. ModelProto.graph is field 7; in GraphProto value_info is 13, input 11, output 12.

const GRAPH = 7;
const VALUE_INFO = 13;
const INPUT = 11;
const OUTPUT = 12;

interface Field {
  number: number;
  /** Offset of the field, including its tag. */
  start: number;
  contentStart: number;
  end: number;
}

/** Return the model with dynamic axes. A model that has them already is unchanged. */
export function withDynamicAxes(model: Uint8Array): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (const field of fieldsOf(model, 0, model.length)) {
    if (field.number !== GRAPH) {
      pieces.push(model.subarray(field.start, field.end));
      continue;
    }
    const graph = rewriteGraph(model, field);
    pieces.push(Uint8Array.of((GRAPH << 3) | 2), varint(graph.length), graph);
  }
  return join(pieces);
}

function rewriteGraph(model: Uint8Array, graph: Field): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (const field of fieldsOf(model, graph.contentStart, graph.end)) {
    if (field.number === VALUE_INFO) continue;
    const bytes = model.slice(field.start, field.end);
    if (field.number === INPUT || field.number === OUTPUT) makeDimensionsDynamic(bytes);
    pieces.push(bytes);
  }
  return join(pieces);
}

/** Replace each dimension of 128 or more by a name. Both encodings take three bytes: `08 lo hi` and `12 01 letter`. */
function makeDimensionsDynamic(bytes: Uint8Array): void {
  let letter = 97;
  for (let at = 0; at + 5 <= bytes.length; at++) {
    const isDimension = bytes[at] === 0x0a && bytes[at + 1] === 3 && bytes[at + 2] === 0x08;
    if (isDimension && bytes[at + 3] >= 128 && bytes[at + 4] < 128) bytes.set([0x12, 1, letter++], at + 2);
  }
}

function* fieldsOf(bytes: Uint8Array, start: number, end: number): Generator<Field> {
  let at = start;
  while (at < end) {
    const fieldStart = at;
    const tag = readVarint(bytes, at);
    at = tag.end;
    let contentStart = at;
    const wireType = tag.value & 7;
    if (wireType === 0) at = readVarint(bytes, at).end;
    else if (wireType === 1) at += 8;
    else if (wireType === 5) at += 4;
    else if (wireType === 2) {
      const length = readVarint(bytes, at);
      contentStart = length.end;
      at = length.end + length.value;
    } else throw new Error(`The detector is not an ONNX file: invalid wire type ${wireType}`);
    if (at > end) throw new Error("The detector's file is truncated");
    yield { number: Math.floor(tag.value / 8), start: fieldStart, contentStart, end: at };
  }
}

function readVarint(bytes: Uint8Array, start: number): { value: number; end: number } {
  let value = 0;
  let scale = 1;
  let at = start;
  for (;;) {
    const byte = bytes[at++];
    if (byte === undefined) throw new Error("The detector's file is truncated");
    value += (byte & 127) * scale;
    if (byte < 128) return { value, end: at };
    scale *= 128;
  }
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) | 128);
    rest = Math.floor(rest / 128);
  }
  bytes.push(rest);
  return Uint8Array.from(bytes);
}

function join(pieces: Uint8Array[]): Uint8Array {
  const result = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    result.set(piece, at);
    at += piece.length;
  }
  return result;
}
