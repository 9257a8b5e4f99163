// The built page in a headless Firefox, driven by its own protocol, Marionette: photos, a video and a model file. Skipped if Firefox
// or YuNet is unavailable.

import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, before, test } from "node:test";
import { detectorFile } from "./golden.ts";
import { originOf, serveSite, type Site } from "./site.ts";

const folders = (process.env.PATH ?? "").split(delimiter);
const places = [process.env.FIREFOX, ...folders.flatMap((folder) => ["firefox", "firefox-esr"].map((name) => join(folder, name)))];
const firefox = places.find((place) => place && existsSync(place));
const missing = !firefox ? "Firefox was not found" : !detectorFile() ? "the YuNet file was not found" : false;
const START_MS = 60_000;

let site: Site;
let profile: string;
let browser: ChildProcess;
let session: Marionette;

/** The little of Marionette that the tests take: messages are `length:[type, id, command, parameters]`. */
class Marionette {
  private received = Buffer.alloc(0);
  private count = 0;
  private readonly pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();

  private constructor(private readonly socket: Socket) {
    socket.on("data", (data) => {
      this.received = Buffer.concat([this.received, data]);
      this.take();
    });
  }

  static async connect(port: number): Promise<Marionette> {
    const socket = connect(port, "127.0.0.1");
    await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
    return new Marionette(socket);
  }

  private take(): void {
    for (;;) {
      const colon = this.received.indexOf(":");
      const length = Number(this.received.subarray(0, Math.max(0, colon)));
      if (colon < 0 || this.received.length < colon + 1 + length) return;
      const message = JSON.parse(this.received.subarray(colon + 1, colon + 1 + length).toString());
      this.received = this.received.subarray(colon + 1 + length);
      if (!Array.isArray(message)) continue; // the greeting
      const [, id, error, result] = message;
      const waiting = this.pending.get(id);
      this.pending.delete(id);
      if (error) waiting?.reject(new Error(`${error.error}: ${error.message}`));
      else waiting?.resolve(result);
    }
  }

  send(command: string, parameters: object): Promise<unknown> {
    const id = ++this.count;
    const text = JSON.stringify([0, id, command, parameters]);
    this.socket.write(`${Buffer.byteLength(text)}:${text}`);
    return new Promise((resolve, reject) => this.pending.set(id, { resolve, reject }));
  }

  /** Run the body of an async function in the page, and return what it returns. */
  async run(body: string, ...args: unknown[]): Promise<unknown> {
    const script = `const done = arguments[arguments.length - 1];
      (async (...args) => { ${body} })(...[...arguments].slice(0, -1)).then((value) => done({ value }), (error) => done({ error: String(error) }));`;
    const { value } = (await this.send("WebDriver:ExecuteAsyncScript", { script, args })) as { value: { value: unknown; error?: string } };
    if (value.error) throw new Error(value.error);
    return value.value;
  }

  close(): void {
    this.socket.destroy();
  }
}

before(async () => {
  if (missing) return;
  site = await serveSite();
  profile = mkdtempSync(join(tmpdir(), "mien-firefox-"));
  const settings = { "marionette.port": 0, "intl.accept_languages": "en-GB", "browser.shell.checkDefaultBrowser": false, "app.update.enabled": false };
  writeFileSync(join(profile, "user.js"), Object.entries(settings).map(([key, value]) => `user_pref("${key}", ${JSON.stringify(value)});\n`).join(""));
  const env = { ...process.env, HOME: profile };
  browser = spawn(firefox!, ["--marionette", "--headless", "--no-remote", "--profile", profile], { stdio: "ignore", env });
  const file = join(profile, "MarionetteActivePort");
  for (const end = Date.now() + START_MS; !existsSync(file); ) {
    if (Date.now() > end) throw new Error("Firefox did not start");
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  session = await Marionette.connect(Number(readFileSync(file, "utf8")));
  await session.send("WebDriver:NewSession", { capabilities: { alwaysMatch: {} } });
  await session.send("WebDriver:SetTimeouts", { script: 120_000, pageLoad: 60_000 });
});

after(async () => {
  session?.close();
  site?.close();
  if (!browser) return;
  const ended = new Promise((resolve) => browser.once("exit", resolve));
  browser.kill();
  await ended;
  rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
});

const WAIT = `const until = async (ready) => {
  for (const end = Date.now() + 90000; !ready(); await new Promise((resolve) => setTimeout(resolve, 50))) {
    if (Date.now() > end) throw new Error("timed out: " + document.querySelector("#problem").innerText + document.querySelector("#headline").innerText);
  }
};
const $ = (selector) => document.querySelector(selector);
const choose = (input, name, type, base64) => {
  const files = new DataTransfer();
  files.items.add(new File([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], name, { type }));
  $(input).files = files.files;
  $(input).dispatchEvent(new Event("change"));
};`;

test("Firefox predicts the example", { skip: missing, timeout: 240_000 }, async () => {
  await session.send("WebDriver:Navigate", { url: `${originOf(site)}/` });
  const labels = (await session.run(`${WAIT}
    await until(() => $("#bars li")?.checkVisibility());
    $("#example").click();
    await until(() => document.querySelectorAll("#faces button").length === 3);
    return [...document.querySelectorAll("#faces button")].map((button) => button.innerText);`)) as string[];
  for (const name of ["Surprise", "Happy"]) assert.ok(labels.some((text) => text.includes(name)), labels.join());
});

test("Firefox predicts a video to its end, by its own clock", { skip: missing, timeout: 240_000 }, async () => {
  const video = readFileSync(join(process.cwd(), "..", "tests", "golden", "video.webm")).toString("base64");
  const [title, problem, rows] = (await session.run(`${WAIT}
    choose("#video-file", "video.webm", "video/webm", args[0]);
    await until(() => $("#video").getAttribute("aria-pressed") === "true");
    $("#player").playbackRate = 8;
    await until(() => $("#player").ended);
    const saved = new Promise((resolve) => { const create = URL.createObjectURL; URL.createObjectURL = (blob) => (resolve(blob.text()), create(blob)); });
    $("#save-predictions").click();
    return [$("#timeline-title").innerText, $("#problem").innerText, await saved];`, video)) as string[];
  assert.deepEqual([title, problem], ["Whole video", ""]);
  const seconds = [...new Set(rows.trimEnd().split("\r\n").slice(1).map((line) => Number(line.split(",")[2])))];
  assert.ok(seconds[0] === 0 && seconds.at(-1)! > 65 && seconds.length >= 5, seconds.join());
});

test("Firefox says why a model file is refused", { skip: missing, timeout: 240_000 }, async () => {
  const detector = Buffer.from(detectorFile()!).toString("base64");
  const problem = await session.run(`${WAIT}
    choose("#model-file", "other.onnx", "", args[0]);
    await until(() => !$("#problem").hidden);
    return $("#problem").innerText;`, detector);
  assert.match(String(problem), /“other\.onnx” cannot be used as a model.*not written by mien/);
});
