// onnxruntime is passed in: tests use the Node build, the page the browser build.

import type { InferenceSessionFactory, TensorConstructor } from "onnxruntime-common";

export interface Runtime {
  InferenceSession: InferenceSessionFactory;
  Tensor: TensorConstructor;
}

/** Do something with a network that was loaded; if it fails, the network gives back its memory. */
export async function orRelease<T>(network: { release(): Promise<void> }, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    await network.release();
    throw error;
  }
}

let last: Promise<unknown> = Promise.resolve();

/** Do something with the runtime once everything before has ended: runs of onnxruntime-web at the same time damage each other's values. */
export function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const result = last.then(work);
  last = result.catch(() => undefined);
  return result;
}
