// The built page in a headless Chromium, served as static files with a strict content security policy: it predicts the
// example as Python does and loads nothing from other hosts. Skipped if Chromium or YuNet is unavailable.

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { chromium, type Browser, type Page } from "playwright-core";
import { detectorFile } from "./golden.ts";
import { modelInfo, originOf as addressOfSite, policy, serveSite, type Site } from "./site.ts";

const detector = detectorFile();
const chromiumPath = findChromium();
const missing = !chromiumPath ? "Chromium was not found" : !detector ? "the YuNet file was not found" : false;

interface AxeViolation {
  id: string;
  nodes: { html: string }[];
}

let server: Site;
let browser: Browser;

function findChromium(): string | null {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const places = [process.env.CHROMIUM, ...folders.flatMap((folder) => names.map((name) => join(folder, name)))];
  return places.find((place) => place && existsSync(place)) ?? null;
}

before(async () => {
  if (missing) return;
  server = await serveSite();
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
  return addressOfSite(server);
}

/** Open the page and collect errors and requests to other hosts. */
async function openPage(locale: string): Promise<{ page: Page; faults: string[] }> {
  const context = await browser.newContext({ locale, permissions: ["camera"] });
  const page = await context.newPage();
  const origin = originOf();
  const faults: string[] = [];
  page.on("pageerror", (error) => faults.push(error.message));
  page.on("console", (message) => {
    // A static web server has no v1/model, which the page requests.
    if (message.type() === "error" && !message.location().url.endsWith("/v1/model")) faults.push(message.text());
  });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !url.startsWith("blob:")) faults.push(`requests ${url}`);
  });
  await page.goto(`${origin}/`);
  await page.locator("#bars li").first().waitFor({ state: "visible", timeout: 120_000 });
  return { page, faults };
}

test("the faces of an image are predicted", { skip: missing, timeout: 240_000 }, async () => {
  const { page, faults } = await openPage("en-GB");
  assert.equal(await page.locator("#server").isVisible(), false);
  await page.click("#example");
  await page.locator("#faces button").nth(2).waitFor({ timeout: 120_000 });
  const labels = await page.locator("#faces button").allInnerTexts();
  for (const name of ["Surprise", "Happy"]) assert.ok(labels.some((text) => text.includes(name)), labels.join());
  assert.match(await page.locator("#spoken").innerText(), /^Face 1 of 3: /);

  await page.locator("#faces button").first().focus();
  await page.keyboard.press("ArrowRight");
  assert.match(await page.locator("#face-name").innerText(), /^Face 2 of 3/);

  const shown = await page.locator("#bars .value").allInnerTexts();
  await page.locator("#prior").selectOption("balanced");
  assert.notDeepEqual(await page.locator("#bars .value").allInnerTexts(), shown);
  await page.locator("#prior").selectOption("as-trained");
  assert.deepEqual(await page.locator("#bars .value").allInnerTexts(), shown);

  await page.locator("#threshold").fill("100");
  await page.locator("#faces button").nth(2).click();
  assert.equal(await page.locator("#headline").innerText(), "Unsure");
  assert.deepEqual(faults, []);
});

test("small faces are left out of photos and videos", { skip: missing, timeout: 240_000 }, async () => {
  const { page, faults } = await openPage("en-GB");
  const setSmallest = async (px: string): Promise<void> => {
    await page.locator("#min-face").fill(px);
    await page.locator("#min-face").blur();
  };
  await page.click("#example");
  await page.locator("#faces button").nth(2).waitFor({ timeout: 120_000 });
  await setSmallest("5000");
  await page.getByText("Faces of less than 5000 pixels are left out.").waitFor({ timeout: 60_000 });
  await setSmallest("-1");
  assert.match(await page.locator("#confidence").innerText(), /5000/);
  await setSmallest("0");
  await page.locator("#faces button").nth(2).waitFor({ timeout: 60_000 });

  await page.setInputFiles("#video-file", video);
  const isShown = () => page.locator("#headline:not(.small)").waitFor({ timeout: 60_000 });
  await isShown();
  await setSmallest("5000");
  await page.getByText("Faces of less than 5000 pixels are left out.").waitFor({ timeout: 60_000 });
  const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#save-predictions")]);
  const [head, ...lines] = readFileSync(await saved.path(), "utf8").trimEnd().split("\r\n").map((line) => line.split(","));
  assert.deepEqual([...new Set(lines.map((line) => line[head.indexOf("status")]))], ["no_face"]);
  await setSmallest("10");
  await isShown();
  assert.deepEqual(faults, []);
});

