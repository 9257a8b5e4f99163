// mien's crop contract (docs/formats.md), identical to src/mien/faces/crop.py; golden files keep the two in sync.
//
// Coordinates are continuous: an image spans [0, w] x [0, h], pixel centers are at half-integers.

import { emptyImage, halve, type Image } from "./pixels.ts";

export type CropMethod = "aligned" | "box" | "whole";
export type Point = [number, number];
export type Box = [number, number, number, number];
/** Rows of a 2 x 3 affine matrix: x' = a x + b y + c, y' = d x + e y + f. */
export type Matrix = [number, number, number, number, number, number];

export interface CropContract {
  method: CropMethod;
  margin: number;
  size: number;
  resampling: "halve+bilinear";
  border: "black";
}

const LARGEST_SIDE = 1e7;
const ALIGNED_ANCHORS: Point[] = [
  [0.325, 0.4],
  [0.675, 0.4],
  [0.35, 0.77],
  [0.65, 0.77],
];

/** Return the contract for detected faces: `whole` becomes the square around the bounding box, without a margin. */
export function forDetectedFaces(contract: CropContract): CropContract {
  return contract.method === "whole" ? { ...contract, method: "box", margin: 0 } : contract;
}

/** Return the transform from image coordinates to fractions of the crop, and the method actually used after fallbacks. */
export function cropMatrix(
  contract: CropContract,
  width: number,
  height: number,
  face: { anchors?: Point[] | null; box?: Box | null },
): { matrix: Matrix; method: CropMethod } {
  if (contract.method === "aligned" && face.anchors) {
    const shrink = 1 / (1 + 2 * contract.margin);
    const target = ALIGNED_ANCHORS.map(([x, y]): Point => [0.5 + (x - 0.5) * shrink, 0.5 + (y - 0.5) * shrink]);
    const matrix = similarity(face.anchors, target);
    if (matrix) return { matrix, method: "aligned" };
  }
  if (contract.method !== "whole" && face.box) {
    const [x0, y0, x1, y1] = face.box;
    const side = Math.max(x1 - x0, y1 - y0) * (1 + 2 * contract.margin);
    if (side > 0 && side < LARGEST_SIDE) return { matrix: square((x0 + x1) / 2, (y0 + y1) / 2, side), method: "box" };
  }
  return { matrix: square(width / 2, height / 2, Math.max(width, height)), method: "whole" };
}

function square(centerX: number, centerY: number, side: number): Matrix {
  return [1 / side, 0, 0.5 - centerX / side, 0, 1 / side, 0.5 - centerY / side];
}

/** Least-squares similarity transform without reflection (Umeyama 1991); null for degenerate points. */
export function similarity(source: Point[], target: Point[]): Matrix | null {
  const [sourceX, sourceY] = mean(source);
  const [targetX, targetY] = mean(target);
  let variance = 0;
  let real = 0;
  let imaginary = 0;
  source.forEach(([x, y], index) => {
    const px = x - sourceX;
    const py = y - sourceY;
    const qx = target[index][0] - targetX;
    const qy = target[index][1] - targetY;
    variance += px * px + py * py;
    real += px * qx + py * qy;
    imaginary += px * qy - py * qx;
  });
  if (!(variance > 1e-6 && variance < LARGEST_SIDE ** 2)) return null;
  const a = real / variance;
  const b = imaginary / variance;
  if (Math.hypot(a, b) < 1 / LARGEST_SIDE) return null;
  return [a, -b, targetX - a * sourceX + b * sourceY, b, a, targetY - b * sourceX - a * sourceY];
}

function mean(points: Point[]): Point {
  const sum = points.reduce(([x, y], point): Point => [x + point[0], y + point[1]], [0, 0] as Point);
  return [sum[0] / points.length, sum[1] / points.length];
}

/** Return the matrix of a crop whose content, rolled clockwise by quarter turns, is turned back upright. */
export function turnCrop(matrix: Matrix, quarters: number): Matrix {
  let [a, b, c, d, e, f] = matrix;
  for (let count = ((quarters % 4) + 4) % 4; count > 0; count--) [a, b, c, d, e, f] = [d, e, f, -a, -b, 1 - c];
  return [a, b, c, d, e, f];
}

export function transform([a, b, c, d, e, f]: Matrix, [x, y]: Point): Point {
  return [a * x + b * y + c, d * x + e * y + f];
}

export function invert([a, b, c, d, e, f]: Matrix): Matrix {
  const scale = 1 / (a * e - b * d);
  return [e * scale, -b * scale, (b * f - c * e) * scale, -d * scale, a * scale, (c * d - a * f) * scale];
}

