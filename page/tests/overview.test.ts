// The timeline of a whole video.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Overview, wholeTicks } from "../src/overview.ts";
import type { Track } from "../src/tracks.ts";

function track(id: number, side: number, first: number): Track {
  const prediction = {
    box: [0, 0, side, side] as [number, number, number, number], score: 1, foundBy: "detector" as const, reason: "", quality: [], landmarks: null,
    probabilities: [first, 1 - first], valence: null, arousal: null, actionUnits: null,
  };
  return { id, seen: 0, missed: 0, prediction, history: [] };
}

function shown(overview: Overview, id: number): [number, number][][] {
  return overview.segments(id).map((moments) => moments.map(({ time, probabilities }) => [time, probabilities[0]]));
}

test("a video's timeline shows the selected face, else the largest one, and ends where there is none", () => {
  const overview = new Overview(100);
  overview.add({ time: 0, pass: 0 }, [track(1, 10, 0.5), track(2, 20, 0.25)]);
  overview.add({ time: 1, pass: 0 }, [track(2, 20, 0.25), track(3, 30, 1)]);
  overview.add({ time: 2, pass: 0 }, []);
  overview.add({ time: 3, pass: 0 }, [track(1, 10, 0.75)]);
  overview.add({ time: 60, pass: 0 }, [track(1, 10, 1)]); // sought forward
  assert.deepEqual(shown(overview, 1), [[[0, 0.5], [1, 1], [1.1, 1]], [[3, 0.75], [3.1, 0.75]], [[60, 1], [60.1, 1]]]);
  assert.deepEqual(shown(overview, 2)[0], [[0, 0.25], [1, 0.25], [1.1, 0.25]]);
});

test("frames of one part are averaged, a later pass replaces them, and a long video takes no more memory", () => {
  const overview = new Overview(36_000);
  for (let time = 0; time < 36_000; time += 2) overview.add({ time, pass: 0 }, [track(1, 10, (time / 2) % 2)]);
  const [moments] = shown(overview, 1);
  assert.equal(moments.length, 1001);
  assert.ok(moments.every(([, first]) => first === 0.5));
  overview.add({ time: 35_999.9, pass: 1 }, [track(2, 10, 0.125)]);
  assert.deepEqual(shown(overview, 1)[0].at(-1)![1], 0.125);
  assert.deepEqual(shown(overview, 1)[0][0], [0, 0.5]);
});

test("times on the axis are whole, distinct and few", () => {
  assert.deepEqual(wholeTicks(6, 8), [0, 1, 2, 3, 4, 5, 6]);
  assert.deepEqual(wholeTicks(0.4, 8), [0]);
  assert.deepEqual(wholeTicks(95, 4), [0, 30, 60, 90]);
  for (const duration of [3, 59.9, 61, 777, 5000, 36_000, 400_000]) {
    const ticks = wholeTicks(duration, 8);
    assert.ok(ticks.length >= 2 && ticks.length <= 9 && ticks.at(-1)! <= duration, `${duration}: ${ticks}`);
  }
});