test("a camera without a face says so in Chinese, and stops", { skip: missing, timeout: 240_000 }, async () => {
  const { page, faults } = await openPage("zh-CN");
  await page.click("#start-camera");
  await page.getByText("未检测到人脸").first().waitFor({ timeout: 120_000 });
  assert.equal(await page.locator("#timeline").isVisible(), true);
  await page.click("#stop");
  assert.equal(await page.locator("#empty").isVisible(), true);
  assert.deepEqual(faults, []);
});

/** Open the page after `arrange` has broken something, and wait for the error message. */
async function openBroken(arrange: (page: Page) => Promise<unknown>): Promise<Page> {
  const page = await (await browser.newContext({ locale: "en-GB", permissions: ["camera"] })).newPage();
  await arrange(page);
  await page.goto(`${originOf()}/`);
  await page.locator("#problem").waitFor({ timeout: 60_000 });
  return page;
}

/** The address of a file, with or without a version. */
function addressOf(path: string): RegExp {
  return new RegExp(`/${path}(\\?|$)`);
}

function respond404(page: Page, path: string): Promise<unknown> {
  return page.route(addressOf(path), (route) => route.fulfill({ status: 404 }));
}

async function problemText(page: Page): Promise<string> {
  return (await page.locator("#problem").isVisible()) ? page.locator("#problem").innerText() : "";
}

const video = { name: "video.webm", mimeType: "video/webm", buffer: readFileSync(join(process.cwd(), "..", "tests", "golden", "video.webm")) };

test("without the detector every source says what is missing, and retrying works", { skip: missing, timeout: 240_000 }, async () => {
  const page = await openBroken((it) => respond404(it, "models/detector.onnx"));
  const expected = /detector is missing .* face_detection_yunet_2023mar\.onnx .* \/models\/detector\.onnx/;
  assert.match(await problemText(page), expected);
  const isOpen = (id: string) => page.locator(`#${id}[aria-pressed="true"]`).waitFor({ timeout: 60_000 });
  for (const [id, choose] of [
    ["camera", () => page.click("#camera")],
    ["video", () => page.setInputFiles("#video-file", video)],
    ["photo", () => page.click("#stop").then(() => page.click("#example"))],
  ] as [string, () => Promise<void>][]) {
    await choose();
    await isOpen(id);
    assert.match(await problemText(page), expected, id);
    assert.match(await page.locator("#headline").innerText(), /See the message/, id);
  }
  await page.click("#language");
  assert.match(await problemText(page), /缺少人脸检测器/);
  await page.unrouteAll();
  await page.click("#problem button");
  await page.locator("#faces button").nth(2).waitFor({ timeout: 120_000 });
  assert.equal(await problemText(page), "");
});

test("a policy that forbids WebAssembly is reported until it is fixed", { skip: missing, timeout: 120_000 }, async () => {
  const page = await openBroken((it) =>
    it.route("**/*", async (route) => {
      const response = await route.fetch();
      const headers = { ...response.headers(), "content-security-policy": policy.replace(" 'wasm-unsafe-eval'", "") };
      await route.fulfill({ response, headers });
    }),
  );
  assert.match(await problemText(page), /WebAssembly.*wasm-unsafe-eval/s);
  await page.click("#example");
  await page.locator('#photo[aria-pressed="true"]').waitFor({ timeout: 60_000 });
  assert.match(await problemText(page), /WebAssembly/);
});

test("where the browser cannot, the server is offered, and the error stays", { skip: missing, timeout: 120_000 }, async () => {
  const row = {
    status: "ok", detail: "", box_xyxy: [10, 10, 200, 200], score: 0.9, probabilities: { Happy: 0.9, Sad: 0.1 }, landmarks: null,
    valence: null, arousal: null,
  };
  const page = await openBroken(async (it) => {
    await respond404(it, "models/detector.onnx");
    await it.route("**/v1/model", (route) => route.fulfill({ json: modelInfo() }));
    await it.route("**/v1/predict", (route) => route.fulfill({ json: { results: [{ source: "", rows: [row] }] } }));
  });
  await page.locator("#problem").getByText("Run on the server").click();
  await page.click("#example");
  await page.locator("#headline", { hasText: "Happy" }).waitFor({ timeout: 60_000 });
  await page.route("**/v1/predict?min_face_px=70", (route) => route.fulfill({ json: { results: [{ source: "", rows: [{ ...row, status: "no_face" }] }] } }));
  await page.locator("#min-face").fill("70");
  await page.locator("#min-face").blur();
  await page.getByText("Faces of less than 70 pixels are left out.").waitFor({ timeout: 60_000 });
  assert.match(await problemText(page), /detector is missing/);
  assert.equal(await page.locator("#problem").getByText("Run on the server").count(), 0);
  assert.match(await page.locator("#snippet-curl").textContent() ?? "", new RegExp(`^curl -F images=@photo.jpg ${originOf()}/v1/predict$`));
});

