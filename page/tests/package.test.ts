// The packed npm package passes the conformance kit in Node and in Chromium, and is typed. The kit is an unpacked archive that
// `MIEN_KIT` names, or is written by the repository's Python.

import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, extname, join } from "node:path";
import { tmpdir } from "node:os";
import { pathToFileURL } from "node:url";
import { after, before, test } from "node:test";
import { build, type PluginBuild } from "esbuild";
import * as ort from "onnxruntime-web";
import { chromium } from "playwright-core";
import { detectorFile, readPng } from "./golden.ts";

ort.env.wasm.numThreads = 1;
// The tests run from page/.
const here = process.cwd();
const root = join(here, "..");
const python = join(root, ".venv", "bin", "python");
const detector = detectorFile();
const folders = (process.env.PATH ?? "").split(delimiter);
const chromiumPath = [process.env.CHROMIUM, ...folders.map((folder) => join(folder, "chromium"))].find((path) => path && existsSync(path));
const missingPython = existsSync(python) ? false : "the repository's Python was not found";
const missingKit = process.env.MIEN_KIT || existsSync(python) ? false : "neither MIEN_KIT nor the repository's Python was found";

let work: string;
let kit: string;
let archive: string;

before(async () => {
  if (missingKit) return;
  work = mkdtempSync(join(tmpdir(), "mien-package-"));
  kit = process.env.MIEN_KIT ?? "";
  if (!kit) {
    const zipped = join(work, "kit.zip");
    const env = { ...process.env, PYTHONPATH: join(root, "src") };
    execFileSync(python, [join(root, "conformance", "build.py"), "--out", zipped], { env });
    execFileSync(python, ["-m", "zipfile", "-e", zipped, work]);
    kit = join(work, "mien-conformance");
  }
  execFileSync(process.execPath, [join(here, "build.mjs"), "--package", join(work, "npm")]);
  const packed = execFileSync("npm", ["pack", join(work, "npm"), "--pack-destination", work, "--silent"], { encoding: "utf8" });
  archive = join(work, packed.trim());
  // As `npm install` would lay it out, without asking the registry.
  const modules = join(work, "user", "node_modules");
  mkdirSync(join(modules, "@mien"), { recursive: true });
  execFileSync("tar", ["-xzf", archive, "-C", work]);
  cpSync(join(work, "package"), join(modules, "@mien", "face"), { recursive: true });
  for (const name of ["onnxruntime-common", "onnxruntime-web"]) symlinkSync(join(here, "node_modules", name), join(modules, name));
});

after(() => work && rmSync(work, { recursive: true }));

/** Bundle the runner, which then uses the packed package in place of its source. */
async function bundleRunner(platform: "node" | "browser"): Promise<string> {
  const outfile = join(work, "user", `runner-${platform}.mjs`);
  const path = join(work, "user", "node_modules", "@mien", "face", "dist", "index.js");
  const packed = { name: "packed", setup: (it: PluginBuild) => it.onResolve({ filter: /^\.\/index\.ts$/ }, () => ({ path })) };
  await build({ entryPoints: [join(here, "package", "conformance.ts")], outfile, bundle: true, format: "esm", platform, plugins: [packed] });
  return outfile;
}

/** Let the kit judge results; return what it prints. */
function judge(results: object, name: string): { status: number | null; text: string } {
  const path = join(work, `${name}.json`);
  writeFileSync(path, JSON.stringify(results));
  const done = spawnSync("python3", [join(kit, "check.py"), path], { encoding: "utf8" });
  return { status: done.status, text: done.stdout + done.stderr };
}

test("the packed package is conformant in Node", { skip: missingKit, timeout: 120_000 }, async (context) => {
  const { runKit } = (await import(pathToFileURL(await bundleRunner("node")).href)) as typeof import("../package/conformance.ts");
  const read = async (file: string) => new Uint8Array(readFileSync(join(kit, file)));
  const results = (await runKit(ort, `@mien/face, Node ${process.version}`, read, detector)) as { crops: { rgb: string }[] };
  const { status, text } = judge(results, "node");
  for (const line of text.trim().split("\n")) context.diagnostic(line);
  assert.equal(status, 0, text);
  results.crops[0].rgb = Buffer.alloc(256 * 256 * 3).toString("base64");
  assert.match(judge(results, "blackened").text, /crops +FAILED[\s\S]*not conformant/);
});

