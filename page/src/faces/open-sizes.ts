// YuNet's file names one size, 640 x 640, though the network takes any that 32 divides. OpenCV overlooks the size; for
// onnxruntime it is taken out here: input and outputs get open sizes, and what the file says of the sizes in between goes.
//
// ONNX is a protobuf message. ModelProto.graph is field 7; in GraphProto value_info is 13, input 11, output 12.

const GRAPH = 7;
const VALUE_INFO = 13;
const INPUT = 11;
const OUTPUT = 12;

interface Field {
  number: number;
  /** Of the whole field, with its tag. */
  start: number;
  contentStart: number;
  end: number;
}

/** Return the model with open sizes. A model that has them already is returned as it is. */
export function openSizes(model: Uint8Array): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (const field of fieldsOf(model, 0, model.length)) {
    if (field.number !== GRAPH) {
      pieces.push(model.subarray(field.start, field.end));
      continue;
    }
    const graph = openGraph(model, field);
    pieces.push(Uint8Array.of((GRAPH << 3) | 2), varint(graph.length), graph);
  }
  return join(pieces);
}

function openGraph(model: Uint8Array, graph: Field): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (const field of fieldsOf(model, graph.contentStart, graph.end)) {
    if (field.number === VALUE_INFO) continue;
    const bytes = model.slice(field.start, field.end);
    if (field.number === INPUT || field.number === OUTPUT) openDimensions(bytes);
    pieces.push(bytes);
  }
  return join(pieces);
}

/** Replace each dimension of 128 or more by a name. Both are three bytes: `08 lo hi`, or `12 01 letter`. */
function openDimensions(bytes: Uint8Array): void {
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
    const kind = tag.value & 7;
    if (kind === 0) at = readVarint(bytes, at).end;
    else if (kind === 1) at += 8;
    else if (kind === 5) at += 4;
    else if (kind === 2) {
      const length = readVarint(bytes, at);
      contentStart = length.end;
      at = length.end + length.value;
    } else throw new Error(`The detector is no ONNX file: field of kind ${kind}`);
    if (at > end) throw new Error("The detector's file is cut short");
    yield { number: Math.floor(tag.value / 8), start: fieldStart, contentStart, end: at };
  }
}

function readVarint(bytes: Uint8Array, start: number): { value: number; end: number } {
  let value = 0;
  let scale = 1;
  let at = start;
  for (;;) {
    const byte = bytes[at++];
    if (byte === undefined) throw new Error("The detector's file is cut short");
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