test("several photos are predicted and saved together", { skip: missing, timeout: 240_000 }, async () => {
  const { page, faults } = await openPage("en-GB");
  const photo = (name: string, path: string[]) => ({ name, mimeType: "image/jpeg", buffer: readFileSync(join(process.cwd(), ...path)) });
  const broken = { name: "broken.jpg", mimeType: "image/jpeg", buffer: Buffer.from("not an image") };
  await page.setInputFiles("#photo-file", [
    photo("three.jpg", ["public", "example.jpg"]),
    broken,
    photo("last.jpg", ["..", "src", "mien", "bench", "image.jpg"]),
  ]);
  await page.getByText("3 of 3 analyzed").waitFor({ timeout: 120_000 });
  await page.locator("#faces button").nth(2).waitFor();
  const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#save-predictions")]);
  const lines = readFileSync(await saved.path(), "utf8").trimEnd().split("\r\n").slice(1).map((line) => line.split(","));
  const sources = lines.map(([source, , , face, , status]) => [source, face, status]);
  assert.deepEqual(sources.slice(0, 4), [["three.jpg", "0", "ok"], ["three.jpg", "1", "ok"], ["three.jpg", "2", "ok"], ["broken.jpg", "", "not_an_image"]]);
  assert.equal(sources[4][0], "last.jpg");
  await page.click("#next-photo");
  await page.getByText("“broken.jpg” is not an image").waitFor();
  await page.click("#next-photo");
  await page.getByText("Photo 3 of 3").waitFor();
  await page.setInputFiles("#photo-file", [photo("alone.jpg", ["public", "example.jpg"])]);
  await page.locator("#album").waitFor({ state: "hidden" });
  assert.deepEqual(faults, []);
});

