// Teaching: from labeled faces to a model file with other classes, as mien.inference.teaching.lesson does.

import type { ModelInfo } from "../faces/model.ts";
import type { Image } from "../faces/pixels.ts";
import { assignFolds, crossValidate, fitTemperature, measure, MAX_FOLDS, MIN_FOLDS, MIN_SHOTS, wilson } from "./cross-validation.ts";
import { refuseNames } from "./class-names.ts";
import { replaceHead } from "./head.ts";

/** A face to learn from. */
export interface Shot {
  label: string;
  features: Float32Array;
  /** The model's own probabilities. */
  probabilities: number[];
  /** The crop in grayscale, small: to tell which faces are nearly the same. */
  thumbnail: Float32Array;
}

/** Why nothing was taught. */
export type Refusal =
  | { reason: "classes" }
  | { reason: "unsure" }
  | { reason: "spelling"; name: string; other: string }
  | { reason: "few"; name: string; count: number }
  | { reason: "alike"; name: string; count: number }
  | { reason: "evidence"; mean: number; interval: [number, number]; chance: number };

export interface Lesson {
  file: Uint8Array;
  info: ModelInfo;
  mean: number;
  interval: [number, number];
  chance: number;
  count: number;
}

// Faces whose thumbnails correlate by more are one group: frames of a camera that differ by a small movement.
const ALIKE = 0.95;
// The fields of mien.formats.onnx_model.ModelInfo, in its order: a model file with others is refused.
const METADATA_KEYS = ["classes", "crop", "input_size", "tasks", "temperature", "training", "license", "quantization", "annotations", "quality_rule", "format_version"];
/** Stands for the faces of all kept classes, in the numbers of a refusal. */
export const REST = "";

/** Teach a model; `keepsClasses` keeps its classes beside the new ones. */
export async function teach(
  file: Uint8Array,
  base: ModelInfo,
  shots: Shot[],
  keepsClasses: boolean,
): Promise<Lesson | Refusal> {
  const isKept = (name: string): boolean => keepsClasses && base.classes.includes(name);
  const added = [...new Set(shots.map(({ label }) => label))].filter((name) => !isKept(name));
  const names = orderedLike(base.classes, added);
  const rows = keepsClasses ? [REST, ...names] : names;
  const classes = keepsClasses ? [...base.classes, ...names] : names;
  const refusal = refuseNames(classes);
  if (refusal) return refusal;
  if (rows.length < 2) return { reason: "classes" };
  const labels = shots.map(({ label }) => (isKept(label) ? 0 : rows.indexOf(label)));
  const groups = groupAlike(shots.map(({ thumbnail }) => thumbnail));
  const counts = rows.map((_, row) => labels.filter((label) => label === row).length);
  const few = counts.findIndex((count) => count < MIN_SHOTS);
  if (few >= 0) return { reason: "few", name: rows[few], count: counts[few] };
  const distinct = (values: number[], row: number): number => new Set(values.filter((_, at) => labels[at] === row)).size;
  const folds = assignFolds(
    labels,
    groups,
    Math.max(MIN_FOLDS, Math.min(MAX_FOLDS, ...rows.map((_, row) => distinct(groups, row)))),
  );
  const alike = rows.findIndex((_, row) => distinct(folds, row) < MIN_FOLDS);
  if (alike >= 0) return { reason: "alike", name: rows[alike], count: distinct(folds, alike) };

  const shares = rows.map(() => 1 / classes.length);
  shares[0] += 1 - shares.reduce((sum, value) => sum + value, 0);
  const found = crossValidate(shots.map(({ features }) => features), labels, folds, shares);
  const temperature = fitTemperature(found.logits, labels, shares);
  const predicted = found.logits.map((logits, at) => {
    const powers = logits.map((value) => Math.exp((value - Math.max(...logits)) / temperature));
    if (keepsClasses) powers[0] *= Math.max(...shots[at].probabilities);
    return powers.indexOf(Math.max(...powers));
  });
  const { recalls, mean, interval } = measure(labels, predicted, rows.length);
  const chance = 1 / rows.length;
  const hits = predicted.filter((row, at) => row === labels[at]).length;
  if (interval[0] <= chance) return { reason: "evidence", mean, interval, chance };
  const pack = { ...(base.training?.pack as Record<string, unknown> | undefined) };
  delete pack.train_counts;
  const fractions = keepsClasses
    ? base.class_fractions && [...base.class_fractions.map((value) => value * base.classes.length), ...names.map(() => 1)]
    : classes.map(() => 1);
  if (fractions) pack.class_fractions = fractions.map((value) => value / classes.length);
  else delete pack.class_fractions;
  const taught = {
    model: base.name ?? "",
    kept_classes: keepsClasses ? base.classes : [],
    merged: {},
    strength: found.strength,
    folds: new Set(folds).size,
    cross_validation: {
      n: shots.length,
      classes: Object.fromEntries(
        rows.map((name, row) => [
          name || "none of the new classes",
          { n: counts[row], groups: distinct(groups, row), recall: recalls[row] },
        ]),
      ),
      accuracy: hits / shots.length,
      accuracy_ci95: wilson(hits, shots.length),
      majority_accuracy: Math.max(...counts) / shots.length,
      balanced_accuracy: mean,
      balanced_accuracy_ci95: interval,
      majority_balanced_accuracy: chance,
    },
  };
  const training: Record<string, unknown> = {
    ...base.training,
    pack,
    taught: base.training?.taught ? { ...taught, earlier: base.training.taught } : taught,
    selection: `penalty by cross-validation over ${shots.length} taught faces`,
    dev: { n: shots.length, accuracy: hits / shots.length, balanced_accuracy: mean },
  };
  delete training.n_parameters;
  const info = { ...metadataOf(base), classes, temperature, training };
  const head = { ...found.layer, temperature, keepsClasses };
  return {
    file: await replaceHead(file, head, JSON.stringify(info), classes.length),
    info: { ...info, class_fractions: fractions ? (pack.class_fractions as number[]) : null, label_sets: null, name: "taught" },
    mean,
    interval,
    chance,
    count: shots.length,
  };
}

