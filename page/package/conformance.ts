// Runs the package through the conformance kit (docs/conformance.md), in Node and in the browser alike.

import { Detector, Mien, Model, cropImage, cropMatrix, divideByPrior, readInfo, resizeCrop } from "./index.ts";
import type { Box, CropContract, Image, Point, Prior, Runtime } from "./index.ts";

interface CropCase {
  name: string;
  crop: CropContract;
  input_size: number;
  anchors: Point[] | null;
  box_xyxy: Box | null;
}

interface Kit {
  format_version: number;
  image: { file: string; size_wh: [number, number] };
  model: { file: string; classes: string[] };
  crops: CropCase[];
  predictions: CropCase[];
  priors: Record<Prior, number[]>[];
  detections: { size_wh: [number, number] }[];
}

/** Return the results of this runtime for a kit; without a detector, its parts are left out. */
export async function runKit(
  ort: Runtime,
  name: string,
  read: (file: string) => Promise<Uint8Array>,
  detectorFile: Uint8Array | null,
): Promise<object> {
  const kit = JSON.parse(new TextDecoder().decode(await read("conformance.json"))) as Kit;
  const [width, height] = kit.image.size_wh;
  const image: Image = { width, height, rgb: await read(kit.image.file) };
  const modelFile = await read(kit.model.file);
  const info = readInfo(modelFile);
  const model = await Model.load(ort, modelFile, info);
  const outputs = await model.run(kit.predictions.map((entry) => cropOf(image, entry).crop));
  const results = {
    format_version: kit.format_version,
    runtime: name,
    crops: kit.crops.map((entry) => {
      const { crop, method } = cropOf(image, entry);
      return { name: entry.name, method, rgb: base64(crop.rgb) };
    }),
    predictions: outputs.map(({ probabilities, landmarks, affect }, index) => {
      return { name: kit.predictions[index].name, probabilities, landmarks, valence_arousal: affect };
    }),
    priors: kit.priors.map((entry) =>
      Object.fromEntries(
        (Object.keys(entry) as Prior[]).map((prior) => [prior, divideByPrior(entry["as-trained"], info.class_fractions!, prior)]),
      ),
    ),
  };
  if (!detectorFile) return results;
  const detector = await Detector.load(ort, detectorFile);
  const detections = [];
  for (const { size_wh } of kit.detections) {
    const faces = await detector.findFaces(nearest(image, ...size_wh));
    detections.push({ size_wh, faces: faces.map(({ box, score, points }) => ({ box_xyxy: box, score, points })) });
  }
  const mien = await Mien.load(ort, { model: modelFile, detector: detectorFile });
  const faces = (await mien.predict(image)).map((row) => ({
    ...row,
    probabilities: kit.model.classes.map((one) => row.probabilities[one]),
    valence_arousal: row.valence === null ? null : [row.valence, row.arousal],
  }));
  return { ...results, detections, faces };
}

function cropOf(image: Image, entry: CropCase) {
  const { matrix, method } = cropMatrix(entry.crop, image.width, image.height, { anchors: entry.anchors, box: entry.box_xyxy });
  return { crop: resizeCrop(cropImage(image, matrix, entry.crop.size), entry.input_size), method };
}

/** Resize with nearest-neighbor interpolation: pixel i comes from floor(i * from / to). */
function nearest(source: Image, width: number, height: number): Image {
  const rgb = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    const row = Math.floor((y * source.height) / height) * source.width;
    for (let x = 0; x < width; x++) {
      const from = (row + Math.floor((x * source.width) / width)) * 3;
      rgb.set(source.rgb.subarray(from, from + 3), (y * width + x) * 3);
    }
  }
  return { width, height, rgb };
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
