// How a face's probabilities become the expression that is reported, as src/mien/inference/decision_rule.py and label_sets.py.

import type { FacePrediction, LabelSets } from "./model.ts";
import { rightAnswers, type QualityRule } from "./quality.ts";

/** The expression of a face whose prediction is not to be trusted. */
export const UNSURE = "unsure";
const LOW_CONFIDENCE = "low confidence";

export interface Decision {
  /** The most probable class, or `unsure`. */
  expression: string;
  /** Probability of the most probable class; for a face that is hard to see, at most the share of right answers for such faces. */
  confidence: number;
  /** Why the expression is `unsure`; otherwise empty. */
  reason: string;
}

/** Return the index of the top-1 class. */
export function topClass(probabilities: number[]): number {
  return probabilities.reduce((best, value, index) => (value > probabilities[best] ? index : best), 0);
}

/** Decide on an expression; `prediction.reason` is that of the model's quality rule, which is not applied if it is empty. */
export function decide(prediction: Pick<FacePrediction, "probabilities" | "reason">, classes: string[], minConfidence = 0, rule?: QualityRule): Decision {
  const top = topClass(prediction.probabilities);
  const confidence = prediction.probabilities[top];
  const reason = prediction.reason || (confidence < minConfidence ? LOW_CONFIDENCE : "");
  return { expression: reason ? UNSURE : classes[top], confidence: Math.min(confidence, rightAnswers(prediction.reason, rule)), reason };
}

/** Return the classes that a face may have, from probabilities as trained. */
export function labelSetOf(probabilities: number[], classes: string[], { limits }: LabelSets): string[] {
  return classes.filter((name, index) => limits[name] === null || 1 - probabilities[index] <= limits[name] + 1e-9);
}
