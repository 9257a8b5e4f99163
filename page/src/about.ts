// What the model says of itself, in the page's words.

import { byId, make, setText } from "./dom.ts";
import type { ModelInfo } from "./faces/model.ts";
import { renderMarkdown } from "./markdown.ts";
import { className, say, sayCount } from "./words.ts";

const WIDE_ENOUGH = 700;

/** `threads` is null where the browser does not read. */
export function showModel(model: ModelInfo, threads: number | null): void {
  const tasks: Record<string, string> = {
    expression: say("taskExpression"),
    landmarks: say("taskLandmarks"),
    valence_arousal: say("taskAffect"),
  };
  const facts: [string, string | undefined][] = [
    [say("modelName"), model.name],
    [say("modelTasks"), model.tasks.map((task) => tasks[task] ?? task).join(", ")],
    [say("modelClasses"), model.classes.map(className).join(", ")],
    [say("modelInput"), say("modelInputValue", { size: model.input_size, method: model.crop.method })],
    [say("modelLicence"), model.licence],
    [say("runsOn"), threads === null ? undefined : sayCount("runsOnValue", threads)],
  ];
  const nodes = facts.flatMap(([term, text]) => (text ? [make("dt", { text: term }), make("dd", { text })] : []));
  byId("facts").replaceChildren(...nodes);
  const about = byId<HTMLDetailsElement>("about");
  if (about.hidden) about.open = innerWidth > WIDE_ENOUGH;
  about.hidden = false;
  byId("card").hidden = !model.card;
  byId("card").replaceChildren(...renderMarkdown(model.card ?? ""));
  showTasks(model);
}

/** Make room for what the model reads, and say what it does not. */
function showTasks(model: ModelInfo): void {
  const hasAffect = model.tasks.includes("valence_arousal");
  byId("affect").hidden = false;
  byId("affect").classList.toggle("missing", !hasAffect);
  byId("plane").hidden = !hasAffect;
  setText(byId("affect-text"), hasAffect ? "" : say("affectMissing"));
  byId("show-landmarks").hidden = !model.tasks.includes("landmarks");
  byId("hint").hidden = model.crop.method !== "whole";
  setText(byId("hint"), say("wholeHint"));
}
