// Bounding boxes, landmarks and labels on top of an image.

import type { Box, Point } from "../faces/crop.ts";
import { FONT } from "./canvas.ts";
import { placeLabels } from "./labels.ts";

// Contours of the 68 landmarks: first, last, closed (mien.faces.landmarks).
const CONTOURS: [number, number, boolean][] = [
  [0, 16, false],
  [17, 21, false],
  [22, 26, false],
  [27, 30, false],
  [31, 35, false],
  [36, 41, true],
  [42, 47, true],
  [48, 59, true],
  [60, 67, true],
];
const DARK = "rgb(12 14 18 / 55%)";

export interface DrawnFace {
  box: Box;
  landmarks: Point[] | null;
  label: string;
  color: string;
  isSelected: boolean;
  isUnsure: boolean;
}

/** How an image is placed on a surface: scaled to fit, centered, optionally mirrored. */
export class Placement {
  readonly scale: number;
  private readonly left: number;
  private readonly top: number;

  constructor(
    private readonly image: { width: number; height: number },
    surface: { width: number; height: number },
    private readonly isMirrored: boolean,
  ) {
    this.scale = Math.min(surface.width / image.width, surface.height / image.height);
    this.left = (surface.width - image.width * this.scale) / 2;
    this.top = (surface.height - image.height * this.scale) / 2;
  }

  point([x, y]: Point): Point {
    const across = this.isMirrored ? this.image.width - x : x;
    return [this.left + across * this.scale, this.top + y * this.scale];
  }

  box([x0, y0, x1, y1]: Box): Box {
    const [ax, ay] = this.point([x0, y0]);
    const [bx, by] = this.point([x1, y1]);
    return [Math.min(ax, bx), ay, Math.max(ax, bx), by];
  }
}

export interface Layers {
  boxes: boolean;
  landmarks: boolean;
}

/** Draw faces; the selected one comes last, on top. */
export function drawFaces(
  ctx: CanvasRenderingContext2D,
  faces: DrawnFace[],
  placement: Placement,
  surface: { width: number; height: number },
  layers: Layers,
  unit = 1,
): void {
  const order = [...faces].sort((a, b) => Number(a.isSelected) - Number(b.isSelected));
  for (const face of order) {
    const box = placement.box(face.box);
    if (layers.landmarks && face.landmarks) {
      const points = face.landmarks.map((point) => placement.point(point));
      drawLandmarks(ctx, points, face, box, unit);
    }
    if (layers.boxes) drawBox(ctx, box, face, unit);
  }
  if (layers.boxes) drawLabels(ctx, faces, placement, surface, unit);
}

/** Label the selected face, then the others, largest first; faces without room for a label keep their box. */
function drawLabels(
  ctx: CanvasRenderingContext2D,
  faces: DrawnFace[],
  placement: Placement,
  surface: { width: number; height: number },
  unit: number,
): void {
  const area = ({ box: [x0, y0, x1, y1] }: DrawnFace): number => (x1 - x0) * (y1 - y0);
  const order = [...faces].sort((a, b) => Number(b.isSelected) - Number(a.isSelected) || area(b) - area(a));
  const boxes = order.map(({ box }) => placement.box(box));
  const sizes = order.map((face) => measureLabel(ctx, face, unit));
  placeLabels(boxes, sizes, surface, 6 * unit).forEach((corner, index) => {
    if (corner) drawLabel(ctx, corner, sizes[index], order[index], unit);
  });
}

