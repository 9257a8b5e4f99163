// The worker that runs the networks: images come in, predictions go out, and the page stays responsive.

import * as ort from "onnxruntime-web/wasm";
import { versioned } from "./assets.ts";
import type { Box } from "./faces/crop.ts";
import { CutDetector } from "./faces/cuts.ts";
import { Detector, ofAtLeast, type DetectedFace } from "./faces/detector.ts";
import { Follower } from "./faces/follower.ts";
import { readInfo } from "./faces/metadata.ts";
import { Model, checkInfo, type ModelInfo } from "./faces/model.ts";
import { fromRgba, type Image } from "./faces/pixels.ts";
import { orRelease } from "./faces/runtime.ts";
import { ModelsInUse, type OpenModel } from "./models-in-use.ts";
import type { Bitmap, FromWorker, Part, WorkerAnswers, WorkerRequest, ToWorker } from "./protocol.ts";
import { teach, thumbnailOf } from "./teaching/lesson.ts";

// For video, the fine pass has a lower resolution than for photos, and as long as the close-up pass misses no face, it skips this many
// frames and looks of the detector.
const LIVE_FINE_SIDE = 640;
const LIVE_FINE_EVERY_FRAMES = 6;
const LIVE_FINE_EVERY_LOOKS = 2;
const MAX_THREADS = 4;

let detector: Detector;
let models: ModelsInUse<Model>;
let follower = new Follower();
let followedMinFacePx = 0;
const cuts = new CutDetector();
let [framesSinceFine, looksSinceFine] = [Infinity, Infinity];
let needsFinePass = false;

self.onmessage = async ({ data }: MessageEvent<ToWorker>) => {
  try {
    if (data.kind === "load") await load(data.base);
    else if (data.kind === "predict") await predict(data);
    else send({ kind: "answer", id: data.id, value: await answer(data) });
  } catch (error) {
    const message = messageOf(error);
    if (data.kind === "predict") data.bitmap.close();
    if (data.kind !== "load") send({ kind: "failed", id: data.id, message });
    else if (error instanceof LoadError) send({ kind: "load-failed", part: error.part, isMissing: error.isMissing, message });
    else send({ kind: "load-failed", part: "worker", isMissing: false, message });
  }
};

class LoadError extends Error {
  constructor(
    readonly part: Part,
    cause: unknown,
  ) {
    super(messageOf(cause));
    this.isMissing = cause instanceof MissingFileError;
  }

  readonly isMissing: boolean;
}

class MissingFileError extends Error {}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Run a loading step, attributing its failure to a part. */
async function loadPart<T>(part: Part, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    throw new LoadError(part, error);
  }
}

function send(message: FromWorker, transfer: Transferable[] = []): void {
  self.postMessage(message, { transfer });
}

async function load(origin: string): Promise<void> {
  const here = new URL(".", self.location.href).href;
  ort.env.wasm.wasmPaths = { mjs: here + versioned("ort.js"), wasm: here + versioned("ort.wasm") };
  // The page and the browser's compositor need the other cores: threads that wait for a core wait for each other too.
  const half = Math.ceil((navigator.hardwareConcurrency || 1) / 2);
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MAX_THREADS, half) : 1;
  ort.env.logLevel = "error";
  const info = await loadPart("info", async () => {
    const text = new TextDecoder().decode(await fetchFile(origin, "model.json"));
    return checkInfo(JSON.parse(text) as ModelInfo);
  });
  send({ kind: "info", info });
  // A content security policy can forbid WebAssembly, which the runtime reports at length. The bytes are an empty module.
  await loadPart("wasm", () => WebAssembly.compile(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)));
  const fractions = [0, 0];
  const track = (index: number) => (fraction: number) => {
    fractions[index] = fraction;
    send({ kind: "loading", fraction: 0.05 * fractions[0] + 0.95 * fractions[1] });
  };
  const [detectorFile, modelFile] = await Promise.all([
    loadPart("detector", () => fetchFile(origin, "models/detector.onnx", track(0))),
    loadPart("model", () => fetchFile(origin, "models/model.onnx", track(1))),
  ]);
  detector = await loadPart("detector", () => Detector.load(ort, detectorFile));
  const model = await loadPart("model", () => Model.load(ort, modelFile, info));
  models = new ModelsInUse({ model, file: modelFile });
  send({ kind: "ready", threads: ort.env.wasm.numThreads });
}

/** Fetch a file of the page's own folder, reporting the progress. */
async function fetchFile(base: string, path: string, onProgress?: (fraction: number) => void): Promise<Uint8Array> {
  const response = await fetch(new URL(path, base));
  if (!response.ok) {
    const body = (await response.json().catch(() => null)) as { error?: { message?: string } } | null;
    const message = body?.error?.message ?? `${path}: ${response.status} ${response.statusText}`;
    throw response.status === 404 ? new MissingFileError(message) : new Error(message);
  }
  const size = Number(response.headers.get("content-length")) || 0;
  if (!response.body || !onProgress) return new Uint8Array(await response.arrayBuffer());
  const pieces: Uint8Array[] = [];
  let received = 0;
  const stream = response.body.getReader();
  for (;;) {
    const { done, value } = await stream.read();
    if (done) break;
    pieces.push(value);
    received += value.length;
    if (size) onProgress(Math.min(1, received / size));
  }
  const file = new Uint8Array(received);
  pieces.reduce((at, piece) => (file.set(piece, at), at + piece.length), 0);
  onProgress(1);
  return file;
}

