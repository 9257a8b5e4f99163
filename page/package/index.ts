// The package @mien/face: the pipeline of mien's web page, for programs in the browser and in Node.

import { Detector } from "../src/faces/detector.ts";
import { Model, type FacePrediction, type ModelInfo } from "../src/faces/model.ts";
import { fromRgba, type Image } from "../src/faces/pixels.ts";
import { divideByPrior, type Prior } from "../src/faces/prior.ts";
import type { Runtime } from "../src/faces/runtime.ts";
import { readInfo } from "../src/faces/metadata.ts";

export { cropImage, cropMatrix, invert, resizeCrop, transform } from "../src/faces/crop.ts";
export type { Box, CropContract, CropMethod, Matrix, Point } from "../src/faces/crop.ts";
export { Detector, type DetectedFace } from "../src/faces/detector.ts";
export { Model, type FacePrediction, type ModelInfo, type Outputs } from "../src/faces/model.ts";
export { fromRgba, type Image } from "../src/faces/pixels.ts";
export { divideByPrior, type Prior } from "../src/faces/prior.ts";
export type { Runtime } from "../src/faces/runtime.ts";
export { readInfo } from "../src/faces/metadata.ts";

/** One face, with the fields of a row of `mien predict`. Coordinates are in pixels of the image. */
export interface Row {
  /** Index among the faces of the image, the largest first. */
  face: number;
  status: "ok";
  box_xyxy: [number, number, number, number];
  score: number | null;
  /** The most probable class, or `unsure`. */
  expression: string;
  confidence: number;
  probabilities: Record<string, number>;
  landmarks: [number, number][] | null;
  valence: number | null;
  arousal: number | null;
  /** Only if the model has them. */
  action_units?: Record<string, number>;
}

export interface PredictOptions {
  /** How common the classes are taken to be, as `--prior` of `mien predict`; default `as-trained`. */
  prior?: Prior;
  /** Report `unsure` below this confidence; default 0. */
  minConfidence?: number;
}

export interface Files {
  /** A model file written by `mien export`: its bytes or its address. */
  model: Uint8Array | ArrayBuffer | string | URL;
  /** face_detection_yunet_2023mar.onnx from OpenCV's model repository: its bytes or its address. */
  detector: Uint8Array | ArrayBuffer | string | URL;
}

/** What a browser can draw. */
export type Drawable = ImageBitmap | HTMLImageElement | HTMLVideoElement | HTMLCanvasElement | OffscreenCanvas | Blob;

/** A loaded model and detector. */
export class Mien {
  private constructor(
    readonly model: Model,
    readonly detector: Detector,
  ) {}

  /**
   * Load a model and a detector.
   *
   * @param runtime - onnxruntime: what `import * as ort from "onnxruntime-web"` gives, or `"onnxruntime-node"`.
   */
  static async load(runtime: Runtime, files: Files): Promise<Mien> {
    const [model, detector] = await Promise.all([bytesOf(files.model), bytesOf(files.detector)]);
    return new Mien(await Model.load(runtime, model, readInfo(model)), await Detector.load(runtime, detector));
  }

  /** What the model says about itself: classes, tasks, crop, license and training. */
  get info(): ModelInfo {
    return this.model.info;
  }

  /** Predict all faces of an image, the largest first. Its bytes stay where they are: nothing is sent anywhere. */
  async predict(image: Image, options: PredictOptions = {}): Promise<Row[]> {
    const { prior = "as-trained", minConfidence = 0 } = options;
    const fractions = this.info.class_fractions;
    if (!["as-trained", "half", "balanced"].includes(prior)) {
      throw new TypeError(`\`prior\` must be as-trained, half or balanced, got ${JSON.stringify(prior)}`);
    }
    if (prior !== "as-trained" && !fractions) {
      throw new Error("This model does not record its class fractions. Use prior `as-trained`");
    }
    if (!(minConfidence >= 0 && minConfidence <= 1)) {
      throw new RangeError(`\`minConfidence\` must be from 0 to 1, got ${minConfidence}`);
    }
    const predictions = await this.model.predict(image, await this.detector.findFaces(requireImage(image)));
    return predictions.map((prediction, face) => {
      const probabilities = fractions ? divideByPrior(prediction.probabilities, fractions, prior) : prediction.probabilities;
      return toRow({ ...prediction, probabilities }, this.info, face, minConfidence);
    });
  }
}

function toRow(prediction: FacePrediction, info: ModelInfo, face: number, minConfidence: number): Row {
  const { box, score, probabilities, landmarks, valence, arousal, actionUnits } = prediction;
  const confidence = Math.max(...probabilities);
  const byName = (names: string[], values: number[]) => Object.fromEntries(names.map((name, index) => [name, values[index]]));
  return {
    face,
    status: "ok",
    box_xyxy: box,
    score,
    expression: confidence < minConfidence ? "unsure" : info.classes[probabilities.indexOf(confidence)],
    confidence,
    probabilities: byName(info.classes, probabilities),
    landmarks,
    valence,
    arousal,
    ...(actionUnits && { action_units: byName(info.annotations!.action_units!.names, actionUnits) }),
  };
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
  const { width, height, rgb } = image;
  if (!(width > 0 && height > 0) || rgb?.length !== width * height * 3) {
    throw new TypeError(`an image must be {width, height, rgb} with width x height x 3 bytes, got ${width} x ${height} and ${rgb?.length} bytes`);
  }
  return image;
}

async function bytesOf(file: Uint8Array | ArrayBuffer | string | URL): Promise<Uint8Array> {
  if (file instanceof Uint8Array) return file;
  if (file instanceof ArrayBuffer) return new Uint8Array(file);
  const response = await fetch(file);
  if (!response.ok) throw new Error(`${file} cannot be loaded: ${response.status} ${response.statusText}`);
  return new Uint8Array(await response.arrayBuffer());
}
