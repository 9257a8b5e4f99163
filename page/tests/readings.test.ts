// What is done with readings: faces followed over time, tables, the server's answers.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Box } from "../src/faces/crop.ts";
import type { Reading } from "../src/faces/model.ts";
import { largestDifference, readingsOf, requireRead } from "../src/reader.ts";
import { readingsCsv } from "../src/save.ts";
import { HISTORY_S, Tracks } from "../src/tracks.ts";

function reading(box: Box, ...probabilities: number[]): Reading {
  return { box, score: 0.9, probabilities, landmarks: null, valence: null, arousal: null };
}

test("a face that moves stays the same face, and another is another", () => {
  const tracks = new Tracks();
  const [first] = tracks.update([reading([0, 0, 100, 100], 1, 0)], 0, true);
  const later = tracks.update([reading([300, 0, 400, 100], 0, 1), reading([10, 5, 110, 105], 1, 0)], 0.1, true);
  assert.deepEqual(later.map(({ id }) => id), [first.id, first.id + 1]);
});

test("a face that is missing for a moment comes back as itself, after longer as another", () => {
  const tracks = new Tracks();
  const face = reading([0, 0, 100, 100], 1, 0);
  const [first] = tracks.update([face], 0, true);
  tracks.update([], 0.4, true);
  assert.equal(tracks.update([face], 0.6, true)[0].id, first.id);
  for (const time of [1, 2, 3]) tracks.update([], time, true);
  assert.notEqual(tracks.update([face], 3.1, true)[0].id, first.id);
});

test("a film's probabilities are averaged and still sum to one, a photograph's are as read", () => {
  const tracks = new Tracks();
  const box: Box = [0, 0, 100, 100];
  tracks.update([reading(box, 1, 0)], 0, true);
  const [film] = tracks.update([reading(box, 0, 1)], 0.1, true);
  const [a, b] = film.reading.probabilities;
  assert.ok(a > 0.5 && a < 0.9 && Math.abs(a + b - 1) < 1e-9);
  const [photo] = tracks.update([reading(box, 0, 1)], 0.2, false);
  assert.deepEqual(photo.reading.probabilities, [0, 1]);
});

test("no more than a minute is remembered", () => {
  const tracks = new Tracks();
  let history = 0;
  for (let time = 0; time < 2 * HISTORY_S; time += 0.5) {
    history = tracks.update([reading([0, 0, 100, 100], 1, 0)], time, true)[0].history.length;
  }
  assert.equal(history, HISTORY_S * 2 + 1);
});

test("the table has a row a face, and a name cannot become a formula", () => {
  const tracks = new Tracks().update([reading([1, 2, 3, 4], 0.25, 0.75)], 0, false);
  const [header, row] = readingsCsv(tracks, '=1,"2"', ["Neutral", "Happy"], false).split("\r\n");
  assert.match(header, /^source,time_s,face,x0,y0,x1,y1,expression,confidence,valence,arousal,p_Neutral,p_Happy$/);
  assert.equal(row, `"'=1,""2""",,0,1.0,2.0,3.0,4.0,Happy,0.7500,,,0.2500,0.7500`);
});

test("a crowd of which the server read a part is read, a broken picture is not", () => {
  const rest = { status: "too_many_faces", detail: "3 more faces, the limit is 1" };
  requireRead([{ status: "ok", detail: "" }, rest]);
  requireRead([{ status: "no_face", detail: "" }]);
  assert.throws(() => requireRead([{ status: "truncated_image", detail: "ends early" }]), /ends early/);
});

test("the server's rows are matched by the name of the class", () => {
  const row = { detail: "", score: 0.9, landmarks: null, valence: null, arousal: null };
  const rows = [
    { ...row, status: "ok", box_xyxy: [1, 2, 3, 4] as Box, probabilities: { Happy: 0.75, Neutral: 0.25 } },
    { ...row, status: "no_face", box_xyxy: null, probabilities: null },
  ];
  const readings = readingsOf(rows, { width: 10, height: 10 }, ["Neutral", "Happy"]);
  assert.equal(readings.length, 1);
  assert.deepEqual(readings[0].probabilities, [0.25, 0.75]);
  assert.equal(largestDifference(readings, [reading([1, 2, 3, 4], 0.5, 0.5)]), 0.25);
});
