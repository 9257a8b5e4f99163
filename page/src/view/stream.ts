// The last minute of a face: the shares of its expressions, one layer a class.

import { pageColor } from "../palette.ts";
import { HISTORY_S, type Moment } from "../tracks.ts";
import { className, say } from "../words.ts";
import { FONT, prepareCanvas, styleColor } from "./surface.ts";

const FOOT = 20;
const GAP_S = 2.5;

export function drawStream(canvas: HTMLCanvasElement, history: Moment[], classes: string[], now: number): void {
  const { pen, width, height } = prepareCanvas(canvas);
  const floor = height - FOOT;
  if (floor <= 0) return; // not on the page yet
  const x = (time: number): number => width - ((now - time) / HISTORY_S) * width;
  drawGround(pen, width, floor, x, now);
  for (const run of unbroken(history)) drawRun(pen, run, classes, x, floor);
  drawNames(pen, history, classes, x, floor);
}

function drawGround(
  pen: CanvasRenderingContext2D,
  width: number,
  floor: number,
  x: (time: number) => number,
  now: number,
): void {
  pen.fillStyle = styleColor("--track");
  pen.globalAlpha = 0.55;
  pen.beginPath();
  pen.roundRect(0, 0, width, floor, 8);
  pen.fill();
  pen.globalAlpha = 1;
  pen.font = `12px ${FONT}`;
  pen.textBaseline = "alphabetic";
  pen.fillStyle = styleColor("--quiet");
  const step = width < 500 ? 20 : 10;
  for (let ago = 0; ago <= HISTORY_S; ago += step) {
    pen.textAlign = ago === 0 ? "right" : ago === HISTORY_S ? "left" : "center";
    pen.fillText(ago ? say("secondsAgo", { count: ago }) : say("now"), x(now - ago), floor + FOOT - 4);
  }
  pen.textAlign = "left";
}

/** Parts of a history without gaps. */
function unbroken(history: Moment[]): Moment[][] {
  const runs: Moment[][] = [];
  history.forEach((moment, index) => {
    if (index === 0 || moment.time - history[index - 1].time > GAP_S) runs.push([]);
    runs[runs.length - 1].push(moment);
  });
  return runs;
}

function drawRun(
  pen: CanvasRenderingContext2D,
  run: Moment[],
  classes: string[],
  x: (time: number) => number,
  floor: number,
): void {
  const below = run.map(() => 0);
  classes.forEach((name, index) => {
    pen.beginPath();
    run.forEach(({ time }, at) => pen.lineTo(x(time), floor * (1 - below[at])));
    for (let at = run.length - 1; at >= 0; at--) {
      below[at] += run[at].probabilities[index];
      pen.lineTo(x(run[at].time), floor * (1 - below[at]));
    }
    pen.closePath();
    pen.fillStyle = pen.strokeStyle = pageColor(name);
    pen.globalAlpha = 0.85;
    pen.fill();
  });
  pen.globalAlpha = 1;
}

/** Name the layers that are thick at the right edge. */
function drawNames(
  pen: CanvasRenderingContext2D,
  history: Moment[],
  classes: string[],
  x: (time: number) => number,
  floor: number,
): void {
  const last = history.at(-1);
  if (!last) return;
  let below = 0;
  pen.font = `600 12px ${FONT}`;
  pen.textBaseline = "middle";
  pen.textAlign = "right";
  classes.forEach((name, index) => {
    const share = last.probabilities[index];
    const middle = floor * (1 - below - share / 2);
    below += share;
    if (share * floor < 20) return;
    pen.fillStyle = "rgb(17 20 26 / 88%)";
    pen.fillText(className(name), x(last.time) - 8, middle);
  });
  pen.textAlign = "left";
}
