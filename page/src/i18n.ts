// The page's texts in English or Chinese. The browser's language is used until a person chooses one, which is remembered.

import { en } from "./locales/en.ts";
import { zh } from "./locales/zh.ts";
import { loadPreference, savePreference } from "./preferences.ts";

export type Language = "en" | "zh";
type Texts = typeof en;
type Key = { [K in keyof Texts]: Texts[K] extends string ? K : never }[keyof Texts];
type PluralKey = { [K in keyof Texts]: Texts[K] extends { one: string; other: string } ? K : never }[keyof Texts];
type Values = Record<string, string | number>;

const languages: Record<Language, { texts: Texts; tag: string }> = {
  en: { texts: en, tag: "en" },
  zh: { texts: zh, tag: "zh-CN" },
};

let language: Language = initialLanguage();

function initialLanguage(): Language {
  const chosen = loadPreference("language");
  if (chosen === "en" || chosen === "zh") return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export function currentLanguage(): Language {
  return language;
}

export function setLanguage(chosen: Language): void {
  language = chosen;
  savePreference("language", chosen);
}

/** Return a text with its `{placeholders}` filled in. */
export function t(key: Key, values: Values = {}): string {
  return fill(languages[language].texts[key], values);
}

/** Return the singular or plural form of a text. */
export function tCount(key: PluralKey, count: number): string {
  const forms = languages[language].texts[key];
  return fill(count === 1 ? forms.one : forms.other, { count });
}

export function className(name: string): string {
  return languages[language].texts.classes[name] ?? name;
}

/** Return what a class is called in each language. */
export function classNames(name: string): string[] {
  return Object.values(languages).map(({ texts }) => texts.classes[name] ?? name);
}

/** Return why a face is hard to see. */
export function reasonName(reason: string): string {
  return languages[language].texts.reasons[reason] ?? reason;
}

/** Return what an action unit such as AU06 does; empty if it has no name. */
export function unitTitle(name: string): string {
  return languages[language].texts.units[name] ?? "";
}

/** Format a fraction as a percentage. */
export function percent(fraction: number, digits = 0): string {
  return `${(fraction * 100).toFixed(digits)}%`;
}

export function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}

function fill(text: string, values: Values): string {
  return text.replace(/\{(\w+)\}/g, (match, name: string) => (name in values ? String(values[name]) : match));
}

/** Set the texts of the page: `data-i18n` for the content, `data-i18n-label` for the accessible name. */
export function translatePage(): void {
  document.documentElement.lang = languages[language].tag;
  document.title = t("title");
  for (const node of document.querySelectorAll<HTMLElement>("[data-i18n]")) {
    node.textContent = t(node.dataset.i18n as Key);
  }
  for (const node of document.querySelectorAll<HTMLElement>("[data-i18n-label]")) {
    const label = t(node.dataset.i18nLabel as Key);
    node.setAttribute("aria-label", label);
    if (node.matches("button")) node.title = label;
  }
}
