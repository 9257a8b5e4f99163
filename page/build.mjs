// Bundles the page into src/mien/serve/static; with --tests, bundles the tests into .tests instead; with --package [FOLDER], writes
// the npm package into build/npm, or the folder.

import { build } from "esbuild";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, brotliDecompressSync, constants, gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, "..", "src", "mien", "serve", "static");
const runtime = join(here, "node_modules", "onnxruntime-web", "dist");
// The runtime's code is bundled; its WebAssembly, and the script that starts it, stay separate files. That script is named
// .js because not every web server serves .mjs as JavaScript.
const RUNTIME_FILES = { "ort-wasm-simd-threaded.mjs": "ort.js", "ort-wasm-simd-threaded.wasm": "ort.wasm" };
const MAX_BYTES = 7 * 1024 * 1024;
// Files of these kinds get compressed copies; what is this large exists only compressed (`mien page` writes it out).
const COMPRESSIBLE = [".html", ".js", ".css", ".svg", ".txt", ".wasm"];
const MIN_BYTES = 1024;
const LARGE_BYTES = 1024 * 1024;
// Hexadecimal digits of a file's SHA-256 in its address; the server compares them before it lets browsers keep the file.
const VERSION_DIGITS = 12;

if (process.argv.includes("--tests")) await buildTests();
else if (process.argv.includes("--package")) await buildPackage(process.argv[3] ?? join(here, "..", "build", "npm"));
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
    define: { ASSET_VERSIONS: "{}" },
    logLevel: "warning",
  });
}

async function buildPackage(target) {
  rmSync(target, { recursive: true, force: true });
  const dist = join(target, "dist");
  const common = { outdir: dist, bundle: true, format: "esm", platform: "neutral", target: ["es2022"], charset: "utf8", logLevel: "warning" };
  await build({ ...common, entryPoints: [join(here, "package", "index.ts")], legalComments: "inline" });
  const types = ["--declaration", "--emitDeclarationOnly", "--noEmit", "false", "--rootDir", ".", "--outDir", dist];
  execFileSync(process.execPath, [join(here, "node_modules", "typescript", "bin", "tsc"), "-p", "tsconfig.package.json", ...types], { cwd: here, stdio: "inherit" });
  for (const name of ["package.json", "README.md"]) copyFileSync(join(here, "package", name), join(target, name));
  copyFileSync(join(here, "..", "LICENSE"), join(target, "LICENSE"));
}

async function buildPage() {
  const earlier = readCompressed(out);
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
  for (const [name, target] of Object.entries(RUNTIME_FILES)) copyFileSync(join(runtime, name), join(assets, target));
  for (const name of readdirSync(join(here, "public"))) copyFileSync(join(here, "public", name), join(assets, name));
  // Each step needs the versions of the files that its own refer to.
  await build({ ...common, ...versionsOf(assets), entryPoints: entries("worker.ts"), format: "esm" });
  await build({ ...common, ...versionsOf(assets), entryPoints: entries("app.ts", "style.css"), format: "esm" });
  // A classic script: unlike a module, it runs before the first paint.
  await build({ ...common, entryPoints: entries("theme.ts"), format: "iife" });
  const versions = readVersions(assets);
  const html = readFileSync(join(here, "src", "index.html"), "utf8");
  const versioned = html.replace(/"assets\/([\w.]+)/g, (_, name) => `"assets/${name}?v=${versions[name]}`);
  writeFileSync(join(out, "index.html"), versioned);
  compress(out, earlier);
  report(out);
}

function readVersions(assets) {
  const version = (name) => createHash("sha256").update(readFileSync(join(assets, name))).digest("hex").slice(0, VERSION_DIGITS);
  return Object.fromEntries(readdirSync(assets).map((name) => [name, version(name)]));
}

function versionsOf(assets) {
  return { define: { ASSET_VERSIONS: JSON.stringify(readVersions(assets)) } };
}

/** Return the compressed copies of an earlier build, by name: compressing the WebAssembly takes half a minute. */
function readCompressed(folder) {
  if (!existsSync(folder)) return {};
  const names = readdirSync(folder, { recursive: true }).filter((name) => /\.(br|gz)$/.test(name));
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name))]));
}

function compress(folder, earlier) {
  for (const name of readdirSync(folder, { recursive: true })) {
    const path = join(folder, name);
    if (!COMPRESSIBLE.includes(extname(name)) || statSync(path).size < MIN_BYTES) continue;
    const data = readFileSync(path);
    const [br, gz] = [earlier[`${name}.br`], earlier[`${name}.gz`]];
    const isUnchanged = br && gz && brotliDecompressSync(br).equals(data);
    const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_SIZE_HINT]: data.length };
    writeFileSync(`${path}.br`, isUnchanged ? br : brotliCompressSync(data, { params }));
    writeFileSync(`${path}.gz`, isUnchanged ? gz : gzipSync(data, { level: 9 }));
    if (data.length >= LARGE_BYTES) rmSync(path);
  }
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
