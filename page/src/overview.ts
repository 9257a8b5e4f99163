// The class probabilities of a whole video file by position, in bounded memory: what its timeline shows.

import type { Frame } from "./faces/follower.ts";
import type { Moment, Track } from "./tracks.ts";

// What a viewer expects between two labels of a time axis.
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const BINS = 1000;
// Parts without a prediction are bridged up to this many seconds, or this share of the video.
const BRIDGED_S = 5;
const BRIDGED_SHARE = 0.02;

/** The faces that were predicted in a part of the video: sums of their probabilities, by track. */
interface Bin {
  pass: number;
  time: number;
  /** The track of the largest face. */
  largest: number;
  sums: Map<number, { probabilities: number[]; count: number }>;
}

export class Overview {
  private readonly bins: (Bin | undefined)[] = [];

  /** `duration` is that of the video, in seconds. */
  constructor(readonly duration: number) {}

  /** Add the faces of a frame; a later pass replaces the earlier one, part by part. */
  add({ time, pass }: Frame, tracks: Track[]): void {
    const at = Math.min(BINS - 1, Math.max(0, Math.floor((time / this.duration) * BINS)));
    let bin = this.bins[at];
    if (bin?.pass !== pass) bin = this.bins[at] = { pass, time, largest: -1, sums: new Map() };
    let most = -1;
    for (const { id, prediction } of tracks) {
      const [x0, y0, x1, y1] = prediction.box;
      if ((x1 - x0) * (y1 - y0) > most) [most, bin.largest] = [(x1 - x0) * (y1 - y0), id];
      const known = bin.sums.get(id) ?? { probabilities: prediction.probabilities.map(() => 0), count: 0 };
      known.probabilities = known.probabilities.map((value, index) => value + prediction.probabilities[index]);
      known.count++;
      bin.sums.set(id, known);
    }
  }

  /**
   * Return the history of a face, by position; where it was not seen, that of the largest face. A frame without a face ends a segment,
   * as does a part without a prediction that is not short.
   */
  segments(id: number): Moment[][] {
    const segments: Moment[][] = [];
    let last = -Infinity;
    for (const bin of this.bins) {
      if (!bin) continue;
      const sum = bin.sums.get(id) ?? bin.sums.get(bin.largest);
      if (!sum) {
        last = -Infinity;
        continue;
      }
      if (bin.time - last > Math.max(BRIDGED_S, this.duration * BRIDGED_SHARE)) segments.push([]);
      const probabilities = sum.probabilities.map((value) => value / sum.count);
      segments.at(-1)!.push({ time: bin.time, probabilities, valence: null, arousal: null });
      last = bin.time;
    }
    // Each goes on to the end of its last part, so that one frame alone can be seen.
    return segments.map((moments) => [...moments, { ...moments.at(-1)!, time: moments.at(-1)!.time + this.duration / BINS }]);
  }
}

/** Return the times in seconds to label: multiples of a usual step, of which the video has at most so many. */
export function wholeTicks(duration: number, most: number): number[] {
  const step = STEPS_S.find((seconds) => duration / seconds <= most) ?? Math.ceil(duration / most / 3600) * 3600;
  return Array.from({ length: Math.floor(duration / step) + 1 }, (_, index) => index * step);
}
