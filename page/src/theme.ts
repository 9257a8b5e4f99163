// Applies the chosen theme before the first paint, and reports if the page's script fails to start. Loaded in the head.

import { t } from "./i18n.ts";
import { loadPreference } from "./preferences.ts";

const root = document.documentElement;
const chosen = loadPreference("theme");
if (chosen === "light" || chosen === "dark") root.dataset.theme = chosen;

addEventListener(
  "error",
  ({ target, message }) => {
    const isScript = target instanceof HTMLScriptElement;
    if (root.dataset.started !== undefined || !(isScript || message)) return;
    const report = (): void => {
      const box = document.getElementById("problem")!;
      box.hidden = false;
      box.textContent = t("errorPage", { detail: isScript ? target.src : message });
    };
    if (document.readyState === "loading") addEventListener("DOMContentLoaded", report);
    else report();
  },
  true,
);
