// Presses keys on a review page in Chromium, and saves what it exports.
//   node drive_review.mjs PLAYWRIGHT CHROMIUM PAGE CORRECTIONS KEY...
import { createRequire } from "node:module";

const [playwright, executablePath, page, corrections, ...keys] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(playwright);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const tab = await browser.newPage();
const faults = [];
tab.on("pageerror", (error) => faults.push(error.message));
tab.on("request", (request) => /^(file|data|blob):/.test(request.url()) || faults.push(`requests ${request.url()}`));
await tab.goto(`file://${page}`);
for (const key of keys) await tab.keyboard.press(key);
// Decisions outlast the page.
await tab.reload();
const [download] = await Promise.all([tab.waitForEvent("download"), tab.keyboard.press("e")]);
await download.saveAs(corrections);
const shown = await tab.locator("#count").textContent();
await browser.close();
process.stdout.write(JSON.stringify({ faults, shown, name: download.suggestedFilename() }));
