// Face detection: YuNet, decoded as OpenCV's FaceDetectorYN does, in two passes as in mien.faces.detector.

import type { InferenceSession, Tensor } from "onnxruntime-common";
import type { Box, Point } from "./crop.ts";
import { withDynamicAxes } from "./dynamic-axes.ts";
import { resize, type Image } from "./pixels.ts";
import type { Runtime } from "./runtime.ts";

const SCORE_THRESHOLD = 0.7;
const NMS_THRESHOLD = 0.3;
const TOP_K = 5000;
const STRIDES = [8, 16, 32];
const DIVISOR = 32;
const CLOSE_UP_SIDE = 320;
const CLOSE_UP_BORDER = 0.1;
const MIN_SIDE = 64;
const SAME_FACE_IOU = 0.4;
const SAME_FACE_COVERAGE = 0.7;

export const FINE_SIDE = 1280;

export interface DetectedFace {
  box: Box;
  score: number;
  /** Left eye (as seen in the image), right eye, nose, left and right mouth corner. */
  points: Point[];
}

/** The four anchor points of an aligned crop. */
export function anchorsOf(face: DetectedFace): Point[] {
  return [face.points[0], face.points[1], face.points[3], face.points[4]];
}

export class Detector {
  private constructor(
    private readonly runtime: Runtime,
    private readonly session: InferenceSession,
  ) {}

  static async load(runtime: Runtime, file: Uint8Array): Promise<Detector> {
    const options = { logSeverityLevel: 3 as const };
    return new Detector(runtime, await runtime.InferenceSession.create(withDynamicAxes(file), options));
  }

  /** Return the faces of an image, largest first, from both passes. */
  async findFaces(image: Image, fineSide = FINE_SIDE): Promise<DetectedFace[]> {
    return this.finePass(image, await this.closeUpPass(image), fineSide);
  }

  /** First pass: at 320 pixels with a border, for faces that fill the image. */
  async closeUpPass(image: Image): Promise<DetectedFace[]> {
    const longer = Math.max(image.width, image.height);
    const scale = closeUpScale(image);
    const faces = await this.findAt(image, scale, roundHalfEven(longer * CLOSE_UP_BORDER * scale));
    return largestFirst(dropDuplicates(faces));
  }

  /** Second pass, for small faces in large images; returns the faces of both passes. */
  async finePass(image: Image, closeUp: DetectedFace[], fineSide: number): Promise<DetectedFace[]> {
    const scale = Math.min(1, fineSide / Math.max(image.width, image.height));
    if (scale <= 1.5 * closeUpScale(image)) return closeUp;
    return largestFirst(dropDuplicates([...closeUp, ...(await this.findAt(image, scale, 0))]));
  }

  private async findAt(image: Image, scale: number, border: number): Promise<DetectedFace[]> {
    const width = Math.max(1, roundHalfEven(image.width * scale));
    const height = Math.max(1, roundHalfEven(image.height * scale));
    const scaled = resize(image, width, height);
    const paddedWidth = border + width + border + Math.max(0, MIN_SIDE - width - 2 * border);
    const paddedHeight = border + height + border + Math.max(0, MIN_SIDE - height - 2 * border);
    const rows = await this.detect(scaled, border, paddedWidth, paddedHeight);
    const scaleX = image.width / width;
    const scaleY = image.height / height;
    const toImage = (x: number, y: number): Point => [(x - border) * scaleX, (y - border) * scaleY];
    return rows.map(({ x, y, w, h, points, score }) => ({
      box: [...toImage(x, y), ...toImage(x + w, y + h)],
      score: Math.min(1, score),
      points: points.map(([px, py]) => toImage(px, py)),
    }));
  }

  private async detect(scaled: Image, border: number, width: number, height: number): Promise<Row[]> {
    const columns = Math.ceil(width / DIVISOR) * DIVISOR;
    const rows = Math.ceil(height / DIVISOR) * DIVISOR;
    const input = new this.runtime.Tensor("float32", planesBgr(scaled, border, columns, rows), [1, 3, rows, columns]);
    const outputs = await this.session.run({ [this.session.inputNames[0]]: input });
    const found = STRIDES.flatMap((stride) => decode(outputs, stride, columns / stride));
    for (const tensor of Object.values(outputs)) tensor.dispose();
    return nonMaximumSuppression(found);
  }
}

function closeUpScale(image: Image): number {
  return CLOSE_UP_SIDE / (Math.max(image.width, image.height) * (1 + 2 * CLOSE_UP_BORDER));
}

