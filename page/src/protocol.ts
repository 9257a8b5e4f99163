// The messages between page and worker.

import type { FacePrediction, ModelInfo } from "./faces/model.ts";

export type ToWorker =
  | { kind: "load"; base: string }
  | { kind: "predict"; id: number; bitmap: ImageBitmap; isLive: boolean };

/** Milliseconds per step. */
export interface Timing {
  pixels: number;
  faces: number;
  model: number;
  all: number;
}

export interface ImagePredictions {
  predictions: FacePrediction[];
  width: number;
  height: number;
  ms: Timing;
}

/** What can fail to load. */
export type Part = "worker" | "wasm" | "info" | "detector" | "model";

export interface LoadFailure {
  part: Part;
  /** The host does not have the file. */
  isMissing: boolean;
  message: string;
}

export type FromWorker =
  | { kind: "loading"; fraction: number }
  | { kind: "info"; info: ModelInfo }
  | { kind: "ready"; threads: number }
  | ({ kind: "load-failed" } & LoadFailure)
  | ({ kind: "predictions"; id: number } & ImagePredictions)
  | { kind: "failed"; id: number; message: string };
