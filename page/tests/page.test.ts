// The parts of the page, in Node: what happens when things come late, fail, stand still or are done twice.

import { clearPage, element, FakeBitmap, FakeElement } from "./fake-page.ts";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, test } from "node:test";
import { setLanguage } from "../src/i18n.ts";
import { ModelPicker } from "../src/model-picker.ts";
import { PredictionLoop } from "../src/prediction-loop.ts";
import { Problems } from "../src/problems.ts";
import { SourcePicker } from "../src/source-picker.ts";
import { Source } from "../src/source.ts";
import { State } from "../src/state.ts";
import { TeachingPanel } from "../src/teaching/panel.ts";
import type { View } from "../src/view/view.ts";
import { modelInfo } from "./site.ts";

type Answer = (value: unknown) => void;

beforeEach(() => {
  clearPage();
  setLanguage("en");
});

const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));
const photo = (name: string): File => new File(["photo"], name, { type: "image/jpeg" });
const video = (name: string): File => new File(["video"], name, { type: "video/webm" });

/** Put something in the place of a global function for a test; return the answers that it is waiting for. */
function holdBack(where: object, name: string): Answer[] {
  const answers: Answer[] = [];
  Object.assign(where, { [name]: () => new Promise((resolve) => answers.push(resolve)) });
  return answers;
}

function openPicker(): { source: Source; opened: string[]; choose: (file: File) => void } {
  const [source, state, opened] = [new Source(), new State(), [] as string[]];
  const nothing = (): void => undefined;
  new SourcePicker(source, state.album, new Problems(), () => opened.push(source.name), nothing, nothing, nothing).listen();
  const choose = (file: File): void => {
    element("photo-file").files = [file];
    element("photo-file").dispatchEvent(new Event("change"));
  };
  return { source, opened, choose };
}

test("of two photos that are opened, the last one stays, whichever is decoded first", async (context) => {
  const { createImageBitmap } = globalThis;
  context.after(() => Object.assign(globalThis, { createImageBitmap }));
  const decoded = holdBack(globalThis, "createImageBitmap");
  const { source, opened, choose } = openPicker();
  choose(photo("slow.jpg"));
  choose(photo("quick.jpg"));
  const bitmaps = [new FakeBitmap(), new FakeBitmap()];
  for (const at of [1, 0]) {
    decoded[at](bitmaps[at]);
    await settled();
  }
  assert.deepEqual([source.name, opened], ["quick.jpg", ["quick.jpg"]]);
  assert.deepEqual(bitmaps.map(({ isClosed }) => isClosed), [true, true]);
});

/** A camera's stream, which counts the stops of its track. */
function fakeStream() {
  const track = { stops: 0, stop: () => void track.stops++, addEventListener: () => undefined, getSettings: () => ({}) };
  return { track, getTracks: () => [track], getVideoTracks: () => [track] };
}

test("a camera that is allowed after a photo was opened is turned off again", async () => {
  const allow = holdBack(navigator.mediaDevices, "getUserMedia");
  const { source, opened, choose } = openPicker();
  element("camera").click();
  choose(photo("a.jpg"));
  await settled();
  const stream = fakeStream();
  allow[0](stream);
  await settled();
  assert.deepEqual([source.kind, opened, stream.track.stops], ["photo", ["a.jpg"], 1]);

  const plays = holdBack(source.player, "play");
  const other = fakeStream();
  element("camera").click();
  allow[1](other);
  await settled();
  choose(photo("b.jpg"));
  plays[0](undefined);
  await settled();
  assert.deepEqual([source.name, opened, other.track.stops > 0], ["b.jpg", ["a.jpg", "b.jpg"], true]);
});

test("a video that starts late does not take the place of what was opened after it", async () => {
  const { source, opened, choose } = openPicker();
  const plays = holdBack(source.player, "play");
  choose(video("slow.webm"));
  choose(photo("a.jpg"));
  await settled();
  plays[0](undefined);
  await settled();
  assert.deepEqual([source.kind, source.name, opened], ["photo", "a.jpg", ["a.jpg"]]);
});

test("what is being opened when all is stopped is not opened", async () => {
  const allow = holdBack(navigator.mediaDevices, "getUserMedia");
  const { source, opened } = openPicker();
  element("camera").click();
  element("stop").click();
  const stream = fakeStream();
  allow[0](stream);
  await settled();
  assert.deepEqual([source.kind, opened, stream.track.stops], ["none", [], 1]);
});

/** Open a video that plays, after its first frame. */
async function openVideo(): Promise<{ source: Source; player: FakeElement }> {
  const source = new Source();
  const player = element("player");
  [player.videoWidth, player.videoHeight] = [8, 8];
  await source.openVideo(video("a.webm"), "a.webm", () => false);
  assert.equal((await source.nextFrame(true)).time, 0);
  const next = source.nextFrame(false);
  await settled();
  player.showFrame(1);
  assert.equal((await next).time, 1);
  return { source, player };
}

