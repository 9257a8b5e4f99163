// Which of the loaded models predicts. One that is no longer needed gives back its memory, which a page has little of.

export interface OpenModel<Network> {
  model: Network;
  file: Uint8Array;
}

export class ModelsInUse<Network extends { release(): Promise<void> }> {
  /** The page's own model, or one that was opened: what is taught is taught from it. */
  base: OpenModel<Network>;
  /** What predicts: the base, or what was taught from it. */
  current: OpenModel<Network>;

  constructor(readonly own: OpenModel<Network>) {
    this.base = this.current = own;
  }

  use(base: OpenModel<Network>, taught = base): void {
    const earlier = new Set([this.base, this.current]);
    [this.base, this.current] = [base, taught];
    for (const one of earlier) if (![this.own, base, taught].includes(one)) void one.model.release();
  }
}
