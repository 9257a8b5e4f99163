// npm @vladmandic/human: BlazeFace, face mesh, then the emotion network, in WebAssembly. Everything else is off, and so
// is the reuse of earlier frames' results. For a cropped face the emotion network gets the full image, prepared as in
// the package's src/gear/emotion.ts. With the argument `no-mesh` the face mesh is off too.

import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { installedBytes, packageFolder, require, serve, versionOf } from "../protocol.mjs";

// The package loads its networks by fetch, which does not read files.
const fetchWeb = globalThis.fetch;
globalThis.fetch = async (url, options) =>
  String(url).startsWith("file:") ? new Response(fs.readFileSync(fileURLToPath(url))) : fetchWeb(url, options);

const name = "@vladmandic/human";
const usesMesh = process.argv[2] !== "no-mesh";
const { Human } = require(`${packageFolder(name)}/dist/human.node-wasm.js`);
const folder = path.join(packageFolder(name), "models");
const human = new Human({
  backend: "wasm",
  wasmPath: `${packageFolder("@tensorflow/tfjs-backend-wasm")}/dist/`,
  modelBasePath: `file://${folder}/`,
  cacheSensitivity: 0,
  debug: false,
  filter: { enabled: false },
  gesture: { enabled: false },
  body: { enabled: false },
  hand: { enabled: false },
  object: { enabled: false },
  segmentation: { enabled: false },
  face: {
    enabled: true,
    detector: { maxDetected: 10 },
    mesh: { enabled: usesMesh },
    iris: { enabled: false },
    description: { enabled: false },
    emotion: { enabled: true, minConfidence: 0 },
  },
});
await human.load();
const { tf } = human;
await tf.setBackend("wasm");
await tf.ready();
const emotionNet = await tf.loadGraphModel(`file://${folder}/emotion.json`);
const labels = ["angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"];

async function predict({ width, height, rgb }, cropped) {
  const tensor = tf.tensor(rgb, [1, height, width, 3], "float32");
  try {
    if (cropped) {
      const output = tf.tidy(() => {
        const resized = tf.image.resizeBilinear(tf.div(tensor, 255), [64, 64], false);
        const gray = tf.sum(tf.mul(resized, [0.2989, 0.587, 0.114]), 3, true);
        return emotionNet.execute(tf.mul(tf.sub(gray, 0.5), 2));
      });
      const values = await output.data();
      output.dispose();
      const probabilities = Object.fromEntries(labels.map((label, index) => [label, values[index]]));
      return [{ box_xyxy: [0, 0, width, height], probabilities }];
    }
    const result = await human.detect(tensor);
    if (result.error) throw new Error(result.error);
    return result.face
      .filter(({ emotion }) => emotion?.length)
      .map(({ box: [x, y, w, h], emotion }) => ({
        box_xyxy: [x, y, x + w, y + h],
        probabilities: Object.fromEntries(emotion.map(({ emotion: label, score }) => [label, score])),
      }));
  } finally {
    tensor.dispose();
  }
}

const tfPackages = ["@tensorflow/tfjs-core", "@tensorflow/tfjs-converter", "@tensorflow/tfjs-backend-wasm"];
await serve(
  {
    name,
    version: versionOf(name),
    detector: usesMesh ? "BlazeFace and face mesh" : "BlazeFace",
    weights: ["blazeface", ...(usesMesh ? ["facemesh"] : []), "emotion"].map((net) => path.join(folder, `${net}.bin`)),
    install_bytes: installedBytes([name, ...tfPackages]),
  },
  predict,
);
