// The last minute of a face, or a whole video: a stacked area chart of class probabilities.

import { pageColor } from "../palette.ts";
import { wholeTicks } from "../overview.ts";
import { HISTORY_S, type Moment } from "../tracks.ts";
import { clock } from "../transport.ts";
import { className, t } from "../i18n.ts";
import { FONT, prepareCanvas, styleColor } from "./canvas.ts";

const AXIS_HEIGHT = 20;
const GAP_S = 2.5;
const HALF_LABEL = 14;

/** Draw the last minute up to now. */
export function drawTimeline(canvas: HTMLCanvasElement, history: Moment[], classes: string[], now: number): void {
  const { ctx, width, height } = prepareCanvas(canvas);
  const floor = height - AXIS_HEIGHT;
  if (floor <= 0) return; // not laid out yet
  const x = (time: number): number => width - ((now - time) / HISTORY_S) * width;
  drawGround(ctx, width, floor);
  const step = width < 500 ? 20 : 10;
  for (let ago = 0; ago <= HISTORY_S; ago += step) {
    ctx.textAlign = ago === 0 ? "right" : ago === HISTORY_S ? "left" : "center";
    ctx.fillText(ago ? t("secondsAgo", { count: ago }) : t("now"), x(now - ago), floor + AXIS_HEIGHT - 4);
  }
  ctx.textAlign = "left";
  for (const segment of splitAtGaps(history)) drawSegment(ctx, segment, classes, x, floor);
  drawLabels(ctx, history, classes, x, floor);
}

/** Draw a whole video, and where it is now. */
export function drawOverview(canvas: HTMLCanvasElement, duration: number, segments: Moment[][], classes: string[], now: number): void {
  const { ctx, width, height } = prepareCanvas(canvas);
  const floor = height - AXIS_HEIGHT;
  if (floor <= 0) return; // not laid out yet
  const x = (time: number): number => (time / duration) * width;
  drawGround(ctx, width, floor);
  for (const time of wholeTicks(duration, width < 500 ? 4 : 8)) {
    ctx.textAlign = time === 0 ? "left" : x(time) > width - HALF_LABEL ? "right" : "center";
    ctx.fillText(clock(time), Math.min(x(time), width), floor + AXIS_HEIGHT - 4);
  }
  ctx.textAlign = "left";
  for (const segment of segments) drawSegment(ctx, segment, classes, x, floor);
  ctx.fillStyle = styleColor("--text");
  ctx.fillRect(Math.min(width - 2, x(now)), 0, 2, floor);
}

function drawGround(ctx: CanvasRenderingContext2D, width: number, floor: number): void {
  ctx.fillStyle = styleColor("--track");
  ctx.globalAlpha = 0.55;
  ctx.beginPath();
  ctx.roundRect(0, 0, width, floor, 8);
  ctx.fill();
  ctx.globalAlpha = 1;
  ctx.font = `12px ${FONT}`;
  ctx.textBaseline = "alphabetic";
  ctx.fillStyle = styleColor("--quiet");
}

/** Split a history at its gaps. */
function splitAtGaps(history: Moment[]): Moment[][] {
  const segments: Moment[][] = [];
  history.forEach((moment, index) => {
    if (index === 0 || moment.time - history[index - 1].time > GAP_S) segments.push([]);
    segments[segments.length - 1].push(moment);
  });
  return segments;
}

function drawSegment(
  ctx: CanvasRenderingContext2D,
  segment: Moment[],
  classes: string[],
  x: (time: number) => number,
  floor: number,
): void {
  const below = segment.map(() => 0);
  classes.forEach((name, index) => {
    ctx.beginPath();
    segment.forEach(({ time }, at) => ctx.lineTo(x(time), floor * (1 - below[at])));
    for (let at = segment.length - 1; at >= 0; at--) {
      below[at] += segment[at].probabilities[index];
      ctx.lineTo(x(segment[at].time), floor * (1 - below[at]));
    }
    ctx.closePath();
    ctx.fillStyle = ctx.strokeStyle = pageColor(name);
    ctx.globalAlpha = 0.85;
    ctx.fill();
  });
  ctx.globalAlpha = 1;
}

/** Label the layers that are thick enough at the right edge. */
function drawLabels(
  ctx: CanvasRenderingContext2D,
  history: Moment[],
  classes: string[],
  x: (time: number) => number,
  floor: number,
): void {
  const last = history.at(-1);
  if (!last) return;
  let below = 0;
  ctx.font = `600 12px ${FONT}`;
  ctx.textBaseline = "middle";
  ctx.textAlign = "right";
  classes.forEach((name, index) => {
    const probability = last.probabilities[index];
    const middle = floor * (1 - below - probability / 2);
    below += probability;
    if (probability * floor < 20) return;
    ctx.fillStyle = "rgb(17 20 26 / 88%)";
    ctx.fillText(className(name), x(last.time) - 8, middle);
  });
  ctx.textAlign = "left";
}
