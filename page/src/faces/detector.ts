// Face detection: YuNet, decoded as OpenCV's FaceDetectorYN does, in two passes as in mien.faces.detector.

import type { InferenceSession, Tensor } from "onnxruntime-common";
import { cropImage, cropMatrix, invert, transform, type Box, type CropContract, type Point } from "./crop.ts";
import { withDynamicAxes } from "./dynamic-axes.ts";
import { emptyImage, halve, resize, type Image } from "./pixels.ts";
import { inTurn, orRelease, type Runtime } from "./runtime.ts";

const SCORE_THRESHOLD = 0.7;
const NMS_THRESHOLD = 0.3;
const TOP_K = 5000;
const STRIDES = [8, 16, 32];
const OUTPUTS = ["cls", "obj", "bbox", "kps"];
const DIVISOR = 32;
const CLOSE_UP_SIDE = 320;
const CLOSE_UP_BORDER = 0.1;
const MIN_SIDE = 64;
const SAME_FACE_IOU = 0.4;
const SAME_FACE_COVERAGE = 0.7;

// The second look and the rest of these: see src/mien/faces/detector.py.
const CANDIDATE_SCORE = 0.3;
const CERTAIN_SCORE = 0.88;
const MAX_SECOND_LOOKS = 12;
const SECOND_LOOK: CropContract = { method: "box", margin: 0.5, size: 160, resampling: "halve+bilinear", border: "black" };
const TURNED_GAIN = 0.03;
const FILLING_SCORE = 0.2;
const FILLING_COVER = 0.3;
const FILLING_ASPECT = 2;
const MAX_ENLARGEMENT = 2;
const LARGE_PIXELS = 4_900_000;
const SMALL_SIDE = 40;
const SOUGHT_SIDE = 28;

const FINE_SIDE = 1280;

export type FoundBy = "detector" | "whole" | "given";

export interface DetectedFace {
  box: Box;
  /** Null for an image that is taken as one face. */
  score: number | null;
  /** Left eye (as seen when the face is upright), right eye, nose, left and right mouth corner. */
  points: Point[] | null;
  foundBy: FoundBy;
}

/** The four anchor points of an aligned crop. */
export function anchorsOf(face: DetectedFace): Point[] | null {
  return face.points && [face.points[0], face.points[1], face.points[3], face.points[4]];
}

export class Detector {
  private constructor(
    private readonly runtime: Runtime,
    private readonly session: InferenceSession,
  ) {}

  static async load(runtime: Runtime, file: Uint8Array): Promise<Detector> {
    const options = { logSeverityLevel: 3 as const };
    const session = await inTurn(() => runtime.InferenceSession.create(withDynamicAxes(file), options));
    return orRelease(session, () => {
      const missing = STRIDES.flatMap((stride) => OUTPUTS.map((name) => `${name}_${stride}`)).find((name) => !session.outputNames.includes(name));
      if (missing) throw new Error(`The detector is not YuNet: it has no output ${missing}. Use face_detection_yunet_2023mar.onnx`);
      return new Detector(runtime, session);
    });
  }

  /** Give back the memory of the network, which cannot run anymore. */
  release(): Promise<void> {
    return inTurn(() => this.session.release());
  }

  /**
   * Return the faces of a photo at any roll, largest first, or the photo as a face if one fills it that was missed.
   *
   * @param minFacePx - leave out faces whose shorter side is less; the passes for smaller ones take less time, or none.
   */
  async findFaces(image: Image, minFacePx = 0): Promise<DetectedFace[]> {
    let found = await this.findCloseUp(image, CANDIDATE_SCORE);
    let scale = closeUpScale(image);
    for (const finer of fineScales(image)) {
      const enough = Math.min(finer, SOUGHT_SIDE / minFacePx);
      if (finer > 1.5 * scale && enough > scale) {
        found.push(...(await this.findAt(image, enough, 0, CANDIDATE_SCORE)));
        scale = enough;
      }
      const isSmall = ({ box }: DetectedFace): boolean => longestSide(box) * scale < SMALL_SIDE;
      if (found.some((face) => scoreOf(face) >= SCORE_THRESHOLD) && !found.some(isSmall)) break;
    }
    found = dropDuplicates(ofAtLeast(minFacePx, found));
    const faces = found.filter((face) => scoreOf(face) >= CERTAIN_SCORE);
    const doubtful = found.slice(faces.length);
    for (const face of doubtful.slice(0, MAX_SECOND_LOOKS)) faces.push(...(await this.lookAgain(image, face)));
    faces.push(...doubtful.slice(MAX_SECOND_LOOKS).filter((face) => scoreOf(face) >= SCORE_THRESHOLD));
    if (!faces.length) {
      for (const turns of [1, 2, 3]) {
        const turned = await this.findCloseUp(turn(image, turns), SCORE_THRESHOLD);
        faces.push(...turned.map((face) => turnBack(face, turns, image.width, image.height)));
      }
    }
    const wanted = dropDuplicates(ofAtLeast(minFacePx, faces));
    const isLarge = Math.min(image.width, image.height) >= minFacePx;
    if (!wanted.length && isLarge && (await this.fillsImage(image))) return [wholeFace(image)];
    return largestFirst(wanted);
  }

