// Light or dark theme: the system's, or the one a person chooses.

import { byId, setIcon } from "./dom.ts";
import { t } from "./i18n.ts";
import { savePreference } from "./preferences.ts";

const ORDER = ["", "light", "dark"];

/** Make the button cycle through system, light and dark; `onChange` is called after every change, also the system's. */
export function listenToTheme(onChange: () => void): void {
  byId("theme").addEventListener("click", () => {
    const next = ORDER[(ORDER.indexOf(document.documentElement.dataset.theme ?? "") + 1) % ORDER.length];
    savePreference("theme", next);
    document.documentElement.dataset.theme = next;
    onChange();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
}

export function showThemeButton(): void {
  const theme = document.documentElement.dataset.theme || "auto";
  const button = byId("theme");
  const label = t(theme === "light" ? "themeLight" : theme === "dark" ? "themeDark" : "themeAuto");
  setIcon(button, theme);
  button.setAttribute("aria-label", label);
  button.title = label;
}
