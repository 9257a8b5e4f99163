// All that was read of a film, from its beginning, by the film's own clock: rows of numbers, in bounded memory.

import type { Reading } from "./faces/model.ts";
import type { Frame } from "./source.ts";
import type { Track } from "./tracks.ts";

// A row of 8 classes takes 128 bytes: 64 MB in all, nine hours of one face read 15 times a second.
export const MAX_ROWS = 500_000;
const FIRST_ROWS = 1024;
// Passes are merged when there are more: a slider that is dragged makes one at each step.
const MAX_PASSES = 32;
// Before the probabilities of a row: seconds, face, track, box, score, valence, arousal.
const N_FIXED = 10;
const NO_FACE = -1;
// The number of the pass that all earlier ones have become.
const MERGED = -1;

/** A row of the table: a face of a picture or of a frame, or a frame without one. */
export interface Row {
  seconds: number | null;
  /** Place among the frame's faces, the largest first; null where there is none. */
  face: number | null;
  track: number | null;
  reading: Reading | null;
}

/** Frames read one after the other. What a later pass read of the same stretch of the film takes its place. */
interface Pass {
  number: number;
  firstRow: number;
  from: number;
  to: number;
}

export class Recording {
  private values = new Float64Array(0);
  private count = 0;
  private passes: Pass[] = [];
  /** From when on nothing was kept, in seconds of the film, or null where everything was. */
  fullSince: number | null = null;

  constructor(
    readonly source: string,
    private readonly nClasses: number,
    private readonly maxRows = MAX_ROWS,
  ) {}

  get isEmpty(): boolean {
    return this.count === 0;
  }

  private get width(): number {
    return N_FIXED + this.nClasses;
  }

  /** Take the faces of a frame. */
  add({ time, pass }: Frame, tracks: Track[]): void {
    if (this.fullSince !== null) return;
    const nRows = Math.max(1, tracks.length);
    if (this.count + nRows > this.maxRows) this.merge();
    if (this.count + nRows > this.maxRows) {
      this.fullSince = time;
      return;
    }
    const last = this.passes.at(-1);
    if (last?.number === pass && time === last.to) return; // the same frame, read again
    if (last?.number !== pass || time < last.to) this.beginPass(time, pass);
    this.passes.at(-1)!.to = time;
    const ordered = tracks.map(({ id, reading }) => ({ id, reading })).sort((a, b) => area(b.reading) - area(a.reading));
    ordered.forEach(({ id, reading }, face) => this.write([time, face, id - 1], reading));
    if (!ordered.length) this.write([time, NO_FACE, NO_FACE], null);
  }

  /** All rows, in the order of the film. */
  *rows(): Generator<Row> {
    for (const row of this.order()) {
      const [seconds, face, track, x0, y0, x1, y1, score, valence, arousal, ...probabilities] = this.values.subarray(
        row * this.width,
        (row + 1) * this.width,
      );
      const known = { score: numberOf(score), valence: numberOf(valence), arousal: numberOf(arousal) };
      yield face === NO_FACE
        ? { seconds, face: null, track: null, reading: null }
        : { seconds, face, track, reading: { box: [x0, y0, x1, y1], probabilities, landmarks: null, ...known } };
    }
  }

  private beginPass(time: number, number: number): void {
    if (this.passes.length >= MAX_PASSES) this.merge();
    this.passes.push({ number, firstRow: this.count, from: time, to: time });
  }

  private write(place: number[], reading: Reading | null): void {
    if ((this.count + 1) * this.width > this.values.length) {
      const larger = new Float64Array(Math.max(FIRST_ROWS * this.width, 2 * this.values.length));
      larger.set(this.values);
      this.values = larger;
    }
    const { box, score, valence, arousal, probabilities } = reading ?? NOTHING;
    const row = [...place, ...box, score ?? NaN, valence ?? NaN, arousal ?? NaN, ...probabilities];
    const start = this.count++ * this.width;
    this.values.fill(NaN, start, start + this.width).set(row, start);
  }

  /** The numbers of the rows that count, by time: none that a later pass has read anew. */
  private order(): number[] {
    const kept: number[] = [];
    const later: Pass[] = [];
    for (let at = this.passes.length - 1; at >= 0; at--) {
      const end = this.passes[at + 1]?.firstRow ?? this.count;
      for (let row = this.passes[at].firstRow; row < end; row++) {
        const seconds = this.values[row * this.width];
        if (!later.some(({ from, to }) => seconds >= from && seconds <= to)) kept.push(row);
      }
      later.push(this.passes[at]);
    }
    const time = (row: number): number => this.values[row * this.width];
    return kept.sort((one, other) => time(one) - time(other) || one - other);
  }

  /** Make one pass of all. */
  private merge(): void {
    const order = this.order();
    const merged = new Float64Array(this.values.length);
    order.forEach((row, at) => {
      merged.set(this.values.subarray(row * this.width, (row + 1) * this.width), at * this.width);
    });
    this.values = merged;
    this.count = order.length;
    const [from, to] = [merged[0], merged[Math.max(0, this.count - 1) * this.width]];
    this.passes = [{ number: MERGED, firstRow: 0, from, to }];
  }
}

const NOTHING: Pick<Reading, "box" | "score" | "valence" | "arousal" | "probabilities"> = {
  box: [NaN, NaN, NaN, NaN],
  score: null,
  valence: null,
  arousal: null,
  probabilities: [],
};

function numberOf(value: number): number | null {
  return Number.isNaN(value) ? null : value;
}

function area({ box: [x0, y0, x1, y1] }: Reading): number {
  return (x1 - x0) * (y1 - y0);
}

/** The rows of a photograph's faces, the largest first. */
export function photoRows(tracks: Track[]): Row[] {
  return tracks
    .map(({ reading }) => reading)
    .sort((one, other) => area(other) - area(one))
    .map((reading, face) => ({ seconds: null, face, track: null, reading }));
}