/** Return what a file taught from a model may say of it; a model.json says more. */
function metadataOf(info: ModelInfo): ModelInfo {
  const values = { ...info } as unknown as Record<string, unknown>;
  // The gate is the accuracy of the model's own classes.
  if (values.quantization) values.quantization = Object.fromEntries(Object.entries(values.quantization).filter(([key]) => key !== "gate"));
  return Object.fromEntries(METADATA_KEYS.flatMap((key) => (values[key] == null ? [] : [[key, values[key]]]))) as unknown as ModelInfo;
}

/** Return a number for each face: those that look nearly the same have the same. */
export function groupAlike(thumbnails: Float32Array[]): number[] {
  const groups = thumbnails.map((_, index) => index);
  thumbnails.forEach((one, index) => {
    for (let other = 0; other < index; other++) {
      if (groups[other] === groups[index] || correlation(one, thumbnails[other]) < ALIKE) continue;
      const [from, to] = [Math.max(groups[other], groups[index]), Math.min(groups[other], groups[index])];
      groups.forEach((group, at) => (groups[at] = group === from ? to : group));
    }
  });
  return groups;
}

function correlation(one: Float32Array, other: Float32Array): number {
  const mean = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [a, b] = [mean(one), mean(other)];
  let [product, squaresOne, squaresOther] = [0, 1e-9, 1e-9];
  one.forEach((value, at) => {
    product += (value - a) * (other[at] - b);
    squaresOne += (value - a) ** 2;
    squaresOther += (other[at] - b) ** 2;
  });
  return product / Math.sqrt(squaresOne * squaresOther);
}

/** The model's classes in its order, then the others by the alphabet. */
function orderedLike(classes: string[], names: string[]): string[] {
  const known = classes.filter((name) => names.includes(name));
  return [...known, ...names.filter((name) => !known.includes(name)).sort()];
}

const THUMBNAIL = 16;

/** Return a crop in gray, 16 pixels a side, each the mean of an area. */
export function thumbnailOf({ rgb, width, height }: Image): Float32Array {
  const sums = new Float32Array(THUMBNAIL * THUMBNAIL);
  const counts = new Float32Array(THUMBNAIL * THUMBNAIL);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const cell = Math.floor((y * THUMBNAIL) / height) * THUMBNAIL + Math.floor((x * THUMBNAIL) / width);
      const at = 3 * (y * width + x);
      sums[cell] += rgb[at] + rgb[at + 1] + rgb[at + 2];
      counts[cell]++;
    }
  }
  return sums.map((sum, cell) => sum / (3 * Math.max(1, counts[cell])));
}
