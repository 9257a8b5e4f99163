// The messages between page and worker.

import type { Box } from "./faces/crop.ts";
import type { Frame } from "./faces/follower.ts";
import type { FacePrediction, ModelInfo } from "./faces/model.ts";
import type { Lesson, Refusal, Shot } from "./teaching/lesson.ts";

/** Pixels that can be handed on without a copy. */
export type Bitmap = ImageBitmap | VideoFrame;

export type ToWorker =
  | { kind: "load"; base: string }
  /** `frame` is that of a camera or video; null for a photo. Faces with a shorter side than `minFacePx` are left out. */
  | { kind: "predict"; id: number; bitmap: Bitmap; frame: Frame | null; minFacePx: number }
  | ({ id: number } & WorkerRequest);

/** What else is asked of the worker. Every request is answered by `answer` or `failed`. */
export type WorkerRequest =
  /** The face at a box, or the largest one. */
  | { kind: "collect"; bitmap: ImageBitmap; box: Box | null }
  | { kind: "teach"; shots: Shot[]; keepsClasses: boolean }
  /** The file of the model that predicts. */
  | { kind: "file" }
  /** Predict with the model that was taught from again. */
  | { kind: "restore" }
  /** Predict with a model file. */
  | { kind: "open"; file: Uint8Array; name: string }
  /** Predict with the page's own model again. */
  | { kind: "close" };

export interface WorkerAnswers {
  collect: Omit<Shot, "label"> | null;
  teach: Omit<Lesson, "file"> | Refusal;
  file: Uint8Array;
  restore: ModelInfo;
  open: ModelInfo;
  close: ModelInfo;
}

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
  /** The frame belongs to another shot of the video than the one before it. */
  isCut: boolean;
  ms: Timing;
  /** The frame of a camera or video, given back to be shown and closed; null for a photo. */
  bitmap: Bitmap | null;
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
  | { kind: "answer"; id: number; value: WorkerAnswers[keyof WorkerAnswers] }
  | { kind: "failed"; id: number; message: string };
