// The page's runtime predicts what Python predicts.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { cropMatrix, cropImage, resizeCrop } from "../src/faces/crop.ts";
import { Model, checkInfo, presentFrom, unitsOf, type ModelInfo } from "../src/faces/model.ts";
import { requireUnchanged } from "../src/faces/model-hash.ts";
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
