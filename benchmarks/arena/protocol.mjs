// The adapter's side of the arena's protocol, for peers in Node; see protocol.py. Run it in the folder with node_modules.

import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import readline from "node:readline";

// An adapter lies elsewhere than the packages that it needs.
export const require = createRequire(path.join(process.cwd(), "package.json"));

/** Return the folder of an installed package. */
export function packageFolder(name) {
  return path.join(process.cwd(), "node_modules", name);
}

export function versionOf(name) {
  return JSON.parse(fs.readFileSync(path.join(packageFolder(name), "package.json"), "utf8")).version;
}

/** Return the size of packages and of everything installed that they require. */
export function installedBytes(names) {
  const waiting = [...names];
  const seen = new Set();
  let total = 0;
  while (waiting.length) {
    const name = waiting.pop();
    const folder = packageFolder(name);
    if (seen.has(name) || !fs.existsSync(folder)) continue;
    seen.add(name);
    for (const entry of fs.readdirSync(folder, { recursive: true })) {
      const stat = fs.statSync(path.join(folder, entry));
      if (stat.isFile()) total += stat.size;
    }
    const { dependencies = {} } = JSON.parse(fs.readFileSync(path.join(folder, "package.json"), "utf8"));
    waiting.push(...Object.keys(dependencies));
  }
  return total;
}

/** Read a binary PPM file: { width, height, rgb }. */
function readPpm(file) {
  const bytes = fs.readFileSync(file);
  const [head, width, height] = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(bytes.subarray(0, 64).toString("latin1"));
  return { width: Number(width), height: Number(height), rgb: new Uint8Array(bytes.subarray(head.length)) };
}

/** Answer requests until standard input ends; `predict(image, cropped)` returns a promise of the faces. */
export async function serve(description, predict) {
  for (const level of ["log", "info", "warn", "debug"]) console[level] = console.error;
  const answer = (value) => fs.writeSync(1, JSON.stringify(value) + "\n");
  answer(description);
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line);
    const image = readPpm(request.image);
    const start = performance.now();
    const faces = await predict(image, request.cropped);
    answer({ faces, seconds: (performance.now() - start) / 1000 });
  }
}
