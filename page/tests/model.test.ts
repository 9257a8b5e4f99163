// The page's runtime predicts what Python predicts.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { cropMatrix, cropImage, resizeCrop } from "../src/faces/crop.ts";
import { Model, checkInfo, presentFrom, unitsOf, type ModelInfo } from "../src/faces/model.ts";
import { golden, modelFile, image } from "./golden.ts";

ort.env.wasm.numThreads = 1;

test("predictions match those of Python", async (context) => {
  const [first] = golden.readings;
  const info: ModelInfo = {
    format_version: 1,
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

test("action units need names, and are those of the metadata", () => {
  const info = { format_version: 1, classes: ["Happy"], crop: {}, input_size: 48, tasks: ["expression", "action_units"] } as unknown as ModelInfo;
  assert.throws(() => checkInfo(info), /no names of its action units/);
  const units = { names: ["AU06"], kind: "intensity" as const };
  assert.deepEqual(unitsOf(checkInfo({ ...info, annotations: { action_units: units } })), units);
  assert.equal(presentFrom(units), 2);
  assert.equal(unitsOf({ ...info, tasks: ["expression"] }), null);
});

test("other format versions are rejected", () => {
  assert.throws(() => checkInfo({ format_version: 2 } as ModelInfo), /format version 2/);
});
