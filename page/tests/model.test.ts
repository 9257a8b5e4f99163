// The page's runtime predicts what Python predicts.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { cropMatrix, cropImage, resizeCrop } from "../src/faces/crop.ts";
import { Model, checkInfo, presentFrom, unitsOf, type ModelInfo } from "../src/faces/model.ts";
import { withDynamicAxes } from "../src/faces/dynamic-axes.ts";
import { readInfo } from "../src/faces/metadata.ts";
import { requireUnchanged } from "../src/faces/model-hash.ts";
import { fromRgba } from "../src/faces/pixels.ts";
import { orRelease } from "../src/faces/runtime.ts";
import { ModelsInUse } from "../src/models-in-use.ts";
import { Mien } from "../package/index.ts";
import { golden, modelFile, image } from "./golden.ts";

ort.env.wasm.numThreads = 1;

test("predictions match those of Python", async (context) => {
  const [first] = golden.readings;
  const info: ModelInfo = {
    format_version: 2,
    classes: golden.classes,
    crop: first.crop,
    input_size: first.input_size,
    tasks: first.landmarks ? ["expression", "landmarks"] : ["expression"],
  };
  const model = await Model.load(ort, modelFile(), info);
  const crops = golden.readings.map((entry) => {
    const face = { anchors: entry.anchors, box: entry.box_xyxy };
    const { matrix } = cropMatrix(entry.crop, image.width, image.height, face);
    return resizeCrop(cropImage(image, matrix, entry.crop.size), entry.input_size);
  });
  let largest = 0;
  let farthest = 0;
  (await model.run(crops)).forEach((outputs, number) => {
    const expected = golden.readings[number];
    outputs.probabilities.forEach((value, index) => {
      largest = Math.max(largest, Math.abs(value - expected.probabilities[index]));
    });
    outputs.landmarks?.forEach(([x, y], index) => {
      farthest = Math.max(farthest, Math.hypot(x - expected.landmarks![index][0], y - expected.landmarks![index][1]));
    });
  });
  context.diagnostic(`probabilities within ${largest.toFixed(5)}, landmarks within ${farthest.toFixed(5)} of the side`);
  assert.ok(largest <= 0.02, `probabilities differ by ${largest}`);
  assert.ok(farthest <= 0.01, `landmarks differ by ${farthest}`);
});

/** A model file with its hash in its metadata, as `mien export` writes it. */
function withHash(content: Uint8Array): Buffer {
  const entry = (digits: string) => Buffer.from(`\x72\x4f\x0a\x0bmien_sha256\x12\x40${digits}`, "latin1");
  const zeroed = Buffer.concat([content, entry("0".repeat(64))]);
  return Buffer.concat([content, entry(createHash("sha256").update(zeroed).digest("hex"))]);
}

for (const isSecure of [true, false]) {
  test(`a model file that has changed is refused, ${isSecure ? "on https" : "on http"}`, async (context) => {
    const { subtle } = globalThis.crypto;
    context.after(() => Object.defineProperty(globalThis.crypto, "subtle", { value: subtle, configurable: true }));
    if (!isSecure) Object.defineProperty(globalThis.crypto, "subtle", { value: undefined, configurable: true });
    const file = withHash(modelFile());
    const start = performance.now();
    await requireUnchanged(file);
    context.diagnostic(`verified ${file.length} bytes in ${(performance.now() - start).toFixed(1)} ms`);
    for (const at of [100, file.length >> 1, file.length - 1]) {
      const changed = Buffer.from(file);
      changed[at] ^= 1;
      await assert.rejects(requireUnchanged(changed), /has changed since it was written/);
    }
    await requireUnchanged(modelFile()); // without a hash
  });
}

test("a model is not loaded from a file that has changed", async () => {
  const changed = withHash(modelFile());
  changed[changed.length >> 1] ^= 1;
  const info = { format_version: 2, classes: golden.classes, crop: {}, input_size: 48, tasks: [] } as unknown as ModelInfo;
  await assert.rejects(Model.load(ort, changed, info), /has changed since it was written/);
});

/** onnxruntime, with the number of sessions that are open. */
function counting(): { runtime: typeof ort; open: () => number } {
  let count = 0;
  const create = async (...parameters: [Uint8Array]): Promise<ort.InferenceSession> => {
    const session = await ort.InferenceSession.create(...parameters);
    count++;
    return new Proxy(session, {
      get: (it, key) => (key === "release" ? () => (count--, it.release()) : typeof it[key as "run"] === "function" ? it[key as "run"].bind(it) : it[key as "run"]),
    });
  };
  return { runtime: { ...ort, InferenceSession: { create } } as unknown as typeof ort, open: () => count };
}

const bundled = join(process.cwd(), "..", "src", "mien", "assets", "models", "mien-nano.onnx");

