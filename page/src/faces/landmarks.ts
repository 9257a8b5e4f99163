// Measures of the 68 landmarks, as src/mien/faces/landmarks.py, which names their source.

import type { Point } from "./crop.ts";

const [LEFT_EYE, RIGHT_EYE, INNER_MOUTH] = [36, 42, 60];

/** Height over width of the eyes, the mean of both; null if an eye has no width. */
export function eyeAspectRatio(landmarks: Point[]): number | null {
  const ratios = [LEFT_EYE, RIGHT_EYE].map((eye) => ratioOf(landmarks, eye, eye + 3, [[eye + 1, eye + 5], [eye + 2, eye + 4]]));
  return ratios.includes(null) ? null : (ratios[0]! + ratios[1]!) / 2;
}

/** Height over width of the mouth's opening; null if the mouth has no width. */
export function mouthAspectRatio(landmarks: Point[]): number | null {
  const at = INNER_MOUTH;
  return ratioOf(landmarks, at, at + 4, [[at + 1, at + 7], [at + 2, at + 6], [at + 3, at + 5]]);
}

function ratioOf(points: Point[], left: number, right: number, heights: [number, number][]): number | null {
  const distance = (a: number, b: number): number => Math.hypot(points[a][0] - points[b][0], points[a][1] - points[b][1]);
  const width = distance(left, right);
  return width > 0 ? heights.reduce((sum, [a, b]) => sum + distance(a, b), 0) / heights.length / width : null;
}