test("the packed package is conformant in Chromium", { skip: missingKit || (!chromiumPath && "Chromium was not found"), timeout: 120_000 }, async (context) => {
  await bundleRunner("browser");
  const runtime = join(here, "node_modules", "onnxruntime-web", "dist");
  const types: Record<string, string> = { ".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm" };
  const server = createServer((request, response) => {
    const path = request.url!.split("?")[0];
    const file = [join(work, "user", path), join(kit, path), join(runtime, path)].find((one) => path !== "/" && existsSync(one));
    const isDetector = path === "/detector.onnx" && detector;
    response.writeHead(file || isDetector || path === "/" ? 200 : 404, { "content-type": types[extname(path)] ?? "text/html" });
    response.end(isDetector ? detector : file ? readFileSync(file) : "<!doctype html>");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const [results, pixels] = await page.evaluate(
      async ([hasDetector, version]) => {
        const load = (path: string) => import(path);
        const { runKit } = await load("/runner-browser.mjs");
        const { imageOf } = await load("/node_modules/@mien/face/dist/index.js");
        const browserOrt = await load("/ort.wasm.min.mjs");
        browserOrt.env.wasm.numThreads = 1;
        const read = async (file: string) => new Uint8Array(await (await fetch(`/${file}`)).arrayBuffer());
        const results = await runKit(browserOrt, `@mien/face, Chromium ${version}`, read, hasDetector ? await read("detector.onnx") : null);
        const decoded = await imageOf(await (await fetch("/image.png")).blob());
        const expected = await read("image.rgb");
        return [results, (decoded.rgb as Uint8Array).every((value, index) => value === expected[index])];
      },
      [detector !== null, browser.version()] as const,
    );
    const { status, text } = judge(results, "browser");
    for (const line of text.trim().split("\n")) context.diagnostic(line);
    assert.equal(status, 0, text);
    assert.equal(pixels, true);
  } finally {
    await browser.close();
    server.close();
  }
});

// The golden image changed so that every reason and way of finding a face occurs, and an image without a face.
const CHANGED_IMAGES = `
import sys, cv2, numpy as np
image = cv2.imread(sys.argv[1])
changed = {
    "plain": image,
    "dark": cv2.convertScaleAbs(image, alpha=0.04),
    "blurred": cv2.GaussianBlur(image, (0, 0), 7),
    "small": cv2.resize(image, None, fx=0.16, fy=0.16, interpolation=cv2.INTER_AREA),
    "covered": cv2.rectangle(image.copy(), (238, 205), (338, 275), (220, 220, 220), -1),
    "turned": image[::-1, ::-1],
    "filling": cv2.GaussianBlur(cv2.resize(image[160:265, 245:335], (48, 48), interpolation=cv2.INTER_AREA), (0, 0), 3),
    "blank": np.full_like(image, 110),
}
for name, pixels in changed.items():
    cv2.imwrite(f"{sys.argv[2]}/{name}.png", np.ascontiguousarray(pixels))
`;

test("rows are those of mien predict", { skip: missingKit || missingPython || (!detector && "the YuNet file was not found"), timeout: 120_000 }, async (context) => {
  const folder = join(work, "images");
  mkdirSync(folder);
  const env = { ...process.env, PYTHONPATH: join(root, "src") };
  execFileSync(python, ["-c", CHANGED_IMAGES, join(root, "tests", "golden", "image.png"), folder], { env });
  writeFileSync(join(work, "detector.onnx"), detector!);
  const model = join(root, "src", "mien", "assets", "models", "mien-base.onnx");
  const options = ["--model", model, "--detector", join(work, "detector.onnx"), "--out", join(work, "rows.csv")];
  execFileSync(python, ["-m", "mien", "predict", folder, ...options], { env, stdio: "pipe" });
  const [head, ...lines] = readFileSync(join(work, "rows.csv"), "utf8").trimEnd().split(/\r?\n/).map((line) => line.split(","));
  const expected = lines.map((line) => Object.fromEntries(line.map((value, index) => [head[index], value])));

  const { Mien } = (await import(pathToFileURL(join(work, "user", "node_modules", "@mien", "face", "dist", "index.js")).href)) as typeof import("../package/index.ts");
  const mien = await Mien.load(ort, { model: readFileSync(model), detector: detector! });
  let farthest = 0;
  const seen = new Set<string>();
  for (const source of new Set(expected.map((row) => row.source))) {
    const rows = await mien.predict(readPng(source));
    const truth = expected.filter((row) => row.source === source && row.status === "ok");
    assert.deepEqual(rows.map((row) => [row.found_by, row.expression, row.reason]), truth.map((row) => [row.found_by, row.expression, row.reason]), source);
    rows.forEach((row, index) => {
      seen.add(row.reason).add(row.found_by);
      const pairs: [string, number | null, number][] = [["confidence", row.confidence, 1]];
      for (const [name, value] of Object.entries(row.quality)) pairs.push([name, value, name === "face_px" ? 100 : name.endsWith("deg") ? 50 : 1]);
      for (const [name, value] of Object.entries(row.probabilities)) pairs.push([`p_${name}`, value, 1]);
      for (const [name, value, unit] of pairs) {
        const text = truth[index][name];
        assert.equal(value === null, text === "", `${source}: ${name} is ${value}, not ${text}`);
        const difference = Math.abs((value ?? 0) - Number(text)) / unit;
        farthest = Math.max(farthest, difference);
        assert.ok(difference < 0.03, `${source}: ${name} is ${value}, not ${text}`);
      }
    });
  }
  context.diagnostic(`${expected.length} rows, ${[...seen].filter(Boolean).join(", ")}; values differ by at most ${farthest.toFixed(4)}`);
  for (const name of ["", "too small", "too dark", "blurred", "covered", "whole", "detector"]) assert.ok(seen.has(name), `no face is ${name || "without a reason"}`);

  const plain = readPng(join(folder, "dark.png"));
  const [ruled] = await mien.predict(plain);
  const [free] = await mien.predict(plain, { qualityRule: false });
  assert.deepEqual([ruled.expression, ruled.confidence <= 0.3, free.expression !== "unsure", free.reason], ["unsure", true, true, ""]);
  const [low] = await mien.predict(plain, { qualityRule: false, minConfidence: 1 });
  assert.deepEqual([low.expression, low.reason], ["unsure", "low confidence"]);
  const [whole] = await mien.predict(plain, { crop: "whole" });
  assert.deepEqual([whole.found_by, whole.box_xyxy], ["whole", [0, 0, plain.width, plain.height]]);
  const limits = Object.fromEntries(mien.info.classes.map((name, index) => [name, index ? -1 : null]));
  assert.deepEqual((await mien.predict(plain, { labelSets: { coverage: 0.9, limits } }))[0].label_set, [mien.info.classes[0]]);
  await assert.rejects(mien.predict(plain, { labelSets: { coverage: 0.9, limits: {} } }), /no limit for/);
  await assert.rejects(mien.predict(plain, { min_confidence: 0.5 } as object), /no option `min_confidence`, only crop, minFacePx, prior, minConfidence/);
  await mien.release();
  const detectorPath = join(work, "detector.onnx");
  const fromPaths = await Mien.load(ort, { model, detector: pathToFileURL(detectorPath) });
  const together = await Promise.all([fromPaths.predict(plain), fromPaths.predict(plain, { minFacePx: 1000 }), fromPaths.predict(plain)]);
  assert.deepEqual(together, [[ruled, ...together[0].slice(1)], [], together[0]]);
  await assert.rejects(Mien.load(ort, { model: "missing.onnx", detector: detectorPath }), /missing.onnx cannot be loaded: ENOENT/);
  await assert.rejects(Mien.load(ort, { model: "data:text/html,hello", detector: detectorPath }), /the server answers with a web page/);
  await assert.rejects(Mien.load(ort, { model, detector: model }), /The detector is not YuNet: it has no output cls_8/);
  await assert.rejects(Mien.load({} as typeof ort, { model, detector: detectorPath }), /takes onnxruntime first/);
  await assert.rejects(Mien.load(ort, { model, detector: null as unknown as string }), /bytes, an address or, in Node, a path, got null/);
  await assert.rejects(fromPaths.predict(plain, { minFacePx: -1 }), /0 or more pixels, got -1/);
});

test("the packed package is typed, small, and says what is wrong", { skip: missingKit || (!detector && "the YuNet file was not found"), timeout: 60_000 }, async () => {
  const user = join(work, "user");
  writeFileSync(
    join(user, "user.mts"),
    'import * as ort from "onnxruntime-web";\nimport { Mien, imageOf, type Row } from "@mien/face";\n' +
      'const mien = await Mien.load(ort, { model: "m", detector: new URL("https://example.org/d") });\n' +
      "const rows: Row[] = await mien.predict(await imageOf(new Blob()), { prior: \"half\" });\nconsole.log(rows[0].expression);\nexport {};\n",
  );
  const tsc = join(here, "node_modules", "typescript", "bin", "tsc");
  const options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom", "--types", ""];
  const done = spawnSync(process.execPath, [tsc, ...options, "user.mts"], { cwd: user, encoding: "utf8" });
  assert.equal(done.status, 0, done.stdout);
  const { size } = statSync(archive);
  assert.ok(size < 64 * 1024, `${size} bytes`);

  const { Mien, readInfo } = (await import(pathToFileURL(join(user, "node_modules", "@mien", "face", "dist", "index.js")).href)) as typeof import("../package/index.ts");
  assert.throws(() => readInfo(detector!), /was not written by mien/);
  assert.throws(() => readInfo(Uint8Array.of(0x3a, 0x7f, 1)), /The model's file is truncated/);
  const mien = await Mien.load(ort, { model: readFileSync(join(kit, "model.onnx")), detector: detector! });
  await assert.rejects(mien.predict({ width: 2, height: 2, rgb: new Uint8Array(16) }), /width x height x 3 bytes, got 2 x 2 and 16/);
  for (const rgb of [new Uint16Array(12), new Float32Array(12), Array(12).fill(0)]) {
    await assert.rejects(mien.predict({ width: 2, height: 2, rgb: rgb as unknown as Uint8Array }), /must be a Uint8Array from 0 to 255, got (Uint16Array|Float32Array|Array)/);
  }
  await assert.rejects(mien.predict(null as unknown as { width: 1; height: 1; rgb: Uint8Array }), /an image must be \{width, height, rgb\}/);
  const blank = { width: 64, height: 64, rgb: new Uint8Array(64 * 64 * 3) };
  assert.deepEqual(await mien.predict(blank), []);
  await assert.rejects(mien.predict(blank, { minConfidence: 50 }), /from 0 to 1, got 50/);
  await assert.rejects(mien.predict(blank, { prior: "equal" as "half" }), /as-trained, half or balanced/);
  await mien.release();
  await mien.release();
  await assert.rejects(mien.predict(blank), /has been released: load it again/);
});
