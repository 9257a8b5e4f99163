// Prints how fast pages predict, with a video as their camera: node page/speed.mjs VIDEO.y4m SECONDS ROUNDS URL [URL]
// The pages take turns. Called by benchmarks/page.py. Needs `npm ci --prefix page` and Chromium.
import { readdirSync, readFileSync } from "node:fs";
import { chromium } from "playwright-core";

const [video, seconds, rounds, ...urls] = process.argv.slice(2);
const TICKS_PER_S = 100;
const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  `--use-file-for-fake-video-capture=${video}`,
];

/** CPU seconds of this process's children and theirs: the whole browser. */
function cpuSeconds() {
  const processes = readdirSync("/proc").filter((name) => /^\d+$/.test(name)).flatMap((id) => {
    try {
      const fields = readFileSync(`/proc/${id}/stat`, "latin1").split(") ").at(-1).split(" ");
      return [{ id: Number(id), parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) }];
    } catch {
      return []; // it has ended
    }
  });
  const ours = new Set([process.pid]);
  for (let size = 0; size !== ours.size; ) {
    size = ours.size;
    for (const { id, parent } of processes) if (ours.has(parent)) ours.add(id);
  }
  return processes.filter(({ id }) => ours.has(id)).reduce((sum, { ticks }) => sum + ticks / TICKS_PER_S, 0);
}

async function measure(url) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
  const context = await browser.newContext({ locale: "en-GB", permissions: ["camera"] });
  const page = await context.newPage();
  await page.addInitScript(() => {
    globalThis.timings = [];
    globalThis.Worker = class extends Worker {
      constructor(...given) {
        super(...given);
        this.addEventListener("message", ({ data }) => data.kind === "predictions" && globalThis.timings.push(data.ms));
      }
    };
  });
  await page.goto(url);
  await page.locator("#bars li").first().waitFor({ state: "visible", timeout: 120_000 });
  await page.click("#start-camera");
  await page.waitForFunction(() => globalThis.timings.length > 5, null, { timeout: 120_000 });
  const [start, cpu] = [performance.now(), cpuSeconds()];
  await page.evaluate(() => (globalThis.timings.length = 0));
  await page.waitForTimeout(1000 * seconds);
  const timings = await page.evaluate(() => globalThis.timings);
  const [wall, used] = [(performance.now() - start) / 1000, cpuSeconds() - cpu];
  await browser.close();
  const median = (step) => timings.map((ms) => ms[step]).sort((a, b) => a - b)[timings.length >> 1];
  const steps = Object.fromEntries(["pixels", "faces", "model", "all"].map((step) => [step, median(step)]));
  return { url, rate: timings.length / wall, cpu_ms: (1000 * used) / timings.length, ...steps };
}

for (let round = 0; round < Number(rounds); round++) for (const url of urls) console.log(JSON.stringify(await measure(url)));
