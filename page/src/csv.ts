// Predictions as CSV, with the columns of `mien predict`.

import { decide, labelSetOf } from "./faces/decision-rule.ts";
import { eyeAspectRatio, mouthAspectRatio } from "./faces/landmarks.ts";
import { QUALITY, type FacePrediction, type LabelSets } from "./faces/model.ts";
import type { QualityRule } from "./faces/quality.ts";
import type { Row } from "./recording.ts";

/**
 * Return CSV: a row per face or frame without faces, and a last row if the recording is incomplete. Photos have sets of
 * classes if there are limits for probabilities as trained.
 */
export function predictionsCsv(
  rows: Iterable<Row>,
  source: string,
  classes: string[],
  fullSince: number | null = null,
  units: string[] = [],
  labelSets: LabelSets | null = null,
  rule?: QualityRule,
): string {
  const head = ["source", "frame", "seconds", "face", "track", "status", "detail"];
  const box = ["box_x0", "box_y0", "box_x1", "box_y1", "score"];
  const outputs = ["found_by", "expression", "confidence", "reason", "label_set", ...QUALITY, ...classes.map((name) => `p_${name}`), "landmarks", "eye_aspect_ratio", "mouth_aspect_ratio", "valence", "arousal"];
  const lines = [[...head, ...box, ...outputs, ...units]];
  for (const { seconds, face, track, prediction, source: own, status = prediction ? "ok" : "no_face", detail = "" } of rows) {
    const position = [decimal(seconds, 3), integer(face), integer(track)];
    lines.push([own ?? source, "", ...position, status, detail, ...valuesOf(prediction, classes, units.length, seconds === null ? labelSets : null, rule)]);
  }
  if (fullSince !== null) {
    const detail = "the table was full: later predictions are missing";
    lines.push([source, "", decimal(fullSince, 3), "", "", "incomplete", detail, ...valuesOf(null, classes, units.length)]);
  }
  return lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
}

function valuesOf(prediction: FacePrediction | null, classes: string[], nUnits: number, labelSets: LabelSets | null = null, rule?: QualityRule): string[] {
  if (!prediction) return Array.from({ length: 15 + QUALITY.length + classes.length + nUnits }, () => "");
  const { box, score, foundBy, quality, probabilities, landmarks, valence, arousal, actionUnits } = prediction;
  const { expression, confidence, reason } = decide(prediction, classes, 0, rule);
  return [
    ...box.map((value) => value.toFixed(2)),
    decimal(score, 4),
    foundBy,
    expression,
    confidence.toFixed(4),
    reason,
    labelSets ? labelSetOf(probabilities, classes, labelSets).join(";") : "",
    ...quality.map((value) => decimal(value, 4)),
    ...probabilities.map((value) => value.toFixed(4)),
    landmarks?.flat().map((value) => value.toFixed(2)).join(";") ?? "",
    decimal(landmarks && eyeAspectRatio(landmarks), 4),
    decimal(landmarks && mouthAspectRatio(landmarks), 4),
    decimal(valence, 4),
    decimal(arousal, 4),
    ...Array.from({ length: nUnits }, (_, index) => decimal(actionUnits?.[index] ?? null, 4)),
  ];
}

function decimal(value: number | null, digits: number): string {
  return value?.toFixed(digits) ?? "";
}

function integer(value: number | null): string {
  return value?.toString() ?? "";
}

function quoted(value: string): string {
  // Keep spreadsheets from evaluating a file name as a formula.
  const safe = /^[=+@]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
