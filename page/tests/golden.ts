// Access to the golden files written by Python (tests/golden/make.py).

import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { inflateSync } from "node:zlib";
import type { Box, CropContract, CropMethod, Point } from "../src/faces/crop.ts";
import type { Image } from "../src/faces/pixels.ts";
import type { Prior } from "../src/faces/prior.ts";

// The tests run from page/.
const root = join(process.cwd(), "..");
const folder = join(root, "tests", "golden");

export interface CropCase {
  name: string;
  crop: CropContract;
  input_size: number;
  anchors: Point[] | null;
  box_xyxy: Box | null;
  method: CropMethod;
}

export interface PredictionCase extends CropCase {
  probabilities: number[];
  landmarks: Point[] | null;
}

export interface Golden {
  /** Of a prediction file of a model with classes Neutral and Happy and two action units. */
  columns: string[];
  /** Path relative to the repository root. */
  model: string;
  classes: string[];
  class_fractions: number[];
  crops: CropCase[];
  readings: PredictionCase[];
  /** Probabilities of each reading under each prior. */
  priors: Record<Prior, number[]>[];
  detected: { size_wh: [number, number]; faces: { box_xyxy: Box; score: number; points: Point[]; quality: Record<string, number> }[] }[];
}

export const golden = JSON.parse(readFileSync(join(folder, "golden.json"), "utf8")) as Golden;
export const image = readPng(join(folder, "image.png"));

export function goldenCrop(name: string): Image {
  return readPng(join(folder, "crops", `${name}.png`));
}

export function modelFile(): Uint8Array {
  return readFileSync(join(root, golden.model));
}

/** YuNet's file, on mien's search path and without downloading it; null if it was not found. */
export function detectorFile(): Uint8Array | null {
  const name = "face_detection_yunet_2023mar.onnx";
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const shared = process.env.MIEN_SHARED || join(root, "..", "shared");
  const paths = [process.env.MIEN_DETECTOR, join(cache, "mien", name), join(shared, "models", name)];
  const found = paths.find((path) => path && existsSync(path));
  return found ? readFileSync(found) : null;
}

/** Resize with nearest-neighbor interpolation, like OpenCV's INTER_NEAREST. */
export function nearest(source: Image, width: number, height: number): Image {
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const fromY = Math.min(source.height - 1, Math.floor((y * source.height) / height));
    for (let x = 0; x < width; x++) {
      const from = (fromY * source.width + Math.min(source.width - 1, Math.floor((x * source.width) / width))) * 3;
      rgb.set(source.rgb.subarray(from, from + 3), (y * width + x) * 3);
    }
  }
  return { width, height, rgb };
}

/** Read an 8-bit RGB PNG without interlacing, as OpenCV writes it. */
export function readPng(path: string): Image {
  const file = readFileSync(path);
  const width = file.readUInt32BE(16);
  const height = file.readUInt32BE(20);
  if (file[24] !== 8 || file[25] !== 2) throw new Error(`${path} is not 8-bit RGB`);
  const parts: Buffer[] = [];
  for (let at = 8; at < file.length; ) {
    const length = file.readUInt32BE(at);
    if (file.toString("latin1", at + 4, at + 8) === "IDAT") parts.push(file.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  return { width, height, rgb: unfilter(inflateSync(Buffer.concat(parts)), width * 3, height) };
}

function unfilter(data: Buffer, stride: number, height: number): Uint8Array {
  const rgb = new Uint8Array(stride * height);
  for (let y = 0; y < height; y++) {
    const filter = data[y * (stride + 1)];
    for (let x = 0; x < stride; x++) {
      const left = x >= 3 ? rgb[y * stride + x - 3] : 0;
      const up = y ? rgb[(y - 1) * stride + x] : 0;
      const corner = x >= 3 && y ? rgb[(y - 1) * stride + x - 3] : 0;
      const filtered = [0, left, up, (left + up) >> 1, nearestOfThree(left, up, corner)][filter];
      rgb[y * stride + x] = data[y * (stride + 1) + 1 + x] + filtered;
    }
  }
  return rgb;
}

function nearestOfThree(left: number, up: number, corner: number): number {
  const estimate = left + up - corner;
  const [a, b, c] = [left, up, corner].map((value) => Math.abs(estimate - value));
  if (a <= b && a <= c) return left;
  return b <= c ? up : corner;
}
