// Images as plain arrays: RGB, 3 bytes per pixel, row by row.

export interface Image {
  width: number;
  height: number;
  rgb: Uint8Array;
}

export function emptyImage(width: number, height: number): Image {
  return { width, height, rgb: new Uint8Array(width * height * 3) };
}

/** Convert a canvas's RGBA to RGB by compositing on black, as mien does. */
export function fromRgba(rgba: Uint8ClampedArray | Uint8Array, width: number, height: number): Image {
  const image = emptyImage(width, height);
  const { rgb } = image;
  // Four opaque pixels at a time, in words (low byte first, as in WebAssembly), take a third of the time of single bytes.
  const { buffer, byteOffset } = rgba.byteOffset % 4 ? rgba.slice() : rgba;
  const pixels = new Uint32Array(buffer, byteOffset, width * height);
  const words = new Uint32Array(rgb.buffer, 0, rgb.length >> 2);
  for (let at = 0, to = 0; at < pixels.length; at += 4) {
    const a = pixels[at];
    const b = pixels[at + 1];
    const c = pixels[at + 2];
    const d = pixels[at + 3];
    if ((a & b & c & d) >>> 24 === 255) {
      words[to++] = (a & 0xffffff) | (b << 24);
      words[to++] = ((b >>> 8) & 0xffff) | (c << 16);
      words[to++] = ((c >>> 16) & 0xff) | (d << 8);
      continue;
    }
    to += 3;
    for (let pixel = at; pixel < Math.min(at + 4, pixels.length); pixel++) {
      const alpha = rgba[4 * pixel + 3];
      for (let channel = 0; channel < 3; channel++) {
        rgb[3 * pixel + channel] = Math.round((rgba[4 * pixel + channel] * alpha) / 255);
      }
    }
  }
  return image;
}

/** Downscale by 2: each 2 x 2 block becomes its rounded mean; an odd last row or column is dropped. */
export function halve(image: Image): Image {
  const width = Math.max(1, image.width >> 1);
  const height = Math.max(1, image.height >> 1);
  const half = emptyImage(width, height);
  const [source, target] = [image.rgb, half.rgb];
  const right = image.width > 1 ? 3 : 0;
  const below = image.height > 1 ? image.width * 3 : 0;
  let to = 0;
  for (let y = 0; y < height; y++) {
    let a = y * 2 * image.width * 3;
    for (let x = 0; x < width; x++, a += 6, to += 3) {
      const b = a + right;
      const c = a + below;
      const d = c + right;
      target[to] = (source[a] + source[b] + source[c] + source[d] + 2) >> 2;
      target[to + 1] = (source[a + 1] + source[b + 1] + source[c + 1] + source[d + 1] + 2) >> 2;
      target[to + 2] = (source[a + 2] + source[b + 2] + source[c + 2] + source[d + 2] + 2) >> 2;
    }
  }
  return half;
}

interface Taps {
  /** Index of each target position's first tap in the two arrays below, plus the end: one more than positions. */
  starts: Int32Array;
  indices: Int32Array;
  weights: Float32Array;
}

/** Return the source pixels and weights of every target pixel: area averaging to shrink, linear interpolation to grow. */
function tapsOf(source: number, target: number): Taps {
  const starts = new Int32Array(target + 1);
  const indices: number[] = [];
  const weights: number[] = [];
  const step = source / target;
  for (let position = 0; position < target; position++) {
    starts[position] = indices.length;
    if (step > 1) {
      const begin = position * step;
      const end = Math.min(source, begin + step);
      for (let index = Math.floor(begin); index < end - 1e-6; index++) {
        const overlap = Math.min(index + 1, end) - Math.max(index, begin);
        if (overlap < 1e-6) continue;
        indices.push(Math.min(index, source - 1));
        weights.push(overlap / (end - begin));
      }
    } else {
      const at = (position + 0.5) * step - 0.5;
      const below = Math.floor(at);
      indices.push(clamp(below, source), clamp(below + 1, source));
      weights.push(1 - (at - below), at - below);
    }
  }
  starts[target] = indices.length;
  return { starts, indices: Int32Array.from(indices), weights: Float32Array.from(weights) };
}

function clamp(index: number, length: number): number {
  return Math.min(length - 1, Math.max(0, index));
}

/** Resize as OpenCV does: area averaging to shrink, bilinear to grow. */
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
      if (down.indices[tap] !== inRow) {
        inRow = down.indices[tap];
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
  const { starts, indices, weights } = across;
  for (let x = 0, to = 0; x < starts.length - 1; x++, to += 3) {
    let red = 0;
    let green = 0;
    let blue = 0;
    for (let tap = starts[x]; tap < starts[x + 1]; tap++) {
      const at = from + indices[tap] * 3;
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
