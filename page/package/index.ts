// The package @mien/face: the pipeline of mien's web page, for programs in the browser and in Node.

import { decide, labelSetOf } from "../src/faces/decision-rule.ts";
import { Detector, wholeFace, type FoundBy } from "../src/faces/detector.ts";
import { Model, QUALITY, type LabelSets, type ModelInfo } from "../src/faces/model.ts";
import { fromRgba, type Image } from "../src/faces/pixels.ts";
import { divideByPrior, type Prior } from "../src/faces/prior.ts";
import { orRelease, type Runtime } from "../src/faces/runtime.ts";
import { readInfo } from "../src/faces/metadata.ts";

export { cropImage, cropMatrix, invert, resizeCrop, transform } from "../src/faces/crop.ts";
export type { Box, CropContract, CropMethod, Matrix, Point } from "../src/faces/crop.ts";
export { decide, labelSetOf, type Decision } from "../src/faces/decision-rule.ts";
export { Detector, wholeFace, type DetectedFace, type FoundBy } from "../src/faces/detector.ts";
export { eyeAspectRatio, mouthAspectRatio } from "../src/faces/landmarks.ts";
export { Model, type FacePrediction, type LabelSets, type ModelInfo, type Outputs } from "../src/faces/model.ts";
export { fromRgba, type Image } from "../src/faces/pixels.ts";
export { divideByPrior, type Prior } from "../src/faces/prior.ts";
export type { Runtime } from "../src/faces/runtime.ts";
export { readInfo } from "../src/faces/metadata.ts";

/** One face, with the fields of a row of `mien predict` (docs/formats.md), not rounded. Coordinates are in pixels of the image. */
export interface Row {
  /** Index among the faces of the image, the largest first. */
  face: number;
  status: "ok";
  box_xyxy: [number, number, number, number];
  /** The detector's; null for an image that is taken as one face. */
  score: number | null;
  /** `whole` if the image is taken as one face. */
  found_by: FoundBy;
  /** The most probable class, or `unsure`. */
  expression: string;
  /** Probability of the most probable class; for a face with a `reason` of quality, at most the share of right answers for such faces. */
  confidence: number;
  probabilities: Record<string, number>;
  /** Why the expression is `unsure`: `too small`, `too dark`, `blurred`, `covered` or `low confidence`; otherwise empty. */
  reason: string;
  /** The classes that the face may have; null without `labelSets`. */
  label_set: string[] | null;
  /** How well the face can be seen; null where it is not known. */
  quality: Record<(typeof QUALITY)[number], number | null>;
  landmarks: [number, number][] | null;
  valence: number | null;
  arousal: number | null;
  /** Only if the model has them. */
  action_units?: Record<string, number>;
}

export interface PredictOptions {
  /** `detect`: find the faces; `whole`: the image is one cropped face; as `--crop` of `mien predict`; default `detect`. */
  crop?: "detect" | "whole";
  /**
   * Leave out faces whose box's shorter side is less than this many pixels, as `--min-face-px` of `mien predict`; default 0. The larger
   * it is, the less time finding faces takes.
   */
  minFacePx?: number;
  /** How common the classes are taken to be, as `--prior` of `mien predict`; default `as-trained`. */
  prior?: Prior;
  /** Report `unsure` below this confidence; default 0. */
  minConfidence?: number;
  /** Report `unsure` for a face that is too small, too dark, blurred or covered; default true; false as `--no-quality-rule`. */
  qualityRule?: boolean;
  /** Add prediction sets by these limits: `label_sets` of the model.json that `mien page --coverage` writes. For prior `as-trained`. */
  labelSets?: LabelSets;
}

export interface Files {
  /** A model file written by `mien export`: its bytes, its address or, in Node, its path. */
  model: Uint8Array | ArrayBuffer | string | URL;
  /** face_detection_yunet_2023mar.onnx from OpenCV's model repository, likewise. */
  detector: Uint8Array | ArrayBuffer | string | URL;
}

const OPTIONS = ["crop", "minFacePx", "prior", "minConfidence", "qualityRule", "labelSets"];

/** What a browser can draw. */
export type Drawable = ImageBitmap | ImageData | HTMLImageElement | HTMLVideoElement | VideoFrame | HTMLCanvasElement | OffscreenCanvas | Blob;

/** A loaded model and detector. */
export class Mien {
  private isReleased = false;

  private constructor(
    readonly model: Model,
    readonly detector: Detector,
  ) {}

  /**
   * Load a model and a detector. Several images may be predicted at once.
   *
   * @param runtime - onnxruntime: what `import * as ort from "onnxruntime-web"` gives, or `"onnxruntime-node"`.
   */
  static async load(runtime: Runtime, files: Files): Promise<Mien> {
    if (!runtime?.InferenceSession || !runtime.Tensor) {
      throw new TypeError('`Mien.load` takes onnxruntime first: `import * as ort from "onnxruntime-web"`, then `Mien.load(ort, files)`');
    }
    const [model, detector] = await Promise.all([bytesOf(files.model), bytesOf(files.detector)]);
    const loaded = await Model.load(runtime, model, readInfo(model));
    return orRelease(loaded, async () => new Mien(loaded, await Detector.load(runtime, detector)));
  }

  /** What the model says about itself: classes, tasks, crop, license and training. */
  get info(): ModelInfo {
    return this.model.info;
  }

