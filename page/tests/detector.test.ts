// YuNet in the browser's runtime finds the same faces as in OpenCV.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { Detector, iou } from "../src/faces/detector.ts";
import { estimatePose } from "../src/faces/pose.ts";
import { measureQuality } from "../src/faces/quality.ts";
import { withDynamicAxes } from "../src/faces/dynamic-axes.ts";
import { detectorFile, golden, nearest, image } from "./golden.ts";

ort.env.wasm.numThreads = 1;
const file = detectorFile();
const options = { skip: file ? false : "the YuNet file was not found" };

for (const { size_wh, faces } of golden.detected) {
  test(`faces of the image at ${size_wh.join(" x ")}`, options, async (context) => {
    const detector = await Detector.load(ort, file!);
    const resized = nearest(image, ...size_wh);
    const found = await detector.findFaces(resized);
    assert.equal(found.length, faces.length);
    let worst = 1;
    let farthest = 0;
    let score = 0;
    found.forEach((face, index) => {
      worst = Math.min(worst, iou(face.box, faces[index].box_xyxy));
      const quality = measureQuality(resized, face);
      const expected = faces[index].quality;
      for (const [value, truth] of [
        [quality.facePx / 100, expected.face_px / 100],
        [quality.sharpness, expected.sharpness],
        [quality.brightness, expected.brightness],
        [quality.contrast, expected.contrast],
        [quality.covered!, expected.covered],
      ]) {
        assert.ok(Math.abs(value - truth) < 0.02, `quality ${JSON.stringify(quality)} instead of ${JSON.stringify(expected)}`);
      }
      const pose = estimatePose(faces[index].points);
      for (const [value, truth] of [
        [pose.rollDeg, expected.roll_deg],
        [pose.yawDeg, expected.yaw_deg],
        [pose.pitchDeg, expected.pitch_deg],
      ]) {
        assert.ok(Math.abs(value - truth) < 0.1, `pose ${JSON.stringify(pose)} instead of ${JSON.stringify(expected)}`);
      }
      score = Math.max(score, Math.abs(face.score! - faces[index].score));
      face.points!.forEach(([x, y], point) => {
        const [ex, ey] = faces[index].points[point];
        farthest = Math.max(farthest, Math.hypot(x - ex, y - ey) / (face.box[2] - face.box[0]));
      });
    });
    context.diagnostic(`IoU at least ${worst.toFixed(4)}, points within ${farthest.toFixed(4)} of a face's width`);
    assert.ok(worst > 0.97, `IoU ${worst}`);
    assert.ok(farthest < 0.02, `points ${farthest}`);
    assert.ok(score < 0.02, `score ${score}`);
  });
}

test("a file with dynamic axes is unchanged", options, () => {
  const once = withDynamicAxes(file!);
  assert.deepEqual(withDynamicAxes(once), once);
  assert.ok(once.length < file!.length);
});

test("a truncated file is rejected", () => {
  assert.throws(() => withDynamicAxes(Uint8Array.of(0x3a, 0x7f, 1)), /truncated/);
});
