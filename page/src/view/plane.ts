// The plane of valence and arousal: the current point with its trail.

import type { Moment } from "../tracks.ts";
import { t } from "../i18n.ts";
import { FONT, prepareCanvas, styleColor } from "./canvas.ts";

const TRAIL_S = 12;

export function drawPlane(canvas: HTMLCanvasElement, history: Moment[], color: string): void {
  const { ctx, width, height } = prepareCanvas(canvas);
  const side = Math.min(width - 8, height - 40);
  if (side <= 0) return; // not laid out yet
  const left = (width - side) / 2;
  const top = (height - side) / 2;
  const toCanvas = (valence: number, arousal: number): [number, number] => [
    left + ((clip(valence) + 1) / 2) * side,
    top + ((1 - clip(arousal)) / 2) * side,
  ];
  drawGround(ctx, left, top, side);
  drawAxisLabels(ctx, width, top, side);
  const last = history.at(-1);
  if (!last || last.valence === null || last.arousal === null) return;
  const trail = history.filter(({ time }) => time > last.time - TRAIL_S);
  ctx.strokeStyle = color;
  ctx.lineCap = "round";
  ctx.lineWidth = 2.5;
  trail.slice(1).forEach((moment, index) => {
    const before = trail[index];
    if (moment.valence === null || before.valence === null) return;
    ctx.globalAlpha = Math.max(0, 1 - (last.time - moment.time) / TRAIL_S) ** 1.5 * 0.75;
    ctx.beginPath();
    ctx.moveTo(...toCanvas(before.valence, before.arousal!));
    ctx.lineTo(...toCanvas(moment.valence, moment.arousal!));
    ctx.stroke();
  });
  ctx.globalAlpha = 1;
  const [x, y] = toCanvas(last.valence, last.arousal);
  ctx.fillStyle = styleColor("--card");
  ctx.beginPath();
  ctx.arc(x, y, 9, 0, 2 * Math.PI);
  ctx.fill();
  ctx.fillStyle = color;
  ctx.beginPath();
  ctx.arc(x, y, 6.5, 0, 2 * Math.PI);
  ctx.fill();
}

function drawGround(ctx: CanvasRenderingContext2D, left: number, top: number, side: number): void {
  const middle = side / 2;
  ctx.fillStyle = styleColor("--track");
  ctx.globalAlpha = 0.5;
  ctx.beginPath();
  ctx.arc(left + middle, top + middle, middle, 0, 2 * Math.PI);
  ctx.fill();
  ctx.globalAlpha = 1;
  ctx.strokeStyle = styleColor("--line-strong");
  ctx.lineWidth = 1;
  ctx.beginPath();
  ctx.moveTo(left, top + middle);
  ctx.lineTo(left + side, top + middle);
  ctx.moveTo(left + middle, top);
  ctx.lineTo(left + middle, top + side);
  ctx.stroke();
  ctx.setLineDash([2, 4]);
  ctx.beginPath();
  ctx.arc(left + middle, top + middle, middle / 2, 0, 2 * Math.PI);
  ctx.stroke();
  ctx.setLineDash([]);
}

function drawAxisLabels(ctx: CanvasRenderingContext2D, width: number, top: number, side: number): void {
  ctx.font = `12px ${FONT}`;
  ctx.fillStyle = styleColor("--quiet");
  ctx.textBaseline = "middle";
  ctx.textAlign = "center";
  ctx.fillText(t("excited"), width / 2, top - 10);
  ctx.fillText(t("calm"), width / 2, top + side + 11);
  ctx.textBaseline = "bottom";
  ctx.textAlign = "left";
  ctx.fillText(t("unpleasant"), 0, top + side / 2 - 5);
  ctx.textAlign = "right";
  ctx.fillText(t("pleasant"), width, top + side / 2 - 5);
  ctx.textAlign = "left";
}

function clip(value: number): number {
  return Math.min(1, Math.max(-1, value));
}