  /** Whether an image in which no face is found looks like a close-up of one. */
  private async fillsImage(image: Image): Promise<boolean> {
    const [shorter, longer] = [image.width, image.height].sort((a, b) => a - b);
    if (longer > FILLING_ASPECT * shorter) return false;
    const frame: Box = [0, 0, image.width, image.height];
    const candidates = await this.findCloseUp(image, FILLING_SCORE);
    return candidates.some((face) => intersectionArea(face.box, frame) >= FILLING_COVER * areaOf(frame));
  }

  /** Return a candidate as it is found enlarged, in the turn that scores highest; nothing if it is no face. */
  private async lookAgain(image: Image, face: DetectedFace): Promise<DetectedFace[]> {
    const { size } = SECOND_LOOK;
    const { matrix } = cropMatrix(SECOND_LOOK, image.width, image.height, { box: face.box });
    const part = cropImage(image, matrix, size);
    const toImage = invert(matrix);
    const back = ([x, y]: Point): Point => transform(toImage, [x / size, y / size]);
    let found = scoreOf(face) >= SCORE_THRESHOLD ? [face] : [];
    let best = 0;
    for (const turns of [0, 1, 2, 3]) {
      if (best >= CERTAIN_SCORE) break;
      for (const seen of await this.findAt(turn(part, turns), 1, 0)) {
        const upright = turnBack(seen, turns, size, size);
        const [x0, y0, x1, y1] = upright.box;
        const box: Box = [...back([x0, y0]), ...back([x1, y1])];
        const score = scoreOf(seen) - (turns ? TURNED_GAIN : 0);
        if (score <= best || !isSameFace(box, face.box)) continue;
        best = score;
        if (turns || !found.length) found = [{ ...upright, box, points: upright.points!.map(back) }];
      }
    }
    return found;
  }

  /** First pass, for faces that fill a frame of a video. */
  async closeUpPass(image: Image): Promise<DetectedFace[]> {
    return largestFirst(dropDuplicates(await this.findCloseUp(image, SCORE_THRESHOLD)));
  }

  /** Search at 320 pixels with a border. */
  private async findCloseUp(image: Image, scoreThreshold: number): Promise<DetectedFace[]> {
    const scale = closeUpScale(image);
    const border = roundHalfEven(Math.max(image.width, image.height) * CLOSE_UP_BORDER * scale);
    return this.findAt(image, scale, border, scoreThreshold);
  }

  /** Second pass, for small faces in a large frame of a video; returns the faces of both passes. */
  async finePass(image: Image, closeUp: DetectedFace[], fineSide: number): Promise<DetectedFace[]> {
    const scale = Math.min(1, fineSide / Math.max(image.width, image.height));
    if (scale <= 1.5 * closeUpScale(image)) return closeUp;
    return largestFirst(dropDuplicates([...closeUp, ...(await this.findAt(image, scale, 0))]));
  }

  private async findAt(
    image: Image,
    scale: number,
    border: number,
    scoreThreshold = SCORE_THRESHOLD,
  ): Promise<DetectedFace[]> {
    const width = Math.max(1, roundHalfEven(image.width * scale));
    const height = Math.max(1, roundHalfEven(image.height * scale));
    const halvings = Math.max(0, Math.floor(Math.log2(1 / scale)));
    const halved = halve(image, halvings);
    const scaled = resize(halved, width, height);
    const paddedWidth = border + width + border + Math.max(0, MIN_SIDE - width - 2 * border);
    const paddedHeight = border + height + border + Math.max(0, MIN_SIDE - height - 2 * border);
    const rows = await this.detect(scaled, border, paddedWidth, paddedHeight, scoreThreshold);
    // Of an odd size, the last row or column is dropped.
    const scaleX = (halved.width * 2 ** halvings) / width;
    const scaleY = (halved.height * 2 ** halvings) / height;
    const toImage = (x: number, y: number): Point => [(x - border) * scaleX, (y - border) * scaleY];
    return rows.map(({ x, y, w, h, points, score }) => ({
      box: [...toImage(x, y), ...toImage(x + w, y + h)],
      score: Math.min(1, score),
      points: points.map(([px, py]) => toImage(px, py)),
      foundBy: "detector",
    }));
  }

