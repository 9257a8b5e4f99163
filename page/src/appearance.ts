// Light or dark, as the system has it or as a person chooses.

import { byId, setIcon } from "./dom.ts";
import { remember } from "./memory.ts";
import { say } from "./words.ts";

const ORDER = ["", "light", "dark"];

/** Let the button go round the three choices; `tell` hears of every change, the system's too. */
export function listenToAppearance(tell: () => void): void {
  byId("theme").addEventListener("click", () => {
    const next = ORDER[(ORDER.indexOf(document.documentElement.dataset.theme ?? "") + 1) % ORDER.length];
    remember("theme", next);
    document.documentElement.dataset.theme = next;
    tell();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", tell);
}

export function showAppearance(): void {
  const theme = document.documentElement.dataset.theme || "auto";
  const button = byId("theme");
  const label = say(theme === "light" ? "themeLight" : theme === "dark" ? "themeDark" : "themeAuto");
  setIcon(button, theme);
  button.setAttribute("aria-label", label);
  button.title = label;
}
