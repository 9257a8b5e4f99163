// What happens to predictions: face tracking, recordings, CSV, server responses.

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Box, Point } from "../src/faces/crop.ts";
import { CutDetector } from "../src/faces/cuts.ts";
import { QUALITY, type FacePrediction, type LabelSets } from "../src/faces/model.ts";
import type { Image } from "../src/faces/pixels.ts";
import { largestDifference, parsePredictions, requireDecoded } from "../src/predictor.ts";
import { photoRows, Recording, type Row } from "../src/recording.ts";
import { predictionsCsv } from "../src/csv.ts";
import { HISTORY_S, Tracks } from "../src/tracks.ts";
import { findReason, type QualityRule } from "../src/faces/quality.ts";
import { golden } from "./golden.ts";
import { placeLabels } from "../src/view/labels.ts";

function prediction(box: Box, ...probabilities: number[]): FacePrediction {
  return { box, score: 0.9, foundBy: "detector", reason: "", quality: QUALITY.map(() => null), probabilities, landmarks: null, valence: null, arousal: null, actionUnits: null };
}

test("a moving face keeps its id, and another face gets another id", () => {
  const tracks = new Tracks();
  const [first] = tracks.update([prediction([0, 0, 100, 100], 1, 0)], 0, true);
  const later = tracks.update([prediction([300, 0, 400, 100], 0, 1), prediction([10, 5, 110, 105], 1, 0)], 0.1, true);
  assert.deepEqual(later.map(({ id }) => id), [first.id, first.id + 1]);
});

test("a face keeps its id after a short absence and gets a new one after a long absence", () => {
  const tracks = new Tracks();
  const face = prediction([0, 0, 100, 100], 1, 0);
  const [first] = tracks.update([face], 0, true);
  tracks.update([], 0.4, true);
  assert.equal(tracks.update([face], 0.6, true)[0].id, first.id);
  for (const time of [1, 2, 3]) tracks.update([], time, true);
  assert.notEqual(tracks.update([face], 3.1, true)[0].id, first.id);
});

test("a cut is another image: no motion, flash, fade to black, or other exposure", () => {
  const image = (gray: (x: number, y: number) => number): Image => {
    const [width, height] = [320, 240];
    const rgb = Uint8Array.from({ length: 3 * width * height }, (_, at) => gray(Math.floor(at / 3) % width, Math.floor(at / 3 / width)));
    return { width, height, rgb };
  };
  const first = (x: number, y: number): number => (Math.floor(x / 40) + Math.floor(y / 40)) % 2 ? 190 : 50;
  const other = (x: number, y: number): number => (x < 160 ? 200 : 30 + y / 4);
  const cuts = new CutDetector();
  const isCut = [first, (x: number, y: number) => first(x + 3, y), (x: number, y: number) => 40 + first(x, y) / 2, other, other].map((gray) => cuts.isCut(image(gray)));
  assert.deepEqual(isCut, [false, false, false, true, false]);
});

test("what is predicted smaller than it is, is saved in the pixels of the photo or video", () => {
  const face = { ...prediction([10, 20, 30, 60], 1, 0), landmarks: [[10, 20], [30, 60]] as Point[], quality: QUALITY.map((name) => (name === "face_px" ? 20 : 0.5)) };
  const tracks = new Tracks().update([face], 0, false);
  const recording = new Recording("a.mp4", 2, 0, false);
  recording.add({ time: 0, pass: 0 }, tracks, 1.5);
  for (const [row] of [photoRows(tracks, 1.5), [...recording.rows()]]) {
    assert.deepEqual(row.prediction!.box, [15, 30, 45, 90]);
    assert.deepEqual(row.prediction!.quality, QUALITY.map((name) => (name === "face_px" ? 30 : 0.5)));
  }
  assert.deepEqual(photoRows(tracks, 1.5)[0].prediction!.landmarks, [[15, 30], [45, 90]]);
});

