// Finding faces: YuNet, read as OpenCV's FaceDetectorYN reads it, looking twice as mien.faces.detector does.

import type { InferenceSession, Tensor } from "onnxruntime-common";
import type { Box, Point } from "./crop.ts";
import { openSizes } from "./open-sizes.ts";
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
const SAME_FACE_COVER = 0.7;

export const FINE_SIDE = 1280;

export interface DetectedFace {
  box: Box;
  score: number;
  /** The eye that is left in the image, the right eye, nose, left and right corner of the mouth. */
  points: Point[];
}

/** The four points of an aligned crop. */
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
    return new Detector(runtime, await runtime.InferenceSession.create(openSizes(file), options));
  }

  /** Return the faces of an image, the largest first, after both looks. */
  async findFaces(image: Image, fineSide = FINE_SIDE): Promise<DetectedFace[]> {
    return this.lookFine(image, await this.lookClose(image), fineSide);
  }

  /** The first look: at 320 pixels with a border, for faces that fill the image. */
  async lookClose(image: Image): Promise<DetectedFace[]> {
    const longer = Math.max(image.width, image.height);
    const scale = closeUpScale(image);
    const faces = await this.findAt(image, scale, roundHalfEven(longer * CLOSE_UP_BORDER * scale));
    return largestFirst(withoutRepeats(faces));
  }

  /** The second look, for small faces in a large image; returns them together with those of the first. */
  async lookFine(image: Image, close: DetectedFace[], fineSide: number): Promise<DetectedFace[]> {
    const scale = Math.min(1, fineSide / Math.max(image.width, image.height));
    if (scale <= 1.5 * closeUpScale(image)) return close;
    return largestFirst(withoutRepeats([...close, ...(await this.findAt(image, scale, 0))]));
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
    const place = (x: number, y: number): Point => [(x - border) * scaleX, (y - border) * scaleY];
    return rows.map(({ x, y, w, h, points, score }) => ({
      box: [...place(x, y), ...place(x + w, y + h)],
      score: Math.min(1, score),
      points: points.map(([px, py]) => place(px, py)),
    }));
  }

  private async detect(scaled: Image, border: number, width: number, height: number): Promise<Row[]> {
    const columns = Math.ceil(width / DIVISOR) * DIVISOR;
    const rows = Math.ceil(height / DIVISOR) * DIVISOR;
    const input = new this.runtime.Tensor("float32", planesBgr(scaled, border, columns, rows), [1, 3, rows, columns]);
    const outputs = await this.session.run({ [this.session.inputNames[0]]: input });
    const found = STRIDES.flatMap((stride) => decode(outputs, stride, columns / stride));
    for (const tensor of Object.values(outputs)) tensor.dispose();
    return suppress(found);
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

/** Blue, green and red planes of 0 to 255, the image inside a black border. */
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

/** OpenCV's non-maximum suppression, on boxes of whole pixels. */
function suppress(rows: Row[]): Row[] {
  const order = [...rows].sort((one, other) => other.score - one.score).slice(0, TOP_K);
  const kept: Row[] = [];
  for (const row of order) {
    if (kept.every((other) => wholePixelIou(row, other) <= NMS_THRESHOLD)) kept.push(row);
  }
  return kept;
}

function wholePixelIou(one: Row, other: Row): number {
  const [ax, ay, aw, ah] = [one.x, one.y, one.w, one.h].map(Math.trunc);
  const [bx, by, bw, bh] = [other.x, other.y, other.w, other.h].map(Math.trunc);
  const width = Math.min(ax + aw, bx + bw) - Math.max(ax, bx);
  const height = Math.min(ay + ah, by + bh) - Math.max(ay, by);
  const shared = width > 0 && height > 0 ? width * height : 0;
  const union = aw * ah + bw * bh - shared;
  return union > 0 ? shared / union : 1;
}

/** Keep the most certain of boxes that show one face, such as those of the two looks. */
function withoutRepeats(faces: DetectedFace[]): DetectedFace[] {
  const kept: DetectedFace[] = [];
  for (const face of [...faces].sort((one, other) => other.score - one.score)) {
    if (!kept.some((other) => isSameFace(face.box, other.box))) kept.push(face);
  }
  return kept;
}

function isSameFace(one: Box, other: Box): boolean {
  const shared = sharedArea(one, other);
  if (shared <= 0) return false;
  const areas = [areaOf(one), areaOf(other)];
  return (
    shared > SAME_FACE_IOU * (areas[0] + areas[1] - shared) || shared > SAME_FACE_COVER * Math.min(areas[0], areas[1])
  );
}

function largestFirst(faces: DetectedFace[]): DetectedFace[] {
  return [...faces].sort((one, other) => areaOf(other.box) - areaOf(one.box));
}

function areaOf(box: Box): number {
  return (box[2] - box[0]) * (box[3] - box[1]);
}

function sharedArea(one: Box, other: Box): number {
  const width = Math.min(one[2], other[2]) - Math.max(one[0], other[0]);
  const height = Math.min(one[3], other[3]) - Math.max(one[1], other[1]);
  return width > 0 && height > 0 ? width * height : 0;
}

/** Share of the union of two boxes that both cover. */
export function iou(one: Box, other: Box): number {
  const shared = sharedArea(one, other);
  return shared / (areaOf(one) + areaOf(other) - shared);
}

/** Python's rounding, so that both look at the same sizes. */
function roundHalfEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  if (rest !== 0.5) return Math.round(value);
  return below % 2 === 0 ? below : below + 1;
}
