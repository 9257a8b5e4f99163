// The model file in Node: npm install, then node predict.mjs model.onnx face.png
//
// face.png is one face, cropped already. For photographs, use `mien serve` and ../http_client.py, or follow the crop
// contract in docs/formats.md.
import { readFile } from "node:fs/promises";
import * as ort from "onnxruntime-web";
import { PNG } from "pngjs";

const [modelPath, imagePath] = process.argv.slice(2);
const bytes = new Uint8Array(await readFile(modelPath));
const session = await ort.InferenceSession.create(bytes);

// The classes are in the file's metadata, an entry `mien` with JSON. onnxruntime-web does not read it, so find it here: a
// character for each byte, of which names in other scripts take several. A model taught on the page has no blanks in it.
const text = new TextDecoder("latin1").decode(bytes);
const start = text.indexOf('{"classes"');
const names = bytes.subarray(text.indexOf("[", start), text.indexOf("]", start) + 1);
const classes = JSON.parse(new TextDecoder().decode(names));
const size = Number(/"input_size":\s*(\d+)/.exec(text)[1]);

// The graph takes uint8 RGB (N, S, S, 3). Here the image is resized by the mean of the pixels under each output pixel.
const png = PNG.sync.read(await readFile(imagePath));
const pixels = new Uint8Array(size * size * 3);
for (let y = 0; y < size; y++) {
  for (let x = 0; x < size; x++) {
    const [x0, y0] = [Math.floor((x * png.width) / size), Math.floor((y * png.height) / size)];
    const x1 = Math.max(x0 + 1, Math.floor(((x + 1) * png.width) / size));
    const y1 = Math.max(y0 + 1, Math.floor(((y + 1) * png.height) / size));
    for (let channel = 0; channel < 3; channel++) {
      let sum = 0;
      for (let v = y0; v < y1; v++) for (let u = x0; u < x1; u++) sum += png.data[(v * png.width + u) * 4 + channel];
      pixels[(y * size + x) * 3 + channel] = Math.round(sum / ((x1 - x0) * (y1 - y0)));
    }
  }
}

const { expression } = await session.run({ images: new ort.Tensor("uint8", pixels, [1, size, size, 3]) });
const answers = classes.map((name, index) => [name, expression.data[index]]).sort((a, b) => b[1] - a[1]);
for (const [name, probability] of answers) console.log(`${name} ${(100 * probability).toFixed(1)}%`);
