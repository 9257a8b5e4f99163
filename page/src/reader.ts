// Who reads a picture: the worker in this browser, or the server that the page came from, if it is one.

import type { Box, Point } from "./faces/crop.ts";
import type { ModelInfo, Reading } from "./faces/model.ts";
import type { FromWorker, PictureReadings, ToWorker } from "./messages.ts";

/** The worker, one picture at a time. */
export class BrowserReader {
  private readonly worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });
  private readonly waiting = new Map<number, { resolve(value: PictureReadings): void; reject(error: Error): void }>();
  private count = 0;

  load(tell: (share: number) => void): Promise<{ info: ModelInfo; threads: number }> {
    let hasFailed = false;
    return new Promise((resolve, reject) => {
      const fail = (message: string): void => {
        hasFailed = true; // what else comes of the other file is of no interest
        reject(new Error(message));
      };
      this.worker.onerror = (event) => fail(event.message || "worker.js");
      this.worker.onmessage = ({ data }: MessageEvent<FromWorker>) => {
        if (data.kind === "loading") hasFailed || tell(data.share);
        else if (data.kind === "ready") resolve(data);
        else if (data.kind === "readings") this.settle(data.id)?.resolve(data);
        else if (data.id === null) fail(data.message);
        else this.settle(data.id)?.reject(new Error(data.message));
      };
      this.post({ kind: "load", base: document.baseURI });
    });
  }

  /** Read a picture, which is handed over. */
  read(bitmap: ImageBitmap, isLive: boolean): Promise<PictureReadings> {
    const id = this.count++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.post({ kind: "read", id, bitmap, isLive }, [bitmap]);
    });
  }

  private settle(id: number) {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    return waiting;
  }

  private post(message: ToWorker, transfer: Transferable[] = []): void {
    this.worker.postMessage(message, transfer);
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
  const answer = (await response.json().catch(() => null)) as { results?: { rows: ServerRow[] }[] } | null;
  const rows = answer?.results?.[0]?.rows;
  if (!response.ok || !rows) throw new Error(`v1/predict: ${response.status} ${response.statusText}`);
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
