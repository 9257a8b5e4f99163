// Faces over time: which face of a frame is which of the last, and what was read in it.

import { iou } from "./faces/detector.ts";
import type { Reading } from "./faces/model.ts";

export const HISTORY_S = 60;
// A face is lost when it is missing for this long and in more than one frame.
const LOST_AFTER_S = 1;
const SAME_FACE_IOU = 0.25;
// Readings of a film are averaged over about this time, so that the word does not flicker.
const SMOOTHING_S = 0.25;

export interface Moment {
  time: number;
  probabilities: number[];
  valence: number | null;
  arousal: number | null;
}

export interface Track {
  id: number;
  seen: number;
  /** Frames since then. */
  missed: number;
  /** The last frame's, its probabilities and affect averaged where the picture moves. */
  reading: Reading;
  history: Moment[];
}

export class Tracks {
  private list: Track[] = [];
  private count = 0;

  /** Forget the faces; those that come are others, with other numbers. */
  clear(): void {
    this.list = [];
  }

  /** Take a frame's readings at a time in seconds and return its faces, the oldest first. */
  update(readings: Reading[], time: number, isLive: boolean): Track[] {
    if (!isLive) this.clear();
    const free = new Set(this.list);
    for (const track of this.list) track.missed++;
    const seen: Track[] = readings.map((reading) => {
      const track = nearest(reading, free);
      if (!track) return this.begin(reading, time);
      free.delete(track);
      track.reading = blend(track.reading, reading, 1 - Math.exp(-(time - track.seen) / SMOOTHING_S));
      track.seen = time;
      track.missed = 0;
      return track;
    });
    this.list = [
      ...this.list.filter((track) => time - track.seen < LOST_AFTER_S || track.missed < 2),
      ...seen.filter(isNew(this.list)),
    ];
    for (const track of seen) remember(track, time);
    return seen.sort((one, other) => one.id - other.id);
  }

  private begin(reading: Reading, time: number): Track {
    return { id: ++this.count, seen: time, missed: 0, reading, history: [] };
  }
}

function isNew(list: Track[]): (track: Track) => boolean {
  return (track) => !list.includes(track);
}

function nearest(reading: Reading, tracks: Set<Track>): Track | null {
  let best: Track | null = null;
  let most = SAME_FACE_IOU;
  for (const track of tracks) {
    const shared = iou(track.reading.box, reading.box);
    if (shared > most) [best, most] = [track, shared];
  }
  return best;
}

function blend(old: Reading, now: Reading, share: number): Reading {
  const mix = (before: number | null, after: number | null): number | null =>
    before === null || after === null ? after : before + (after - before) * share;
  return {
    ...now,
    probabilities: now.probabilities.map((value, index) => mix(old.probabilities[index], value)!),
    valence: mix(old.valence, now.valence),
    arousal: mix(old.arousal, now.arousal),
  };
}

function remember(track: Track, time: number): void {
  const { probabilities, valence, arousal } = track.reading;
  track.history.push({ time, probabilities, valence, arousal });
  while (track.history[0].time < time - HISTORY_S) track.history.shift();
}

/** The most probable class of a reading. */
export function topClass(probabilities: number[]): number {
  return probabilities.reduce((best, value, index) => (value > probabilities[best] ? index : best), 0);
}
