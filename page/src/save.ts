// Readings as a table, in the columns of `mien predict`.

import { topClass, type Track } from "./tracks.ts";

/** Return CSV: a row a face of a photograph, or a row for each moment of each face of a film. */
export function readingsCsv(tracks: Track[], source: string, classes: string[], isLive: boolean): string {
  const header = ["source", "time_s", "face", "x0", "y0", "x1", "y1", "expression", "confidence"];
  const lines = [[...header, "valence", "arousal", ...classes.map((name) => `p_${name}`)]];
  const start = Math.min(...tracks.map(({ history }) => history[0].time));
  tracks.forEach((track, face) => {
    const box = isLive ? ["", "", "", ""] : track.reading.box.map((value) => value.toFixed(1));
    for (const { time, probabilities, valence, arousal } of track.history) {
      const top = topClass(probabilities);
      lines.push([
        source,
        isLive ? (time - start).toFixed(2) : "",
        String(face),
        ...box,
        classes[top],
        probabilities[top].toFixed(4),
        valence?.toFixed(4) ?? "",
        arousal?.toFixed(4) ?? "",
        ...probabilities.map((value) => value.toFixed(4)),
      ]);
    }
  });
  return lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
}

function quoted(value: string): string {
  // A name that a spreadsheet would take for a formula is put in as text.
  const safe = /^[=+@]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
