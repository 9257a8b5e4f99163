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

/** What can fail before anything is read. */
export type Part = "worker" | "wasm" | "info" | "detector" | "model";

export interface LoadFailure {
  part: Part;
  /** The host has no such file. */
  isMissing: boolean;
  message: string;
}

export type FromWorker =
  | { kind: "loading"; share: number }
  | { kind: "info"; info: ModelInfo }
  | { kind: "ready"; threads: number }
  | ({ kind: "unloaded" } & LoadFailure)
  | ({ kind: "readings"; id: number } & PictureReadings)
  | { kind: "failed"; id: number; message: string };