test("probabilities are smoothed for video and still sum to one, but not for photos", () => {
  const tracks = new Tracks();
  const box: Box = [0, 0, 100, 100];
  tracks.update([prediction(box, 1, 0)], 0, true);
  const [video] = tracks.update([prediction(box, 0, 1)], 0.1, true);
  const [a, b] = video.prediction.probabilities;
  assert.ok(a > 0.5 && a < 0.9 && Math.abs(a + b - 1) < 1e-9);
  const [photo] = tracks.update([prediction(box, 0, 1)], 0.2, false);
  assert.deepEqual(photo.prediction.probabilities, [0, 1]);
});

test("the history covers one minute", () => {
  const tracks = new Tracks();
  let history = 0;
  for (let time = 0; time < 2 * HISTORY_S; time += 0.5) {
    history = tracks.update([prediction([0, 0, 100, 100], 1, 0)], time, true)[0].history.length;
  }
  assert.equal(history, HISTORY_S * 2 + 1);
});

test("a history has a moment for each tenth of a second, and the newest one", () => {
  const tracks = new Tracks();
  for (let frame = 0; frame <= 60 * HISTORY_S; frame++) {
    const [{ history, prediction: newest }] = tracks.update([prediction([0, 0, 100, 100], 1, 0)], frame / 60, true);
    assert.equal(history.at(-1)!.time, frame / 60);
    assert.equal(history.at(-1)!.probabilities, newest.probabilities);
    if (frame < 60 * HISTORY_S) continue;
    assert.equal(history[0].time, 0);
    const gaps = history.slice(1).map(({ time }, index) => time - history[index].time);
    assert.ok(Math.max(...gaps) < 0.12 && history.length < 800, `${history.length} moments, up to ${Math.max(...gaps)} s apart`);
  }
});

test("the CSV has the columns of mien predict, largest face first, and a file name cannot become a formula", () => {
  const small = prediction([1, 2, 3, 4], 0.25, 0.75);
  // Eyes 4 wide and 1 high, a mouth 10 wide and 3 high.
  const eye = [[0, 1], [1, 0], [3, 0], [4, 1], [3, 1], [1, 1]];
  const mouth = [[0, 1], [2, 0], [5, 0], [8, 0], [10, 1], [8, 3], [5, 3], [2, 3]];
  const rest = Array.from({ length: 36 }, () => [0, 0]);
  const lips = Array.from({ length: 12 }, () => [0, 0]);
  const landmarks = [...rest, ...eye, ...eye, ...lips, ...mouth] as [number, number][];
  const quality = [9, 0.5, null, null, null, -1.5, null, null];
  const large = { ...prediction([0, 0, 9, 9], 1, 0), quality, landmarks, valence: -0.5 };
  const tracks = new Tracks().update([small, large], 0, false);
  const [header, first, second] = predictionsCsv(photoRows(tracks), '=1,"2"', ["Neutral", "Happy"]).split("\r\n");
  const withUnits = predictionsCsv([], "", ["Neutral", "Happy"], null, ["AU06", "AU12"]);
  assert.equal(withUnits, golden.columns.join(",") + "\r\n");
  assert.equal(header, golden.columns.slice(0, -2).join(","));
  const written = landmarks.flat().map((value) => value.toFixed(2)).join(";");
  assert.equal(first, `"'=1,""2""",,,0,,ok,,0.00,0.00,9.00,9.00,0.9000,detector,Neutral,1.0000,,,9.0000,0.5000,,,,-1.5000,,,1.0000,0.0000,${written},0.2500,0.3000,-0.5000,`);
  assert.equal(second, `"'=1,""2""",,,1,,ok,,1.00,2.00,3.00,4.00,0.9000,detector,Happy,0.7500,,,,,,,,,,,0.2500,0.7500,,,,,`);
});

