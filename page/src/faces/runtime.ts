// onnxruntime is passed in: tests use the Node build, the page the browser build.

import type { InferenceSessionFactory, TensorConstructor } from "onnxruntime-common";

export interface Runtime {
  InferenceSession: InferenceSessionFactory;
  Tensor: TensorConstructor;
}

let last: Promise<unknown> = Promise.resolve();

/** Do something with the runtime once everything before has ended: runs of onnxruntime-web at the same time damage each other's values. */
export function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const result = last.then(work);
  last = result.catch(() => undefined);
  return result;
}
