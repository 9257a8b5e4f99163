// The faces of an image as a row of radio buttons, for keyboard, mouse and touch.

import { byId, make, setText } from "./dom.ts";
import type { Track } from "./tracks.ts";
import { t } from "./i18n.ts";

const THUMB_PIXELS = 96;
const THUMB_EVERY_MS = 1500;

export class Chips {
  private readonly list = byId("faces");
  private readonly drawn = new Map<number, number>();

  constructor(private readonly select: (id: number) => void) {
    this.list.addEventListener("keydown", (event) => this.onKey(event));
  }

  render(
    tracks: Track[],
    selected: Track | null,
    imageOf: () => CanvasImageSource,
    textOf: (track: Track) => string,
  ): void {
    this.list.hidden = tracks.length < 2;
    if (tracks.length < 2) {
      this.list.replaceChildren();
      this.drawn.clear();
      return;
    }
    this.sync(tracks);
    tracks.forEach((track, index) => {
      const chip = this.list.children[index] as HTMLButtonElement;
      const isSelected = track === selected;
      chip.setAttribute("aria-checked", String(isSelected));
      chip.tabIndex = isSelected ? 0 : -1;
      setText(chip.querySelector<HTMLElement>("small")!, t("face", { number: index + 1 }));
      setText(chip.querySelector<HTMLElement>("span.text")!, textOf(track));
      this.drawThumb(chip.querySelector("canvas")!, track, imageOf);
    });
  }

  /** Keep one chip per track, in order, preserving the focus. */
  private sync(tracks: Track[]): void {
    const ids = tracks.map(({ id }) => String(id));
    const old = new Map([...this.list.children].map((chip) => [(chip as HTMLElement).dataset.id!, chip]));
    if (ids.join() === [...old.keys()].join()) return;
    const hadFocus = this.list.contains(document.activeElement);
    this.list.replaceChildren(...ids.map((id) => old.get(id) ?? this.create(Number(id))));
    for (const id of [...this.drawn.keys()]) if (!ids.includes(String(id))) this.drawn.delete(id);
    if (hadFocus) this.list.querySelector<HTMLElement>('[aria-checked="true"]')?.focus();
  }

  private create(id: number): HTMLElement {
    const thumb = make("canvas");
    thumb.width = thumb.height = THUMB_PIXELS;
    const label = make("span", {}, [make("small"), make("span", { class: "text" })]);
    const chip = make("button", {}, [thumb, label]);
    chip.type = "button";
    chip.dataset.id = String(id);
    chip.setAttribute("role", "radio");
    chip.addEventListener("click", () => this.select(id));
    return chip;
  }

  private drawThumb(canvas: HTMLCanvasElement, track: Track, imageOf: () => CanvasImageSource): void {
    const now = performance.now();
    if (now - (this.drawn.get(track.id) ?? -Infinity) < THUMB_EVERY_MS) return;
    this.drawn.set(track.id, now);
    const [x0, y0, x1, y1] = track.prediction.box;
    const side = Math.max(x1 - x0, y1 - y0) * 1.15;
    const ctx = canvas.getContext("2d")!;
    ctx.clearRect(0, 0, THUMB_PIXELS, THUMB_PIXELS);
    ctx.drawImage(imageOf(), (x0 + x1 - side) / 2, (y0 + y1 - side) / 2, side, side, 0, 0, THUMB_PIXELS, THUMB_PIXELS);
  }

  private onKey(event: KeyboardEvent): void {
    const chips = [...this.list.children] as HTMLElement[];
    const at = chips.indexOf(document.activeElement as HTMLElement);
    const moves: Record<string, number> = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
    if (at < 0 || !(event.key in moves)) return;
    event.preventDefault();
    const next = chips[(at + moves[event.key] + chips.length) % chips.length];
    this.select(Number(next.dataset.id));
    next.focus();
  }
}