async function predict({ id, bitmap, frame, minFacePx }: Extract<ToWorker, { kind: "predict" }>): Promise<void> {
  const start = performance.now();
  const image = await pixelsOf(bitmap);
  const decoded = performance.now();
  if (frame) framesSinceFine++;
  const isCut = frame !== null && cuts.isCut(image);
  if (isCut || minFacePx !== followedMinFacePx) [follower, followedMinFacePx] = [new Follower(), minFacePx];
  const followed = frame && follower.follow(image, frame);
  const faces = followed ?? (frame ? ofAtLeast(minFacePx, await detectLive(image)) : await detector.findFaces(image, minFacePx));
  const detected = performance.now();
  const predictions = await models.current.model.predict(image, faces);
  if (frame) {
    const landmarks = predictions.map((prediction) => prediction.landmarks);
    const found = follower.keep(image, frame, faces, landmarks, !followed);
    predictions.forEach((prediction, index) => (prediction.box = found[index].box));
  }
  const end = performance.now();
  const ms = { pixels: decoded - start, faces: detected - decoded, model: end - detected, all: end - start };
  const result = { predictions, width: image.width, height: image.height, isCut, ms };
  if (frame) return send({ kind: "predictions", id, ...result, bitmap }, [bitmap]);
  bitmap.close();
  send({ kind: "predictions", id, ...result, bitmap: null });
}

async function answer(request: WorkerRequest): Promise<WorkerAnswers[keyof WorkerAnswers]> {
  if (request.kind === "collect") {
    const image = await pixelsOf(request.bitmap);
    request.bitmap.close();
    return collect(image, request.box);
  }
  if (request.kind === "file") return models.current.file;
  if (request.kind === "restore") return use(models.base);
  if (request.kind === "close") return use(models.own);
  if (request.kind === "open") {
    const { file, name } = request;
    const model = await Model.load(ort, file, { ...readInfo(file), name });
    await orRelease(model, () => model.requireOutputs());
    return use({ model, file });
  }
  const { base } = models;
  const lesson = await teach(base.file, base.model.info, request.shots, request.keepsClasses);
  if ("reason" in lesson) return lesson;
  const { file, ...result } = lesson;
  const model = await Model.load(ort, file, result.info);
  use(models.base, { model, file });
  return result;
}

function use(base: OpenModel<Model>, taught?: OpenModel<Model>): ModelInfo {
  models.use(base, taught);
  follower = new Follower();
  return models.current.model.info;
}

/** Return what a lesson needs of a face: that at a box, or the largest one; null if there is none. */
async function collect(image: Image, box: Box | null): Promise<WorkerAnswers["collect"]> {
  const faces = await detector.findFaces(image);
  const middle = ([x0, y0, x1, y1]: Box): [number, number] => [(x0 + x1) / 2, (y0 + y1) / 2];
  const distance = (face: DetectedFace): number => {
    if (!box) return -(face.box[2] - face.box[0]) * (face.box[3] - face.box[1]);
    const [[x, y], [boxX, boxY]] = [middle(face.box), middle(box)];
    return Math.hypot(x - boxX, y - boxY);
  };
  if (!faces.length) return null;
  const face = faces.reduce((best, other) => (distance(other) < distance(best) ? other : best));
  const { model } = models.base;
  const { crops } = model.crop(image, [face]);
  const { results, features } = await model.runWithFeatures(crops);
  return { features: features[0], probabilities: results[0].probabilities, thumbnail: thumbnailOf(crops[0]) };
}

async function detectLive(image: Image): Promise<DetectedFace[]> {
  const closeUp = await detector.closeUpPass(image);
  looksSinceFine++;
  const isFineDue = framesSinceFine >= LIVE_FINE_EVERY_FRAMES && looksSinceFine >= LIVE_FINE_EVERY_LOOKS;
  if (!isFineDue && !needsFinePass && closeUp.length) return closeUp;
  [framesSinceFine, looksSinceFine] = [0, 0];
  const faces = await detector.finePass(image, closeUp, LIVE_FINE_SIDE);
  needsFinePass = faces.length > closeUp.length;
  return faces;
}

let canvas: OffscreenCanvas | undefined;
let copy = new Uint8Array(0);

async function pixelsOf(bitmap: Bitmap): Promise<Image> {
  if ("copyTo" in bitmap) {
    const { displayWidth: width, displayHeight: height } = bitmap;
    if (copy.length !== 4 * width * height) copy = new Uint8Array(4 * width * height);
    await bitmap.copyTo(copy, { format: "RGBA" });
    return fromRgba(copy, width, height);
  }
  const { width, height } = bitmap;
  canvas ??= new OffscreenCanvas(width, height);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.clearRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  return fromRgba(context.getImageData(0, 0, width, height).data, width, height);
}
