// Prints the page's own prediction rate, with a video as its camera: node page/speed.mjs URL VIDEO.y4m SECONDS
// Called by benchmarks/page.py. Needs `npm ci --prefix page` and Chromium.
import { chromium } from "playwright-core";

const [url, video, seconds] = process.argv.slice(2);
const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  `--use-file-for-fake-video-capture=${video}`,
];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
const context = await browser.newContext({ locale: "en-GB", permissions: ["camera"] });
const page = await context.newPage();
await page.goto(url);
await page.locator("#bars li").first().waitFor({ state: "visible", timeout: 120_000 });
await page.click("#start-camera");
await page.waitForFunction(() => /predictions\/s/.test(document.querySelector("#speed").textContent), null, {
  timeout: 120_000,
});
for (let second = 0; second < Number(seconds); second++) {
  await page.waitForTimeout(1000);
  console.log(await page.locator("#speed").innerText());
}
await browser.close();
