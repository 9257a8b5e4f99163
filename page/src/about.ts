// The model's metadata and card.

import { byId, make, setText } from "./dom.ts";
import type { ModelInfo } from "./faces/model.ts";
import { renderMarkdown } from "./markdown.ts";
import { className, t, tCount } from "./i18n.ts";

// Pixels of window width from which the details start open.
const OPEN_WIDTH = 700;

/** Show them; `threads` is null if the model does not run in the browser. */
export function showModel(model: ModelInfo, threads: number | null): void {
  const tasks: Record<string, string> = {
    expression: t("taskExpression"),
    landmarks: t("taskLandmarks"),
    valence_arousal: t("taskAffect"),
    action_units: t("taskUnits"),
  };
  const facts: [string, string | undefined][] = [
    [t("modelName"), model.name],
    [t("modelTasks"), model.tasks.map((task) => tasks[task] ?? task).join(t("listSeparator"))],
    [t("modelClasses"), model.classes.map(className).join(t("listSeparator"))],
    [t("modelInput"), t("modelInputValue", { size: model.input_size, method: model.crop.method })],
    [t("modelLicense"), model.license],
    [t("runsOn"), threads === null ? undefined : tCount("runsOnValue", threads)],
  ];
  const nodes = facts.flatMap(([term, text]) => (text ? [make("dt", { text: term }), make("dd", { text })] : []));
  byId("facts").replaceChildren(...nodes);
  const about = byId<HTMLDetailsElement>("about");
  if (about.hidden) about.open = innerWidth > OPEN_WIDTH;
  about.hidden = false;
  byId("card").hidden = !model.card;
  byId("card").replaceChildren(...renderMarkdown(model.card ?? ""));
  const hasAffect = model.tasks.includes("valence_arousal");
  byId("affect").hidden = !hasAffect;
  byId("show-landmarks").hidden = !model.tasks.includes("landmarks");
  byId("hint").hidden = model.crop.method !== "whole";
  setText(byId("hint"), t("wholeHint"));
}
