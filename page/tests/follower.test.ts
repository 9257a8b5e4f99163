// Faces of a video between two looks of the detector, on the golden image, moved by known amounts.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Box, Point } from "../src/faces/crop.ts";
import type { DetectedFace } from "../src/faces/detector.ts";
import { Follower } from "../src/faces/follower.ts";
import { emptyImage, type Image } from "../src/faces/pixels.ts";
import { golden, image } from "./golden.ts";

const [{ faces: known }] = golden.detected.filter(({ size_wh: [width] }) => width === image.width);
const faces: DetectedFace[] = known.map(({ box_xyxy: box, score, points }) => ({ box, score, points, foundBy: "detector" }));

/** The landmarks of a face: any points that move with it. */
function landmarksOf({ box: [x0, y0, x1, y1] }: DetectedFace, moved = 0): Point[] {
  return Array.from({ length: 68 }, (_, n) => [x0 + moved + ((x1 - x0) * (n % 9)) / 9, y0 + ((y1 - y0) * (n % 7)) / 7]);
}

/** The golden image, its content moved to the right. */
function shifted(by: number): Image {
  const result = emptyImage(image.width, image.height);
  for (let y = 0; y < image.height; y++) {
    const row = image.rgb.subarray(y * image.width * 3, ((y + 1) * image.width - by) * 3);
    result.rgb.set(row, (y * image.width + by) * 3);
  }
  return result;
}

function started(found = faces): Follower {
  const follower = new Follower();
  follower.keep(image, { time: 0, pass: 0 }, found, found.map((face) => landmarksOf(face)), true);
  return follower;
}

test("a face goes where its landmarks went, relative to the detection", () => {
  const follower = started();
  assert.deepEqual(follower.follow(shifted(1), { time: 0.03, pass: 0 }), faces);
  for (const [time, by] of [[0.03, 1], [0.06, 2]]) {
    const found = follower.keep(shifted(by), { time, pass: 0 }, faces, faces.map((face) => landmarksOf(face, by)), false);
    found.forEach(({ box, points }, index) => {
      const { box: before, points: pointsBefore } = faces[index];
      const expected: Box = [before[0] + by, before[1], before[2] + by, before[3]];
      box.forEach((value, at) => assert.ok(Math.abs(value - expected[at]) < 1e-6));
      points!.forEach(([x], at) => assert.ok(Math.abs(x - pointsBefore![at][0] - by) < 1e-6));
    });
    assert.ok(follower.follow(shifted(by), { time: time + 0.03, pass: 0 }));
  }
});

test("the detector looks after a cut, a seek, some time, and at faces that could be mistaken for each other", () => {
  const next = { time: 0.03, pass: 0 };
  assert.ok(started().follow(image, next));
  const negative = { ...image, rgb: image.rgb.map((value) => 255 - value) };
  assert.equal(started().follow(negative, next), null, "a cut");
  assert.equal(started().follow(emptyImage(image.width, image.height), next), null, "a black frame");
  assert.equal(started().follow(image, { time: 0.03, pass: 1 }), null, "a seek");
  const follower = started();
  assert.ok(follower.follow(image, { time: 0.5, pass: 0 }), "a slow machine still follows");
  assert.ok(follower.follow(image, { time: 1, pass: 0 }));
  assert.equal(follower.follow(image, { time: 1.5, pass: 0 }), null, "time");
  const [face] = faces;
  const close: DetectedFace = { ...face, box: [face.box[0] + 20, face.box[1], face.box[2] + 20, face.box[3]] };
  assert.equal(started([face, close]).follow(image, next), null, "two close faces");
  assert.equal(started([]).follow(image, next), null, "an empty frame");
  assert.equal(started([{ ...face, points: null }]).follow(image, next), null, "no eyes");
  const jumped = started();
  jumped.keep(image, next, faces, faces.map((found) => landmarksOf(found, found.box[2] - found.box[0])), false);
  assert.equal(jumped.follow(image, { time: 0.06, pass: 0 }), null, "landmarks that jump");
});

test("without landmarks the detector looks at every frame", () => {
  const follower = new Follower();
  follower.keep(image, { time: 0, pass: 0 }, faces, faces.map(() => null), true);
  assert.equal(follower.follow(image, { time: 0.03, pass: 0 }), null);
});
