// What the page says of its own speed, with a film for a camera: node page/speed.mjs ADDRESS FILM.y4m SECONDS
// Called by benchmarks/page.py. Needs `npm ci --prefix page` and Chromium.
import { chromium } from "playwright-core";

const [address, film, seconds] = process.argv.slice(2);
const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--use-fake-device-for-media-stream",
  "--use-fake-ui-for-media-stream",
  `--use-file-for-fake-video-capture=${film}`,
];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
const context = await browser.newContext({ locale: "en-GB", permissions: ["camera"] });
const page = await context.newPage();
await page.goto(address);
await page.locator("#bars li").first().waitFor({ state: "visible", timeout: 120_000 });
await page.click("#start-camera");
await page.waitForFunction(() => /readings a second/.test(document.querySelector("#speed").textContent), null, {
  timeout: 120_000,
});
for (let second = 0; second < Number(seconds); second++) {
  await page.waitForTimeout(1000);
  console.log(await page.locator("#speed").innerText());
}
await browser.close();
