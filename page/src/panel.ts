// The prediction for the selected face: headline and bars.

import { byId, make, setText } from "./dom.ts";
import { decide, topClass } from "./faces/decision-rule.ts";
import type { ModelInfo } from "./faces/model.ts";
import { pageColor } from "./palette.ts";
import type { Track } from "./tracks.ts";
import { className, percent, reasonName, t, tCount } from "./i18n.ts";

const SPEAK_EVERY_MS = 4000;

export class Panel {
  private readonly faceName = byId("face-name");
  private readonly headline = byId("headline");
  private readonly confidence = byId("confidence");
  private readonly bars = byId("bars");
  private readonly progress = byId("progress");
  private readonly spoken = byId("spoken");
  private spokenAt = -Infinity;
  private spokenKey = "";
  private classes: string[] = [];

  /** Show the loading progress, in [0, 1]; 1 is loaded, but not ready. */
  showLoading(fraction: number): void {
    this.progress.hidden = false;
    (this.progress.firstElementChild as HTMLElement).style.transform = `scaleX(${fraction})`;
    this.showText("", fraction < 1 ? t("loading", { percent: percent(fraction) }) : t("preparing"), "");
  }

  hideLoading(): void {
    this.progress.hidden = true;
  }

  prepare(info: ModelInfo): void {
    this.classes = info.classes;
    this.bars.replaceChildren(
      ...info.classes.map((name) =>
        make("li", {}, [
          make("span", { class: "name", text: className(name) }),
          make("span", { class: "track", ariaHidden: true }, [
            make("span", { class: "fill" }),
            make("span", { class: "tick" }),
          ]),
          make("span", { class: "value" }),
        ]),
      ),
    );
    this.bars.hidden = false;
    byId("threshold-row").hidden = false;
    byId("min-face-row").hidden = false;
    byId("prior-row").hidden = !info.class_fractions;
    this.recolor();
  }

  /** Update class names and colors after the language or theme changed. */
  recolor(): void {
    [...this.bars.children].forEach((row, index) => {
      row.querySelector<HTMLElement>(".fill")!.style.background = pageColor(this.classes[index]);
      row.querySelector(".name")!.textContent = className(this.classes[index]);
    });
  }

  showWaiting(text: string, hint = ""): void {
    this.showText("", text, hint);
    this.showBars(null, 0.5);
  }

  showFace(track: Track, faces: Track[], threshold: number, isLive: boolean): void {
    const { probabilities, reason } = track.prediction;
    const order = probabilities.map((_, index) => index).sort((a, b) => probabilities[b] - probabilities[a]);
    const [first, second] = order;
    const isUnsure = decide(track.prediction, this.classes, threshold).reason !== "";
    const number = faces.indexOf(track) + 1;
    const face = faces.length > 1 ? t("faceOf", { number, count: faces.length }) : tCount("nFaces", 1);
    const values = {
      first: className(this.classes[first]),
      firstPercent: percent(probabilities[first]),
      second: className(this.classes[second] ?? ""),
      secondPercent: percent(probabilities[second] ?? 0),
    };
    this.showText(
      face,
      isUnsure ? t("unsure") : values.first,
      reason ? t("unsureReason", { ...values, reason: reasonName(reason) }) : isUnsure ? t("unsureText", values) : t("confident", { percent: values.firstPercent }),
      false,
    );
    this.showBars(probabilities, reason ? Infinity : threshold);
    const result = t(isUnsure ? "spokenUnsure" : "spokenSure", { name: values.first, percent: values.firstPercent });
    this.speak(t("spokenFace", { face, result }), `${track.id} ${first} ${isUnsure} ${faces.length}`, isLive);
  }

  private showText(faceName: string, headline: string, confidence: string, isSmall = true): void {
    setText(this.faceName, faceName);
    setText(this.headline, headline);
    setText(this.confidence, confidence);
    this.headline.classList.toggle("small", isSmall);
    if (isSmall) this.speak(headline, headline, false);
  }

  private showBars(probabilities: number[] | null, threshold: number): void {
    const top = probabilities && probabilities[topClass(probabilities)] >= threshold ? topClass(probabilities) : -1;
    [...this.bars.children].forEach((row, index) => {
      const probability = probabilities?.[index] ?? 0;
      const fill = row.querySelector<HTMLElement>(".fill")!;
      fill.style.setProperty("--rest", `${(100 * (1 - probability)).toFixed(1)}%`);
      fill.style.opacity = probabilities && top < 0 ? "0.55" : "1";
      if (Number.isFinite(threshold)) {
        row.querySelector<HTMLElement>(".tick")!.style.setProperty("--at", `${threshold * 100}%`);
      }
      setText(row.querySelector<HTMLElement>(".value")!, probabilities ? percent(probability) : "");
      row.classList.toggle("top-class", index === top);
    });
  }

  /** Announce it to screen readers: immediately for photos, every few seconds for video, and only what is new. */
  private speak(text: string, key: string, isLive: boolean): void {
    const now = performance.now();
    if (key === this.spokenKey || (isLive && now - this.spokenAt < SPEAK_EVERY_MS)) return;
    this.spokenKey = key;
    this.spokenAt = now;
    this.spoken.textContent = text;
  }
}
