// Prints how fast pages predict, with a video as their camera: node page/speed.mjs VIDEO.y4m SECONDS ROUNDS SLOWNESS URL [URL]
// The pages take turns. Their clocks run SLOWNESS times slower. Called by benchmarks/page.py. Needs `npm ci --prefix page` and Chromium.
import { readdirSync, readFileSync } from "node:fs";
import { launchWithCamera } from "./camera.mjs";

const [video, seconds, rounds, slowness, ...urls] = process.argv.slice(2);
// Until then the browser compiles what runs often.
const WARM_UP = 100;
const TIMEOUT = { timeout: 240_000 };

/** CPU milliseconds of this process's children and theirs, the whole browser, by kind of process and thread. */
function cpuMilliseconds() {
  const read = (...path) => {
    try {
      return readFileSync(["/proc", ...path].join("/"), "latin1");
    } catch {
      return ""; // it has ended
    }
  };
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((id) => {
    return { id: Number(id), parent: Number(read(id, "stat").split(") ").at(-1).split(" ")[1]) };
  });
  const ours = new Set([process.pid]);
  for (let size = 0; size !== ours.size; ) {
    size = ours.size;
    for (const { id, parent } of processes) if (ours.has(parent)) ours.add(id);
  }
  ours.delete(process.pid);
  const sums = {};
  for (const id of ours) {
    const kind = /--type=([\w-]+)/.exec(read(id, "cmdline"))?.[1] ?? "browser";
    for (const thread of readdirSync(`/proc/${id}/task`)) {
      const name = `${kind}: ${Number(thread) === id ? "main" : read(id, "task", thread, "comm").trim()}`;
      sums[name] = (sums[name] ?? 0) + Number(read(id, "task", thread, "schedstat").split(" ")[0]) / 1e6;
    }
  }
  return sums;
}

async function measure(url) {
  const browser = await launchWithCamera(video);
  const context = await browser.newContext({ locale: "en-GB", permissions: ["camera"] });
  const page = await context.newPage();
  await page.addInitScript((slower) => {
    const now = performance.now.bind(performance);
    performance.now = () => now() / slower;
    globalThis.timings = [];
    globalThis.Worker = class extends Worker {
      constructor(...given) {
        super(...given);
        this.addEventListener("message", ({ data }) => data.kind === "predictions" && globalThis.timings.push(data.ms));
      }
    };
  }, Number(slowness));
  await page.goto(url);
  await page.locator("#bars li").first().waitFor({ state: "visible", ...TIMEOUT });
  await page.click("#start-camera");
  await page.waitForFunction((count) => globalThis.timings.length > count, WARM_UP, TIMEOUT);
  const [start, before] = [performance.now(), cpuMilliseconds()];
  await page.evaluate(() => (globalThis.timings.length = 0));
  await page.waitForTimeout(1000 * seconds);
  const timings = await page.evaluate(() => globalThis.timings);
  const [wall, after] = [(performance.now() - start) / 1000, cpuMilliseconds()];
  await browser.close();
  const median = (step) => timings.map((ms) => ms[step]).sort((a, b) => a - b)[timings.length >> 1];
  const steps = Object.fromEntries(["pixels", "faces", "model", "all"].map((step) => [step, median(step)]));
  const threads = Object.fromEntries(Object.entries(after).map(([name, ms]) => [name, (ms - (before[name] ?? 0)) / timings.length]));
  const cpuMs = Object.values(threads).reduce((sum, ms) => sum + ms, 0);
  return { url, rate: timings.length / wall, cpu_ms: cpuMs, ...steps, threads };
}

for (let round = 0; round < Number(rounds); round++) for (const url of urls) console.log(JSON.stringify(await measure(url)));
