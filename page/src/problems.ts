// Error messages that stay until their cause is resolved, with a retry button where retrying can help.

import { byId, make } from "./dom.ts";
import { t } from "./i18n.ts";
import type { LoadFailure } from "./protocol.ts";
import { usesServer } from "./state.ts";

const DETECTOR_NAME = "face_detection_yunet_2023mar.onnx";
const DETECTOR_PATH = "models/detector.onnx";

/** What a problem concerns; each cause has at most one problem, and problems of different causes are shown together. */
export type Cause = "model" | "modelFile" | "source" | "prediction" | "recording" | "page";

interface Problem {
  text: () => string;
  retry: (() => void) | null;
  /** Whether the server can do what the browser cannot. */
  offersServer: boolean;
}

export class Problems {
  private readonly box = byId("problem");
  private readonly open = new Map<Cause, Problem>();
  private shown = "";

  report(cause: Cause, text: () => string, retry: (() => void) | null = null, offersServer = false): void {
    this.open.set(cause, { text, retry, offersServer });
    this.render();
  }

  clear(...causes: Cause[]): void {
    for (const cause of causes) this.open.delete(cause);
    this.render();
  }

  /** Try again what has failed, if it has. */
  retry(cause: Cause): void {
    this.open.get(cause)?.retry?.();
  }

  /** Report every uncaught error of the page. */
  listen(): void {
    const report = (error: unknown): void =>
      this.report("page", () => t("errorPage", { detail: messageOf(error) }));
    addEventListener("unhandledrejection", ({ reason }) => report(reason));
    // An event without an error is a browser warning.
    addEventListener("error", ({ error }) => error && report(error));
  }

  /** Show the problems in the current language. Unchanged text is left alone, so that a screen reader does not repeat it. */
  render(): void {
    const problems = [...this.open.values()];
    const canUseServer = !byId("server").hidden && !usesServer();
    const shown = problems.map(({ text, offersServer }) => `${text()} ${offersServer && canUseServer}`).join("\n");
    if (shown === this.shown) return;
    this.shown = shown;
    this.box.hidden = !problems.length;
    this.box.replaceChildren(...problems.map((problem) => renderProblem(problem, canUseServer)));
  }
}

function renderProblem({ text, retry, offersServer }: Problem, canUseServer: boolean): HTMLElement {
  const line = make("p", {}, [make("span", { text: text() })]);
  const addButton = (label: string, onClick: () => void): void => {
    const button = make("button", { class: "secondary", text: label });
    button.type = "button";
    button.addEventListener("click", onClick);
    line.append(button);
  };
  if (retry) addButton(t("tryAgain"), retry);
  if (offersServer && canUseServer) addButton(t("useServer"), () => byId("use-server").click());
  return line;
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** Explain why nothing can be predicted, and what to do about it. */
export function explainLoadFailure({ part, isMissing, message }: LoadFailure): string {
  if (part === "wasm") return t("errorWasm", { detail: message });
  if (part !== "detector") return t(isMissing ? "errorModelMissing" : "errorModel", { detail: message });
  // The message of `mien serve` already says what to do; a static web server cannot.
  const path = new URL(DETECTOR_PATH, document.baseURI).pathname;
  const remedies = message.includes(DETECTOR_NAME) ? [] : [t("detectorRemedy", { file: DETECTOR_NAME, path })];
  return t(isMissing ? "errorDetectorMissing" : "errorDetector", { detail: [`${message}.`, ...remedies].join(" ") });
}
