// Writes a model file with another expression head, byte for byte as mien.formats.expression_head. Field numbers are those of
// onnx.proto3.

import { withHash } from "../faces/model-hash.ts";
import { field, join, splitFields, type Piece } from "../faces/protobuf.ts";

const [GRAPH, METADATA] = [7, 14];
const [NODE, INITIALIZER, OUTPUT, VALUE_INFO] = [1, 5, 12, 13];
const [NODE_INPUT, NODE_OUTPUT, OPERATOR, ATTRIBUTE] = [1, 2, 4, 5];
const SUBGRAPHS = [6, 11];
const WHAT = "The model";
const NAME_OF = new Map([
  [INITIALIZER, 8],
  [OUTPUT, 1],
  [VALUE_INFO, 1],
]);
const [FLOAT, INT64, INTEGER_ATTRIBUTE] = [1, 7, 2];

/** A linear layer on the features; with `keepsClasses`, its first row stands for "none of the new classes". */
export interface Head {
  weight: ArrayLike<number>[];
  bias: ArrayLike<number>;
  temperature: number;
  keepsClasses: boolean;
}

/** Return the model file with another head and other metadata, the JSON of a `ModelInfo`. */
export async function replaceHead(file: Uint8Array, head: Head, info: string, classes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (const { number, bytes, value } of splitFields(file, WHAT)) {
    if (number === GRAPH) parts.push(field(GRAPH, replaceInGraph(value, head, classes)));
    else if (number !== METADATA) parts.push(bytes);
  }
  for (const [key, text] of [["mien", info], ["mien_sha256", "0".repeat(64)]]) {
    parts.push(field(METADATA, join([field(1, key), field(2, text)])));
  }
  return withHash(join(parts));
}

function replaceInGraph(graph: Uint8Array, head: Head, classes: number): Uint8Array {
  const fields = splitFields(graph, WHAT);
  const nodes = fields.filter(({ number }) => number === NODE).map(({ value }) => splitFields(value, WHAT));
  const outputs = fields.filter(({ number }) => number === OUTPUT).map((output) => nameOf(output));
  const needed = new Set(outputs.filter((name) => name !== "expression"));
  const hasSubgraph = nodes.some((node) =>
    node.some(({ number, value }) => number === ATTRIBUTE && splitFields(value, WHAT).some((part) => SUBGRAPHS.includes(part.number))),
  );
  const kept: Piece[][] = [];
  for (const node of nodes.reverse()) {
    const isNeeded = node.some(({ number, value }) => number === NODE_OUTPUT && needed.has(text(value)));
    if (!head.keepsClasses && !hasSubgraph && !isNeeded) continue;
    kept.unshift(node);
    for (const { number, value } of node) if (number === NODE_INPUT) needed.add(text(value));
  }
  const taken = new Set(needed);
  for (const node of kept) for (const { number, value } of node) if (number === NODE_OUTPUT) taken.add(text(value));
  const writer = new HeadWriter(taken);
  const oldName = writer.unused("kept_expression");
  const parts = kept.map((node) =>
    field(
      NODE,
      join(
        node.map(({ number, bytes, value }) => {
          const isName = number === NODE_INPUT || number === NODE_OUTPUT;
          return isName && text(value) === "expression" ? field(number, oldName) : bytes;
        }),
      ),
    ),
  );
  writer.write(head, oldName);
  for (const part of fields) {
    const name = nameOf(part);
    if (part.number === OUTPUT && name === "expression") parts.push(field(OUTPUT, withClasses(part.value, classes)));
    else if (part.number === INITIALIZER || part.number === VALUE_INFO) {
      if (taken.has(name) && name !== "expression") parts.push(part.bytes);
    } else if (part.number !== NODE) parts.push(part.bytes);
  }
  return join([...parts, ...writer.fields]);
}

/** Return the description of an output `(N, C)` with another C: type, tensor, shape, and two dimensions. */
function withClasses(output: Uint8Array, classes: number): Uint8Array {
  const replace = (message: Uint8Array, path: number[]): Uint8Array => {
    const fields = splitFields(message, WHAT);
    if (!path.length) return join([fields.find(({ number }) => number === 1)!.bytes, field(1, field(1, classes))]);
    return join(
      fields.map(({ number, bytes, value }) =>
        number === path[0] ? field(number, replace(value, path.slice(1))) : bytes,
      ),
    );
  };
  return replace(output, [2, 1, 2]);
}

class HeadWriter {
  readonly fields: Uint8Array[] = [];
  private readonly taken: Set<string>;

  constructor(taken: Set<string>) {
    this.taken = new Set(taken);
  }

  unused(name: string): string {
    while (this.taken.has(name)) name += "_";
    this.taken.add(name);
    return name;
  }

  write(head: Head, kept: string): void {
    const flat = Float32Array.from(head.weight.flatMap((row) => Array.from(row)));
    const weight = this.tensor("network.expression_head.weight", FLOAT, [head.weight.length, head.weight[0].length], flat);
    const bias = this.tensor("network.expression_head.bias", FLOAT, [head.bias.length], Float32Array.from(head.bias));
    const temperature = this.tensor("temperature", FLOAT, [], Float32Array.of(head.temperature));
    const logits = this.node("Gemm", ["features", weight, bias], "logits", ["transB", 1]);
    const scaled = this.node("Div", [logits, temperature], "scaled_logits");
    let last = this.node("Softmax", [scaled], "gate", ["axis", 1]);
    if (head.keepsClasses) {
      const sizes = this.tensor("sizes", INT64, [2], BigInt64Array.of(1n, BigInt(head.bias.length - 1)));
      const [rest, added] = [this.unused("rest"), this.unused("new")];
      this.add("Split", [last, sizes], [rest, added], ["axis", 1]);
      const old = this.node("Mul", [kept, rest], "rest_expression");
      last = this.node("Concat", [old, added], "joined", ["axis", 1]);
    }
    this.add("Identity", [last], ["expression"]);
  }

  private tensor(name: string, type: number, sizes: number[], values: ArrayBufferView<ArrayBuffer>): string {
    const unused = this.unused(name);
    const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    const parts = [...sizes.map((size) => field(1, size)), field(2, type), field(8, unused), field(9, data)];
    this.fields.push(field(INITIALIZER, join(parts)));
    return unused;
  }

  private node(operator: string, inputs: string[], output: string, ...attributes: [string, number][]): string {
    const name = this.unused(output);
    this.add(operator, inputs, [name], ...attributes);
    return name;
  }

  private add(operator: string, inputs: string[], outputs: string[], ...attributes: [string, number][]): void {
    const parts = [
      ...inputs.map((name) => field(NODE_INPUT, name)),
      ...outputs.map((name) => field(NODE_OUTPUT, name)),
      field(OPERATOR, operator),
      ...attributes.map(([name, value]) =>
        field(ATTRIBUTE, join([field(1, name), field(3, value), field(20, INTEGER_ATTRIBUTE)])),
      ),
    ];
    this.fields.push(field(NODE, join(parts)));
  }
}

function nameOf({ number, value }: Piece): string {
  const wanted = NAME_OF.get(number);
  const found = wanted && splitFields(value, WHAT).find((part) => part.number === wanted);
  return found ? text(found.value) : "";
}

function text(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}
