// Who predicts an image: the worker in this browser, or the server that the page came from, if it is one.

import { versioned } from "./assets.ts";
import type { Box, Point } from "./faces/crop.ts";
import type { FoundBy } from "./faces/detector.ts";
import type { Frame } from "./faces/follower.ts";
import { QUALITY, unitsOf, type FacePrediction, type ModelInfo } from "./faces/model.ts";
import type { Bitmap, FromWorker, ImagePredictions, LoadFailure, WorkerAnswers, WorkerRequest, ToWorker } from "./protocol.ts";

/** Why the worker cannot predict. */
export class LoadError extends Error {
  constructor(readonly failure: LoadFailure) {
    super(failure.message);
  }
}

/** Predicts in a worker, one image at a time. */
export class BrowserPredictor {
  private worker: Worker | null = null;
  private readonly pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  private count = 0;
  private lastFailure = "";
  isReady = false;

  /** Load the networks, in a new worker: an ONNX runtime that has failed once does not start again. */
  load(onProgress: (fraction: number) => void, onInfo: (info: ModelInfo) => void): Promise<{ threads: number }> {
    this.terminate("");
    const worker = new Worker(new URL(versioned("worker.js"), import.meta.url), { type: "module" });
    this.worker = worker;
    return new Promise((resolve, reject) => {
      const fail = (failure: LoadFailure): void => {
        if (worker !== this.worker) return;
        this.terminate(failure.message);
        reject(new LoadError(failure));
      };
      worker.onerror = ({ message }) => fail({ part: "worker", isMissing: false, message: message || "worker.js" });
      worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
        if (worker !== this.worker) return;
        if (data.kind === "loading") onProgress(data.fraction);
        else if (data.kind === "info") onInfo(data.info);
        else if (data.kind === "load-failed") fail(data);
        else if (data.kind === "predictions") this.settle(data.id)?.resolve(data);
        else if (data.kind === "answer") this.settle(data.id)?.resolve(data.value);
        else if (data.kind === "failed") this.settle(data.id)?.reject(new Error(data.message));
        else {
          this.isReady = true;
          resolve(data);
        }
      };
      this.post({ kind: "load", base: document.baseURI });
    });
  }

  /** Predict an image; the bitmap is transferred to the worker. */
  predict(bitmap: Bitmap, frame: Frame | null, minFacePx: number): Promise<ImagePredictions> {
    if (!this.isReady) {
      bitmap.close();
      return Promise.reject(new Error(this.lastFailure));
    }
    return this.send<ImagePredictions>((id) => ({ kind: "predict", id, bitmap, frame, minFacePx }), [bitmap]);
  }

  /** Ask the worker for a step of teaching. */
  ask<Kind extends WorkerRequest["kind"]>(request: WorkerRequest & { kind: Kind }): Promise<WorkerAnswers[Kind]> {
    if (!this.isReady) return Promise.reject(new Error(this.lastFailure));
    const transfer = request.kind === "collect" ? [(request as { bitmap: ImageBitmap }).bitmap] : [];
    return this.send<WorkerAnswers[Kind]>((id) => ({ ...(request as WorkerRequest), id }), transfer);
  }

  private send<Value>(message: (id: number) => ToWorker, transfer: Transferable[]): Promise<Value> {
    const id = this.count++;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.post(message(id), transfer);
    });
  }

  /** Terminate the worker and reject pending predictions. */
  private terminate(message: string): void {
    this.isReady = false;
    this.lastFailure = message;
    this.worker?.terminate();
    this.worker = null;
    for (const { reject } of this.pending.values()) reject(new Error(message));
    this.pending.clear();
  }

  private settle(id: number) {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    return pending;
  }

  private post(message: ToWorker, transfer: Transferable[] = []): void {
    this.worker?.postMessage(message, transfer);
  }
}

interface ServerRow {
  status: string;
  detail: string;
  score: number | null;
  found_by: FoundBy | null;
  reason: string;
  quality?: Record<string, number | null> | null;
  box_xyxy: Box | null;
  probabilities: Record<string, number> | null;
  landmarks: Point[] | null;
  valence: number | null;
  arousal: number | null;
  /** Only of a model with action units. */
  action_units?: Record<string, number>;
}

interface ServerResponse {
  results?: { rows: ServerRow[] }[];
  error?: { code?: string; message?: string };
}

/** Whether the page comes from `mien serve`: a static web server has no v1/model. */
export async function hasServer(): Promise<boolean> {
  try {
    const response = await fetch(new URL("v1/model", document.baseURI), { headers: { accept: "application/json" } });
    return response.ok && (response.headers.get("content-type") ?? "").includes("json");
  } catch {
    return false;
  }
}

/** Predict an image on the server; the result is without a frame. */
export async function predictOnServer(
  image: Blob,
  name: string,
  size: { width: number; height: number },
  info: ModelInfo,
  minFacePx: number,
): Promise<ImagePredictions> {
  const start = performance.now();
  const form = new FormData();
  form.append("images", image, name);
  const path = minFacePx ? `v1/predict?min_face_px=${Math.round(minFacePx)}` : "v1/predict";
  const response = await fetch(new URL(path, document.baseURI), { method: "POST", body: form });
  const body = (await response.json().catch(() => null)) as ServerResponse | null;
  const rows = body?.results?.[0]?.rows;
  if (!response.ok || !rows) {
    const message = body?.error?.message ?? `v1/predict: ${response.status} ${response.statusText}`;
    if (REFUSALS.includes(response.status)) throw new ImageRefusedError(body?.error?.code ?? "not_an_image", message);
    throw new Error(message);
  }
  requireDecoded(rows);
  const all = performance.now() - start;
  return { ...size, isCut: false, predictions: parsePredictions(rows, size, info.classes, unitsOf(info)?.names), ms: { pixels: 0, faces: 0, model: 0, all }, bitmap: null };
}

/** The server does not take an image, whenever it is sent; `status` is that of a row of `mien predict`. */
export class ImageRefusedError extends Error {
  constructor(
    readonly status: string,
    message: string,
  ) {
    super(message);
  }
}

// Too large, of an unknown kind, or no image.
const REFUSALS = [413, 415, 422];

/** Throw unless the image was decoded; an extra row about faces beyond the limit is no failure. */
export function requireDecoded(rows: Pick<ServerRow, "status" | "detail">[]): void {
  const [first] = rows;
  if (first && first.status !== "ok" && first.status !== "no_face") throw new ImageRefusedError(first.status, first.detail || first.status);
}

export function parsePredictions(
  rows: ServerRow[],
  size: { width: number; height: number },
  classes: string[],
  units?: string[],
): FacePrediction[] {
  return rows
    .filter((row) => row.status === "ok" && row.probabilities)
    .map((row) => ({
      box: row.box_xyxy ?? [0, 0, size.width, size.height],
      score: row.score,
      foundBy: row.found_by ?? "detector",
      reason: row.reason ?? "",
      quality: QUALITY.map((name) => row.quality?.[name] ?? null),
      probabilities: classes.map((name) => row.probabilities![name] ?? 0),
      landmarks: row.landmarks,
      valence: row.valence,
      arousal: row.arousal,
      actionUnits: units && row.action_units ? units.map((name) => row.action_units![name] ?? 0) : null,
    }));
}

/** Return the largest difference of any class probability between two predictions of the same faces, in the same order. */
export function largestDifference(local: FacePrediction[], remote: FacePrediction[]): number {
  const differences = local.flatMap(({ probabilities }, face) =>
    probabilities.map((value, index) => Math.abs(value - remote[face].probabilities[index])),
  );
  return Math.max(0, ...differences);
}
