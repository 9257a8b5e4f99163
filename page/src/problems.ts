// What went wrong: told until what caused it is solved, with a button to try again where that can help.

import { byId, make } from "./dom.ts";
import type { LoadFailure } from "./messages.ts";
import { say } from "./words.ts";

const DETECTOR_NAME = "face_detection_yunet_2023mar.onnx";
const DETECTOR_PLACE = "models/detector.onnx";

/** What a problem is of; each has one problem at a time, and one does not hide another. */
export type Cause = "model" | "source" | "reading" | "saving" | "page";

interface Problem {
  text: () => string;
  retry: (() => void) | null;
}

export class Problems {
  private readonly box = byId("problem");
  private readonly known = new Map<Cause, Problem>();
  private shown = "";

  tell(cause: Cause, text: () => string, retry: (() => void) | null = null): void {
    this.known.set(cause, { text, retry });
    this.show();
  }

  solve(...causes: Cause[]): void {
    for (const cause of causes) this.known.delete(cause);
    this.show();
  }

  /** Tell of whatever fails anywhere in the page. */
  listen(): void {
    const tell = (error: unknown): void => this.tell("page", () => say("errorPage", { detail: messageOf(error) }));
    addEventListener("unhandledrejection", ({ reason }) => tell(reason));
    // An event without an error is a warning of the browser's.
    addEventListener("error", ({ error }) => error && tell(error));
  }

  /** Write the problems in the language chosen; what stands there already is not said again. */
  show(): void {
    const problems = [...this.known.values()];
    const shown = problems.map(({ text }) => text()).join("\n");
    if (shown === this.shown) return;
    this.shown = shown;
    this.box.hidden = !problems.length;
    this.box.replaceChildren(...problems.map(lineOf));
  }
}

function lineOf({ text, retry }: Problem): HTMLElement {
  const line = make("p", {}, [make("span", { text: text() })]);
  if (retry) {
    const button = make("button", { class: "secondary", text: say("tryAgain") });
    button.type = "button";
    button.addEventListener("click", retry);
    line.append(button);
  }
  return line;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Why nothing can be read, and what to do about it. */
export function explainLoad({ part, isMissing, message }: LoadFailure): string {
  if (part === "wasm") return say("errorWasm", { detail: message });
  if (part !== "detector") return say(isMissing ? "errorModelMissing" : "errorModel", { detail: message });
  // A server says itself what to do; a folder of files cannot.
  const place = new URL(DETECTOR_PLACE, document.baseURI).pathname;
  const remedies = message.includes(DETECTOR_NAME) ? [] : [say("detectorRemedy", { file: DETECTOR_NAME, place })];
  if (!byId("server").hidden) remedies.push(say("serverRemedy"));
  return say(isMissing ? "errorDetectorMissing" : "errorDetector", { detail: [`${message}.`, ...remedies].join(" ") });
}