  /** Predict all faces of an image, the largest first; none is an empty array. Nothing is sent anywhere. */
  async predict(image: Image, options: PredictOptions = {}): Promise<Row[]> {
    const { crop = "detect", minFacePx, prior = "as-trained", minConfidence = 0, qualityRule = true, labelSets } = options;
    const { classes, annotations, class_fractions: fractions, quality_rule: rule } = this.info;
    if (this.isReleased) throw new Error("this model has been released: load it again with `Mien.load`");
    requireOptions(options, this.info);
    const faces = crop === "whole" ? [wholeFace(requireImage(image))] : await this.detector.findFaces(requireImage(image), minFacePx);
    const byName = (names: readonly string[], values: number[]) => Object.fromEntries(names.map((name, index) => [name, values[index]]));
    return (await this.model.predict(image, faces)).map((prediction, face) => {
      const { box, score, foundBy, quality, landmarks, valence, arousal, actionUnits } = prediction;
      const probabilities = fractions ? divideByPrior(prediction.probabilities, fractions, prior) : prediction.probabilities;
      const { expression, confidence, reason } = decide({ probabilities, reason: qualityRule ? prediction.reason : "" }, classes, minConfidence, rule);
      return {
        face,
        status: "ok",
        box_xyxy: box,
        score,
        found_by: foundBy,
        expression,
        confidence,
        probabilities: byName(classes, probabilities),
        reason,
        label_set: labelSets ? labelSetOf(prediction.probabilities, classes, labelSets) : null,
        quality: Object.fromEntries(QUALITY.map((name, index) => [name, quality[index]])) as Row["quality"],
        landmarks,
        valence,
        arousal,
        ...(actionUnits && { action_units: byName(annotations!.action_units!.names, actionUnits) }),
      };
    });
  }

  /** Give back the memory of both networks, which cannot run anymore. */
  async release(): Promise<void> {
    if (this.isReleased) return;
    this.isReleased = true;
    await Promise.all([this.model.release(), this.detector.release()]);
  }
}

function requireOptions(options: PredictOptions, { classes, class_fractions: fractions }: ModelInfo): void {
  const { crop = "detect", minFacePx = 0, prior = "as-trained", minConfidence = 0, labelSets } = options;
  const unknown = Object.keys(options).find((name) => !OPTIONS.includes(name));
  if (unknown) throw new TypeError(`\`predict\` has no option \`${unknown}\`, only ${OPTIONS.join(", ")}`);
  if (!["detect", "whole"].includes(crop)) throw new TypeError(`\`crop\` must be detect or whole, got ${JSON.stringify(crop)}`);
  if (!(minFacePx >= 0 && minFacePx < Infinity)) throw new RangeError(`\`minFacePx\` must be 0 or more pixels, got ${minFacePx}`);
  if (!["as-trained", "half", "balanced"].includes(prior)) {
    throw new TypeError(`\`prior\` must be as-trained, half or balanced, got ${JSON.stringify(prior)}`);
  }
  if (prior !== "as-trained" && !fractions) {
    throw new Error("This model does not record its class fractions. Use prior `as-trained`");
  }
  if (!(minConfidence >= 0 && minConfidence <= 1)) {
    throw new RangeError(`\`minConfidence\` must be from 0 to 1, got ${minConfidence}`);
  }
  if (!labelSets) return;
  if (prior !== "as-trained") throw new TypeError("`labelSets` are for the model's own probabilities: leave out `prior`");
  const missing = classes.find((name) => labelSets.limits?.[name] === undefined);
  if (missing) throw new TypeError(`\`labelSets\` has no limit for ${missing}. Take those of this model`);
}

/** Return the pixels of what a browser can draw: an image, a frame of a video, a canvas, or the content of a file. */
export async function imageOf(source: Drawable): Promise<Image> {
  const bitmap = await createImageBitmap(source);
  try {
    const { width, height } = bitmap;
    const context = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true })!;
    context.drawImage(bitmap, 0, 0);
    return fromRgba(context.getImageData(0, 0, width, height).data, width, height);
  } finally {
    bitmap.close();
  }
}

function requireImage(image: Image): Image {
  const { width, height, rgb } = image ?? {};
  if (rgb !== undefined && !(rgb instanceof Uint8Array || (rgb as unknown) instanceof Uint8ClampedArray)) {
    throw new TypeError(`the pixels of an image must be a Uint8Array from 0 to 255, got ${rgb === null ? "null" : Object.prototype.toString.call(rgb).slice(8, -1)}`);
  }
  if (!(width > 0 && height > 0) || rgb?.length !== width * height * 3) {
    throw new TypeError(`an image must be {width, height, rgb} with width x height x 3 bytes, got ${width} x ${height} and ${rgb?.length} bytes`);
  }
  return image;
}

async function bytesOf(file: Files["model"]): Promise<Uint8Array> {
  if (file instanceof Uint8Array) return file;
  if (file instanceof ArrayBuffer) return new Uint8Array(file);
  if (typeof file !== "string" && !(file instanceof URL)) {
    throw new TypeError(`a file must be its bytes, an address or, in Node, a path, got ${file === null ? "null" : typeof file}`);
  }
  // Not an import: a bundler for browsers would look for the module.
  const { readFileSync } = globalThis.process?.getBuiltinModule?.("node:fs") ?? {};
  const address = String(file);
  try {
    if (readFileSync && !/^(https?|data|blob):/i.test(address)) {
      return new Uint8Array(readFileSync(/^file:/i.test(address) ? new URL(address) : address));
    }
    const response = await fetch(file);
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    if (response.headers.get("content-type")?.startsWith("text/html")) throw new Error("the server answers with a web page");
    return new Uint8Array(await response.arrayBuffer());
  } catch (error) {
    throw new Error(`${address} cannot be loaded: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}
