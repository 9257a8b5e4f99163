// npm @vladmandic/face-api: SSD MobileNet, landmarks, then the expression network on the aligned face, in WebAssembly.

import path from "node:path";
import { installedBytes, packageFolder, require, serve, versionOf } from "../protocol.mjs";

const name = "@vladmandic/face-api";
const tf = require("@tensorflow/tfjs");
const wasm = require("@tensorflow/tfjs-backend-wasm");
wasm.setWasmPaths(`${packageFolder("@tensorflow/tfjs-backend-wasm")}/dist/`);
const faceapi = require(`${name}/dist/face-api.node-wasm.js`);
await faceapi.tf.setBackend("wasm");
await faceapi.tf.ready();

const folder = path.join(packageFolder(name), "model");
const nets = ["ssd_mobilenetv1", "face_landmark_68", "face_expression"];
await faceapi.nets.ssdMobilenetv1.loadFromDisk(folder);
await faceapi.nets.faceLandmark68Net.loadFromDisk(folder);
await faceapi.nets.faceExpressionNet.loadFromDisk(folder);

function facesOf(expressions, { x, y, width, height }) {
  const names = ["neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised"];
  const probabilities = Object.fromEntries(names.map((one) => [one, expressions[one]]));
  return { box_xyxy: [x, y, x + width, y + height], probabilities };
}

async function predict({ width, height, rgb }, cropped) {
  const tensor = tf.tensor3d(Int32Array.from(rgb), [height, width, 3], "int32");
  try {
    if (cropped) {
      const expressions = await faceapi.nets.faceExpressionNet.predictExpressions(tensor);
      return [facesOf(expressions, { x: 0, y: 0, width, height })];
    }
    const found = await faceapi.detectAllFaces(tensor).withFaceLandmarks().withFaceExpressions();
    return found.map(({ expressions, detection }) => facesOf(expressions, detection.box));
  } finally {
    tensor.dispose();
  }
}

await serve(
  {
    name,
    version: versionOf(name),
    detector: "SSD MobileNet v1",
    weights: nets.map((net) => path.join(folder, `${net}_model.bin`)),
    install_bytes: installedBytes([name, "@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"]),
  },
  predict,
);
