// What a model file says about itself, read from its own metadata, so that it needs no model.json beside it.

import { checkInfo, type ModelInfo } from "./model.ts";
import { fieldsOf } from "./protobuf.ts";

// ModelProto.metadata_props is field 14; of each entry, key is field 1 and value field 2.
const METADATA = 14;
const KEY = 1;
const VALUE = 2;
const WHAT = "The model";
// With these values the loss counts every face once, so that the fractions are those of the faces.
const PLAIN_RECIPE = { "data.sampling": "uniform", "schedule.loss.class_weights": "none", "schedule.loss.logit_adjustment": 0 };

/** Read the metadata of a model file written by `mien export`. */
export function readInfo(file: Uint8Array): ModelInfo {
  const decoder = new TextDecoder();
  for (const entry of fieldsOf(file, 0, file.length, WHAT)) {
    if (entry.number !== METADATA) continue;
    const texts: Record<number, string> = {};
    for (const part of fieldsOf(file, entry.contentStart, entry.end, WHAT)) {
      texts[part.number] = decoder.decode(file.subarray(part.contentStart, part.end));
    }
    if (texts[KEY] !== "mien") continue;
    const info = checkInfo(JSON.parse(texts[VALUE] ?? "null") as ModelInfo);
    return { ...info, class_fractions: info.class_fractions ?? classFractions(info) };
  }
  throw new Error("The model was not written by mien: it lacks the metadata `mien`. Use a file written by `mien export`");
}

/** Return the fraction of each class that the model was trained on; null if the file does not record it. */
function classFractions(info: ModelInfo): number[] | null {
  const { pack, recipe } = (info.training ?? {}) as { pack?: Record<string, unknown>; recipe?: Record<string, unknown> };
  const isPlain = Object.entries(PLAIN_RECIPE).every(([key, plain]) => (valueAt(recipe, key) ?? plain) === plain);
  const values = pack?.class_fractions ?? (isPlain ? pack?.train_counts : null);
  if (!Array.isArray(values) || values.length !== info.classes.length) return null;
  const total = values.reduce((sum: number, value: number) => sum + value, 0);
  return total > 0 ? values.map((value: number) => value / total) : null;
}

function valueAt(values: unknown, path: string): unknown {
  return path.split(".").reduce((inner: unknown, name) => (inner as Record<string, unknown> | undefined)?.[name], values);
}