test("the confidence of a face that is hard to see is bounded by the model's own rule, if it has one", () => {
  const small = { ...prediction([0, 0, 9, 9], 0.9, 0.1), reason: "too small" };
  const faces = new Tracks().update([small], 0, false);
  const cells = (rule?: QualityRule): string[] =>
    predictionsCsv(photoRows(faces), "a", ["Neutral", "Happy"], null, [], null, rule).split("\r\n")[1].split(",").slice(13, 15);
  const limits = { least_face_px: 10, least_brightness: 0, least_sharpness: 0, most_covered: 1 };
  const rule = { limits, right_answers: { "too small": 0.25, "too dark": 0, blurred: 0, covered: 0 } };
  assert.deepEqual(cells(), ["unsure", "0.4300"]);
  assert.deepEqual(cells(rule), ["unsure", "0.2500"]);
  const quality = { facePx: 12, sharpness: 1, brightness: 0.5, contrast: 0.2, covered: null };
  assert.deepEqual([findReason(quality), findReason(quality, rule)], ["too small", ""]);
});

test("photos have prediction sets, and videos have none", () => {
  const labelSets = { coverage: 0.9, limits: { Neutral: 0.4, Happy: 0.75, Sad: null } };
  const classes = ["Neutral", "Happy", "Sad"];
  const faces = new Tracks().update([prediction([0, 0, 9, 9], 0.59, 0.25, 0.16), prediction([0, 0, 2, 2], 0.6, 0.2, 0.2)], 0, false);
  const setsOf = (rows: Iterable<Row>, sets = labelSets as LabelSets | null): string[] =>
    predictionsCsv(rows, "a", classes, null, [], sets).trimEnd().split("\r\n").slice(1).map((line) => line.split(",")[16]);
  assert.deepEqual(setsOf(photoRows(faces)), ["Happy;Sad", "Neutral;Sad"]);
  assert.deepEqual(setsOf(photoRows(faces), null), ["", ""]);
  assert.deepEqual(setsOf(photoRows(faces).map((row) => ({ ...row, seconds: 1 }))), ["", ""]);
});

test("the quality of a video's faces is recorded, and read from the server's rows", () => {
  const quality = [120, 0.4, 0.5, 0.2, null, -3, 8, null];
  const recording = new Recording("video", 2, 0, false, 100);
  recording.add({ time: 0, pass: 0 }, new Tracks().update([{ ...prediction([0, 0, 9, 9], 1, 0), quality }], 0, true));
  const [row] = [...recording.rows()];
  assert.deepEqual(row.prediction!.quality, quality);
  assert.deepEqual(row.prediction!.probabilities, [1, 0]);
  const fields = { status: "ok", detail: "", score: 0.9, found_by: "detector" as const, reason: "", box_xyxy: [0, 0, 9, 9] as Box };
  const server = { ...fields, probabilities: { Happy: 1 }, landmarks: null, valence: null, arousal: null, quality: { face_px: 120, pitch_deg: -2 } };
  const [parsed] = parsePredictions([server], { width: 9, height: 9 }, ["Happy"]);
  assert.deepEqual(parsed.quality, [120, null, null, null, null, null, null, -2]);
});

test("action units are columns of the CSV, are smoothed, recorded, and read from the server's rows", () => {
  const face = (value: number): FacePrediction => ({ ...prediction([0, 0, 9, 9], 1, 0), actionUnits: [value, 0.5] });
  const tracks = new Tracks();
  tracks.update([face(0)], 0, true);
  const seen = tracks.update([face(1)], 0.1, true);
  const [smoothed, same] = seen[0].prediction.actionUnits!;
  assert.ok(smoothed > 0.1 && smoothed < 0.5 && same === 0.5);
  const recording = new Recording("video", 2, 2, false, 100);
  recording.add({ time: 0, pass: 0 }, seen);
  recording.add({ time: 1, pass: 0 }, []);
  const rows = [...recording.rows()];
  assert.deepEqual(rows[0].prediction!.actionUnits, [smoothed, 0.5]);
  assert.deepEqual(rows[0].prediction!.probabilities, seen[0].prediction.probabilities);
  const [header, first, second] = predictionsCsv(rows, "video", ["Neutral", "Happy"], null, ["AU06", "AU12"]).split("\r\n");
  assert.ok(header.endsWith(",valence,arousal,AU06,AU12"));
  assert.ok(first.endsWith(`,,,,${smoothed.toFixed(4)},0.5000`));
  assert.equal(second.split(",").length, header.split(",").length);
  const row = {
    status: "ok", detail: "", box_xyxy: null, score: null, found_by: "whole" as const, reason: "", probabilities: { Neutral: 1 }, landmarks: null,
    valence: null, arousal: null, action_units: { AU12: 0.25, AU06: 0.75 },
  };
  const [parsed] = parsePredictions([row], { width: 1, height: 1 }, ["Neutral"], ["AU06", "AU12"]);
  assert.deepEqual(parsed.actionUnits, [0.75, 0.25]);
});

