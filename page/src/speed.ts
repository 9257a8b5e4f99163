// How long a reading took, below it.

import { byId, setText } from "./dom.ts";
import type { Timing } from "./messages.ts";
import { say } from "./words.ts";

export function showSpeed(text: string, ms: Timing, isServers: boolean): void {
  const line = byId("speed");
  setText(line, isServers ? `${text} · ${say("onServer")}` : text);
  const parts = Object.entries(ms).map(([part, time]) => `${part} ${Math.round(time)} ms`);
  line.title = parts.join(", ");
}