interface Row {
  x: number;
  y: number;
  w: number;
  h: number;
  points: Point[];
  score: number;
}

/** Return float BGR planes, 0 to 255, with the image inside a black border. */
function planesBgr(scaled: Image, border: number, columns: number, rows: number): Float32Array {
  const area = columns * rows;
  const planes = new Float32Array(3 * area);
  let from = 0;
  for (let y = 0; y < scaled.height; y++) {
    let to = (y + border) * columns + border;
    for (let x = 0; x < scaled.width; x++, to++, from += 3) {
      planes[to] = scaled.rgb[from + 2];
      planes[area + to] = scaled.rgb[from + 1];
      planes[2 * area + to] = scaled.rgb[from];
    }
  }
  return planes;
}

function decode(outputs: Record<string, Tensor>, stride: number, columns: number): Row[] {
  const values = (name: string): Float32Array => outputs[`${name}_${stride}`].data as Float32Array;
  const classes = values("cls");
  const objects = values("obj");
  const boxes = values("bbox");
  const points = values("kps");
  const rows: Row[] = [];
  for (let cell = 0; cell < classes.length; cell++) {
    const score = Math.sqrt(clip(classes[cell]) * clip(objects[cell]));
    if (score < SCORE_THRESHOLD) continue;
    const column = cell % columns;
    const row = Math.floor(cell / columns);
    const w = Math.exp(boxes[cell * 4 + 2]) * stride;
    const h = Math.exp(boxes[cell * 4 + 3]) * stride;
    rows.push({
      x: (column + boxes[cell * 4]) * stride - w / 2,
      y: (row + boxes[cell * 4 + 1]) * stride - h / 2,
      w,
      h,
      points: [0, 1, 2, 3, 4].map((n): Point => [
        (points[cell * 10 + 2 * n] + column) * stride,
        (points[cell * 10 + 2 * n + 1] + row) * stride,
      ]),
      score,
    });
  }
  return rows;
}

function clip(value: number): number {
  return Math.min(1, Math.max(0, value));
}

/** OpenCV's non-maximum suppression, on boxes truncated to integers. */
function nonMaximumSuppression(rows: Row[]): Row[] {
  const order = [...rows].sort((a, b) => b.score - a.score).slice(0, TOP_K);
  const kept: Row[] = [];
  for (const row of order) {
    if (kept.every((other) => truncatedIou(row, other) <= NMS_THRESHOLD)) kept.push(row);
  }
  return kept;
}

function truncatedIou(a: Row, b: Row): number {
  const [ax, ay, aw, ah] = [a.x, a.y, a.w, a.h].map(Math.trunc);
  const [bx, by, bw, bh] = [b.x, b.y, b.w, b.h].map(Math.trunc);
  const width = Math.min(ax + aw, bx + bw) - Math.max(ax, bx);
  const height = Math.min(ay + ah, by + bh) - Math.max(ay, by);
  const intersection = width > 0 && height > 0 ? width * height : 0;
  const union = aw * ah + bw * bh - intersection;
  return union > 0 ? intersection / union : 1;
}

/** Keep the highest-scoring of boxes that show the same face, such as from the two passes. */
function dropDuplicates(faces: DetectedFace[]): DetectedFace[] {
  const kept: DetectedFace[] = [];
  for (const face of [...faces].sort((a, b) => b.score - a.score)) {
    if (!kept.some((other) => isSameFace(face.box, other.box))) kept.push(face);
  }
  return kept;
}

function isSameFace(a: Box, b: Box): boolean {
  const intersection = intersectionArea(a, b);
  if (intersection <= 0) return false;
  const areas = [areaOf(a), areaOf(b)];
  return (
    intersection > SAME_FACE_IOU * (areas[0] + areas[1] - intersection) ||
    intersection > SAME_FACE_COVERAGE * Math.min(areas[0], areas[1])
  );
}

function largestFirst(faces: DetectedFace[]): DetectedFace[] {
  return [...faces].sort((a, b) => areaOf(b.box) - areaOf(a.box));
}

function areaOf(box: Box): number {
  return (box[2] - box[0]) * (box[3] - box[1]);
}

function intersectionArea(a: Box, b: Box): number {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  return width > 0 && height > 0 ? width * height : 0;
}

/** Intersection over union of two boxes. */
export function iou(a: Box, b: Box): number {
  const intersection = intersectionArea(a, b);
  return intersection / (areaOf(a) + areaOf(b) - intersection);
}

/** Round half to even, as Python does, for identical input sizes. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
