// Runs a mien model: RGB crops in, calibrated probabilities and the model's other outputs out.

import type { InferenceSession, Tensor } from "onnxruntime-common";
import { cropMatrix, cropImage, forDetectedFaces, invert, resizeCrop, transform, turnCrop, type Box, type CropContract, type Matrix, type Point } from "./crop.ts";
import { anchorsOf, type DetectedFace, type FoundBy } from "./detector.ts";
import { requireUnchanged } from "./model-hash.ts";
import type { Image } from "./pixels.ts";
import { estimatePose, fiveFromLandmarks } from "./pose.ts";
import { findReason, measureQuality, type QualityRule } from "./quality.ts";
import { inTurn, orRelease, type Runtime } from "./runtime.ts";

export const FORMAT_VERSION = 2;
const BATCH_FACES = 16;
// As mien.formats.onnx_model allows.
const MAX_SIDE = 1024;
const TASKS = ["expression", "landmarks", "valence_arousal", "action_units"];
const METHODS: string[] = ["aligned", "box", "whole"];

/** The action units of a model: presence is a probability, intensity a number from 0 to 5. */
export interface ActionUnits {
  names: string[];
  kind: "presence" | "intensity";
}

/** model.json: the model file's `mien` metadata, plus its name, card and class fractions. */
export interface ModelInfo {
  format_version: number;
  classes: string[];
  crop: CropContract;
  input_size: number;
  tasks: string[];
  annotations?: { action_units?: ActionUnits };
  /** Which faces are too hard to see for this model; missing if it has no rule of its own. */
  quality_rule?: QualityRule;
  license?: string;
  training?: Record<string, unknown>;
  /** Of each class, as the model was trained; null or missing if it is not recorded. */
  class_fractions?: number[] | null;
  /** How the prediction sets of photos are made; null or missing if there are none. */
  label_sets?: LabelSets | null;
  name?: string;
  card?: string;
}

/** A set has the classes for which 1 - probability is at most the limit; a class whose limit is null is in every set. */
export interface LabelSets {
  coverage: number;
  limits: Record<string, number | null>;
}

/** The measures of quality by their names in `mien predict`, in the order of its columns. */
export const QUALITY = ["face_px", "sharpness", "brightness", "contrast", "covered", "roll_deg", "yaw_deg", "pitch_deg"] as const;

/** The prediction for one face. Coordinates are in image pixels. */
export interface FacePrediction {
  box: Box;
  score: number | null;
  foundBy: FoundBy;
  /** Why the prediction is not to be trusted; empty if it is. */
  reason: string;
  /** How well the face can be seen, in the order of `QUALITY`; null where it is not known. */
  quality: (number | null)[];
  probabilities: number[];
  landmarks: Point[] | null;
  valence: number | null;
  arousal: number | null;
  /** In the order of the model's names; null if it has no action units. */
  actionUnits: number[] | null;
}

export interface Outputs {
  probabilities: number[];
  /** As fractions of the crop. */
  landmarks: Point[] | null;
  affect: [number, number] | null;
  actionUnits: number[] | null;
}

/** Return the action units that the model predicts. */
export function unitsOf(info: ModelInfo): ActionUnits | null {
  return info.tasks.includes("action_units") ? (info.annotations?.action_units ?? null) : null;
}

/** Return the value from which a unit counts as present, as in `mien evaluate`. */
export function presentFrom(units: ActionUnits): number {
  return units.kind === "presence" ? 0.5 : 2;
}

