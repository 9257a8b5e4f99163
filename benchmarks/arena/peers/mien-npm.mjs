// The npm package of mien's page, on one thread: YuNet, then the model. Arguments: the model's file, the detector's, and
// `onnxruntime-web` for WebAssembly or `onnxruntime-node` for native code, and the least size of faces if there is one. For a cropped
// face the model gets the full image.

import fs from "node:fs";
import { pathToFileURL } from "node:url";
import { installedBytes, packageFolder, require, serve, versionOf } from "../protocol.mjs";

const name = "@mien/face";
const [modelPath, detectorPath, runtime, minFacePx = 0] = process.argv.slice(2);
const weights = [modelPath, detectorPath];
const [model, detector] = weights.map((file) => new Uint8Array(fs.readFileSync(file)));
const { Mien } = await import(pathToFileURL(`${packageFolder(name)}/dist/index.js`));
const { Tensor, InferenceSession, env } = require(runtime === "onnxruntime-web" ? `${runtime}/wasm` : runtime);
env.wasm.numThreads = 1;
const onOneThread = { create: (file, options) => InferenceSession.create(file, { ...options, intraOpNumThreads: 1 }) };
const mien = await Mien.load({ Tensor, InferenceSession: onOneThread }, { model, detector });

async function predict(image, cropped) {
  if (!cropped) return mien.predict(image, { minFacePx: Number(minFacePx) });
  const { width, height } = image;
  const whole = { box: [0, 0, width, height], score: null, points: null, foundBy: "whole" };
  const [{ probabilities }] = await mien.model.predict(image, [whole]);
  return [{ box_xyxy: whole.box, probabilities: Object.fromEntries(mien.info.classes.map((one, index) => [one, probabilities[index]])) }];
}

await serve(
  { name, version: versionOf(name), detector: "YuNet", weights, install_bytes: installedBytes([name, runtime]) },
  predict,
);
