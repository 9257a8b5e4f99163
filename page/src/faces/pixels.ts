// Images as plain arrays: three bytes a pixel, red green blue, row by row.

export interface Image {
  width: number;
  height: number;
  rgb: Uint8Array;
}

export function emptyImage(width: number, height: number): Image {
  return { width, height, rgb: new Uint8Array(width * height * 3) };
}

/** Drop the alpha of a canvas. What is transparent lies on black, as in mien. */
export function fromRgba(rgba: Uint8ClampedArray | Uint8Array, width: number, height: number): Image {
  const image = emptyImage(width, height);
  const { rgb } = image;
  for (let from = 0, to = 0; to < rgb.length; from += 4, to += 3) {
    const alpha = rgba[from + 3];
    if (alpha === 255) {
      rgb[to] = rgba[from];
      rgb[to + 1] = rgba[from + 1];
      rgb[to + 2] = rgba[from + 2];
    } else {
      for (let channel = 0; channel < 3; channel++) {
        rgb[to + channel] = Math.round((rgba[from + channel] * alpha) / 255);
      }
    }
  }
  return image;
}

/** Each 2 x 2 block becomes its rounded mean; an odd last row or column is dropped. */
export function halve(image: Image): Image {
  const width = Math.max(1, image.width >> 1);
  const height = Math.max(1, image.height >> 1);
  const half = emptyImage(width, height);
  const source = image.rgb;
  const right = image.width > 1 ? 3 : 0;
  const below = image.height > 1 ? image.width * 3 : 0;
  let to = 0;
  for (let y = 0; y < height; y++) {
    let from = y * 2 * image.width * 3;
    for (let x = 0; x < width; x++, from += 6) {
      for (let channel = 0; channel < 3; channel++) {
        const at = from + channel;
        half.rgb[to++] = (source[at] + source[at + right] + source[at + below] + source[at + right + below] + 2) >> 2;
      }
    }
  }
  return half;
}

interface Taps {
  /** Of each target position, where its taps begin in the two lists below; one more than positions. */
  starts: Int32Array;
  places: Int32Array;
  weights: Float32Array;
}

/** Which source pixels make a target pixel: the mean over its area where it shrinks, its two neighbours where it grows. */
function tapsOf(source: number, target: number): Taps {
  const starts = new Int32Array(target + 1);
  const places: number[] = [];
  const weights: number[] = [];
  const step = source / target;
  for (let position = 0; position < target; position++) {
    starts[position] = places.length;
    if (step > 1) {
      const begin = position * step;
      const end = Math.min(source, begin + step);
      for (let place = Math.floor(begin); place < end - 1e-6; place++) {
        const share = Math.min(place + 1, end) - Math.max(place, begin);
        if (share < 1e-6) continue;
        places.push(Math.min(place, source - 1));
        weights.push(share / (end - begin));
      }
    } else {
      const at = (position + 0.5) * step - 0.5;
      const below = Math.floor(at);
      places.push(clamp(below, source), clamp(below + 1, source));
      weights.push(1 - (at - below), at - below);
    }
  }
  starts[target] = places.length;
  return { starts, places: Int32Array.from(places), weights: Float32Array.from(weights) };
}

function clamp(place: number, length: number): number {
  return Math.min(length - 1, Math.max(0, place));
}

/** Resize as OpenCV does: by area where the image shrinks, else bilinear. */
export function resize(image: Image, width: number, height: number): Image {
  if (width === image.width && height === image.height) return image;
  const across = tapsOf(image.width, width);
  const down = tapsOf(image.height, height);
  const result = emptyImage(width, height);
  const row = new Float32Array(width * 3);
  const sum = new Float32Array(width * 3);
  let inRow = -1;
  for (let y = 0; y < height; y++) {
    sum.fill(0);
    for (let tap = down.starts[y]; tap < down.starts[y + 1]; tap++) {
      if (down.places[tap] !== inRow) {
        inRow = down.places[tap];
        gatherRow(image, inRow, across, row);
      }
      const weight = down.weights[tap];
      for (let at = 0; at < sum.length; at++) sum[at] += weight * row[at];
    }
    const to = y * width * 3;
    for (let at = 0; at < sum.length; at++) result.rgb[to + at] = sum[at] + 0.5;
  }
  return result;
}

function gatherRow(image: Image, y: number, across: Taps, row: Float32Array): void {
  const source = image.rgb;
  const from = y * image.width * 3;
  const { starts, places, weights } = across;
  for (let x = 0, to = 0; x < starts.length - 1; x++, to += 3) {
    let red = 0;
    let green = 0;
    let blue = 0;
    for (let tap = starts[x]; tap < starts[x + 1]; tap++) {
      const at = from + places[tap] * 3;
      const weight = weights[tap];
      red += weight * source[at];
      green += weight * source[at + 1];
      blue += weight * source[at + 2];
    }
    row[to] = red;
    row[to + 1] = green;
    row[to + 2] = blue;
  }
}
