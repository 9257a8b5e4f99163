// Chromium with a video in place of a camera, for page/record.mjs and page/speed.mjs.
import { chromium } from "playwright-core";

/** Start it; CHROMIUM names the program. */
export function launchWithCamera(video) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
      "--disable-gpu",
      "--disable-background-networking",
      "--use-fake-device-for-media-stream",
      "--use-fake-ui-for-media-stream",
      `--use-file-for-fake-video-capture=${video}`,
    ],
  });
}