test("axe finds no accessibility problems", { skip: missing, timeout: 240_000 }, async () => {
  const axe = readFileSync(join(process.cwd(), "node_modules", "axe-core", "axe.min.js"), "utf8");
  const { page } = await openPage("en-GB");
  const check = async (name: string): Promise<void> => {
    const [nPassed, violations] = await page.evaluate(async () => {
      const { axe: tool } = globalThis as unknown as { axe: { run(): Promise<{ passes: unknown[]; violations: AxeViolation[] }> } };
      const { passes, violations: found } = await tool.run();
      return [passes.length, found.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`)] as const;
    });
    assert.ok(nPassed > 20, `${name}: ${nPassed}`);
    assert.deepEqual(violations, [], name);
  };
  await page.evaluate(axe);
  await check("the empty page");
  for (const name of ["#about", "#developers"]) await page.evaluate((id) => document.querySelector(id)!.setAttribute("open", ""), name);
  await page.click("#example");
  await page.locator("#faces button").nth(2).waitFor({ timeout: 120_000 });
  assert.equal(await page.locator("#drawn-note").isVisible(), true);
  for (const theme of ["light", "dark"]) {
    await page.evaluate((chosen) => (document.documentElement.dataset.theme = chosen), theme);
    await check(`three faces, ${theme}`);
  }
  await page.evaluate(() => void Promise.reject(new Error("an error")));
  await page.getByText("an error").waitFor();
  await check("an error, dark");
  await page.click("#language");
  await check("in Chinese");
});

for (const [path, expected] of [
  ["models/model.onnx", /model is missing .* models\/model\.onnx: 404/],
  ["model.json", /model is missing .* model\.json: 404/],
  ["assets/worker.js", /model failed to load\. worker\.js/],
  ["assets/app.js", /went wrong: .*assets\/app\.js/],
] as [string, RegExp][]) {
  test(`a missing ${path} is reported`, { skip: missing, timeout: 120_000 }, async () => {
    assert.match(await problemText(await openBroken((page) => respond404(page, path))), expected);
  });
}

test("a denied camera, an invalid file, a missing example and a broken video are reported", { skip: missing, timeout: 240_000 }, async () => {
  const { page } = await openPage("en-GB");
  await page.evaluate(() => {
    const denied = new DOMException("Permission denied", "NotAllowedError");
    navigator.mediaDevices.getUserMedia = () => Promise.reject(denied);
  });
  await page.click("#start-camera");
  await page.getByText("Camera access was denied").waitFor();
  assert.equal(await page.locator("#problem button").count(), 1);

  const invalid = { name: "invalid.mp4", mimeType: "video/mp4", buffer: Buffer.from("not a video") };
  await page.setInputFiles("#video-file", invalid);
  await page.getByText("“invalid.mp4” is not an image or video").waitFor();

  await respond404(page, "assets/example.jpg");
  await page.click("#example");
  await page.getByText("The example image failed to load. assets/example.jpg: 404").waitFor();
  await page.unrouteAll();
  await page.click("#problem button");
  await page.locator("#faces button").nth(2).waitFor({ timeout: 120_000 });
  assert.equal(await problemText(page), "");

  await page.setInputFiles("#video-file", video);
  await page.locator('#video[aria-pressed="true"]').waitFor();
  await page.locator("#player").dispatchEvent("error");
  await page.getByText("“video.webm” cannot be played any further").waitFor();
  assert.equal(await page.locator("#empty").isVisible(), true);

  await page.evaluate(() => void Promise.reject(new Error("unhandled")));
  await page.getByText("Something went wrong: unhandled").waitFor();
});

test("the CSV of a video is complete, by position in the video", { skip: missing, timeout: 240_000 }, async () => {
  const { page, faults } = await openPage("en-GB");
  await page.setInputFiles("#video-file", video);
  await page.locator("#player").evaluate((node) => ((node as HTMLVideoElement).playbackRate = 8));
  await page.waitForFunction(() => document.querySelector<HTMLVideoElement>("#player")!.currentTime > 75, null, { timeout: 120_000 });
  assert.equal(await page.locator("#timeline-title").innerText(), "Whole video");
  await page.waitForFunction(() => document.querySelector<HTMLVideoElement>("#player")!.ended, null, { timeout: 60_000 });
  await page.click("#stop");
  const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#save-predictions")]);
  const [header, ...rows] = readFileSync(await saved.path(), "utf8").trimEnd().split("\r\n").map((line) => line.split(","));
  const values = (column: string): string[] => rows.map((row) => row[header.indexOf(column)]);
  const seconds = [...new Set(values("seconds").map(Number))];
  // One frame per second; a slow machine predicts only some of them.
  assert.ok(seconds[0] === 0 && seconds.at(-1)! > 65 && seconds.length >= 5, seconds.join());
  assert.deepEqual(seconds, [...seconds].sort((one, other) => one - other));
  assert.ok(seconds.every((value) => Math.abs(value - Math.round(value)) < 0.01), seconds.join());
  assert.deepEqual([...new Set(values("source"))], ["video.webm"]);
  assert.ok(values("status").filter((status) => status === "ok").length >= seconds.length);
  assert.deepEqual(faults, []);
});

test("a video's frames are predicted alike with WebCodecs and without, and the predicted one is saved", { skip: missing, timeout: 240_000 }, async () => {
  const firstRow = async (prepare: () => void): Promise<string> => {
    const page = await (await browser.newContext({ locale: "en-GB" })).newPage();
    await page.addInitScript(prepare);
    await page.goto(`${originOf()}/`);
    await page.locator("#bars li").first().waitFor({ state: "visible", timeout: 120_000 });
    await page.setInputFiles("#video-file", video);
    await page.locator("#save-image").waitFor({ timeout: 60_000 });
    await page.locator("#player").evaluate((node) => (node as HTMLVideoElement).pause());
    const [table] = await Promise.all([page.waitForEvent("download"), page.click("#save-predictions")]);
    const [image] = await Promise.all([page.waitForEvent("download"), page.click("#save-image")]);
    const png = readFileSync(await image.path());
    assert.deepEqual([png.readUInt32BE(16), png.readUInt32BE(20)], [280, 180]);
    return readFileSync(await table.path(), "utf8").split("\r\n")[1];
  };
  const row = await firstRow(() => undefined);
  assert.match(row, /^video\.webm,/);
  assert.equal(await firstRow(() => void Reflect.deleteProperty(globalThis, "VideoFrame")), row);
});

/** The cells of the golden heads, six Happy ones and six of Surprise, as photos. */
async function cutFaces(page: Page): Promise<{ name: string; mimeType: string; buffer: Buffer }[]> {
  const data = readFileSync(join(process.cwd(), "..", "tests", "golden", "faces.jpg")).toString("base64");
  const cells = await page.evaluate(async (base64) => {
    const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))]));
    const side = bitmap.height / 2;
    const canvas = new OffscreenCanvas(side, side);
    const results: number[][] = [];
    for (let cell = 0; cell < 12; cell++) {
      canvas.getContext("2d")!.drawImage(bitmap, (cell % 6) * side, Math.floor(cell / 6) * side, side, side, 0, 0, side, side);
      results.push([...new Uint8Array(await (await canvas.convertToBlob({ type: "image/png" })).arrayBuffer())]);
    }
    return results;
  }, data);
  return cells.map((bytes, cell) => ({ name: `${cell}.png`, mimeType: "image/png", buffer: Buffer.from(bytes) }));
}

test("a model file is used in place of the page's own, and refused with the reason", { skip: missing, timeout: 240_000 }, async () => {
  const { page, faults } = await openPage("en-GB");
  await page.click("#example");
  await page.locator("#faces button").nth(2).waitFor({ timeout: 120_000 });
  const open = (name: string, buffer: Uint8Array) =>
    page.setInputFiles("#model-file", { name, mimeType: "application/octet-stream", buffer: Buffer.from(buffer) });
  for (const [name, content, reason] of [
    ["text.onnx", Buffer.from("not a model"), /“text\.onnx” cannot be used as a model/],
    ["changed.onnx", changed(otherModel()), /changed since it was written/],
    ["other.onnx", detector!, /not written by mien/],
  ] as [string, Uint8Array, RegExp][]) {
    await open(name, content);
    await page.locator("#problem", { hasText: reason }).waitFor({ timeout: 60_000 });
  }
  assert.match(await page.locator("#facts").innerText(), /golden/);
  await open("mine.onnx", otherModel());
  await page.locator("#facts", { hasText: "mine" }).waitFor({ timeout: 60_000 });
  assert.equal(await problemText(page), "");
  await page.locator("#faces button").nth(2).waitFor({ timeout: 60_000 });
  await page.click("#model-close");
  await page.locator("#facts", { hasText: "golden" }).waitFor({ timeout: 60_000 });
  assert.equal(await page.locator("#model-close").isVisible(), false);
  assert.deepEqual(faults, []);
});

/** The model that mien comes with. */
function otherModel(): Uint8Array {
  const folder = join(process.cwd(), "..", "src", "mien", "assets", "models");
  return readFileSync(join(folder, readdirSync(folder).find((name) => name.endsWith(".onnx"))!));
}

/** A file with another byte in the middle, among the weights. */
function changed(file: Uint8Array): Uint8Array {
  const copy = file.slice();
  copy[copy.length >> 1] ^= 1;
  return copy;
}

test("classes are taught, used live, saved and undone", { skip: missing, timeout: 240_000 }, async () => {
  const { page, faults } = await openPage("en-GB");
  const photos = await cutFaces(page);
  await page.click("#teach summary");
  const add = async (name: string, files: typeof photos, added: string): Promise<void> => {
    await page.fill("#teach-name", name);
    await page.setInputFiles("#teach-file", files);
    await page.getByText(added).waitFor({ timeout: 60_000 });
  };
  await add("grin", photos.slice(0, 6), "6 faces added.");
  await page.click("#teach-start");
  await page.getByText("Add a second class").waitFor();

  await page.fill("#teach-name", "gasp");
  await page.setInputFiles("#photo-file", [photos[6]]);
  await page.locator("#speed", { hasText: "Analyzed" }).waitFor({ timeout: 60_000 });
  await page.click("#teach-add");
  await page.getByText("1 face added.").waitFor({ timeout: 60_000 });
  await page.click("#teach-start");
  await page.getByText("At least 5 faces of gasp are needed; there are 1.").waitFor({ timeout: 60_000 });
  await add("gasp", photos.slice(7), "5 faces added.");
  await page.click("#teach-start");
  await page.getByText(/^Taught, and in use\./).waitFor({ timeout: 120_000 });
  await page.locator("#headline", { hasText: "gasp" }).waitFor({ timeout: 60_000 });
  assert.equal(await page.locator("#bars li").count(), 2);

  const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#teach-save")]);
  assert.equal(saved.suggestedFilename(), "taught.onnx");
  const file = readFileSync(await saved.path());
  assert.match(file.toString("latin1"), /"classes":\["gasp","grin"\]/);
  await page.click("#teach-restore");
  await page.locator("#bars li").nth(7).waitFor({ timeout: 60_000 });
  assert.equal(await page.locator("#teach-save").isVisible(), false);

  await page.click("#camera");
  await page.getByText("No face found").first().waitFor({ timeout: 120_000 });
  await page.click("#teach-add");
  await page.locator("#teach-result", { hasText: "No face found" }).waitFor({ timeout: 60_000 });
  await page.click("#language");
  await page.getByText("自定义类别").waitFor();
  assert.deepEqual(faults, []);
});
