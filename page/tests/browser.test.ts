// The built page in a headless Chromium: it reads the example as Python does, from a folder of files, within a strict
// content security policy, and asks no other machine for anything. Skipped where there is no Chromium or no YuNet.

import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, extname, join } from "node:path";
import { after, before, test } from "node:test";
import { chromium, type Browser, type Page } from "playwright-core";
import { detectorFile, golden, modelFile } from "./golden.ts";

const site = join(process.cwd(), "..", "src", "mien", "serve", "static");
const detector = detectorFile();
const chromiumPath = findChromium();
const missing = !chromiumPath ? "there is no Chromium" : !detector ? "the YuNet detector file is not at hand" : false;
const types: Record<string, string> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
  ".jpg": "image/jpeg",
  ".json": "application/json",
};
const policy =
  "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'";

let server: Server;
let browser: Browser;

function findChromium(): string | null {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const places = [process.env.CHROMIUM, ...folders.flatMap((folder) => names.map((name) => join(folder, name)))];
  return places.find((place) => place && existsSync(place)) ?? null;
}

function fileOf(path: string): Uint8Array | null {
  if (path === "/models/detector.onnx") return detector;
  if (path === "/models/model.onnx") return modelFile();
  if (path === "/model.json") return Buffer.from(JSON.stringify(modelInfo()));
  const file = join(site, path === "/" ? "index.html" : path);
  return existsSync(file) && statSync(file).isFile() ? readFileSync(file) : null;
}

function modelInfo() {
  const [aligned] = golden.readings;
  const tasks = aligned.landmarks ? ["expression", "landmarks"] : ["expression"];
  const { crop, input_size } = aligned;
  return { format_version: 1, classes: golden.classes, crop, input_size, tasks, name: "golden", card: "# Card" };
}

before(async () => {
  if (missing) return;
  server = createServer((request, response) => {
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
  const args = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
  ];
  browser = await chromium.launch({ executablePath: chromiumPath!, args });
});

after(async () => {
  await browser?.close();
  server?.close();
});

/** Open the page and gather what must not happen. */
async function openPage(locale: string): Promise<{ page: Page; faults: string[] }> {
  const context = await browser.newContext({ locale, permissions: ["camera"] });
  const page = await context.newPage();
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const faults: string[] = [];
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => {
    // A folder of files has no v1/model, and the page asks for it.
    if (message.type() === "error" && !message.location().url.endsWith("/v1/model")) faults.push(message.text());
  });
  page.on("request", (request) => {
    const address = request.url();
    if (!address.startsWith(origin) && !address.startsWith("blob:")) faults.push(`asks ${address}`);
  });
  await page.goto(`${origin}/`);
  await page.locator("#bars li").first().waitFor({ state: "visible", timeout: 120_000 });
  return { page, faults };
}

test("a picture is read, face by face", { skip: missing, timeout: 240_000 }, async () => {
  const { page, faults } = await openPage("en-GB");
  assert.equal(await page.locator("#server").isVisible(), false);
  await page.click("#example");
  await page.locator("#faces button").nth(2).waitFor({ timeout: 120_000 });
  const words = await page.locator("#faces button").allInnerTexts();
  for (const name of ["Surprise", "Happy"]) assert.ok(words.some((text) => text.includes(name)), words.join());
  assert.match(await page.locator("#spoken").innerText(), /^Face 1 of 3: /);

  await page.locator("#faces button").first().focus();
  await page.keyboard.press("ArrowRight");
  assert.match(await page.locator("#which").innerText(), /^Face 2 of 3/);

  await page.locator("#threshold").fill("100");
  await page.locator("#faces button").nth(2).click();
  assert.equal(await page.locator("#word").innerText(), "Unsure");
  assert.deepEqual(faults, []);
});

test("a camera without a face says so, in Chinese, and stops", { skip: missing, timeout: 240_000 }, async () => {
  const { page, faults } = await openPage("zh-CN");
  await page.click("#start-camera");
  await page.getByText("没有找到人脸").first().waitFor({ timeout: 120_000 });
  assert.equal(await page.locator("#timeline").isVisible(), true);
  await page.click("#stop");
  assert.equal(await page.locator("#empty").isVisible(), true);
  assert.deepEqual(faults, []);
});
