// The predictions for a whole video, by position in the video: rows of numbers in bounded memory.

import type { Box, Point } from "./faces/crop.ts";
import { QUALITY, type FacePrediction } from "./faces/model.ts";
import { REASONS } from "./faces/quality.ts";
import type { Frame } from "./faces/follower.ts";
import type { Track } from "./tracks.ts";

// A row with 8 classes takes 216 bytes, and landmarks another 544: 152 MB in all, nearly four hours of one face at 15
// predictions per second; without landmarks nine hours, in 108 MB.
const MAX_ROWS = 500_000;
const MAX_ROWS_WITH_LANDMARKS = 200_000;
const N_COORDINATES = 136;
const FIRST_ROWS = 1024;
// More passes than this are merged: dragging the slider makes one at every step.
const MAX_PASSES = 32;
// Numbers before the probabilities of a row: seconds, face, track, box, score, valence, arousal, index of the reason, quality.
const N_FIXED = 11 + QUALITY.length;
const NO_FACE = -1;
// Number of the pass into which earlier ones were merged.
const MERGED = -1;

/** A row of the table: a face of an image or frame, or a frame without faces. */
export interface Row {
  seconds: number | null;
  /** Index among the faces of the frame, largest first; null if there is none. */
  face: number | null;
  track: number | null;
  prediction: FacePrediction | null;
  /** Of one photo among several: its name, and why there is no prediction. */
  source?: string;
  status?: string;
  detail?: string;
}

/** The row of a photo without a face. */
export const NO_FACE_ROW: Row = { seconds: null, face: null, track: null, prediction: null };

/** Consecutive frames. A later pass over the same part of the video replaces the earlier predictions. */
interface Pass {
  number: number;
  firstRow: number;
  from: number;
  to: number;
}

export class Recording {
  private values = new Float64Array(0);
  /** Landmarks x, y, x, y, ... per row, in half the precision; empty if the model has none. */
  private points = new Float32Array(0);
  private count = 0;
  private passes: Pass[] = [];
  /** Position in the video, in seconds, at which the table became full; null if it is not. */
  fullSince: number | null = null;

  constructor(
    readonly source: string,
    private readonly nClasses: number,
    private readonly nUnits = 0,
    private readonly hasLandmarks = false,
    readonly maxRows = hasLandmarks ? MAX_ROWS_WITH_LANDMARKS : MAX_ROWS,
  ) {}

  get isEmpty(): boolean {
    return this.count === 0;
  }

  private get width(): number {
    return N_FIXED + this.nClasses + this.nUnits;
  }

  /** Record the faces of a frame, which was predicted `scale` times smaller than the video is. */
  add({ time, pass }: Frame, tracks: Track[], scale = 1): void {
    if (this.fullSince !== null) return;
    const nRows = Math.max(1, tracks.length);
    if (this.count + nRows > this.maxRows) this.merge();
    if (this.count + nRows > this.maxRows) {
      this.fullSince = time;
      return;
    }
    const last = this.passes.at(-1);
    if (last?.number === pass && time === last.to) return; // the same frame again
    if (last?.number !== pass || time < last.to) this.startPass(time, pass);
    this.passes.at(-1)!.to = time;
    const ordered = tracks.map(({ id, prediction }) => ({ id, prediction: enlarged(prediction, scale) })).sort((a, b) => area(b.prediction) - area(a.prediction));
    ordered.forEach(({ id, prediction }, face) => this.write([time, face, id - 1], prediction));
    if (!ordered.length) this.write([time, NO_FACE, NO_FACE], null);
  }

  /** All rows, ordered by position in the video. */
  *rows(): Generator<Row> {
    for (const row of this.validRows()) {
      const [seconds, face, track, x0, y0, x1, y1, score, valence, arousal, reason, ...rest] = this.values.subarray(
        row * this.width,
        (row + 1) * this.width,
      );
      const quality = rest.slice(0, QUALITY.length).map(nanToNull);
      const values = rest.slice(QUALITY.length);
      const probabilities = Array.from(values.slice(0, this.nClasses));
      const actionUnits = this.nUnits ? Array.from(values.slice(this.nClasses)) : null;
      const known = { score: nanToNull(score), valence: nanToNull(valence), arousal: nanToNull(arousal) };
      yield face === NO_FACE
        ? { seconds, face: null, track: null, prediction: null }
        : { seconds, face, track, prediction: { box: [x0, y0, x1, y1], probabilities, landmarks: this.landmarksAt(row), actionUnits, reason: REASONS[reason], quality, foundBy: "detector", ...known } };
    }
  }

