// The page's words, in English or Chinese. The choice is remembered; the browser's language decides until it is made.

import { recall, remember } from "./memory.ts";
import { en } from "./words/en.ts";
import { zh } from "./words/zh.ts";

export type Language = "en" | "zh";
type Words = typeof en;
type Key = { [K in keyof Words]: Words[K] extends string ? K : never }[keyof Words];
type CountKey = { [K in keyof Words]: Words[K] extends { one: string; other: string } ? K : never }[keyof Words];
type Values = Record<string, string | number>;

const languages: Record<Language, { words: Words; tag: string }> = {
  en: { words: en, tag: "en" },
  zh: { words: zh, tag: "zh-CN" },
};

let language: Language = startLanguage();

function startLanguage(): Language {
  const chosen = recall("language");
  if (chosen === "en" || chosen === "zh") return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export function currentLanguage(): Language {
  return language;
}

export function setLanguage(chosen: Language): void {
  language = chosen;
  remember("language", chosen);
}

export function say(key: Key, values: Values = {}): string {
  return fill(languages[language].words[key], values);
}

export function sayCount(key: CountKey, count: number): string {
  const forms = languages[language].words[key];
  return fill(count === 1 ? forms.one : forms.other, { count });
}

export function className(name: string): string {
  return languages[language].words.classes[name] ?? name;
}

export function percent(share: number, digits = 0): string {
  const rounded = (share * 100).toFixed(digits);
  return language === "zh" ? `${rounded}%` : `${rounded}\u00a0%`;
}

export function signed(value: number): string {
  return `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;
}

function fill(text: string, values: Values): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole));
}

/** Put the words into the page: `data-say` for text, `data-say-label` for what a screen reader says. */
export function translatePage(): void {
  document.documentElement.lang = languages[language].tag;
  document.title = say("title");
  for (const node of document.querySelectorAll<HTMLElement>("[data-say]")) {
    node.textContent = say(node.dataset.say as Key);
  }
  for (const node of document.querySelectorAll<HTMLElement>("[data-say-label]")) {
    const label = say(node.dataset.sayLabel as Key);
    node.setAttribute("aria-label", label);
    if (node.matches("button")) node.title = label;
  }
}
