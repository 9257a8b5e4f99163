// The faces of an image as a row of choices, for the keyboard and the finger.

import { byId, make, setText } from "./dom.ts";
import type { Track } from "./tracks.ts";
import { say } from "./words.ts";

const THUMB_PIXELS = 96;
const THUMB_EVERY_MS = 1500;

export class Chips {
  private readonly list = byId("faces");
  private readonly drawn = new Map<number, number>();

  constructor(private readonly choose: (id: number) => void) {
    this.list.addEventListener("keydown", (event) => this.step(event));
  }

  show(
    tracks: Track[],
    chosen: Track | null,
    image: CanvasImageSource,
    scale: number,
    textOf: (track: Track) => string,
  ): void {
    this.list.hidden = tracks.length < 2;
    if (tracks.length < 2) {
      this.list.replaceChildren();
      this.drawn.clear();
      return;
    }
    this.keep(tracks);
    tracks.forEach((track, index) => {
      const chip = this.list.children[index] as HTMLButtonElement;
      const isChosen = track === chosen;
      chip.setAttribute("aria-checked", String(isChosen));
      chip.tabIndex = isChosen ? 0 : -1;
      setText(chip.querySelector<HTMLElement>("small")!, say("face", { number: index + 1 }));
      setText(chip.querySelector<HTMLElement>("span.text")!, textOf(track));
      this.drawThumb(chip.querySelector("canvas")!, track, image, scale);
    });
  }

  /** Have one chip for each track, in order; the focus stays where it is. */
  private keep(tracks: Track[]): void {
    const ids = tracks.map(({ id }) => String(id));
    const old = new Map([...this.list.children].map((chip) => [(chip as HTMLElement).dataset.id!, chip]));
    if (ids.join() === [...old.keys()].join()) return;
    const hadFocus = this.list.contains(document.activeElement);
    this.list.replaceChildren(...ids.map((id) => old.get(id) ?? this.build(Number(id))));
    for (const id of [...this.drawn.keys()]) if (!ids.includes(String(id))) this.drawn.delete(id);
    if (hadFocus) this.list.querySelector<HTMLElement>('[aria-checked="true"]')?.focus();
  }

  private build(id: number): HTMLElement {
    const thumb = make("canvas");
    thumb.width = thumb.height = THUMB_PIXELS;
    const words = make("span", {}, [make("small"), make("span", { class: "text" })]);
    const chip = make("button", {}, [thumb, words]);
    chip.type = "button";
    chip.dataset.id = String(id);
    chip.setAttribute("role", "radio");
    chip.addEventListener("click", () => this.choose(id));
    return chip;
  }

  private drawThumb(canvas: HTMLCanvasElement, track: Track, image: CanvasImageSource, scale: number): void {
    const now = performance.now();
    if (now - (this.drawn.get(track.id) ?? -Infinity) < THUMB_EVERY_MS) return;
    this.drawn.set(track.id, now);
    const [x0, y0, x1, y1] = track.reading.box.map((value) => value * scale);
    const side = Math.max(x1 - x0, y1 - y0) * 1.15;
    const pen = canvas.getContext("2d")!;
    pen.clearRect(0, 0, THUMB_PIXELS, THUMB_PIXELS);
    pen.drawImage(image, (x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side, side, 0, 0, THUMB_PIXELS, THUMB_PIXELS);
  }

  private step(event: KeyboardEvent): void {
    const chips = [...this.list.children] as HTMLElement[];
    const at = chips.indexOf(document.activeElement as HTMLElement);
    const moves: Record<string, number> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (at < 0 || !(event.key in moves)) return;
    event.preventDefault();
    const next = chips[(at + moves[event.key] + chips.length) % chips.length];
    this.choose(Number(next.dataset.id));
    next.focus();
  }
}
