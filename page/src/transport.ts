// Playing, pausing and seeking a video file.

import { byId, setIcon, setText } from "./dom.ts";
import type { Source } from "./source.ts";
import { say } from "./words.ts";

export class Transport {
  private readonly button = byId("play");
  private readonly position = byId<HTMLInputElement>("position");
  private readonly film: HTMLVideoElement;

  constructor(private readonly source: Source) {
    this.film = source.film;
    this.button.addEventListener("click", () => void (this.film.paused ? source.play() : this.film.pause()));
    for (const name of ["play", "pause", "timeupdate"]) this.film.addEventListener(name, () => this.show());
    this.position.addEventListener("input", () => {
      const { duration } = this.film;
      if (Number.isFinite(duration)) this.film.currentTime = (Number(this.position.value) / 1000) * duration;
    });
  }

  show(): void {
    const { paused, currentTime, duration } = this.film;
    byId("transport").hidden = this.source.kind !== "video";
    setIcon(this.button, paused ? "play" : "pause");
    this.button.setAttribute("aria-label", say(paused ? "play" : "pause"));
    if (this.source.kind !== "video" || !Number.isFinite(duration)) return;
    this.position.value = String(Math.round((1000 * currentTime) / duration));
    this.position.setAttribute("aria-valuetext", clock(currentTime));
    setText(byId("clock"), `${clock(currentTime)} / ${clock(duration)}`);
  }
}

export function clock(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}