  private landmarksAt(row: number): Point[] | null {
    const start = row * N_COORDINATES;
    // A prediction by the server may have none.
    if (!this.hasLandmarks || Number.isNaN(this.points[start])) return null;
    return Array.from({ length: N_COORDINATES / 2 }, (_, n): Point => [this.points[start + 2 * n], this.points[start + 2 * n + 1]]);
  }

  private startPass(time: number, number: number): void {
    if (this.passes.length >= MAX_PASSES) this.merge();
    this.passes.push({ number, firstRow: this.count, from: time, to: time });
  }

  private write(position: number[], prediction: FacePrediction | null): void {
    if ((this.count + 1) * this.width > this.values.length) {
      const larger = new Float64Array(Math.max(FIRST_ROWS * this.width, 2 * this.values.length));
      larger.set(this.values);
      this.values = larger;
      const more = new Float32Array(this.hasLandmarks ? (larger.length / this.width) * N_COORDINATES : 0);
      more.set(this.points);
      this.points = more;
    }
    const { box, score, valence, arousal, reason, quality, probabilities, actionUnits } = prediction ?? EMPTY;
    const row = [...position, ...box, score ?? NaN, valence ?? NaN, arousal ?? NaN, Math.max(0, REASONS.indexOf(reason)), ...quality.map((value) => value ?? NaN), ...probabilities, ...(actionUnits ?? [])];
    if (this.hasLandmarks) {
      const from = this.count * N_COORDINATES;
      this.points.fill(NaN, from, from + N_COORDINATES).set(prediction?.landmarks?.flat() ?? [], from);
    }
    const start = this.count++ * this.width;
    this.values.fill(NaN, start, start + this.width).set(row, start);
  }

  /** The indices of the valid rows, ordered by time: without those that a later pass has replaced. */
  private validRows(): number[] {
    const valid: number[] = [];
    const later: Pass[] = [];
    for (let at = this.passes.length - 1; at >= 0; at--) {
      const end = this.passes[at + 1]?.firstRow ?? this.count;
      for (let row = this.passes[at].firstRow; row < end; row++) {
        const seconds = this.values[row * this.width];
        if (!later.some(({ from, to }) => seconds >= from && seconds <= to)) valid.push(row);
      }
      later.push(this.passes[at]);
    }
    const time = (row: number): number => this.values[row * this.width];
    return valid.sort((a, b) => time(a) - time(b) || a - b);
  }

  /** Merge all passes into one. */
  private merge(): void {
    const order = this.validRows();
    const merged = new Float64Array(this.values.length);
    order.forEach((row, at) => {
      merged.set(this.values.subarray(row * this.width, (row + 1) * this.width), at * this.width);
    });
    if (this.hasLandmarks) {
      const points = new Float32Array(this.points.length);
      order.forEach((row, at) => points.set(this.points.subarray(row * N_COORDINATES, (row + 1) * N_COORDINATES), at * N_COORDINATES));
      this.points = points;
    }
    this.values = merged;
    this.count = order.length;
    const [from, to] = [merged[0], merged[Math.max(0, this.count - 1) * this.width]];
    this.passes = [{ number: MERGED, firstRow: 0, from, to }];
  }
}

const EMPTY: Omit<FacePrediction, "landmarks"> = {
  box: [NaN, NaN, NaN, NaN],
  score: null,
  foundBy: "detector",
  reason: "",
  quality: QUALITY.map(() => null),
  valence: null,
  arousal: null,
  probabilities: [],
  actionUnits: null,
};

function nanToNull(value: number): number | null {
  return Number.isNaN(value) ? null : value;
}

function area({ box: [x0, y0, x1, y1] }: FacePrediction): number {
  return (x1 - x0) * (y1 - y0);
}

const FACE_PX = QUALITY.indexOf("face_px");

/** Return a prediction in the pixels of an image that is larger by a factor than the one that was predicted. */
export function enlarged(prediction: FacePrediction, factor: number): FacePrediction {
  if (factor === 1) return prediction;
  const { box, landmarks, quality } = prediction;
  return {
    ...prediction,
    box: box.map((value) => value * factor) as Box,
    landmarks: landmarks?.map(([x, y]): Point => [x * factor, y * factor]) ?? null,
    quality: quality.map((value, at) => (at === FACE_PX && value !== null ? value * factor : value)),
  };
}

/** The rows of a photo's faces, largest first; it was predicted `scale` times smaller than it is. */
export function photoRows(tracks: Track[], scale = 1): Row[] {
  return tracks
    .map(({ prediction }) => enlarged(prediction, scale))
    .sort((a, b) => area(b) - area(a))
    .map((prediction, face) => ({ seconds: null, face, track: null, prediction }));
}
