// Valence and arousal: a point on the plane, with the way it came.

import type { Moment } from "../tracks.ts";
import { say } from "../words.ts";
import { FONT, prepareCanvas, styleColor } from "./surface.ts";

const TRAIL_S = 12;

export function drawPlane(canvas: HTMLCanvasElement, history: Moment[], color: string): void {
  const { pen, width, height } = prepareCanvas(canvas);
  const side = Math.min(width - 8, height - 40);
  if (side <= 0) return; // not on the page yet
  const left = (width - side) / 2;
  const top = (height - side) / 2;
  const place = (valence: number, arousal: number): [number, number] => [
    left + ((clip(valence) + 1) / 2) * side,
    top + ((1 - clip(arousal)) / 2) * side,
  ];
  drawGround(pen, left, top, side);
  drawNames(pen, width, top, side);
  const last = history.at(-1);
  if (!last || last.valence === null || last.arousal === null) return;
  const trail = history.filter(({ time }) => time > last.time - TRAIL_S);
  pen.strokeStyle = color;
  pen.lineCap = "round";
  pen.lineWidth = 2.5;
  trail.slice(1).forEach((moment, index) => {
    const before = trail[index];
    if (moment.valence === null || before.valence === null) return;
    pen.globalAlpha = Math.max(0, 1 - (last.time - moment.time) / TRAIL_S) ** 1.5 * 0.75;
    pen.beginPath();
    pen.moveTo(...place(before.valence, before.arousal!));
    pen.lineTo(...place(moment.valence, moment.arousal!));
    pen.stroke();
  });
  pen.globalAlpha = 1;
  const [x, y] = place(last.valence, last.arousal);
  pen.fillStyle = styleColor("--card");
  pen.beginPath();
  pen.arc(x, y, 9, 0, 2 * Math.PI);
  pen.fill();
  pen.fillStyle = color;
  pen.beginPath();
  pen.arc(x, y, 6.5, 0, 2 * Math.PI);
  pen.fill();
}

function drawGround(pen: CanvasRenderingContext2D, left: number, top: number, side: number): void {
  const middle = side / 2;
  pen.fillStyle = styleColor("--track");
  pen.globalAlpha = 0.5;
  pen.beginPath();
  pen.arc(left + middle, top + middle, middle, 0, 2 * Math.PI);
  pen.fill();
  pen.globalAlpha = 1;
  pen.strokeStyle = styleColor("--line-strong");
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(left, top + middle);
  pen.lineTo(left + side, top + middle);
  pen.moveTo(left + middle, top);
  pen.lineTo(left + middle, top + side);
  pen.stroke();
  pen.setLineDash([2, 4]);
  pen.beginPath();
  pen.arc(left + middle, top + middle, middle / 2, 0, 2 * Math.PI);
  pen.stroke();
  pen.setLineDash([]);
}

function drawNames(pen: CanvasRenderingContext2D, width: number, top: number, side: number): void {
  pen.font = `12px ${FONT}`;
  pen.fillStyle = styleColor("--quiet");
  pen.textBaseline = "middle";
  pen.textAlign = "center";
  pen.fillText(say("excited"), width / 2, top - 10);
  pen.fillText(say("calm"), width / 2, top + side + 11);
  pen.textBaseline = "bottom";
  pen.textAlign = "left";
  pen.fillText(say("unpleasant"), 0, top + side / 2 - 5);
  pen.textAlign = "right";
  pen.fillText(say("pleasant"), width, top + side / 2 - 5);
  pen.textAlign = "left";
}

function clip(value: number): number {
  return Math.min(1, Math.max(-1, value));
}
