// Multinomial logistic regression with an L2 penalty, the same as mien.inference.teaching.regression: features in units of
// their spread, a bias without a penalty, and L-BFGS in the coordinates of the faces.

const TOLERANCE = 1e-6;
const MAX_STEPS = 500;
const PAIRS = 10;

/** Logits are `features · weight + bias`, a row of `weight` and a bias for each class. */
export interface Layer {
  weight: Float64Array[];
  bias: Float64Array;
}

export function logitsOf(layer: Layer, features: ArrayLike<number>): number[] {
  return layer.weight.map((row, index) => dot(row, features) + layer.bias[index]);
}

export function dot(one: ArrayLike<number>, other: ArrayLike<number>): number {
  let sum = 0;
  for (let index = 0; index < one.length; index++) sum += one[index] * other[index];
  return sum;
}

/** Return the logarithm of the softmax. */
export function logSoftmax(logits: number[]): number[] {
  const top = Math.max(...logits);
  const total = Math.log(logits.reduce((sum, value) => sum + Math.exp(value - top), 0));
  return logits.map((value) => value - top - total);
}

/** Return the layer for each strength of the penalty. */
export function fitPath(
  features: ArrayLike<number>[],
  labels: number[],
  weights: number[],
  classes: number,
  strengths: number[],
): Layer[] {
  const total = weights.reduce((sum, value) => sum + value, 0);
  const share = weights.map((value) => value / total);
  const size = features[0].length;
  const mean = new Float64Array(size);
  features.forEach((row, index) => addTo(mean, row, share[index]));
  const centered = features.map((row) => Float64Array.from(row, (value, at) => value - mean[at]));
  const unit = Math.sqrt(centered.reduce((sum, row, index) => sum + share[index] * dot(row, row), 0)) || 1;
  for (const row of centered) row.forEach((value, at) => (row[at] = value / unit));
  const axes = orthonormalize(centered);
  const points = centered.map((row) => Float64Array.from([...axes.map((axis) => dot(row, axis)), 1]));
  const width = axes.length + 1;

  const loss = (values: Float64Array, strength: number): { value: number; gradient: Float64Array } => {
    const gradient = new Float64Array(values.length);
    let value = 0;
    points.forEach((point, index) => {
      const rows = Array.from({ length: classes }, (_, at) => dot(values.subarray(at * width, (at + 1) * width), point));
      const logs = logSoftmax(rows);
      value -= share[index] * logs[labels[index]];
      logs.forEach((log, at) => {
        const factor = share[index] * (Math.exp(log) - (at === labels[index] ? 1 : 0));
        addTo(gradient.subarray(at * width, (at + 1) * width), point, factor);
      });
    });
    values.forEach((entry, at) => {
      if (at % width === width - 1) return;
      value += 0.5 * strength * entry * entry;
      gradient[at] += strength * entry;
    });
    return { value, gradient };
  };

  const curvature = new Float64Array(width);
  points.forEach((point, index) => point.forEach((entry, at) => (curvature[at] += 0.5 * share[index] * entry * entry)));
  let solution: Float64Array = new Float64Array(classes * width);
  return strengths.map((strength) => {
    const diagonal = Float64Array.from(solution, (_, at) => {
      const axis = at % width;
      return curvature[axis] + (axis === width - 1 ? 0 : strength) + 1e-12;
    });
    solution = minimize((values) => loss(values, strength), solution, diagonal);
    return layerOf(solution, axes, mean, unit, classes);
  });
}

function layerOf(solution: Float64Array, axes: Float64Array[], mean: Float64Array, unit: number, classes: number): Layer {
  const width = axes.length + 1;
  const weight: Float64Array[] = [];
  const bias = new Float64Array(classes);
  for (let index = 0; index < classes; index++) {
    const row = new Float64Array(mean.length);
    axes.forEach((axis, at) => addTo(row, axis, solution[index * width + at] / unit));
    weight.push(row);
    bias[index] = solution[(index + 1) * width - 1] - dot(row, mean);
  }
  const middle = bias.reduce((sum, value) => sum + value, 0) / classes;
  return { weight, bias: bias.map((value) => value - middle) };
}

function addTo(target: Float64Array, values: ArrayLike<number>, factor: number): void {
  for (let index = 0; index < target.length; index++) target[index] += factor * values[index];
}

/** Return orthonormal axes that span the rows: Gram-Schmidt, twice for accuracy. */
function orthonormalize(rows: Float64Array[]): Float64Array[] {
  const axes: Float64Array[] = [];
  for (const row of rows) {
    const rest = row.slice();
    for (let pass = 0; pass < 2; pass++) for (const axis of axes) addTo(rest, axis, -dot(rest, axis));
    const length = Math.sqrt(dot(rest, rest));
    if (length > 1e-9) axes.push(rest.map((value) => value / length));
  }
  return axes;
}

/** Return the minimum of a smooth convex function: L-BFGS with step halving. */
function minimize(
  loss: (point: Float64Array) => { value: number; gradient: Float64Array },
  start: Float64Array,
  diagonal: Float64Array,
): Float64Array {
  let point = start;
  let { value, gradient } = loss(point);
  let steps: { moved: Float64Array; changed: Float64Array }[] = [];
  for (let step = 0; step < MAX_STEPS; step++) {
    if (gradient.every((entry) => Math.abs(entry) < TOLERANCE)) break;
    const direction = gradient.map((entry) => -entry);
    const factors: number[] = [];
    for (const { moved, changed } of [...steps].reverse()) {
      const factor = dot(moved, direction) / dot(moved, changed);
      factors.unshift(factor);
      addTo(direction, changed, -factor);
    }
    direction.forEach((entry, at) => (direction[at] = entry / diagonal[at]));
    steps.forEach(({ moved, changed }, at) =>
      addTo(direction, moved, factors[at] - dot(changed, direction) / dot(moved, changed)),
    );
    const slope = dot(gradient, direction);
    let size = 1;
    let candidate: Float64Array;
    let next: { value: number; gradient: Float64Array };
    for (;;) {
      candidate = point.map((entry, at) => entry + size * direction[at]);
      next = loss(candidate);
      if (next.value <= value + 1e-4 * size * slope || size < 1e-10) break;
      size /= 2;
    }
    const moved = candidate.map((entry, at) => entry - point[at]);
    const changed = next.gradient.map((entry, at) => entry - gradient[at]);
    if (dot(moved, changed) > 1e-14 * dot(changed, changed)) steps = [...steps.slice(-PAIRS + 1), { moved, changed }];
    if (next.value >= value) break;
    point = candidate;
    ({ value, gradient } = next);
  }
  return point;
}
