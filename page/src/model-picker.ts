// Predicting with a model file from this device instead of the page's own.

import { byId, onClick } from "./dom.ts";
import { t } from "./i18n.ts";
import type { PredictionLoop } from "./prediction-loop.ts";
import { messageOf, type Problems } from "./problems.ts";
import type { State } from "./state.ts";

// An ONNX file may have 2 GB, but a page has less memory.
const MAX_BYTES = 1024 ** 3;

/** Whether a file is meant as a model, by its name. */
export function isModelFile({ name }: File): boolean {
  return name.toLowerCase().endsWith(".onnx");
}

export class ModelPicker {
  private isBusy = false;
  /** The file that was dropped while the page's own model is loaded; it is opened afterwards. */
  private waiting: File | null = null;

  /** `onChange` is called when another model is in use. */
  constructor(
    private readonly state: State,
    private readonly loop: PredictionLoop,
    private readonly problems: Problems,
    private readonly onChange: () => void,
  ) {}

  listen(): void {
    const input = byId<HTMLInputElement>("model-file");
    onClick("model-open", () => input.click());
    onClick("model-close", () => this.close());
    input.addEventListener("change", () => {
      const [file] = input.files ?? [];
      input.value = "";
      if (file) void this.open(file);
    });
  }

  render(): void {
    byId<HTMLButtonElement>("model-open").disabled = this.isBusy || !this.loop.predictor.isReady;
    byId("model-close").hidden = this.state.isOwnModel;
  }

  /** The page's own model has been loaded, or cannot be. */
  onLoad(): void {
    const file = this.waiting;
    this.waiting = null;
    this.render();
    if (file) void this.open(file);
  }

  /** Use a file; if it cannot be used, say why, and keep the model. */
  async open(file: File): Promise<void> {
    if (this.isBusy) return;
    if (this.state.isLoading) {
      this.waiting = file;
      return;
    }
    this.isBusy = true;
    this.problems.clear("modelFile");
    this.render();
    try {
      if (file.size > MAX_BYTES) throw new Error(t("modelTooLarge", { size: MAX_BYTES / 1024 ** 2 }));
      const bytes = new Uint8Array(await file.arrayBuffer());
      const name = file.name.replace(/\.onnx$/i, "");
      this.loop.useModel(await this.loop.predictor.ask({ kind: "open", file: bytes, name }), false);
      this.onChange();
    } catch (error) {
      const detail = messageOf(error);
      this.problems.report("modelFile", () => t("errorModelFile", { name: file.name, detail }));
    }
    this.isBusy = false;
    this.render();
  }

  private async close(): Promise<void> {
    this.problems.clear("modelFile");
    this.loop.useModel(await this.loop.predictor.ask({ kind: "close" }), true);
    this.onChange();
    this.render();
  }
}
