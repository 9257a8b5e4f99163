// How common the classes are taken to be, as `--prior` of `mien predict`.

/** By which power of the class fractions trained on the probabilities are divided. */
const EXPONENTS = { "as-trained": 0, half: 0.5, balanced: 1 };

export type Prior = keyof typeof EXPONENTS;

/** Divide probabilities by the prior and renormalize them; a class without training faces gets 0. */
export function divideByPrior(probabilities: number[], classFractions: number[], prior: Prior): number[] {
  const exponent = EXPONENTS[prior];
  if (exponent === 0) return probabilities;
  const weighted = probabilities.map((value, index) =>
    classFractions[index] > 0 ? value / classFractions[index] ** exponent : 0,
  );
  const total = weighted.reduce((sum, value) => sum + value, 0);
  return weighted.map((value) => (total > 0 ? value / total : 1 / weighted.length));
}
