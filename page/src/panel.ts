// The reading of the chosen face, in words and bars.

import { byId, make, setText } from "./dom.ts";
import type { ModelInfo } from "./faces/model.ts";
import { pageColor } from "./palette.ts";
import { topClass, type Track } from "./tracks.ts";
import { className, percent, say, sayCount } from "./words.ts";

const SPEAK_EVERY_MS = 4000;

export class Panel {
  private readonly which = byId("which");
  private readonly word = byId("word");
  private readonly sure = byId("sure");
  private readonly bars = byId("bars");
  private readonly progress = byId("progress");
  private readonly spoken = byId("spoken");
  private spokenAt = -Infinity;
  private spokenGist = "";
  private classes: string[] = [];

  /** Tell how far the model has come, in [0, 1]; 1 is loaded, but not ready. */
  showLoading(share: number): void {
    this.progress.hidden = false;
    (this.progress.firstElementChild as HTMLElement).style.transform = `scaleX(${share})`;
    this.showWords("", share < 1 ? say("loading", { percent: percent(share) }) : say("preparing"), "");
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
          make("span", { class: "track", hiddenFromReaders: true }, [
            make("span", { class: "fill" }),
            make("span", { class: "tick" }),
          ]),
          make("span", { class: "value" }),
        ]),
      ),
    );
    this.bars.hidden = false;
    byId("threshold-row").hidden = false;
    this.recolor();
  }

  /** After another language or other colours were chosen. */
  recolor(): void {
    [...this.bars.children].forEach((row, index) => {
      row.querySelector<HTMLElement>(".fill")!.style.background = pageColor(this.classes[index]);
      row.querySelector(".name")!.textContent = className(this.classes[index]);
    });
  }

  showWaiting(text: string, hint = ""): void {
    this.showWords("", text, hint);
    this.showBars(null, 0.5);
  }

  showFace(track: Track, faces: Track[], threshold: number, isLive: boolean): void {
    const { probabilities } = track.reading;
    const order = probabilities.map((_, index) => index).sort((a, b) => probabilities[b] - probabilities[a]);
    const [first, second] = order;
    const isUnsure = probabilities[first] < threshold;
    const number = faces.indexOf(track) + 1;
    const face = faces.length > 1 ? say("faceOf", { number, count: faces.length }) : sayCount("nFaces", 1);
    const values = {
      first: className(this.classes[first]),
      firstPercent: percent(probabilities[first]),
      second: className(this.classes[second] ?? ""),
      secondPercent: percent(probabilities[second] ?? 0),
    };
    this.showWords(
      face,
      isUnsure ? say("unsure") : values.first,
      isUnsure ? say("unsureText", values) : say("confident", { percent: values.firstPercent }),
      false,
    );
    this.showBars(probabilities, threshold);
    const reading = say(isUnsure ? "spokenUnsure" : "spokenSure", { name: values.first, percent: values.firstPercent });
    this.speak(say("spokenFace", { face, reading }), `${track.id} ${first} ${isUnsure} ${faces.length}`, isLive);
  }

  private showWords(which: string, word: string, sure: string, isSmall = true): void {
    setText(this.which, which);
    setText(this.word, word);
    setText(this.sure, sure);
    this.word.classList.toggle("small", isSmall);
    if (isSmall) this.speak(word, word, false);
  }

  private showBars(probabilities: number[] | null, threshold: number): void {
    const top = probabilities && probabilities[topClass(probabilities)] >= threshold ? topClass(probabilities) : -1;
    [...this.bars.children].forEach((row, index) => {
      const share = probabilities?.[index] ?? 0;
      const fill = row.querySelector<HTMLElement>(".fill")!;
      fill.style.setProperty("--rest", `${(100 * (1 - share)).toFixed(1)}%`);
      fill.style.opacity = probabilities && top < 0 ? "0.55" : "1";
      row.querySelector<HTMLElement>(".tick")!.style.setProperty("--at", `${threshold * 100}%`);
      setText(row.querySelector<HTMLElement>(".value")!, probabilities ? percent(share) : "");
      row.classList.toggle("top-class", index === top);
    });
  }

  /** Say it to a screen reader: at once for a photograph, now and then for a film, and only what is new. */
  private speak(text: string, gist: string, isLive: boolean): void {
    const now = performance.now();
    if (gist === this.spokenGist || (isLive && now - this.spokenAt < SPEAK_EVERY_MS)) return;
    this.spokenGist = gist;
    this.spokenAt = now;
    this.spoken.textContent = text;
  }
}