  private async detect(
    scaled: Image,
    border: number,
    width: number,
    height: number,
    scoreThreshold: number,
  ): Promise<Row[]> {
    const columns = Math.ceil(width / DIVISOR) * DIVISOR;
    const rows = Math.ceil(height / DIVISOR) * DIVISOR;
    const input = new this.runtime.Tensor("float32", planesBgr(scaled, border, columns, rows), [1, 3, rows, columns]);
    const outputs = await inTurn(() => this.session.run({ [this.session.inputNames[0]]: input }));
    const found = STRIDES.flatMap((stride) => decode(outputs, stride, columns / stride, scoreThreshold));
    for (const tensor of Object.values(outputs)) tensor.dispose();
    return nonMaximumSuppression(found);
  }
}

/** The scales of the second and the third pass. */
function fineScales({ width, height }: Image): number[] {
  const fit = FINE_SIDE / Math.max(width, height);
  return fit >= 1 ? [1, Math.min(MAX_ENLARGEMENT, fit)] : [fit, Math.min(1, Math.sqrt(LARGE_PIXELS / (width * height)))];
}

function scoreOf(face: DetectedFace): number {
  return face.score ?? 0;
}

function longestSide([x0, y0, x1, y1]: Box): number {
  return Math.max(x1 - x0, y1 - y0);
}

/** Leave out faces whose box's shorter side is less. */
export function ofAtLeast(minFacePx: number, faces: DetectedFace[]): DetectedFace[] {
  return faces.filter(({ box: [x0, y0, x1, y1] }) => Math.min(x1 - x0, y1 - y0) >= minFacePx);
}

/** Return a full image as a face. */
export function wholeFace({ width, height }: Image): DetectedFace {
  return { box: [0, 0, width, height], score: null, points: null, foundBy: "whole" };
}

/** Turn an image counterclockwise by quarter turns. */
function turn(image: Image, turns: number): Image {
  let turned = image;
  for (let count = 0; count < turns; count++) {
    const { width, height, rgb } = turned;
    const next = emptyImage(height, width);
    for (let y = 0, from = 0; y < height; y++) {
      for (let x = 0; x < width; x++, from += 3) {
        const to = ((width - 1 - x) * height + y) * 3;
        next.rgb[to] = rgb[from];
        next.rgb[to + 1] = rgb[from + 1];
        next.rgb[to + 2] = rgb[from + 2];
      }
    }
    turned = next;
  }
  return turned;
}

/** Return a face of a turned image in the coordinates of the image before, of the given size. */
export function turnBack(face: DetectedFace, turns: number, width: number, height: number): DetectedFace {
  const back = ([x, y]: Point): Point => {
    let point: Point = [x, y];
    for (let count = turns; count > 0; count--) point = [(count % 2 ? width : height) - point[1], point[0]];
    return point;
  };
  const [ax, ay] = back([face.box[0], face.box[1]]);
  const [bx, by] = back([face.box[2], face.box[3]]);
  const box: Box = [Math.min(ax, bx), Math.min(ay, by), Math.max(ax, bx), Math.max(ay, by)];
  return { ...face, box, points: face.points && face.points.map(back) };
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

function decode(outputs: Record<string, Tensor>, stride: number, columns: number, scoreThreshold: number): Row[] {
  const values = (name: string): Float32Array => outputs[`${name}_${stride}`].data as Float32Array;
  const classes = values("cls");
  const objects = values("obj");
  const boxes = values("bbox");
  const points = values("kps");
  const rows: Row[] = [];
  for (let cell = 0; cell < classes.length; cell++) {
    const score = Math.sqrt(clip(classes[cell]) * clip(objects[cell]));
    if (score < scoreThreshold) continue;
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
  for (const face of [...faces].sort((a, b) => scoreOf(b) - scoreOf(a))) {
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
