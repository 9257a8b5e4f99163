// Takes screenshots of the page with a video as its camera, named by the milliseconds since the first: node page/record.mjs URL VIDEO.y4m FOLDER SECONDS RATE
// Called by tools/page_gif.py. Needs `npm ci --prefix page` and Chromium.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { launchWithCamera } from "./camera.mjs";

const [url, video, folder, seconds, rate] = process.argv.slice(2);
const browser = await launchWithCamera(video);
const context = await browser.newContext({ locale: "en-US", permissions: ["camera"], viewport: { width: 1000, height: 506 } });
const page = await context.newPage();
await page.goto(url);
await page.locator("#bars li").first().waitFor({ state: "visible", timeout: 120_000 });
await page.click("#start-camera");
await page.locator("#timeline").waitFor({ state: "visible", timeout: 120_000 });
await page.locator("#bars .value", { hasText: "%" }).first().waitFor({ timeout: 120_000 });
mkdirSync(folder);
const start = performance.now();
for (let ms = 0; ms < 1000 * seconds; ms = Math.round(performance.now() - start)) {
  await page.screenshot({ path: join(folder, `${String(ms).padStart(6, "0")}.png`) });
  const wait = start + ms + 1000 / rate - performance.now();
  if (wait > 0) await page.waitForTimeout(wait);
}
await browser.close();
