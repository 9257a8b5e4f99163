// Cuts: where one shot of a video ends and the next one begins, as `mien.inference.video.cuts` finds them.

import type { Image } from "./pixels.ts";

// A frame is compared as this many cells, each the mean of its part: motion within a cell does not show.
const GRID_WIDTH = 16;
const GRID_HEIGHT = 12;
// At least so many rows and columns of a frame are read.
const READ_SIDE = 96;
// A cell has changed if its gray value differs by this much; a cut changes this fraction of the cells, as they are and with
// the frames' brightness and contrast made equal.
const CELL_CHANGE = 24;
const CUT_FRACTION = 0.45;
// A frame with less contrast than this is nearly uniform, such as in a fade: its contrast is not matched.
const LEAST_CONTRAST = 8;

/** Compares each frame of a camera or video with the one before it. */
export class CutDetector {
  private previous: Float64Array | null = null;

  /** Whether a frame belongs to another shot than the one before it. A flash, or a lamp that is switched on, is no cut. */
  isCut(image: Image): boolean {
    const cells = cellsOf(image);
    const { previous } = this;
    this.previous = cells;
    if (!previous) return false;
    const [before, now] = [previous, cells].map(momentsOf);
    const versions = [cells];
    if (Math.min(before.deviation, now.deviation) > LEAST_CONTRAST) {
      versions.push(cells.map((value) => ((value - now.mean) / now.deviation) * before.deviation + before.mean));
    }
    return versions.every((version) => {
      const nChanged = version.filter((value, at) => Math.abs(value - previous[at]) > CELL_CHANGE).length;
      return nChanged >= CUT_FRACTION * cells.length;
    });
  }
}

/** Return the mean gray value of each cell, 0 to 255. */
function cellsOf({ width, height, rgb }: Image): Float64Array {
  const sums = new Float64Array(GRID_WIDTH * GRID_HEIGHT);
  const counts = new Float64Array(sums.length);
  const stepY = Math.max(1, Math.floor(height / READ_SIDE));
  const stepX = Math.max(1, Math.floor(width / READ_SIDE));
  for (let y = 0; y < height; y += stepY) {
    const row = Math.floor((y * GRID_HEIGHT) / height) * GRID_WIDTH;
    for (let x = 0; x < width; x += stepX) {
      const cell = row + Math.floor((x * GRID_WIDTH) / width);
      const at = 3 * (y * width + x);
      sums[cell] += 0.299 * rgb[at] + 0.587 * rgb[at + 1] + 0.114 * rgb[at + 2];
      counts[cell]++;
    }
  }
  return sums.map((sum, cell) => sum / Math.max(1, counts[cell]));
}

function momentsOf(values: Float64Array): { mean: number; deviation: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { mean, deviation: Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length) };
}
