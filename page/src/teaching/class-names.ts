// The names of classes that people type, as mien.faces.classes.check_new_class_names accepts them.

import { UNSURE } from "../faces/decision-rule.ts";
import type { Refusal } from "./lesson.ts";

/** Return the class that is meant, by its name or one of its translations, in any spelling; else what was typed. */
export function classNamed(typed: string, classes: string[], translationsOf: (name: string) => string[]): string {
  // A name in a file is one line.
  const name = typed.replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]+/gu, " ").trim();
  if (classes.includes(name)) return name;
  const isMeant = (one: string): boolean => spelled(one) === spelled(name);
  return classes.find((known) => [known, ...translationsOf(known)].some(isMeant)) ?? name;
}

/** Return why names cannot be those of classes; null if they can. */
export function refuseNames(names: string[]): Refusal | null {
  const spellings = new Map<string, string>();
  for (const name of names) {
    const key = spelled(name);
    if (key === UNSURE) return { reason: "unsure" };
    const other = spellings.get(key) ?? name;
    if (other !== name) return { reason: "spelling", name, other };
    spellings.set(key, name);
  }
  return null;
}

/** Return a name without what only its spelling makes: case, blanks, and letters with their accents apart. */
function spelled(name: string): string {
  return name.normalize("NFC").trim().replace(/\s+/g, " ").toUpperCase().toLowerCase();
}