/** Record a video at these times, with a face per frame whose probability encodes the pass. */
function recordPass(recording: Recording, pass: number, times: number[]): void {
  const tracks = new Tracks();
  for (const time of times) recording.add({ time, pass }, tracks.update([prediction([0, 0, 1, 1], pass / 10)], time, true));
}

function range(from: number, to: number, step = 1): number[] {
  return Array.from({ length: Math.round((to - from) / step) }, (_, index) => from + index * step);
}

function rowsOf(recording: Recording): [number, number][] {
  return [...recording.rows()].map((row) => [row.seconds!, Math.round(10 * row.prediction!.probabilities[0])]);
}

test("a long video is recorded completely, by position in the video, including frames without faces", () => {
  const recording = new Recording("video", 1);
  recordPass(recording, 1, range(0, 7200, 0.5));
  recording.add({ time: 7200, pass: 1 }, []);
  const rows = [...recording.rows()];
  assert.deepEqual([rows.length, rows[0].seconds, rows.at(-1)!.seconds], [14401, 0, 7200]);
  assert.deepEqual([rows[5].face, rows[5].track, rows.at(-1)!.prediction], [0, 0, null]);
  assert.match(predictionsCsv(rows, "video", ["Happy"]), /\r\nvideo,,7200.000,,,no_face,{25}\r\n$/);
});

test("a later pass replaces earlier predictions of the same part, and no others", () => {
  const recording = new Recording("video", 1);
  recordPass(recording, 1, range(0, 10));
  recordPass(recording, 2, range(2.5, 4)); // sought back
  recordPass(recording, 3, [8]); // sought forward: what lies between is unchanged
  const expected = [[0, 1], [1, 1], [2, 1], [2.5, 2], [3.5, 2], [4, 1], [5, 1], [6, 1], [7, 1], [8, 3], [9, 1]];
  assert.deepEqual(rowsOf(recording), expected);
  for (let pass = 4; pass < 200; pass++) recordPass(recording, pass, range(0, 3)); // dragging the slider
  assert.equal(rowsOf(recording).length, 11);
  assert.deepEqual(rowsOf(recording).slice(0, 3).map(([time]) => time), [0, 1, 2]);
});

test("the landmarks of a video are recorded, also through merging and growth", () => {
  const recording = new Recording("video", 1, 0, true);
  const landmarks = (time: number) => Array.from({ length: 68 }, (_, n): [number, number] => [time + n, time - n / 4]);
  for (let pass = 0; pass < 40; pass++) {
    for (const time of range(pass * 50, pass * 50 + 60)) {
      const face = { ...prediction([0, 0, 9, 9], 1), landmarks: time % 7 ? landmarks(time) : null };
      recording.add({ time, pass }, time % 11 ? new Tracks().update([face], time, false) : []);
    }
  }
  const rows = [...recording.rows()];
  assert.equal(rows.length, 2010);
  for (const { seconds, prediction: face } of rows) {
    assert.equal(face === null, seconds! % 11 === 0);
    if (face) assert.deepEqual(face.landmarks, seconds! % 7 ? landmarks(seconds!) : null);
  }
  const [, , second] = predictionsCsv(rows, "video", ["Happy"]).split("\r\n");
  assert.equal(second.split(",")[26].split(";").length, 136);
});

