// onnxruntime is passed in: tests use the Node build, the page the browser build.

import type { InferenceSessionFactory, TensorConstructor } from "onnxruntime-common";

export interface Runtime {
  InferenceSession: InferenceSessionFactory;
  Tensor: TensorConstructor;
}