function drawLandmarks(ctx: CanvasRenderingContext2D, points: Point[], face: DrawnFace, box: Box, unit: number): void {
  const size = (box[2] - box[0]) / unit;
  const width = Math.min(1.6, Math.max(0.8, size / 110)) * unit;
  const path = new Path2D();
  for (const [first, last, isClosed] of CONTOURS) {
    path.moveTo(...points[first]);
    for (let index = first + 1; index <= last; index++) path.lineTo(...points[index]);
    if (isClosed) path.closePath();
  }
  ctx.lineJoin = ctx.lineCap = "round";
  ctx.globalAlpha = face.isSelected ? 1 : 0.6;
  ctx.lineWidth = width * 2.2;
  ctx.strokeStyle = "rgb(12 14 18 / 35%)";
  ctx.stroke(path);
  ctx.lineWidth = width;
  ctx.strokeStyle = "rgb(255 255 255 / 85%)";
  ctx.stroke(path);
  if (size > 90) {
    ctx.fillStyle = face.color;
    const radius = Math.max(1.2, Math.min(2.2, size / 90)) * unit;
    const dots = new Path2D();
    for (const [x, y] of points) {
      dots.moveTo(x + radius, y);
      dots.arc(x, y, radius, 0, 2 * Math.PI);
    }
    ctx.fill(dots);
  }
  ctx.globalAlpha = 1;
}

function drawBox(ctx: CanvasRenderingContext2D, [x0, y0, x1, y1]: Box, face: DrawnFace, unit: number): void {
  const side = Math.min(x1 - x0, y1 - y0);
  const radius = Math.min(14 * unit, side * 0.16);
  const path = face.isSelected ? rounded(x0, y0, x1, y1, radius) : corners(x0, y0, x1, y1, radius, side * 0.2);
  ctx.lineCap = "round";
  ctx.lineWidth = (face.isSelected ? 4.5 : 3.5) * unit;
  ctx.strokeStyle = DARK;
  ctx.stroke(path);
  ctx.setLineDash(face.isUnsure && face.isSelected ? [7 * unit, 6 * unit] : []);
  ctx.lineWidth = (face.isSelected ? 2.5 : 1.75) * unit;
  ctx.strokeStyle = face.color;
  ctx.stroke(path);
  ctx.setLineDash([]);
}

function rounded(x0: number, y0: number, x1: number, y1: number, radius: number): Path2D {
  const path = new Path2D();
  path.roundRect(x0, y0, x1 - x0, y1 - y0, radius);
  return path;
}

function corners(x0: number, y0: number, x1: number, y1: number, radius: number, arm: number): Path2D {
  const path = new Path2D();
  for (const [x, y, dx, dy] of [
    [x0, y0, 1, 1],
    [x1, y0, -1, 1],
    [x1, y1, -1, -1],
    [x0, y1, 1, -1],
  ]) {
    path.moveTo(x + dx * (radius + arm), y);
    path.arcTo(x, y, x, y + dy * (radius + arm), radius);
    path.lineTo(x, y + dy * (radius + arm));
  }
  return path;
}

function labelFont(face: DrawnFace, unit: number): [string, number] {
  const size = (face.isSelected ? 13.5 : 12) * unit;
  return [`${face.isSelected ? 600 : 500} ${size}px ${FONT}`, size];
}

function measureLabel(ctx: CanvasRenderingContext2D, face: DrawnFace, unit: number): { width: number; height: number } {
  const [font, size] = labelFont(face, unit);
  ctx.font = font;
  return { width: ctx.measureText(face.label).width + size * 2.15, height: size * 1.75 };
}

function drawLabel(
  ctx: CanvasRenderingContext2D,
  [left, top]: [number, number],
  { width, height }: { width: number; height: number },
  face: DrawnFace,
  unit: number,
): void {
  const [font, size] = labelFont(face, unit);
  ctx.font = font;
  ctx.textBaseline = "middle";
  ctx.fillStyle = "rgb(17 20 26 / 84%)";
  ctx.fill(rounded(left, top, left + width, top + height, height / 2));
  ctx.fillStyle = face.color;
  ctx.beginPath();
  ctx.arc(left + size * 0.85, top + height / 2, size * 0.3, 0, 2 * Math.PI);
  if (face.isUnsure) {
    ctx.lineWidth = 1.6 * unit;
    ctx.strokeStyle = face.color;
    ctx.stroke();
  } else ctx.fill();
  ctx.fillStyle = "#fff";
  ctx.fillText(face.label, left + size * 1.45, top + height / 2 + size * 0.04);
}
