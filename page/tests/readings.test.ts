// What is done with readings: faces followed over time, tables, the server's answers.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Box } from "../src/faces/crop.ts";
import type { Reading } from "../src/faces/model.ts";
import { largestDifference, readingsOf, requireRead } from "../src/reader.ts";
import { photoRows, Recording } from "../src/record.ts";
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

test("the table has the columns of mien predict, the largest face first, and a name cannot become a formula", () => {
  const small = reading([1, 2, 3, 4], 0.25, 0.75);
  const large = { ...reading([0, 0, 9, 9], 1, 0), landmarks: [[1, 2], [3, 4]] as [number, number][], valence: -0.5 };
  const tracks = new Tracks().update([small, large], 0, false);
  const [header, first, second] = readingsCsv(photoRows(tracks), '=1,"2"', ["Neutral", "Happy"]).split("\r\n");
  const columns = "box_x0,box_y0,box_x1,box_y1,score,expression,confidence,p_Neutral,p_Happy,landmarks,valence,arousal";
  assert.equal(header, `source,frame,seconds,face,track,status,detail,${columns}`);
  const landmarks = "1.00;2.00;3.00;4.00";
  assert.equal(first, `"'=1,""2""",,,0,,ok,,0.00,0.00,9.00,9.00,0.9000,Neutral,1.0000,1.0000,0.0000,${landmarks},-0.5000,`);
  assert.equal(second, `"'=1,""2""",,,1,,ok,,1.00,2.00,3.00,4.00,0.9000,Happy,0.7500,0.2500,0.7500,,,`);
});

/** Read a film at these times, a face in each frame, whose probability says in which pass it was read. */
function readPass(recording: Recording, pass: number, times: number[]): void {
  const tracks = new Tracks();
  for (const time of times) recording.add({ time, pass }, tracks.update([reading([0, 0, 1, 1], pass / 10)], time, true));
}

function range(from: number, to: number, step = 1): number[] {
  return Array.from({ length: Math.round((to - from) / step) }, (_, index) => from + index * step);
}

function read(recording: Recording): [number, number][] {
  return [...recording.rows()].map((row) => [row.seconds!, Math.round(10 * row.reading!.probabilities[0])]);
}

test("all of a long film is recorded, by the film's own clock, frames without a face too", () => {
  const recording = new Recording("film", 1);
  readPass(recording, 1, range(0, 7200, 0.5));
  recording.add({ time: 7200, pass: 1 }, []);
  const rows = [...recording.rows()];
  assert.deepEqual([rows.length, rows[0].seconds, rows.at(-1)!.seconds], [14401, 0, 7200]);
  assert.deepEqual([rows[5].face, rows[5].track, rows.at(-1)!.reading], [0, 0, null]);
  assert.match(readingsCsv(rows, "film", ["Happy"]), /\r\nfilm,,7200.000,,,no_face,,,,,,,,,,,,\r\n$/);
});

test("what is read again takes the place of what was read before, and nothing else does", () => {
  const recording = new Recording("film", 1);
  readPass(recording, 1, range(0, 10));
  readPass(recording, 2, range(2.5, 4)); // moved back
  readPass(recording, 3, [8]); // moved on: what lies between is as it was
  const expected = [[0, 1], [1, 1], [2, 1], [2.5, 2], [3.5, 2], [4, 1], [5, 1], [6, 1], [7, 1], [8, 3], [9, 1]];
  assert.deepEqual(read(recording), expected);
  for (let pass = 4; pass < 200; pass++) readPass(recording, pass, range(0, 3)); // a slider that is dragged
  assert.equal(read(recording).length, 11);
  assert.deepEqual(read(recording).slice(0, 3).map(([time]) => time), [0, 1, 2]);
});

test("a film that plays over and over never fills the table, one that goes on for too long does and says so", () => {
  const recording = new Recording("film", 1, 100);
  for (let pass = 1; pass <= 50; pass++) readPass(recording, pass, range(0, 60));
  assert.deepEqual([read(recording).length, recording.fullSince], [60, null]);
  readPass(recording, 51, range(0, 300));
  assert.equal(recording.fullSince, 100);
  assert.deepEqual(read(recording), range(0, 100).map((time) => [time, 510 / 10]));
  const lines = readingsCsv(recording.rows(), "film", ["Happy"], recording.fullSince).trimEnd().split("\r\n");
  assert.equal(lines.length, 1 + 100 + 1);
  assert.match(lines.at(-1)!, /^film,,100\.000,,,incomplete,the table was full here: what was read afterwards/);
});

test("a frame that is read twice has one row", () => {
  const recording = new Recording("film", 1);
  readPass(recording, 1, [1, 1, 1, 2]);
  assert.deepEqual(read(recording).map(([time]) => time), [1, 2]);
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