test("what cannot be used gives back its memory", async () => {
  const { runtime, open } = counting();
  const changed = withHash(modelFile());
  changed[changed.length >> 1] ^= 1;
  await assert.rejects(Model.load(runtime, changed, {} as ModelInfo), /has changed/);
  await assert.rejects(Model.load(runtime, modelFile(), {} as ModelInfo), /format version/);
  const file = readFileSync(bundled);
  await assert.rejects(Mien.load(runtime, { model: file, detector: file }), /The detector is not YuNet/);
  assert.equal(open(), 0);
  const model = await Model.load(runtime, file, { ...readInfo(file), classes: ["Happy"], class_fractions: null });
  await assert.rejects(orRelease(model, () => model.requireOutputs()), /must be 1 numbers/);
  assert.equal(open(), 0);
});

test("of the models of the page, only those that may be used again are kept", () => {
  const released: string[] = [];
  const named = (name: string) => ({ model: { name, release: async () => void released.push(name) }, file: new Uint8Array() });
  const [own, opened, other] = [named("own"), named("opened"), named("other")];
  const models = new ModelsInUse(own);
  models.use(own, named("taught"));
  models.use(own, named("again"));
  models.use(own);
  assert.deepEqual([released.splice(0), models.current.model.name], [["taught", "again"], "own"]);
  models.use(opened);
  models.use(opened, named("taught"));
  models.use(opened);
  assert.deepEqual([released.splice(0), models.current.model.name], [["taught"], "opened"]);
  models.use(opened, named("taught"));
  models.use(other);
  models.use(own);
  models.use(own);
  assert.deepEqual([released, models.current.model.name], [["opened", "taught", "other"], "own"]);
});

test("a Buffer of Node is not written to", async () => {
  const model = readFileSync(bundled);
  const before = new Uint8Array(model);
  for (let times = 0; times < 2; times++) {
    await (await Model.load(ort, model, readInfo(model))).release();
    assert.deepEqual(new Uint8Array(model), before);
  }
  // Parts of a detector's file: a graph with an input of 640 pixels, which is to be replaced by a name.
  const file = Buffer.from([0x3a, 9, 0x5a, 7, 0x0a, 3, 0x08, 0x80, 0x05, 0x10, 1]);
  const rewritten = withDynamicAxes(file);
  assert.deepEqual([...rewritten.subarray(6, 9)], [0x12, 1, 97]);
  assert.deepEqual([...withDynamicAxes(file)], [...rewritten]);
  const odd = Buffer.from([0, 9, 8, 7, 255, 1, 2, 3, 0]).subarray(1);
  assert.deepEqual([...fromRgba(odd, 2, 1).rgb], [9, 8, 7, 0, 0, 0]);
});

test("action units need names, and are those of the metadata", () => {
  const info = { format_version: 2, classes: ["Happy"], crop: { method: "aligned", size: 48 }, input_size: 48, tasks: ["expression", "action_units"] } as unknown as ModelInfo;
  assert.throws(() => checkInfo(info), /no names of its action units/);
  const units = { names: ["AU06"], kind: "intensity" as const };
  assert.deepEqual(unitsOf(checkInfo({ ...info, annotations: { action_units: units } })), units);
  assert.equal(presentFrom(units), 2);
  assert.equal(unitsOf({ ...info, tasks: ["expression"] }), null);
});

test("metadata that no export writes is rejected", () => {
  const info = { format_version: 2, classes: ["Happy", "Sad"], crop: { method: "aligned", size: 48 }, input_size: 48, tasks: ["expression"] };
  for (const [change, reason] of [
    [{}, null],
    [{ classes: ["Happy", "Happy"] }, /classes, with different names/],
    [{ classes: [] }, /classes/],
    [{ classes: [1, 2] }, /classes/],
    [{ tasks: ["landmarks"] }, /include expression/],
    [{ tasks: ["expression", "age"] }, /include expression/],
    [{ quality_rule: { limits: {} } }, /limits and right answers/],
    [{ crop: null }, /crop must have/],
    [{ crop: { method: "round", size: 48 } }, /crop must have/],
    [{ input_size: 5000 }, /1 to 1024 pixels/],
    [{ input_size: "48" }, /1 to 1024 pixels/],
  ] as [object, RegExp | null][]) {
    const check = () => checkInfo({ ...info, ...change } as unknown as ModelInfo);
    if (reason) assert.throws(check, reason, JSON.stringify(change));
    else check();
  }
  assert.throws(() => checkInfo(null as unknown as ModelInfo), /format version/);
});

test("outputs must be as the metadata announces them", async () => {
  const [aligned] = golden.readings;
  const { crop, input_size } = aligned;
  const given = { format_version: 2, classes: golden.classes, crop, input_size, tasks: ["expression"] };
  const load = (change: object) => Model.load(ort, modelFile(), { ...given, ...change } as unknown as ModelInfo);
  await (await load({})).requireOutputs();
  await assert.rejects(load({ classes: golden.classes.slice(1) }).then((model) => model.requireOutputs()), /`expression` must be 7 numbers by its metadata, it is 8/);
  await assert.rejects(load({ tasks: ["expression", "valence_arousal"] }).then((model) => model.requireOutputs()), /valence_arousal/);
});

test("other format versions are rejected", () => {
  assert.throws(() => checkInfo({ format_version: 1 } as ModelInfo), /format version 1/);
});
