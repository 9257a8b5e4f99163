// Where the labels of faces go, so that those of a crowd do not cover each other.

import type { Box } from "../faces/crop.ts";

export interface Size {
  width: number;
  height: number;
}

/**
 * Return the top left corner of each label, in the order of importance: above the box, inside its upper edge, or below, along its
 * left or its right edge. Null if every place is outside the surface or taken by an earlier label.
 */
export function placeLabels(boxes: Box[], sizes: Size[], surface: Size, gap: number): ([number, number] | null)[] {
  const taken: Box[] = [];
  return boxes.map(([x0, y0, x1, y1], index) => {
    const { width, height } = sizes[index];
    const clamp = (left: number): number => Math.max(gap, Math.min(left, surface.width - width - gap));
    for (const top of [y0 - height - gap, Math.max(gap, y0 + gap), y1 + gap]) {
      for (const left of [clamp(x0), clamp(x1 - width)]) {
        const label: Box = [left, top, left + width, top + height];
        if (top < gap || label[3] > surface.height - gap || taken.some((other) => overlap(label, other))) continue;
        taken.push(label);
        return [left, top];
      }
    }
    return null;
  });
}

function overlap(a: Box, b: Box): boolean {
  return a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];
}
