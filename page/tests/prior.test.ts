// Probabilities under another prior are those of Python.

import assert from "node:assert/strict";
import { test } from "node:test";
import { divideByPrior, type Prior } from "../src/faces/prior.ts";
import { topClass } from "../src/faces/decision-rule.ts";
import { mapProbabilities, type Track } from "../src/tracks.ts";
import { golden } from "./golden.ts";

for (const prior of ["as-trained", "half", "balanced"] as Prior[]) {
  test(`the prior ${prior} gives the probabilities of Python`, () => {
    for (const expected of golden.priors) {
      const found = divideByPrior(expected["as-trained"], golden.class_fractions, prior);
      found.forEach((value, index) => assert.ok(Math.abs(value - expected[prior][index]) < 2e-6, `${value}`));
    }
  });
}

test("a class without training faces gets nothing, and nothing at all is uniform", () => {
  assert.deepEqual(divideByPrior([0.4, 0.2, 0.4], [0.8, 0.2, 0], "balanced"), [1 / 3, 2 / 3, 0]);
  assert.deepEqual(divideByPrior([0, 1], [1, 0], "half"), [0.5, 0.5]);
});

test("shown faces and their history are under the prior, and what is tracked stays as trained", () => {
  const moment = { time: 0, probabilities: [0.6, 0.4], valence: null, arousal: null };
  const track = { id: 1, prediction: { probabilities: [0.6, 0.4] }, history: [moment] } as unknown as Track;
  const [shown] = mapProbabilities([track], (values) => divideByPrior(values, [0.9, 0.1], "balanced"));
  assert.equal(topClass(shown.prediction.probabilities), 1);
  assert.equal(topClass(shown.history[0].probabilities), 1);
  assert.deepEqual(track.prediction.probabilities, [0.6, 0.4]);
  assert.deepEqual(track.history[0].probabilities, [0.6, 0.4]);
});
