// Sets the chosen colours before the page is painted, and tells where the page itself does not start. Loaded in the head.

import { recall } from "./memory.ts";
import { say } from "./words.ts";

const page = document.documentElement;
const chosen = recall("theme");
if (chosen === "light" || chosen === "dark") page.dataset.theme = chosen;

addEventListener(
  "error",
  ({ target, message }) => {
    const isOfScript = target instanceof HTMLScriptElement;
    if (page.dataset.runs !== undefined || !(isOfScript || message)) return;
    const tell = (): void => {
      const box = document.getElementById("problem")!;
      box.hidden = false;
      box.textContent = say("errorPage", { detail: isOfScript ? target.src : message });
    };
    if (document.readyState === "loading") addEventListener("DOMContentLoaded", tell);
    else tell();
  },
  true,
);