function countHalvings(matrix: Matrix, size: number): number {
  const pixelsPerStep = 1 / (size * Math.hypot(matrix[0], matrix[3]));
  return Math.max(0, Math.floor(Math.log2(pixelsPerStep) + 1e-9));
}

/** Return the square crop for a matrix from `cropMatrix`. */
export function cropImage(image: Image, matrix: Matrix, size: number): Image {
  const toImage = invert(matrix);
  const halvings = countHalvings(matrix, size);
  const block = 2 ** halvings;
  let part = image;
  let originX = 0;
  let originY = 0;
  if (halvings) {
    const [x0, x1] = coveredSpan(toImage[2], toImage[0], toImage[1], image.width, block);
    const [y0, y1] = coveredSpan(toImage[5], toImage[3], toImage[4], image.height, block);
    if (x1 <= x0 || y1 <= y0) return emptyImage(size, size);
    part = window(image, x0, y0, x1, y1);
    originX = x0;
    originY = y0;
  }
  part = halve(part, halvings);
  // Crop pixel (u, v) -> pixel of the part, with pixel centers at half-integers in both.
  const [a, b, c, d, e, f] = toImage;
  return sample(part, size, [
    a / size / block,
    b / size / block,
    (c + (a + b) / size / 2 - originX) / block - 0.5,
    d / size / block,
    e / size / block,
    (f + (d + e) / size / 2 - originY) / block - 0.5,
  ]);
}

/** Return the range of columns or rows that the crop covers, plus a block on each side. */
function coveredSpan(start: number, along: number, across: number, limit: number, block: number): [number, number] {
  const low = start + Math.min(0, along) + Math.min(0, across);
  const high = start + Math.max(0, along) + Math.max(0, across);
  const clamped = (value: number): number => Math.min(Math.max(value, 0), limit);
  return [clamped((Math.floor(low / block) - 1) * block), clamped((Math.ceil(high / block) + 1) * block)];
}

function window(image: Image, x0: number, y0: number, x1: number, y1: number): Image {
  const part = emptyImage(x1 - x0, y1 - y0);
  for (let y = y0; y < y1; y++) {
    const from = (y * image.width + x0) * 3;
    part.rgb.set(image.rgb.subarray(from, from + part.width * 3), (y - y0) * part.width * 3);
  }
  return part;
}

// OpenCV samples at 1/32 pixel in 1/1024 fixed-point arithmetic; repeated here for identical crops.
const FINE = 1024;
const STEPS = 32;

/** Bilinear sampling with a black border. */
function sample(part: Image, size: number, [a, b, c, d, e, f]: Matrix): Image {
  const result = emptyImage(size, size);
  const { width, height, rgb } = part;
  let to = 0;
  for (let v = 0; v < size; v++) {
    const startX = Math.round((b * v + c) * FINE) + FINE / STEPS / 2;
    const startY = Math.round((e * v + f) * FINE) + FINE / STEPS / 2;
    for (let u = 0; u < size; u++, to += 3) {
      const x = Math.floor((startX + Math.round(a * u * FINE)) / (FINE / STEPS)) / STEPS;
      const y = Math.floor((startY + Math.round(d * u * FINE)) / (FINE / STEPS)) / STEPS;
      const left = Math.floor(x);
      const top = Math.floor(y);
      if (left < -1 || top < -1 || left >= width || top >= height) continue;
      const fx = x - left;
      const fy = y - top;
      for (let corner = 0; corner < 4; corner++) {
        const px = left + (corner & 1);
        const py = top + (corner >> 1);
        if (px < 0 || py < 0 || px >= width || py >= height) continue;
        const weight = (corner & 1 ? fx : 1 - fx) * (corner >> 1 ? fy : 1 - fy);
        const at = (py * width + px) * 3;
        sums[0] += weight * rgb[at];
        sums[1] += weight * rgb[at + 1];
        sums[2] += weight * rgb[at + 2];
      }
      for (let channel = 0; channel < 3; channel++) {
        result.rgb[to + channel] = sums[channel] + 0.5;
        sums[channel] = 0;
      }
    }
  }
  return result;
}

const sums = new Float64Array(3);

/** Resize a square crop with the same sampling as `cropImage`. */
export function resizeCrop(crop: Image, size: number): Image {
  const side = crop.width;
  return side === size ? crop : cropImage(crop, square(side / 2, side / 2, side), size);
}
