// How far the server and this browser agree about an image.

import type { Reading } from "./faces/model.ts";
import { largestDifference } from "./reader.ts";
import { percent, say, sayCount } from "./words.ts";

export function agreementText(here: Reading[], there: Reading[]): string {
  if (here.length !== there.length) {
    const [server, browser] = [there, here].map((readings) => sayCount("nFaces", readings.length));
    return say("agreementFaces", { server, browser });
  }
  return say("agreement", { value: percent(largestDifference(here, there), 1) });
}
