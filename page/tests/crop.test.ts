// The page's crops match those of mien, pixel by pixel within rounding.

import assert from "node:assert/strict";
import { test } from "node:test";
import { cropMatrix, cropImage, forDetectedFaces, invert, resizeCrop, transform } from "../src/faces/crop.ts";
import { fromRgba } from "../src/faces/pixels.ts";
import { golden, goldenCrop, image, type CropCase } from "./golden.ts";

export function cropCase(entry: CropCase) {
  const face = { anchors: entry.anchors, box: entry.box_xyxy };
  const { matrix, method } = cropMatrix(entry.crop, image.width, image.height, face);
  return { crop: resizeCrop(cropImage(image, matrix, entry.crop.size), entry.input_size), matrix, method };
}

for (const entry of golden.crops) {
  test(`crop ${entry.name}`, (context) => {
    const { crop, method } = cropCase(entry);
    const expected = goldenCrop(entry.name);
    assert.equal(method, entry.method);
    assert.equal(crop.rgb.length, expected.rgb.length);
    let sum = 0;
    let largest = 0;
    crop.rgb.forEach((value, index) => {
      const difference = Math.abs(value - expected.rgb[index]);
      sum += difference;
      largest = Math.max(largest, difference);
    });
    context.diagnostic(`mean ${(sum / crop.rgb.length).toFixed(3)}, largest ${largest} gray levels`);
    assert.ok(sum / crop.rgb.length <= 1, `mean difference ${sum / crop.rgb.length}`);
  });
}

test("detected faces are cropped by bounding box if the model was trained on full images", () => {
  const [entry] = golden.crops;
  const box: [number, number, number, number] = [100, 50, 180, 150];
  const { matrix, method } = cropMatrix(forDetectedFaces({ ...entry.crop, method: "whole" }), 560, 360, { box });
  assert.equal(method, "box");
  assert.deepEqual(transform(invert(matrix), [0, 0]), [90, 50]);
  assert.deepEqual(transform(invert(matrix), [1, 1]), [190, 150]);
  assert.equal(forDetectedFaces(entry.crop), entry.crop);
});

test("RGBA is composited on black, whatever its size, its alpha, and where its bytes lie", () => {
  for (const [width, height, start] of [[4, 2, 0], [3, 3, 0], [5, 1, 3], [1, 1, 2], [7, 5, 1]]) {
    const bytes = Uint8Array.from({ length: start + 4 * width * height }, (_, at) => (at * 89) % 256);
    const rgba = bytes.subarray(start);
    // Opaque pixels, with others among them.
    for (let at = 3; at < rgba.length; at += 4) if (at % 28 !== 3) rgba[at] = 255;
    const expected = Array.from({ length: 3 * width * height }, (_, at) => {
      const pixel = 4 * Math.floor(at / 3);
      return Math.round((rgba[pixel + (at % 3)] * rgba[pixel + 3]) / 255);
    });
    assert.deepEqual([...fromRgba(rgba, width, height).rgb], expected, `${width} x ${height} from ${start}`);
  }
});

test("a matrix and its inverse cancel out", () => {
  const { matrix } = cropCase(golden.crops[0]);
  const [x, y] = transform(invert(matrix), transform(matrix, [123.25, 77.5]));
  assert.ok(Math.abs(x - 123.25) < 1e-9 && Math.abs(y - 77.5) < 1e-9);
});
