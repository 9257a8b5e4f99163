// YuNet's file declares a fixed input size of 640 x 640, though the network accepts any multiple of 32. OpenCV ignores the
// declaration; for onnxruntime it is removed here: inputs and outputs get dynamic axes, and intermediate shapes are dropped.
//
// ONNX is a protobuf message. ModelProto.graph is field 7; in GraphProto value_info is 13, input 11, output 12.

import { fieldsOf, type Field } from "./protobuf.ts";

const WHAT = "The detector";
const GRAPH = 7;
const VALUE_INFO = 13;
const INPUT = 11;
const OUTPUT = 12;

/** Return the model with dynamic axes. A model that has them already is unchanged. */
export function withDynamicAxes(model: Uint8Array): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (const field of fieldsOf(model, 0, model.length, WHAT)) {
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
  for (const field of fieldsOf(model, graph.contentStart, graph.end, WHAT)) {
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
