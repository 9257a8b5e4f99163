// What page and worker say to each other.

import type { ModelInfo, Reading } from "./faces/model.ts";

export type ToWorker =
  | { kind: "load"; base: string }
  | { kind: "read"; id: number; bitmap: ImageBitmap; isLive: boolean };

export interface Timing {
  pixels: number;
  faces: number;
  model: number;
  all: number;
}

export interface PictureReadings {
  readings: Reading[];
  width: number;
  height: number;
  ms: Timing;
}

export type FromWorker =
  | { kind: "loading"; share: number }
  | { kind: "ready"; info: ModelInfo; threads: number }
  | ({ kind: "readings"; id: number } & PictureReadings)
  | { kind: "failed"; id: number | null; message: string };