/** Whether a promise is still waiting. */
async function waits(promise: Promise<unknown>): Promise<boolean> {
  return (await Promise.race([promise, settled().then(() => "waits")])) === "waits";
}

test("the first frame that is wanted of a video that stands still is the one it shows", async () => {
  const { source, player } = await openVideo();
  player.currentTime = 1.02;
  player.pause();
  assert.deepEqual(await source.nextFrame(true), { time: 1, pass: source.pass });
  assert.equal(await waits(source.nextFrame(false)), true);
  player.currentTime = 5;
  player.dispatchEvent(new Event("seeking"));
  assert.deepEqual(await source.nextFrame(true), { time: 5, pass: source.pass });
  [player.paused, player.ended] = [false, true];
  assert.equal((await source.nextFrame(true)).time, 5);
});

test("a video that is paused before its next frame comes gives the one it shows", async () => {
  const { source, player } = await openVideo();
  const first = source.nextFrame(true);
  const later = source.nextFrame(false);
  assert.equal(await waits(first), true);
  player.pause();
  assert.equal((await first).time, 1);
  assert.equal(await waits(later), true);
});

function fakeView(): { view: View; said: string[] } {
  const said: string[] = [];
  const nothing = (): void => undefined;
  const panel = { prepare: nothing, showLoading: nothing, hideLoading: nothing };
  const parts = { panel, unitsPanel: panel, renderSource: nothing, render: nothing, renderFrame: nothing };
  const showWaiting = ({ text }: State["waiting"]): void => void said.push(text());
  return { view: { ...parts, showWaiting } as unknown as View, said };
}

/** A loop whose predictions come from a server that answers a file by its name. */
function serverLoop(responses: Record<string, () => Promise<Response>>) {
  const [state, source, problems] = [new State(), new Source(), new Problems()];
  const { view, said } = fakeView();
  [state.info, state.isLoading, element("use-server").checked] = [modelInfo(), false, true];
  globalThis.fetch = async (_, options) => responses[((options!.body as FormData).get("images") as File).name]();
  return { loop: new PredictionLoop(state, source, view, problems), state, source, said };
}

const noFace = async (): Promise<Response> => Response.json({ results: [{ rows: [{ status: "no_face", detail: "" }] }] });
const tooLarge = async (): Promise<Response> => Response.json({ error: { code: "too_many_pixels", message: "It is too large" } }, { status: 413 });
const broken = async (): Promise<Response> => Response.json({ error: { message: "out of memory" } }, { status: 500 });
const problem = (): string[] => element("problem").children.map((line) => line.children[0].textContent || "?");

test("a photo that is shown and that the server refuses has a row that says so", async () => {
  const { loop, state, source, said } = serverLoop({ "a.jpg": tooLarge, "b.jpg": noFace });
  const files = [photo("a.jpg"), photo("b.jpg")];
  state.album.open(files);
  await source.openPhoto(files[0], "a.jpg", () => false);
  loop.open();
  await settled();
  assert.deepEqual(state.album.rows.map(({ source: name, status, detail }) => [name, status, detail]), [
    ["a.jpg", "too_many_pixels", "It is too large"],
    ["b.jpg", undefined, undefined],
  ]);
  assert.match(said.at(-1)!, /^Unable to analyze/);
});

test("the failure of another photo leaves the result that is shown, and one of before a switch is not reported", async () => {
  let fail: Answer = () => undefined;
  const held = new Promise<Response>((resolve) => (fail = resolve as Answer));
  const responses = { "a.jpg": noFace, "b.jpg": broken };
  const { loop, state, source, said } = serverLoop(responses);
  const files = [photo("a.jpg"), photo("b.jpg")];
  state.album.open(files);
  await source.openPhoto(files[0], "a.jpg", () => false);
  loop.open();
  await settled();
  assert.equal(said.some((text) => text.startsWith("Unable")), false);

  responses["b.jpg"] = () => held;
  loop.switchPredictor();
  await settled();
  responses["b.jpg"] = noFace;
  loop.switchPredictor();
  fail(await broken());
  await settled();
  assert.deepEqual(problem(), []);
  assert.deepEqual(state.album.photos.map(({ rows }) => rows?.length), [1, 1]);
});

test("images for the server are closed, also if it fails", async (context) => {
  const { createImageBitmap } = globalThis;
  context.after(() => Object.assign(globalThis, { createImageBitmap }));
  const bitmaps: FakeBitmap[] = [];
  Object.assign(globalThis, { createImageBitmap: async () => (bitmaps.push(new FakeBitmap()), bitmaps.at(-1)) });
  const { loop, state, source } = serverLoop({ "a.jpg": noFace, "b.jpg": noFace, "frame.jpg": broken });
  const files = [photo("a.jpg"), photo("b.jpg")];
  state.album.open(files);
  await source.openPhoto(files[0], "a.jpg", () => false);
  loop.open();
  await settled();
  assert.deepEqual(bitmaps.map(({ isClosed }) => isClosed), [true, true]);
  state.album.open([]);
  element("player").videoWidth = element("player").videoHeight = 8;
  await source.openVideo(video("a.webm"), "a.webm", () => false);
  loop.open();
  await settled();
  source.close();
  loop.restart();
  assert.deepEqual(bitmaps.map(({ isClosed }) => isClosed), [true, true, true]);
});

