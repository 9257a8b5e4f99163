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

function originOf(): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Open the page and gather what must not happen. */
async function openPage(locale: string): Promise<{ page: Page; faults: string[] }> {
  const context = await browser.newContext({ locale, permissions: ["camera"] });
  const page = await context.newPage();
  const origin = originOf();
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

/** Open the page where `arrange` has made something fail, and wait until it says so. */
async function openBroken(arrange: (page: Page) => Promise<unknown>): Promise<Page> {
  const page = await (await browser.newContext({ locale: "en-GB", permissions: ["camera"] })).newPage();
  await arrange(page);
  await page.goto(`${originOf()}/`);
  await page.locator("#problem").waitFor({ timeout: 60_000 });
  return page;
}

function give404(page: Page, path: string): Promise<unknown> {
  return page.route(`**/${path}`, (route) => route.fulfill({ status: 404 }));
}

async function told(page: Page): Promise<string> {
  return (await page.locator("#problem").isVisible()) ? page.locator("#problem").innerText() : "";
}

const film = { name: "film.webm", mimeType: "video/webm", buffer: readFileSync(join(process.cwd(), "..", "tests", "golden", "film.webm")) };

test("without the detector every source says what is missing, and a retry heals", { skip: missing, timeout: 240_000 }, async () => {
  const page = await openBroken((it) => give404(it, "models/detector.onnx"));
  const wanted = /detector is missing .* face_detection_yunet_2023mar\.onnx .* \/models\/detector\.onnx/;
  assert.match(await told(page), wanted);
  const isOpen = (id: string) => page.locator(`#${id}[aria-pressed="true"]`).waitFor({ timeout: 60_000 });
  for (const [id, choose] of [
    ["camera", () => page.click("#camera")],
    ["video", () => page.setInputFiles("#video-file", film)],
    ["photo", () => page.click("#stop").then(() => page.click("#example"))],
  ] as [string, () => Promise<void>][]) {
    await choose();
    await isOpen(id);
    assert.match(await told(page), wanted, id);
    assert.match(await page.locator("#word").innerText(), /see the message/, id);
  }
  await page.click("#language");
  assert.match(await told(page), /没有人脸检测器/);
  await page.unroute("**/models/detector.onnx");
  await page.click("#problem button");
  await page.locator("#faces button").nth(2).waitFor({ timeout: 120_000 });
  assert.equal(await told(page), "");
});

test("a policy that forbids WebAssembly is told and stays told", { skip: missing, timeout: 120_000 }, async () => {
  const page = await openBroken((it) =>
    it.route("**/*", async (route) => {
      const response = await route.fetch();
      const headers = { ...response.headers(), "content-security-policy": policy.replace(" 'wasm-unsafe-eval'", "") };
      await route.fulfill({ response, headers });
    }),
  );
  assert.match(await told(page), /WebAssembly.*wasm-unsafe-eval/s);
  await page.click("#example");
  await page.locator('#photo[aria-pressed="true"]').waitFor({ timeout: 60_000 });
  assert.match(await told(page), /WebAssembly/);
});

for (const [path, expected] of [
  ["models/model.onnx", /model is missing .* models\/model\.onnx: 404/],
  ["model.json", /model is missing .* model\.json: 404/],
  ["assets/worker.js", /model could not be loaded\. worker\.js/],
  ["assets/app.js", /failed: .*assets\/app\.js/],
] as [string, RegExp][]) {
  test(`${path} that is missing is told`, { skip: missing, timeout: 120_000 }, async () => {
    assert.match(await told(await openBroken((page) => give404(page, path))), expected);
  });
}

test("a camera that is refused, a file that is none and an example that is gone are told", { skip: missing, timeout: 240_000 }, async () => {
  const { page } = await openPage("en-GB");
  await page.evaluate(() => {
    const refused = new DOMException("Permission denied", "NotAllowedError");
    navigator.mediaDevices.getUserMedia = () => Promise.reject(refused);
  });
  await page.click("#start-camera");
  await page.getByText("The camera was not allowed").waitFor();
  assert.equal(await page.locator("#problem button").count(), 1);

  const none = { name: "none.mp4", mimeType: "video/mp4", buffer: Buffer.from("no video at all") };
  await page.setInputFiles("#video-file", none);
  await page.getByText("“none.mp4” is no picture or video").waitFor();

  await give404(page, "assets/example.jpg");
  await page.click("#example");
  await page.getByText("The drawn picture could not be loaded. assets/example.jpg: 404").waitFor();
  await page.unroute("**/assets/example.jpg");
  await page.click("#problem button");
  await page.locator("#faces button").nth(2).waitFor({ timeout: 120_000 });
  assert.equal(await told(page), "");

  await page.setInputFiles("#video-file", film);
  await page.locator('#video[aria-pressed="true"]').waitFor();
  await page.locator("#film").dispatchEvent("error");
  await page.getByText("“film.webm” cannot be played any further").waitFor();
  assert.equal(await page.locator("#empty").isVisible(), true);

  await page.evaluate(() => void Promise.reject(new Error("nobody waits for it")));
  await page.getByText("Something in this page failed: nobody waits for it").waitFor();
});

test("the table of a video is whole, by the video's clock", { skip: missing, timeout: 240_000 }, async () => {
  const { page, faults } = await openPage("en-GB");
  await page.setInputFiles("#video-file", film);
  await page.locator("#film").evaluate((node) => ((node as HTMLVideoElement).playbackRate = 8));
  await page.waitForFunction(() => document.querySelector<HTMLVideoElement>("#film")!.currentTime > 75, null, { timeout: 120_000 });
  await page.click("#stop");
  const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#save-readings")]);
  const [header, ...rows] = readFileSync(await saved.path(), "utf8").trimEnd().split("\r\n").map((line) => line.split(","));
  const of = (column: string): string[] => rows.map((row) => row[header.indexOf(column)]);
  const seconds = [...new Set(of("seconds").map(Number))];
  // A frame a second, of which a slow machine reads a part.
  assert.ok(seconds[0] === 0 && seconds.at(-1)! > 65 && seconds.length >= 5, seconds.join());
  assert.deepEqual(seconds, [...seconds].sort((one, other) => one - other));
  assert.ok(seconds.every((value) => Math.abs(value - Math.round(value)) < 0.01), seconds.join());
  assert.deepEqual([...new Set(of("source"))], ["film.webm"]);
  assert.ok(of("status").filter((status) => status === "ok").length >= seconds.length);
  assert.deepEqual(faults, []);
});
