// Who reads a picture: the worker in this browser, or the server that the page came from, if it is one.

import type { Box, Point } from "./faces/crop.ts";
import type { ModelInfo, Reading } from "./faces/model.ts";
import type { FromWorker, LoadFailure, PictureReadings, ToWorker } from "./messages.ts";

/** Why the worker cannot read. */
export class LoadError extends Error {
  constructor(readonly failure: LoadFailure) {
    super(failure.message);
  }
}

/** The worker, one picture at a time. */
export class BrowserReader {
  private worker: Worker | null = null;
  private readonly waiting = new Map<number, { resolve(value: PictureReadings): void; reject(error: Error): void }>();
  private count = 0;
  private lastFailure = "";
  isReady = false;

  /** Load the networks, in a new worker: a runtime that has failed once does not start again. */
  load(tellShare: (share: number) => void, tellInfo: (info: ModelInfo) => void): Promise<{ threads: number }> {
    this.end("");
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
    this.worker = worker;
    return new Promise((resolve, reject) => {
      const fail = (failure: LoadFailure): void => {
        if (worker !== this.worker) return;
        this.end(failure.message);
        reject(new LoadError(failure));
      };
      worker.onerror = ({ message }) => fail({ part: "worker", isMissing: false, message: message || "worker.js" });
      worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
        if (worker !== this.worker) return;
        if (data.kind === "loading") tellShare(data.share);
        else if (data.kind === "info") tellInfo(data.info);
        else if (data.kind === "unloaded") fail(data);
        else if (data.kind === "readings") this.settle(data.id)?.resolve(data);
        else if (data.kind === "failed") this.settle(data.id)?.reject(new Error(data.message));
        else {
          this.isReady = true;
          resolve(data);
        }
      };
      this.post({ kind: "load", base: document.baseURI });
    });
  }

  /** Read a picture, which is handed over. */
  read(bitmap: ImageBitmap, isLive: boolean): Promise<PictureReadings> {
    if (!this.isReady) {
      bitmap.close();
      return Promise.reject(new Error(this.lastFailure));
    }
    const id = this.count++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.post({ kind: "read", id, bitmap, isLive }, [bitmap]);
    });
  }

  /** Let go of the worker; who waits for it is told. */
  private end(message: string): void {
    this.isReady = false;
    this.lastFailure = message;
    this.worker?.terminate();
    this.worker = null;
    for (const { reject } of this.waiting.values()) reject(new Error(message));
    this.waiting.clear();
  }

  private settle(id: number) {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    return waiting;
  }

  private post(message: ToWorker, transfer: Transferable[] = []): void {
    this.worker?.postMessage(message, transfer);
  }
}

interface ServerRow {
  status: string;
  detail: string;
  score: number | null;
  box_xyxy: Box | null;
  probabilities: Record<string, number> | null;
  landmarks: Point[] | null;
  valence: number | null;
  arousal: number | null;
}

interface ServerAnswer {
  results?: { rows: ServerRow[] }[];
  error?: { message?: string };
}

/** Whether the page comes from `mien serve`: a folder of files has no v1/model. */
export async function hasServer(): Promise<boolean> {
  try {
    const response = await fetch(new URL("v1/model", document.baseURI), { headers: { accept: "application/json" } });
    return response.ok && (response.headers.get("content-type") ?? "").includes("json");
  } catch {
    return false;
  }
}

/** Send a picture to the server and return what it reads. */
export async function readOnServer(
  picture: Blob,
  name: string,
  size: { width: number; height: number },
  classes: string[],
): Promise<PictureReadings> {
  const start = performance.now();
  const form = new FormData();
  form.append("images", picture, name);
  const response = await fetch(new URL("v1/predict", document.baseURI), { method: "POST", body: form });
  const answer = (await response.json().catch(() => null)) as ServerAnswer | null;
  const rows = answer?.results?.[0]?.rows;
  if (!response.ok || !rows) {
    throw new Error(answer?.error?.message ?? `v1/predict: ${response.status} ${response.statusText}`);
  }
  requireRead(rows);
  const all = performance.now() - start;
  return { ...size, readings: readingsOf(rows, size, classes), ms: { pixels: 0, faces: 0, model: 0, all } };
}

/** Throw unless the picture was read; that a crowd was read in part, as another row says, is no failure. */
export function requireRead(rows: Pick<ServerRow, "status" | "detail">[]): void {
  const [first] = rows;
  if (first && first.status !== "ok" && first.status !== "no_face") throw new Error(first.detail || first.status);
}

export function readingsOf(
  rows: ServerRow[],
  size: { width: number; height: number },
  classes: string[],
): Reading[] {
  return rows
    .filter((row) => row.status === "ok" && row.probabilities)
    .map((row) => ({
      box: row.box_xyxy ?? [0, 0, size.width, size.height],
      score: row.score,
      probabilities: classes.map((name) => row.probabilities![name] ?? 0),
      landmarks: row.landmarks,
      valence: row.valence,
      arousal: row.arousal,
    }));
}

/** How far two readings of a picture's faces, in one order, differ in the probability of any class. */
export function largestDifference(here: Reading[], there: Reading[]): number {
  const differences = here.flatMap(({ probabilities }, face) =>
    probabilities.map((value, index) => Math.abs(value - there[face].probabilities[index])),
  );
  return Math.max(0, ...differences);
}
