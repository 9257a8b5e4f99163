// Face tracking: which face of a frame is which face of the previous one, and the history of its predictions.

import { iou } from "./faces/detector.ts";
import type { FacePrediction } from "./faces/model.ts";

export const HISTORY_S = 60;
// Moments of a history are about this far apart, and the newest one is always there: timelines have no more pixels.
const MOMENT_S = 0.1;
// A track ends when its face is missing for this long and in more than one frame.
const LOST_AFTER_S = 1;
const SAME_FACE_IOU = 0.25;
// Time constant over which the predictions of a video are averaged, so that the label does not flicker.
const SMOOTHING_S = 0.25;

export interface Moment {
  time: number;
  probabilities: number[];
  valence: number | null;
  arousal: number | null;
}

export interface Track {
  id: number;
  /** Time of the last frame with the face. */
  seen: number;
  /** Frames since then. */
  missed: number;
  /** The latest prediction; for video, probabilities, affect and action units are smoothed. */
  prediction: FacePrediction;
  history: Moment[];
}

export class Tracks {
  private list: Track[] = [];
  private count = 0;

  /** End all tracks; later faces get new ids. */
  clear(): void {
    this.list = [];
  }

  /** Match a frame's predictions, at a time in seconds, to the tracks; return the tracks of its faces, oldest first. */
  update(predictions: FacePrediction[], time: number, isLive: boolean): Track[] {
    if (!isLive) this.clear();
    const free = new Set(this.list);
    for (const track of this.list) track.missed++;
    const seen: Track[] = predictions.map((prediction) => {
      const track = nearest(prediction, free);
      if (!track) return this.create(prediction, time);
      free.delete(track);
      track.prediction = smooth(track.prediction, prediction, 1 - Math.exp(-(time - track.seen) / SMOOTHING_S));
      track.seen = time;
      track.missed = 0;
      return track;
    });
    this.list = [
      ...this.list.filter((track) => time - track.seen < LOST_AFTER_S || track.missed < 2),
      ...seen.filter((track) => !this.list.includes(track)),
    ];
    for (const track of seen) extendHistory(track, time);
    return seen.sort((a, b) => a.id - b.id);
  }

  private create(prediction: FacePrediction, time: number): Track {
    return { id: ++this.count, seen: time, missed: 0, prediction, history: [] };
  }
}

function nearest(prediction: FacePrediction, tracks: Set<Track>): Track | null {
  let best: Track | null = null;
  let bestIou = SAME_FACE_IOU;
  for (const track of tracks) {
    const overlap = iou(track.prediction.box, prediction.box);
    if (overlap > bestIou) [best, bestIou] = [track, overlap];
  }
  return best;
}

function smooth(old: FacePrediction, now: FacePrediction, weight: number): FacePrediction {
  const mix = (before: number | null, after: number | null): number | null =>
    before === null || after === null ? after : before + (after - before) * weight;
  return {
    ...now,
    probabilities: now.probabilities.map((value, index) => mix(old.probabilities[index], value)!),
    valence: mix(old.valence, now.valence),
    arousal: mix(old.arousal, now.arousal),
    actionUnits: now.actionUnits?.map((value, index) => mix(old.actionUnits?.[index] ?? null, value)!) ?? null,
  };
}

function extendHistory(track: Track, time: number): void {
  const { history, prediction } = track;
  const { probabilities, valence, arousal } = prediction;
  if (history.length > 1 && time - history.at(-2)!.time < MOMENT_S) history.pop();
  history.push({ time, probabilities, valence, arousal });
  while (history[0].time < time - HISTORY_S) history.shift();
}

/** Return copies of tracks with other probabilities, now and in their history. */
export function mapProbabilities(tracks: Track[], change: (probabilities: number[]) => number[]): Track[] {
  return tracks.map((track) => ({
    ...track,
    prediction: { ...track.prediction, probabilities: change(track.prediction.probabilities) },
    history: track.history.map((moment) => ({ ...moment, probabilities: change(moment.probabilities) })),
  }));
}
