// The built page, served as static files with a strict content security policy, for the tests in browsers.

import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { ModelInfo } from "../src/faces/model.ts";
import { detectorFile, golden, modelFile } from "./golden.ts";

export type Site = Server;

const site = join(process.cwd(), "..", "src", "mien", "serve", "static");
const detector = detectorFile();
const types: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".jpg": "image/jpeg",
  ".json": "application/json",
};
export const policy =
  "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'";

function fileOf(path: string): Uint8Array | null {
  if (path === "/models/detector.onnx") return detector;
  if (path === "/models/model.onnx") return modelFile();
  if (path === "/model.json") return Buffer.from(JSON.stringify(modelInfo()));
  const file = join(site, path === "/" ? "index.html" : path);
  if (existsSync(`${file}.gz`) && !existsSync(file)) return gunzipSync(readFileSync(`${file}.gz`));
  return existsSync(file) && statSync(file).isFile() ? readFileSync(file) : null;
}

/** The page's model.json, with the keys that mien.serve.site.describe_model writes. */
export function modelInfo(): ModelInfo {
  const [aligned] = golden.readings;
  const tasks = aligned.landmarks ? ["expression", "landmarks"] : ["expression"];
  const { crop, input_size } = aligned;
  const { classes, class_fractions } = golden;
  const added = { name: "golden", card: "# Card", class_fractions, label_sets: null };
  const rest = { temperature: 1, training: {}, license: "", quantization: null };
  return { ...added, classes, crop, input_size, tasks, ...rest, format_version: 2 };
}

/** Serve the page on a free port. */
export async function serveSite(): Promise<Site> {
  const server = createServer((request, response) => {
    const path = (request.url ?? "/").split("?")[0];
    const body = fileOf(path);
    response.setHeader("content-security-policy", policy);
    response.setHeader("cross-origin-opener-policy", "same-origin");
    response.setHeader("cross-origin-embedder-policy", "require-corp");
    response.setHeader("content-type", types[extname(path) || ".html"] ?? "application/octet-stream");
    response.statusCode = body ? 200 : 404;
    response.end(body ?? "");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

export function originOf(server: Site): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
