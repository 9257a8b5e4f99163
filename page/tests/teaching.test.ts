// A lesson in the page is the lesson of Python: golden files written by tests/golden/make.py.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { Model, type ModelInfo } from "../src/faces/model.ts";
import { assignFolds, crossValidate, fitTemperature, measure } from "../src/teaching/cross-validation.ts";
import { replaceHead } from "../src/teaching/head.ts";
import { groupAlike, teach, thumbnailOf, type Shot } from "../src/teaching/lesson.ts";
import { logitsOf, logSoftmax } from "../src/teaching/regression.ts";
import { golden, modelFile } from "./golden.ts";
import { modelInfo } from "./site.ts";

interface LessonCase {
  n_features: number;
  features: number[][];
  labels: number[];
  groups: number[];
  shares: number[];
  folds: number[];
  strength: number;
  probabilities: number[][];
  layer_probabilities: number[][];
  temperature: number;
  balanced_accuracy_ci95: [number, number];
  files: Record<"new" | "kept", { info: string; sha256: string }>;
}

const folder = join(process.cwd(), "..", "tests", "golden");
const lesson = JSON.parse(readFileSync(join(folder, "teach.json"), "utf8")) as LessonCase;

function largestDifference(logits: number[][], expected: number[][]): number {
  const differences = logits.map((row, face) => logSoftmax(row).map((log, at) => Math.abs(Math.exp(log) - expected[face][at])));
  return Math.max(...differences.flat());
}

test("folds, strength, layer, temperature and interval are those of Python", (context) => {
  const { features, labels, groups, shares } = lesson;
  const folds = assignFolds(labels, groups, 4);
  assert.deepEqual(folds, lesson.folds);
  const found = crossValidate(features, labels, folds, shares);
  assert.ok(Math.abs(found.strength / lesson.strength - 1) < 1e-9);
  const differences = [
    largestDifference(found.logits, lesson.probabilities),
    largestDifference(features.map((row) => logitsOf(found.layer, row)), lesson.layer_probabilities),
  ];
  context.diagnostic(`probabilities within ${Math.max(...differences).toExponential(1)}`);
  assert.ok(Math.max(...differences) < 1e-3);
  const temperature = fitTemperature(found.logits, labels, shares);
  assert.ok(Math.abs(temperature / lesson.temperature - 1) < 1e-2, `${temperature}, ${lesson.temperature}`);
  const predicted = found.logits.map((row) => row.indexOf(Math.max(...row)));
  measure(labels, predicted, 3).interval.forEach((limit, side) => {
    assert.ok(Math.abs(limit - lesson.balanced_accuracy_ci95[side]) < 1e-9);
  });
});

for (const kind of ["new", "kept"] as const) {
  test(`a file with ${kind} classes is Python's, byte for byte`, async () => {
    const { info, sha256 } = lesson.files[kind];
    const { classes } = JSON.parse(info) as ModelInfo;
    const weight = [0, 1, 2].map((row) => Array.from({ length: lesson.n_features }, (_, at) => (((row * 31 + at * 7) % 23) - 11) / 64));
    const head = { weight, bias: [0, 0.25, 0.5], temperature: 1.5, keepsClasses: kind === "kept" };
    const file = await replaceHead(modelFile(), head, info, classes.length);
    assert.equal(createHash("sha256").update(file).digest("hex"), sha256);
  });
}

/** Shots whose features tell their class, with thumbnails of noise. */
function makeShots(names: string[], count: number, isAlike = false): Shot[] {
  let seed = 1;
  const random = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
  return names.flatMap((label, number) =>
    Array.from({ length: count }, () => ({
      label,
      features: Float32Array.from({ length: lesson.n_features }, (_, at) => random() + (at % names.length === number ? 1 : 0)),
      probabilities: golden.classes.map(() => 1 / golden.classes.length),
      thumbnail: Float32Array.from({ length: 256 }, (_, at) => (isAlike ? Math.sin(at) + 0.01 * random() : random())),
    })),
  );
}

const limits = Object.fromEntries(golden.classes.map((name) => [name, 0.5]));
const training = { dev: { n: 900, accuracy: 0.9 }, n_parameters: 1, taught: { folds: 3 }, recipe: { seed: 1 } };
const quantization = { method: "static", gate: { accuracy: 0.9 } };
const base = { ...modelInfo(), label_sets: { coverage: 0.9, limits }, training, quantization } as ModelInfo;

