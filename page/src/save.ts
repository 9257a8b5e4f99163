// Readings as a table, in the columns of `mien predict`.

import type { Reading } from "./faces/model.ts";
import type { Row } from "./record.ts";
import { topClass } from "./tracks.ts";

/** Return CSV: a row a face, or a row for a frame without one, and a last row where not everything was kept. */
export function readingsCsv(rows: Iterable<Row>, source: string, classes: string[], fullSince: number | null = null): string {
  const head = ["source", "frame", "seconds", "face", "track", "status", "detail"];
  const box = ["box_x0", "box_y0", "box_x1", "box_y1", "score"];
  const said = ["expression", "confidence", ...classes.map((name) => `p_${name}`), "landmarks", "valence", "arousal"];
  const lines = [[...head, ...box, ...said]];
  for (const { seconds, face, track, reading } of rows) {
    const place = [decimal(seconds, 3), whole(face), whole(track)];
    lines.push([source, "", ...place, reading ? "ok" : "no_face", "", ...valuesOf(reading, classes)]);
  }
  if (fullSince !== null) {
    const detail = "the table was full here: what was read afterwards is not in it";
    lines.push([source, "", decimal(fullSince, 3), "", "", "incomplete", detail, ...valuesOf(null, classes)]);
  }
  return lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
}

function valuesOf(reading: Reading | null, classes: string[]): string[] {
  if (!reading) return Array.from({ length: 10 + classes.length }, () => "");
  const { box, score, probabilities, landmarks, valence, arousal } = reading;
  const top = topClass(probabilities);
  return [
    ...box.map((value) => value.toFixed(2)),
    decimal(score, 4),
    classes[top],
    ...[probabilities[top], ...probabilities].map((value) => value.toFixed(4)),
    landmarks?.flat().map((value) => value.toFixed(2)).join(";") ?? "",
    decimal(valence, 4),
    decimal(arousal, 4),
  ];
}

function decimal(value: number | null, digits: number): string {
  return value?.toFixed(digits) ?? "";
}

function whole(value: number | null): string {
  return value?.toString() ?? "";
}

function quoted(value: string): string {
  // A name that a spreadsheet would take for a formula is put in as text.
  const safe = /^[=+@]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