test("the time that a photo took is said in the language of the page", async () => {
  const { loop, source } = serverLoop({ "a.jpg": noFace });
  await source.openPhoto(photo("a.jpg"), "a.jpg", () => false);
  loop.open();
  await settled();
  assert.match(element("speed").textContent, /^Analyzed in \d+ ms · on the server$/);
  setLanguage("zh");
  loop.renderLines();
  assert.match(element("speed").textContent, /^识别用时 \d+ 毫秒 · 服务器端$/);
});

/** A loop with a worker that answers requests by their kind. */
function fakeLoop(state: State, answers: Record<string, unknown>) {
  const asked: { kind: string; [key: string]: unknown }[] = [];
  const used: [unknown, boolean][] = [];
  const ask = async (request: (typeof asked)[number]): Promise<unknown> => (asked.push(request), answers[request.kind]);
  const useModel = (info: State["info"], isOwn: boolean): void => {
    used.push([info, isOwn]);
    [state.info, state.isOwnModel] = [info, isOwn];
  };
  return { loop: { predictor: { isReady: true, ask }, useModel } as unknown as PredictionLoop, asked, used };
}

const shot = { features: new Float32Array(1), probabilities: [1], thumbnail: new Float32Array(1) };

function openTeaching(answers: Record<string, unknown> = {}) {
  const [state, source] = [new State(), new Source()];
  state.info = modelInfo();
  const { loop, asked, used } = fakeLoop(state, { collect: shot, ...answers });
  let changes = 0;
  const panel = new TeachingPanel(state, source, loop, () => void changes++);
  panel.listen();
  const add = async (name: string): Promise<string> => {
    element("teach-name").value = name;
    element("teach-add").click();
    await settled();
    return element("teach-result").textContent;
  };
  const labels = async (): Promise<string[]> => {
    element("teach-start").click();
    await settled();
    return (asked.at(-1)!.shots as { label: string }[]).map(({ label }) => label);
  };
  return { state, source, panel, asked, used, add, labels, changes: () => changes };
}

test("a model that was taught twice gives way to the page's own, which its server has", async () => {
  const lesson = (name: string) => ({ info: { ...modelInfo(), name }, mean: 1, interval: [1, 1], chance: 0.5, count: 10 });
  const answers: Record<string, unknown> = { teach: lesson("first"), restore: modelInfo() };
  const { source, used, add, changes } = openTeaching(answers);
  source.kind = "photo";
  await add("yawn");
  const click = async (id: string): Promise<void> => (element(id).click(), settled());
  await click("teach-start");
  answers.teach = lesson("second");
  await click("teach-start");
  await click("teach-restore");
  assert.deepEqual(used.map(([, isOwn]) => isOwn), [false, false, true]);
  assert.equal(changes(), 3);
});

test("a class of the model may be typed as the page shows it, and others must differ in more than their spelling", async () => {
  const { source, add, labels } = openTeaching({ teach: { reason: "classes" } });
  source.kind = "photo";
  for (const name of ["高兴", "happy", " HAPPY", "yawn", "café"]) assert.equal(await add(name), "1 face added.", name);
  assert.match(await add("Yawn"), /“Yawn” and “yawn” are one name in different spellings/);
  assert.match(await add("cafe\u0301"), /one name in different spellings/);
  assert.match(await add("Unsure "), /cannot be called “unsure”/);
  assert.deepEqual(await labels(), ["Happy", "Happy", "Happy", "yawn", "café"]);
});

test("no face is added after a stop, another source or a jump in the video", async () => {
  for (const change of [(source: Source) => source.close(), (source: Source) => void source.player.dispatchEvent(new Event("seeking"))]) {
    clearPage();
    const { source, asked, add } = openTeaching();
    source.kind = "video";
    await add("yawn");
    change(source);
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.equal(asked.length, 1);
    assert.equal(element("teach-result").textContent, "1 face added.");
  }
});

test("a model file that is dropped while the page's own model is loaded is opened afterwards", async () => {
  const state = new State();
  const { loop, asked, used } = fakeLoop(state, { open: modelInfo() });
  const models = new ModelPicker(state, loop, new Problems(), () => undefined);
  await models.open(new File(["model"], "mine.onnx"));
  assert.deepEqual([asked, problem()], [[], []]);
  state.isLoading = false;
  models.onLoad();
  await settled();
  assert.deepEqual([asked.map(({ kind, name }) => [kind, name]), used.length], [[["open", "mine"]], 1]);
});

test("the clock of a video is not read out every second", () => {
  const html = readFileSync(join(process.cwd(), "src", "index.html"), "utf8");
  const [clock] = html.match(/<[^>]*id="clock"[^>]*>/)!;
  assert.doesNotMatch(clock, /<output|aria-live|role/);
});