/** The fields of Python's class, which refuses a file with others. */
function fieldsOfModelInfo(): string[] {
  const source = readFileSync(join(process.cwd(), "..", "src", "mien", "formats", "onnx_model.py"), "utf8");
  const [, body] = /^class ModelInfo:$([\s\S]*?)^    def /m.exec(source)!;
  return [...body.matchAll(/^    (\w+):/gm)].map(([, name]) => name);
}

test("a taught file runs, says what it was taught on, and keeps the odds of the kept classes", async () => {
  const lessonOf = async (names: string[], keepsClasses: boolean) => {
    const result = await teach(modelFile(), base, makeShots(names, 8), keepsClasses);
    assert.ok(!("reason" in result), JSON.stringify(result));
    return result;
  };
  const fresh = await lessonOf(["yawn", "Happy"], false);
  assert.deepEqual(fresh.info.classes, ["Happy", "yawn"]);
  assert.deepEqual(fresh.info.class_fractions, [0.5, 0.5]);
  const kept = await lessonOf(["yawn", "Happy"], true);
  assert.deepEqual(kept.info.classes, [...golden.classes, "yawn"]);
  assert.ok(Math.abs(kept.info.class_fractions!.reduce((sum, value) => sum + value, 0) - 1) < 1e-9);
  const size = base.input_size;
  const crop = { width: size, height: size, rgb: Uint8Array.from({ length: size * size * 3 }, (_, at) => (at * 37) % 251) };
  const original = await Model.load(ort, modelFile(), base);
  const [before] = await original.run([crop]);
  const [after] = await (await Model.load(ort, kept.file, kept.info)).run([crop]);
  const rest = 1 - after.probabilities[golden.classes.length];
  before.probabilities.forEach((value, index) => assert.ok(Math.abs(after.probabilities[index] - rest * value) < 1e-4));
  assert.deepEqual(after.landmarks, before.landmarks);
  assert.equal(kept.info.label_sets, null);
  const [, metadata] = /(\{"classes":.*\})r/s.exec(Buffer.from(kept.file).toString("latin1"))!;
  const fields = fieldsOfModelInfo();
  assert.ok(fields.includes("format_version") && fields.length > 8, fields.join());
  const written = JSON.parse(metadata);
  assert.deepEqual(Object.keys(written).filter((key) => !fields.includes(key)), []);
  assert.deepEqual(written.quantization, { method: "static" });
  assert.deepEqual(Object.keys(written.training).sort(), ["dev", "pack", "recipe", "selection", "taught"]);
  assert.deepEqual([written.training.dev.n, written.training.taught.earlier], [16, { folds: 3 }]);
  const text = Buffer.from(kept.file).toString("latin1");
  assert.match(text, /"taught":/);
  assert.doesNotMatch(text, /# Card/);
});

test("too little to learn from is refused with the numbers", async () => {
  const reasonOf = (shots: Shot[], keepsClasses = false) => teach(modelFile(), base, shots, keepsClasses);
  assert.deepEqual(await reasonOf(makeShots(["yawn"], 8)), { reason: "classes" });
  assert.deepEqual(await reasonOf(makeShots(["Happy"], 8), true), { reason: "classes" });
  assert.deepEqual(await reasonOf(makeShots(["yawn", "Unsure"], 8)), { reason: "unsure" });
  assert.deepEqual(await reasonOf(makeShots(["happy "], 8), true), { reason: "spelling", name: "happy ", other: "Happy" });
  assert.deepEqual(await reasonOf(makeShots(["yawn", "Happy"], 4)), { reason: "few", name: "Happy", count: 4 });
  assert.deepEqual(await reasonOf(makeShots(["yawn"], 8), true), { reason: "few", name: "", count: 0 });
  const alike = (await reasonOf(makeShots(["yawn", "Happy"], 8, true))) as { reason: string };
  assert.equal(alike.reason, "alike");
  const shots = makeShots(["yawn"], 24).map((shot, at) => ({ ...shot, label: at % 2 ? "a" : "b" }));
  const refused = (await reasonOf(shots)) as { reason: string; chance: number };
  assert.deepEqual([refused.reason, refused.chance], ["evidence", 0.5]);
});

test("faces that look nearly the same are one group", () => {
  const noise = (shift: number): Float32Array => Float32Array.from({ length: 256 }, (_, at) => Math.sin(at * at + shift));
  const brighter = noise(0).map((value) => 2 * value + 5);
  assert.deepEqual(groupAlike([noise(0), noise(40), brighter, noise(80)]), [0, 1, 0, 3]);
  const rgb = new Uint8Array(48 * 48 * 3).fill(90);
  assert.deepEqual([...thumbnailOf({ width: 48, height: 48, rgb })], Array(256).fill(90));
});