export function checkInfo(info: ModelInfo): ModelInfo {
  if (info?.format_version !== FORMAT_VERSION) {
    throw new Error(`The model's metadata has format version ${info?.format_version}, this page supports ${FORMAT_VERSION}`);
  }
  const { classes, crop, input_size: size, tasks } = info;
  const areNames = (values: unknown): boolean => Array.isArray(values) && values.every((value) => typeof value === "string" && value !== "");
  if (!areNames(classes) || !classes.length || new Set(classes).size !== classes.length) {
    throw new Error("The model's metadata must have classes, with different names");
  }
  if (!areNames(tasks) || !tasks.includes("expression") || tasks.some((task) => !TASKS.includes(task))) {
    throw new Error(`The model's tasks must be some of ${TASKS.join(", ")}, and include expression`);
  }
  if (![size, crop?.size].every((value) => Number.isInteger(value) && value > 0 && value <= MAX_SIDE) || !METHODS.includes(crop.method)) {
    throw new Error(`The model's crop must have a known method and, as its input, a size of 1 to ${MAX_SIDE} pixels`);
  }
  if (info.tasks?.includes("action_units") && !Array.isArray(info.annotations?.action_units?.names)) {
    throw new Error("The model's metadata has no names of its action units");
  }
  if (info.quality_rule && !(info.quality_rule.limits && info.quality_rule.right_answers)) {
    throw new Error("The model's quality rule must have limits and right answers");
  }
  if (info.class_fractions && info.class_fractions.length !== info.classes.length) {
    throw new Error("The model's metadata must have as many class fractions as classes");
  }
  return info;
}

export class Model {
  private constructor(
    private readonly runtime: Runtime,
    private readonly session: InferenceSession,
    readonly info: ModelInfo,
  ) {}

  static async load(runtime: Runtime, file: Uint8Array, info: ModelInfo): Promise<Model> {
    const options = { logSeverityLevel: 3 as const };
    const [created, unchanged] = await Promise.allSettled([inTurn(() => runtime.InferenceSession.create(file, options)), requireUnchanged(file)]);
    if (created.status === "rejected") throw unchanged.status === "rejected" ? unchanged.reason : created.reason;
    return orRelease(created.value, () => {
      if (unchanged.status === "rejected") throw unchanged.reason;
      return new Model(runtime, created.value, checkInfo(info));
    });
  }

  /** Require the outputs that the metadata announces, by running the model on a black face. */
  async requireOutputs(): Promise<void> {
    const { input_size: size, classes, tasks } = this.info;
    const missing = tasks.find((task) => !this.session.outputNames.includes(task));
    if (missing) throw new Error(`The model has no output \`${missing}\`, which its metadata announces`);
    const pixels = new this.runtime.Tensor("uint8", new Uint8Array(size * size * 3), [1, size, size, 3]);
    const outputs = await inTurn(() => this.session.run({ images: pixels }, tasks));
    const sizes: Record<string, number> = { expression: classes.length, landmarks: 136, valence_arousal: 2, action_units: unitsOf(this.info)?.names.length ?? 0 };
    for (const task of tasks) {
      const found = outputs[task].size;
      if (found !== sizes[task]) throw new Error(`The model's output \`${task}\` must be ${sizes[task]} numbers by its metadata, it is ${found}`);
    }
    const total = (outputs.expression.data as Float32Array).reduce((sum, value) => sum + value, 0);
    if (!(Math.abs(total - 1) < 1e-3)) throw new Error(`The model's probabilities must sum to 1, they sum to ${total}`);
  }

  /** Give back the memory of the model, which cannot run anymore. */
  release(): Promise<void> {
    return inTurn(() => this.session.release());
  }

  /** Run the model on crops of `input_size`. */
  async run(crops: Image[]): Promise<Outputs[]> {
    return (await this.compute(crops, [])).results;
  }

  /** Run the model on crops; return also the features of each, which the expression's linear layer takes. */
  async runWithFeatures(crops: Image[]): Promise<{ results: Outputs[]; features: Float32Array[] }> {
    return this.compute(crops, ["features"]);
  }

