// Head pose from five points, as estimate_pose in src/mien/faces/quality.py, which names the source of the method and the head.

import type { Point } from "./crop.ts";

type Vector = [number, number, number];

export interface Pose {
  rollDeg: number;
  yawDeg: number;
  pitchDeg: number;
}

/** Eyes, tip of the nose and mouth corners: x right, y down, z to the viewer. */
const HEAD: Vector[] = [[-165, -170, -135], [165, -170, -135], [0, 0, 0], [-150, 150, -125], [150, 150, -125]];
const MIDDLE = [0, 1, 2].map((axis) => HEAD.reduce((sum, point) => sum + point[axis], 0) / HEAD.length);
const CENTERED = HEAD.map((point) => point.map((value, axis) => value - MIDDLE[axis]) as Vector);
const PRODUCTS = [0, 1, 2].map((row) => [0, 1, 2].map((column) => CENTERED.reduce((sum, point) => sum + point[row] * point[column], 0)) as Vector);

/** Return the pose of eyes, nose and mouth corners: a least-squares fit of a scaled orthographic projection. */
export function estimatePose(points: Point[]): Pose {
  const [right, down] = ([0, 1] as const).map((axis) => unit(fit(points.map((point) => point[axis]))));
  if (!right || !down) return { rollDeg: 0, yawDeg: 0, pitchDeg: 0 };
  const forward = cross(right, down);
  const roll = Math.atan2(down[0], right[0]);
  // Where the face looks, in the image and then with the roll taken back.
  const x = Math.cos(roll) * right[2] + Math.sin(roll) * down[2];
  const y = Math.cos(roll) * down[2] - Math.sin(roll) * right[2];
  const degrees = (radians: number): number => (radians * 180) / Math.PI;
  return {
    rollDeg: degrees(roll),
    yawDeg: degrees(Math.atan2(x, forward[2])),
    pitchDeg: degrees(Math.atan2(-y, Math.hypot(x, forward[2]))),
  };
}

/** Return the five points that 68 landmarks contain. */
export function fiveFromLandmarks(landmarks: Point[]): Point[] {
  const eye = (first: number): Point => {
    const outline = landmarks.slice(first, first + 6);
    return [0, 1].map((axis) => outline.reduce((sum, point) => sum + point[axis], 0) / outline.length) as Point;
  };
  return [eye(36), eye(42), landmarks[30], landmarks[48], landmarks[54]];
}

/** Solve the normal equations of the head for one coordinate of its points, by Cramer's rule. */
function fit(values: number[]): Vector {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const target = [0, 1, 2].map((axis) => CENTERED.reduce((sum, point, at) => sum + point[axis] * (values[at] - mean), 0)) as Vector;
  const determinant = (rows: Vector[]): number => dot(rows[0], cross(rows[1], rows[2]));
  // The matrix is symmetric, so that its rows are its columns.
  return [0, 1, 2].map((axis) => determinant(PRODUCTS.map((row, at) => (at === axis ? target : row))) / determinant(PRODUCTS)) as Vector;
}

function unit(vector: Vector): Vector | null {
  const length = Math.hypot(...vector);
  return length > 0 ? (vector.map((value) => value / length) as Vector) : null;
}

function cross(a: Vector, b: Vector): Vector {
  return [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
}

function dot(a: Vector, b: Vector): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
