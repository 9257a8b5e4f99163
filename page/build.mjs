// Bundles the page into src/mien/serve/static; with --tests, bundles the tests into .tests instead.

import { build } from "esbuild";
import { copyFileSync, mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "..", "src", "mien", "serve", "static");
const runtime = join(here, "node_modules", "onnxruntime-web", "dist");
// The runtime's code is bundled; its WebAssembly, and the script that starts it, stay separate files. That script is named
// .js because not every web server serves .mjs as JavaScript.
const RUNTIME_FILES = { "ort-wasm-simd-threaded.mjs": "ort.js", "ort-wasm-simd-threaded.wasm": "ort.wasm" };
const MAX_BYTES = 16 * 1024 * 1024;

if (process.argv.includes("--tests")) await buildTests();
else await buildPage();

async function buildTests() {
  const target = join(here, ".tests");
  rmSync(target, { recursive: true, force: true });
  const tests = readdirSync(join(here, "tests")).filter((name) => name.endsWith(".test.ts"));
  await build({
    entryPoints: tests.map((name) => join(here, "tests", name)),
    outdir: target,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    format: "esm",
    packages: "external",
    logLevel: "warning",
  });
}

async function buildPage() {
  rmSync(out, { recursive: true, force: true });
  const assets = join(out, "assets");
  mkdirSync(assets, { recursive: true });
  const common = {
    outdir: assets,
    bundle: true,
    minify: true,
    target: ["es2022"],
    platform: "browser",
    conditions: ["onnxruntime-web-use-extern-wasm"],
    charset: "utf8",
    legalComments: "none",
    logLevel: "warning",
  };
  const entries = (...names) => names.map((name) => join(here, "src", name));
  await build({ ...common, entryPoints: entries("app.ts", "worker.ts", "style.css"), format: "esm" });
  // A classic script: unlike a module, it runs before the first paint.
  await build({ ...common, entryPoints: entries("theme.ts"), format: "iife" });
  for (const [name, target] of Object.entries(RUNTIME_FILES)) copyFileSync(join(runtime, name), join(assets, target));
  copyFileSync(join(here, "src", "index.html"), join(out, "index.html"));
  for (const name of readdirSync(join(here, "public"))) copyFileSync(join(here, "public", name), join(assets, name));
  report(out);
}

function report(folder) {
  const files = readdirSync(folder, { recursive: true })
    .map((name) => ({ name, path: join(folder, name) }))
    .filter(({ path }) => statSync(path).isFile())
    .map(({ name, path }) => ({ name, bytes: statSync(path).size }));
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  for (const { name, bytes } of files) console.log(`${String(bytes).padStart(10)}  ${name}`);
  console.log(`${String(total).padStart(10)}  total`);
  if (total > MAX_BYTES) throw new Error(`The page is larger than ${MAX_BYTES} bytes`);
}
