// The action units of the selected face: a bar for each, for models that predict them.

import { byId, make, setText } from "./dom.ts";
import { presentFrom, unitsOf, type ActionUnits, type ModelInfo } from "./faces/model.ts";
import { percent, t, unitTitle } from "./i18n.ts";
import type { Track } from "./tracks.ts";

const MAX_INTENSITY = 5;

export class UnitsPanel {
  private readonly bars = byId("unit-bars");
  private units: ActionUnits | null = null;

  prepare(info: ModelInfo): void {
    this.units = unitsOf(info);
    byId("units").hidden = this.units === null;
    this.bars.replaceChildren(
      ...(this.units?.names ?? []).map((name) =>
        make("li", {}, [
          make("span", { class: "name", text: name }),
          make("span", { class: "track", ariaHidden: true }, [
            make("span", { class: "fill" }),
            make("span", { class: "tick" }),
          ]),
          make("span", { class: "value" }),
        ]),
      ),
    );
    this.translate();
  }

  /** Update the names after the language changed. */
  translate(): void {
    if (!this.units) return;
    setText(byId("units-text"), t(this.units.kind === "presence" ? "unitsPresence" : "unitsIntensity"));
    [...this.bars.children].forEach((row, index) => {
      const name = this.units!.names[index];
      row.querySelector(".name")!.textContent = `${name} ${unitTitle(name)}`.trim();
    });
  }

  show(track: Track | null): void {
    if (!this.units) return;
    const { kind } = this.units;
    const largest = kind === "presence" ? 1 : MAX_INTENSITY;
    const threshold = presentFrom(this.units);
    const values = track?.prediction.actionUnits ?? null;
    [...this.bars.children].forEach((row, index) => {
      const value = values?.[index] ?? 0;
      row.querySelector<HTMLElement>(".fill")!.style.setProperty("--rest", `${(100 * (1 - value / largest)).toFixed(1)}%`);
      row.querySelector<HTMLElement>(".tick")!.style.setProperty("--at", `${(100 * threshold) / largest}%`);
      const text = kind === "presence" ? percent(value) : value.toFixed(1);
      setText(row.querySelector<HTMLElement>(".value")!, values ? text : "");
      row.classList.toggle("top-class", values !== null && value >= threshold);
    });
  }
}
