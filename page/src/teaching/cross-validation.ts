// Folds, nested cross-validation and the temperature, the same as mien.inference.teaching.cross_validation and
// mien.metrics.calibration.

import { fitPath, logitsOf, logSoftmax, type Layer } from "./regression.ts";

export const MAX_FOLDS = 5;
export const MIN_FOLDS = 3;
export const MIN_SHOTS = 5;
export const STRENGTHS = Array.from({ length: 9 }, (_, index) => 10 ** (-index / 2));
const TEMPERATURES = [1 / 50, 50];
const GRID_POINTS = 60;
const GOLDEN_STEPS = 60;
const GOLDEN = (Math.sqrt(5) - 1) / 2;
// The 97.5% quantile of the normal distribution.
const Z = 1.959963984540054;

export interface CrossValidation {
  /** For each face, from layers that did not see its group. */
  logits: number[][];
  strength: number;
  layer: Layer;
}

/** Return a fold for each face: groups stay together, and each class is spread as evenly as they allow. */
export function assignFolds(labels: number[], groups: number[], count: number): number[] {
  const folds = labels.map(() => -1);
  const faces = labels.map((_, index) => index);
  const classes = [...new Set(labels)].map((label) => {
    const members = new Set(faces.filter((face) => labels[face] === label).map((face) => groups[face]));
    return { label, size: members.size };
  });
  for (const { label } of classes.sort((a, b) => a.size - b.size || a.label - b.label)) {
    const sizes = new Map<number, number>();
    for (const face of faces) {
      if (labels[face] === label && folds[face] < 0) sizes.set(groups[face], (sizes.get(groups[face]) ?? 0) + 1);
    }
    const members = [...sizes].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    for (const [group] of members) {
      const filled = (fold: number): number => faces.filter((face) => folds[face] === fold && labels[face] === label).length;
      const all = (fold: number): number => faces.filter((face) => folds[face] === fold).length;
      let best = 0;
      for (let fold = 1; fold < count; fold++) {
        const difference = filled(fold) - filled(best) || all(fold) - all(best);
        if (difference < 0) best = fold;
      }
      for (const face of faces) if (groups[face] === group) folds[face] = best;
    }
  }
  return folds;
}

/** Return weights with which each class has its share. */
export function balance(labels: number[], shares: number[]): number[] {
  const counts = shares.map((_, label) => labels.filter((other) => other === label).length);
  return labels.map((label) => shares[label] / Math.max(counts[label], 1));
}

/** Choose a strength, measure the choice, and fit the layer to all faces. */
export function crossValidate(
  features: ArrayLike<number>[],
  labels: number[],
  folds: number[],
  shares: number[],
): CrossValidation {
  const names = [...new Set(folds)].sort((a, b) => a - b);
  const faces = labels.map((_, index) => index);
  const weights = balance(labels, shares);
  const empty = (): number[][][] => STRENGTHS.map(() => labels.map(() => []));
  const fit = (used: number[]): Layer[] => {
    const part = used.map((face) => labels[face]);
    return fitPath(used.map((face) => features[face]), part, balance(part, shares), shares.length, STRENGTHS);
  };
  const store = (layers: Layer[], held: number[], logits: number[][][]): void =>
    layers.forEach((layer, at) => held.forEach((face) => (logits[at][face] = logitsOf(layer, features[face]))));
  const choose = (logits: number[][][], used: number[]): number => {
    const losses = logits.map((rows) =>
      used.reduce((sum, face) => sum - weights[face] * logSoftmax(rows[face])[labels[face]], 0),
    );
    return losses.indexOf(Math.min(...losses));
  };
  const inner = new Map(names.map((name) => [name, empty()]));
  names.forEach((one, at) => {
    for (const other of names.slice(at + 1)) {
      const layers = fit(faces.filter((face) => folds[face] !== one && folds[face] !== other));
      store(layers, faces.filter((face) => folds[face] === other), inner.get(one)!);
      store(layers, faces.filter((face) => folds[face] === one), inner.get(other)!);
    }
  });
  const outer = empty();
  const nested: number[][] = [];
  for (const name of names) {
    const [held, used] = [faces.filter((face) => folds[face] === name), faces.filter((face) => folds[face] !== name)];
    store(fit(used), held, outer);
    const best = choose(inner.get(name)!, used);
    for (const face of held) nested[face] = outer[best][face];
  }
  const best = choose(outer, faces);
  return { logits: nested, strength: STRENGTHS[best], layer: fit(faces)[best] };
}

