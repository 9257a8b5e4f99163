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
  const { buffer, byteOffset } = rgba.byteOffset % 4 ? new Uint8Array(rgba) : rgba;
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

/** Downscale by 2, so many times: each 2 x 2 block becomes its rounded mean; an odd last row or column is dropped. */
export function halve(image: Image, times: number): Image {
  if (!times) return image;
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
  return halve(half, times - 1);
}

/** Resize bilinearly, as OpenCV does: the source is to be less than twice as large, or pixels are passed over. */
export function resize(image: Image, width: number, height: number): Image {
  if (width === image.width && height === image.height) return image;
  const across = tapsOf(image.width, width);
  const down = tapsOf(image.height, height);
  const result = emptyImage(width, height);
  let [above, below] = [new Float32Array(width * 3), new Float32Array(width * 3)];
  let [inAbove, inBelow] = [-1, -1];
  for (let y = 0; y < height; y++) {
    // Most rows are needed twice: below one target row, and above the next.
    if (down.first[y] === inBelow) [above, below, inAbove, inBelow] = [below, above, inBelow, inAbove];
    if (down.first[y] !== inAbove) interpolateRow(image, (inAbove = down.first[y]), across, above);
    if (down.second[y] !== inBelow) interpolateRow(image, (inBelow = down.second[y]), across, below);
    const weight = down.weight[y];
    const to = y * width * 3;
    for (let at = 0; at < above.length; at++) result.rgb[to + at] = above[at] + weight * (below[at] - above[at]) + 0.5;
  }
  return result;
}

/** For every target pixel the two source pixels around it, and the weight of the second. */
interface Taps {
  first: Int32Array;
  second: Int32Array;
  weight: Float32Array;
}

function tapsOf(source: number, target: number): Taps {
  const taps = { first: new Int32Array(target), second: new Int32Array(target), weight: new Float32Array(target) };
  const clamp = (index: number): number => Math.min(source - 1, Math.max(0, index));
  for (let position = 0; position < target; position++) {
    const at = ((position + 0.5) * source) / target - 0.5;
    taps.first[position] = clamp(Math.floor(at));
    taps.second[position] = clamp(Math.floor(at) + 1);
    taps.weight[position] = at - Math.floor(at);
  }
  return taps;
}

function interpolateRow({ rgb, width }: Image, y: number, { first, second, weight }: Taps, row: Float32Array): void {
  const from = y * width * 3;
  for (let x = 0, to = 0; x < first.length; x++, to += 3) {
    const left = from + first[x] * 3;
    const right = from + second[x] * 3;
    for (let channel = 0; channel < 3; channel++) {
      row[to + channel] = rgb[left + channel] + weight[x] * (rgb[right + channel] - rgb[left + channel]);
    }
  }
}
