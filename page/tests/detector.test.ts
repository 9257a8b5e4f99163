// YuNet in the browser's runtime finds the faces that OpenCV finds.

import assert from "node:assert/strict";
import { test } from "node:test";
import * as ort from "onnxruntime-web";
import { Detector, iou } from "../src/faces/detector.ts";
import { openSizes } from "../src/faces/open-sizes.ts";
import { detectorFile, golden, nearest, image } from "./golden.ts";

ort.env.wasm.numThreads = 1;
const file = detectorFile();
const options = { skip: file ? false : "the YuNet detector file is not at hand" };

for (const { size_wh, faces } of golden.detected) {
  test(`faces of the image at ${size_wh.join(" x ")}`, options, async (context) => {
    const detector = await Detector.load(ort, file!);
    const found = await detector.findFaces(nearest(image, ...size_wh));
    assert.equal(found.length, faces.length);
    let worst = 1;
    let farthest = 0;
    let score = 0;
    found.forEach((face, index) => {
      worst = Math.min(worst, iou(face.box, faces[index].box_xyxy));
      score = Math.max(score, Math.abs(face.score - faces[index].score));
      face.points.forEach(([x, y], place) => {
        const [ex, ey] = faces[index].points[place];
        farthest = Math.max(farthest, Math.hypot(x - ex, y - ey) / (face.box[2] - face.box[0]));
      });
    });
    context.diagnostic(`IoU at least ${worst.toFixed(4)}, points within ${farthest.toFixed(4)} of a face's width`);
    assert.ok(worst > 0.97, `IoU ${worst}`);
    assert.ok(farthest < 0.02, `points ${farthest}`);
    assert.ok(score < 0.02, `score ${score}`);
  });
}

test("a file without sizes to open keeps its bytes", options, () => {
  const once = openSizes(file!);
  assert.deepEqual(openSizes(once), once);
  assert.ok(once.length < file!.length);
});

test("a damaged file is refused", () => {
  assert.throws(() => openSizes(Uint8Array.of(0x3a, 0x7f, 1)), /cut short/);
});