/** Return the temperature of held-out logits, for targets that leave room for errors which few faces cannot show. */
export function fitTemperature(logits: number[][], labels: number[], shares: number[]): number {
  const weights = balance(labels, shares);
  const total = weights.reduce((sum, value) => sum + value, 0);
  const counts = shares.map((_, label) => labels.filter((other) => other === label).length);
  const shifted = logits.map((row) => row.map((value) => value - Math.max(...row)));
  const expected = shifted.reduce((sum, row, face) => {
    const n = counts[labels[face]];
    const targets = row.map((_, at) => (at === labels[face] ? n + 1 : 1 / (row.length - 1)) / (n + 2));
    return sum + (weights[face] / total) * row.reduce((inner, value, at) => inner + value * targets[at], 0);
  }, 0);
  const crossEntropy = (logTemperature: number): number => {
    const scale = Math.exp(-logTemperature);
    const sums = shifted.map((row) => Math.log(row.reduce((sum, value) => sum + Math.exp(value * scale), 0)));
    return sums.reduce((sum, value, face) => sum + (weights[face] / total) * value, 0) - expected * scale;
  };
  const [first, last] = TEMPERATURES.map(Math.log);
  const grid = Array.from({ length: GRID_POINTS }, (_, at) => first + ((last - first) * at) / (GRID_POINTS - 1));
  const losses = grid.map(crossEntropy);
  const best = losses.indexOf(Math.min(...losses));
  let low = grid[Math.max(best - 1, 0)];
  let high = grid[Math.min(best + 1, GRID_POINTS - 1)];
  for (let step = 0; step < GOLDEN_STEPS; step++) {
    const left = high - GOLDEN * (high - low);
    const right = low + GOLDEN * (high - low);
    if (crossEntropy(left) <= crossEntropy(right)) high = right;
    else low = left;
  }
  return Math.exp((low + high) / 2);
}

/** Return the recall of each class, their mean, and its 95% interval, as mien.metrics.proportion. */
export function measure(
  labels: number[],
  predicted: number[],
  classes: number,
): { recalls: number[]; counts: number[]; mean: number; interval: [number, number] } {
  const counts = Array.from({ length: classes }, (_, label) => labels.filter((other) => other === label).length);
  const hits = counts.map((_, label) => labels.filter((other, face) => other === label && predicted[face] === label).length);
  const recalls = hits.map((hit, label) => hit / counts[label]);
  const limits = hits.map((hit, label) => wilson(hit, counts[label]));
  const mean = recalls.reduce((sum, value) => sum + value, 0) / classes;
  const half = (side: 0 | 1): number =>
    Math.sqrt(limits.reduce((sum, limit, label) => sum + (recalls[label] - limit[side]) ** 2, 0)) / classes;
  return { recalls, counts, mean, interval: [Math.max(0, mean - half(0)), Math.min(1, mean + half(1))] };
}

/** Return Wilson's 95% interval of a proportion. */
export function wilson(hits: number, n: number): [number, number] {
  const rate = hits / n;
  const extra = Z ** 2 / n;
  const center = (rate + extra / 2) / (1 + extra);
  const half = Math.sqrt(rate * (1 - rate) * extra + extra ** 2 / 4) / (1 + extra);
  return [Math.max(0, center - half), Math.min(1, center + half)];
}