test("a repeating video never fills the table, and a too long one does and says so", () => {
  const recording = new Recording("video", 1, 0, false, 100);
  for (let pass = 1; pass <= 50; pass++) recordPass(recording, pass, range(0, 60));
  assert.deepEqual([rowsOf(recording).length, recording.fullSince], [60, null]);
  recordPass(recording, 51, range(0, 300));
  assert.equal(recording.fullSince, 100);
  assert.deepEqual(rowsOf(recording), range(0, 100).map((time) => [time, 510 / 10]));
  const lines = predictionsCsv(recording.rows(), "video", ["Happy"], recording.fullSince).trimEnd().split("\r\n");
  assert.equal(lines.length, 1 + 100 + 1);
  assert.match(lines.at(-1)!, /^video,,100\.000,,,incomplete,the table was full: later predictions are missing/);
});

test("a frame that is predicted twice has one row", () => {
  const recording = new Recording("video", 1);
  recordPass(recording, 1, [1, 1, 1, 2]);
  assert.deepEqual(rowsOf(recording).map(([time]) => time), [1, 2]);
});

test("labels of a crowd do not cover each other, and the first ones are never left out", () => {
  const boxes = Array.from({ length: 60 }, (_, index): Box => {
    const [x, y] = [(index % 12) * 50, Math.floor(index / 12) * 45];
    return [x, y, x + 40, y + 40];
  });
  const sizes = boxes.map(() => ({ width: 95, height: 20 }));
  const surface = { width: 640, height: 300 };
  const corners = placeLabels(boxes, sizes, surface, 6);
  const labels = corners.flatMap((corner, index): Box[] => {
    if (!corner) return [];
    const [left, top] = corner;
    return [[left, top, left + sizes[index].width, top + sizes[index].height]];
  });
  assert.ok(corners[0] && labels.length > 20 && labels.length < 60, String(labels.length));
  for (const [index, [x0, y0, x1, y1]] of labels.entries()) {
    assert.ok(x0 >= 0 && y0 >= 0 && x1 <= surface.width && y1 <= surface.height);
    for (const other of labels.slice(index + 1)) {
      assert.ok(x1 <= other[0] || other[2] <= x0 || y1 <= other[1] || other[3] <= y0, `${labels[index]} covers ${other}`);
    }
  }
  const apart: Box[] = [[100, 100, 200, 200], [300, 5, 400, 100]];
  assert.deepEqual(placeLabels(apart, sizes, surface, 6), [[100, 74], [300, 11]]);
});

test("faces beyond the server's limit are no failure, an undecodable image is", () => {
  const rest = { status: "too_many_faces", detail: "3 more faces, the limit is 1" };
  requireDecoded([{ status: "ok", detail: "" }, rest]);
  requireDecoded([{ status: "no_face", detail: "" }]);
  const refusal = { name: "Error", status: "truncated_image", message: "ends early" };
  assert.throws(() => requireDecoded([{ status: "truncated_image", detail: "ends early" }]), refusal);
});

test("the server's probabilities are matched by class name", () => {
  const row = { detail: "", score: 0.9, found_by: "detector" as const, reason: "", landmarks: null, valence: null, arousal: null, actionUnits: null };
  const rows = [
    { ...row, status: "ok", box_xyxy: [1, 2, 3, 4] as Box, probabilities: { Happy: 0.75, Neutral: 0.25 } },
    { ...row, status: "no_face", box_xyxy: null, probabilities: null },
  ];
  const predictions = parsePredictions(rows, { width: 10, height: 10 }, ["Neutral", "Happy"]);
  assert.equal(predictions.length, 1);
  assert.deepEqual(predictions[0].probabilities, [0.25, 0.75]);
  assert.equal(largestDifference(predictions, [prediction([1, 2, 3, 4], 0.5, 0.5)]), 0.25);
});