  private async compute(crops: Image[], further: string[]): Promise<{ results: Outputs[]; features: Float32Array[] }> {
    const { input_size: size, classes, tasks } = this.info;
    const pixels = new Uint8Array(crops.length * size * size * 3);
    crops.forEach((crop, index) => pixels.set(crop.rgb, index * size * size * 3));
    const images = new this.runtime.Tensor("uint8", pixels, [crops.length, size, size, 3]);
    const outputs = await inTurn(() => this.session.run({ images }, [...tasks, ...further]));
    const values = (name: string): Float32Array | null => (outputs[name]?.data as Float32Array | undefined) ?? null;
    const nUnits = unitsOf(this.info)?.names.length ?? 0;
    const units = values("action_units");
    const results = crops.map((_, index) => ({
      probabilities: Array.from(values("expression")!.subarray(index * classes.length, (index + 1) * classes.length)),
      landmarks: landmarksAt(values("landmarks"), index),
      affect: affectAt(values("valence_arousal"), index),
      actionUnits: units && Array.from(units.subarray(index * nUnits, (index + 1) * nUnits)),
    }));
    const all = values("features");
    const features = all ? crops.map((_, index) => all.slice((index * all.length) / crops.length, ((index + 1) * all.length) / crops.length)) : [];
    for (const tensor of Object.values(outputs) as Tensor[]) tensor.dispose();
    return { results, features };
  }

  /** Crop faces as the model takes them. */
  crop(image: Image, faces: DetectedFace[]): { matrices: Matrix[]; crops: Image[] } {
    const matrices = faces.map((face) => faceMatrix(this.info.crop, image, face));
    const crops = matrices.map((matrix) =>
      resizeCrop(cropImage(image, matrix, this.info.crop.size), this.info.input_size),
    );
    return { matrices, crops };
  }

  /** Predict the faces of an image, cropped exactly as in mien: at the contract's size, then resized to the model's. */
  async predict(image: Image, faces: DetectedFace[]): Promise<FacePrediction[]> {
    const predictions: FacePrediction[] = [];
    for (let start = 0; start < faces.length; start += BATCH_FACES) {
      const batch = faces.slice(start, start + BATCH_FACES);
      const { matrices, crops } = this.crop(image, batch);
      const outputs = await this.run(crops);
      outputs.forEach(({ probabilities, landmarks, affect, actionUnits }, index) => {
        const toImage = invert(matrices[index]);
        const points = landmarks && landmarks.map((point) => transform(toImage, point));
        const quality = measureQuality(image, batch[index], { matrix: matrices[index], size: this.info.crop.size, image: crops[index] });
        const five = batch[index].points ?? (points && fiveFromLandmarks(points));
        const pose = five && estimatePose(five);
        predictions.push({
          box: batch[index].box,
          score: batch[index].score,
          foundBy: batch[index].foundBy,
          reason: findReason(quality, this.info.quality_rule),
          quality: [
            ...[quality.facePx, quality.sharpness, quality.brightness, quality.contrast, quality.covered],
            ...[pose?.rollDeg ?? null, pose?.yawDeg ?? null, pose?.pitchDeg ?? null],
          ],
          probabilities,
          landmarks: points,
          valence: affect && affect[0],
          arousal: affect && affect[1],
          actionUnits,
        });
      });
    }
    return predictions;
  }
}

function faceMatrix(crop: CropContract, image: Image, face: DetectedFace): Matrix {
  if (face.foundBy === "whole") return cropMatrix(crop, image.width, image.height, {}).matrix;
  const contract = forDetectedFaces(crop);
  const given = { anchors: anchorsOf(face), box: face.box };
  const { matrix, method } = cropMatrix(contract, image.width, image.height, given);
  if (method !== "box" || !face.points) return matrix;
  // The box stays upright whatever the face's roll: its content is turned by the nearest quarter turn.
  const [left, right] = face.points;
  return turnCrop(matrix, Math.round(Math.atan2(right[1] - left[1], right[0] - left[0]) / (Math.PI / 2)));
}

function landmarksAt(values: Float32Array | null, index: number): Point[] | null {
  if (!values) return null;
  return Array.from({ length: 68 }, (_, n): Point => [values[index * 136 + 2 * n], values[index * 136 + 2 * n + 1]]);
}

function affectAt(values: Float32Array | null, index: number): [number, number] | null {
  return values && [values[index * 2], values[index * 2 + 1]];
}
