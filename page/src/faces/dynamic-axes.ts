// YuNet's file declares a fixed input size of 640 x 640, though the network accepts any multiple of 32. OpenCV ignores the
// declaration; for onnxruntime it is removed here: inputs and outputs get dynamic axes, and intermediate shapes are dropped.
//
// ONNX is a protobuf message. ModelProto.graph is field 7; in GraphProto value_info is 13, input 11, output 12.

import { field, join, splitFields } from "./protobuf.ts";

const WHAT = "The detector";
const GRAPH = 7;
const VALUE_INFO = 13;
const INPUT = 11;
const OUTPUT = 12;

/** Return the model with dynamic axes. A model that has them already is unchanged. */
export function withDynamicAxes(model: Uint8Array): Uint8Array {
  const pieces = splitFields(model, WHAT).map(({ number, bytes, value }) =>
    number === GRAPH ? field(GRAPH, rewriteGraph(value)) : bytes,
  );
  return join(pieces);
}

function rewriteGraph(graph: Uint8Array): Uint8Array {
  const pieces: Uint8Array[] = [];
  for (const { number, bytes } of splitFields(graph, WHAT)) {
    if (number === VALUE_INFO) continue;
    // Not `slice`, which for a Buffer of Node is a view.
    const copy = new Uint8Array(bytes);
    if (number === INPUT || number === OUTPUT) makeDimensionsDynamic(copy);
    pieces.push(copy);
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
