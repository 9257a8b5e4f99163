// The worker that reads faces: pictures come in, readings go out, and the page stays responsive.

import * as ort from "onnxruntime-web/wasm";
import { Detector, FINE_SIDE, type DetectedFace } from "./faces/detector.ts";
import { Model, checkInfo, type ModelInfo } from "./faces/model.ts";
import { fromRgba, type Picture } from "./faces/pixels.ts";
import type { FromWorker, Part, ToWorker } from "./messages.ts";

// A film is looked at less finely than a photograph, and its second look is taken in every sixth frame, as long as
// the first one misses nothing.
const LIVE_FINE_SIDE = 640;
const LIVE_FINE_EVERY = 6;
const MAX_THREADS = 4;

let detector: Detector;
let model: Model;
let frame = 0;
let needsFineLook = false;

self.onmessage = async ({ data }: MessageEvent<ToWorker>) => {
  try {
    if (data.kind === "load") await load(data.base);
    else await read(data.id, data.bitmap, data.isLive);
  } catch (error) {
    const message = messageOf(error);
    if (data.kind === "read") send({ kind: "failed", id: data.id, message });
    else if (error instanceof LoadError) send({ kind: "unloaded", part: error.part, isMissing: error.isMissing, message });
    else send({ kind: "unloaded", part: "worker", isMissing: false, message });
  }
};

class LoadError extends Error {
  constructor(
    readonly part: Part,
    cause: unknown,
  ) {
    super(messageOf(cause));
    this.isMissing = cause instanceof MissingFile;
  }

  readonly isMissing: boolean;
}

class MissingFile extends Error {}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Do what a part needs, and let its failure say which part it is of. */
async function loadPart<T>(part: Part, task: () => Promise<T>): Promise<T> {
  try {
    return await task();
  } catch (error) {
    throw new LoadError(part, error);
  }
}

function send(message: FromWorker): void {
  self.postMessage(message);
}

async function load(base: string): Promise<void> {
  const here = new URL(".", self.location.href).href;
  ort.env.wasm.wasmPaths = { mjs: `${here}ort.js`, wasm: `${here}ort.wasm` };
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(MAX_THREADS, navigator.hardwareConcurrency || 1) : 1;
  ort.env.logLevel = "error";
  const info = await loadPart("info", async () => {
    const text = new TextDecoder().decode(await fetchFile(base, "model.json"));
    return checkInfo(JSON.parse(text) as ModelInfo);
  });
  send({ kind: "info", info });
  // A host's policy can forbid it, which the runtime tells in many words. The bytes are a module of nothing.
  await loadPart("wasm", () => WebAssembly.compile(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)));
  const shares = [0, 0];
  const track = (index: number) => (share: number) => {
    shares[index] = share;
    send({ kind: "loading", share: 0.05 * shares[0] + 0.95 * shares[1] });
  };
  const [detectorFile, modelFile] = await Promise.all([
    loadPart("detector", () => fetchFile(base, "models/detector.onnx", track(0))),
    loadPart("model", () => fetchFile(base, "models/model.onnx", track(1))),
  ]);
  detector = await loadPart("detector", () => Detector.load(ort, detectorFile));
  model = await loadPart("model", () => Model.load(ort, modelFile, info));
  send({ kind: "ready", threads: ort.env.wasm.numThreads });
}

/** Fetch a file of the page's own folder, telling how much of it has come. */
async function fetchFile(base: string, path: string, tell?: (share: number) => void): Promise<Uint8Array> {
  const response = await fetch(new URL(path, base));
  if (!response.ok) {
    const told = (await response.json().catch(() => null)) as { error?: { message?: string } } | null;
    const message = told?.error?.message ?? `${path}: ${response.status} ${response.statusText}`;
    throw response.status === 404 ? new MissingFile(message) : new Error(message);
  }
  const size = Number(response.headers.get("content-length")) || 0;
  if (!response.body || !tell) return new Uint8Array(await response.arrayBuffer());
  const pieces: Uint8Array[] = [];
  let come = 0;
  const stream = response.body.getReader();
  for (;;) {
    const { done, value } = await stream.read();
    if (done) break;
    pieces.push(value);
    come += value.length;
    if (size) tell(Math.min(1, come / size));
  }
  const file = new Uint8Array(come);
  pieces.reduce((at, piece) => (file.set(piece, at), at + piece.length), 0);
  tell(1);
  return file;
}

async function read(id: number, bitmap: ImageBitmap, isLive: boolean): Promise<void> {
  const start = performance.now();
  const picture = pixelsOf(bitmap);
  const found = performance.now();
  const faces = isLive ? await findLive(picture) : await detector.findFaces(picture, FINE_SIDE);
  const detected = performance.now();
  const readings = await model.read(picture, faces);
  const end = performance.now();
  const ms = { pixels: found - start, faces: detected - found, model: end - detected, all: end - start };
  send({ kind: "readings", id, readings, width: picture.width, height: picture.height, ms });
}

async function findLive(picture: Picture): Promise<DetectedFace[]> {
  const closeUp = await detector.lookClose(picture);
  const isFineTurn = frame++ % LIVE_FINE_EVERY === 0;
  if (!isFineTurn && !needsFineLook && closeUp.length) return closeUp;
  const faces = await detector.lookFine(picture, closeUp, LIVE_FINE_SIDE);
  needsFineLook = faces.length > closeUp.length;
  return faces;
}

let canvas: OffscreenCanvas | undefined;

function pixelsOf(bitmap: ImageBitmap): Picture {
  const { width, height } = bitmap;
  canvas ??= new OffscreenCanvas(width, height);
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  context.clearRect(0, 0, width, height);
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  return fromRgba(context.getImageData(0, 0, width, height).data, width, height);
}
