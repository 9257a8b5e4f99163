// How well a face can be seen, as in src/mien/faces/quality.py, which explains every number; the limits are shared.

import shared from "../../../src/mien/faces/quality.json" with { type: "json" };
import { cropImage, cropMatrix, type CropContract, type Matrix } from "./crop.ts";
import { anchorsOf, type DetectedFace } from "./detector.ts";
import type { Image } from "./pixels.ts";

const CROP: CropContract = { method: "aligned", margin: 0, size: 48, resampling: "halve+bilinear", border: "black" };
const BLOCKS = 6;
/** Why a prediction is not to be trusted; empty if it is. */
export type Reason = "" | "too small" | "too dark" | "blurred" | "covered";

/** Which faces are too hard to see for a model: limits, and the fraction of right answers beyond them. */
export interface QualityRule {
  limits: { least_face_px: number; least_brightness: number; least_sharpness: number; most_covered: number };
  right_answers: Record<Exclude<Reason, "">, number>;
}

export const REASONS: string[] = ["", ...Object.keys(shared.right_answers)];

export interface FaceQuality {
  facePx: number;
  sharpness: number;
  brightness: number;
  contrast: number;
  /** 1 if the middle of the mouth is outside the image; null without eyes and mouth to align by. */
  covered: number | null;
}

/**
 * @param modelCrop - what the model sees of the face: if it is the very crop on which the quality is measured, that saves a second one.
 */
export function measureQuality(image: Image, face: DetectedFace, modelCrop?: { matrix: Matrix; size: number; image: Image }): FaceQuality {
  const place = { anchors: anchorsOf(face), box: face.foundBy === "whole" ? null : face.box };
  const { matrix, method } = cropMatrix(CROP, image.width, image.height, place);
  const isSame = modelCrop?.size === CROP.size && modelCrop.image.width === CROP.size && matrix.every((value, n) => value === modelCrop.matrix[n]);
  const gray = grayOf(isSame ? modelCrop.image : cropImage(image, matrix, CROP.size));
  const { mean, deviation } = momentsOf(gray);
  const [x0, y0, x1, y1] = face.box;
  let covered = method === "aligned" ? coverOf(gray, mean, deviation) : null;
  if (face.points) {
    const [left, right] = face.points.slice(3);
    const [x, y] = [(left[0] + right[0]) / 2, (left[1] + right[1]) / 2];
    if (x < 0 || y < 0 || x > image.width || y > image.height) covered = 1;
  }
  return {
    facePx: Math.min(x1 - x0, y1 - y0),
    sharpness: momentsOf(laplacianOf(gray)).deviation ** 2 / Math.max(deviation ** 2, 1e-6),
    brightness: mean / 255,
    contrast: deviation / 255,
    covered,
  };
}

/** Return why a prediction is not to be trusted by a model's rule, or that of models without their own. */
export function findReason(quality: FaceQuality, { limits }: QualityRule = shared): Reason {
  if (quality.facePx < limits.least_face_px) return "too small";
  if (quality.brightness < limits.least_brightness) return "too dark";
  if (quality.sharpness < limits.least_sharpness) return "blurred";
  if (quality.covered !== null && quality.covered > limits.most_covered) return "covered";
  return "";
}

/** The share of right answers for faces with a reason, which bounds the confidence. */
export function rightAnswers(reason: string, rule: QualityRule = shared): number {
  return (rule.right_answers as Record<string, number>)[reason] ?? 1;
}

function grayOf({ rgb, width, height }: Image): Float64Array {
  const gray = new Float64Array(width * height);
  // OpenCV's weights in 1/32768.
  for (let at = 0, from = 0; at < gray.length; at++, from += 3) {
    gray[at] = (rgb[from] * 9798 + rgb[from + 1] * 19235 + rgb[from + 2] * 3735 + 16384) >> 15;
  }
  return gray;
}

function momentsOf(values: Float64Array): { mean: number; deviation: number } {
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return { mean, deviation: Math.sqrt(squares / values.length) };
}

function laplacianOf(gray: Float64Array): Float64Array {
  const { size } = CROP;
  const inner = size - 2;
  const laplacian = new Float64Array(inner * inner);
  let to = 0;
  for (let y = 1; y <= inner; y++) {
    for (let at = y * size + 1; at <= y * size + inner; at++) {
      laplacian[to++] = gray[at - 1] + gray[at + 1] + gray[at - size] + gray[at + size] - 4 * gray[at];
    }
  }
  return laplacian;
}

function coverOf(gray: Float64Array, mean: number, deviation: number): number {
  const side = CROP.size / BLOCKS;
  const weights = shared.covered_weights;
  const values = new Float64Array(side * side);
  let logit = shared.covered_bias;
  for (let block = 0; block < BLOCKS * BLOCKS; block++) {
    const top = Math.floor(block / BLOCKS) * side;
    const left = (block % BLOCKS) * side;
    for (let y = 0, to = 0; y < side; y++) {
      for (let x = 0; x < side; x++) values[to++] = (gray[(top + y) * CROP.size + left + x] - mean) / (deviation + 1e-6);
    }
    const moments = momentsOf(values);
    logit += weights[block] * Math.log(0.05 + moments.deviation) + weights[BLOCKS * BLOCKS + block] * moments.mean;
  }
  return 1 / (1 + Math.exp(-logit));
}
