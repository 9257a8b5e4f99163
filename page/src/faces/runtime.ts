// onnxruntime as it is handed in: the tests use node's build, the page the browser's, and no other file imports it.

import type { InferenceSessionFactory, TensorConstructor } from "onnxruntime-common";

export interface Runtime {
  InferenceSession: InferenceSessionFactory;
  Tensor: TensorConstructor;
}
