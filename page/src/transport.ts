// Playback controls of a video file: play, pause, seek.

import { byId, setIcon, setText } from "./dom.ts";
import { t } from "./i18n.ts";
import type { Source } from "./source.ts";

export class Transport {
  private readonly button = byId("play");
  private readonly position = byId<HTMLInputElement>("position");
  private readonly player: HTMLVideoElement;

  constructor(private readonly source: Source) {
    this.player = source.player;
    this.button.addEventListener("click", () => void (this.player.paused ? source.play() : this.player.pause()));
    for (const name of ["play", "pause", "timeupdate"]) this.player.addEventListener(name, () => this.render());
    // The timeline shows the whole video; the slider does the same for the keyboard.
    const timeline = byId("stream");
    timeline.addEventListener("click", ({ offsetX }) => {
      const { duration } = this.player;
      if (this.source.kind === "video" && Number.isFinite(duration)) this.player.currentTime = (offsetX / timeline.clientWidth) * duration;
    });
    this.position.addEventListener("input", () => {
      const { duration } = this.player;
      if (Number.isFinite(duration)) this.player.currentTime = (Number(this.position.value) / 1000) * duration;
    });
  }

  render(): void {
    const { paused, currentTime, duration } = this.player;
    byId("transport").hidden = this.source.kind !== "video";
    setIcon(this.button, paused ? "play" : "pause");
    this.button.setAttribute("aria-label", t(paused ? "play" : "pause"));
    if (this.source.kind !== "video" || !Number.isFinite(duration)) return;
    this.position.value = String(Math.round((1000 * currentTime) / duration));
    this.position.setAttribute("aria-valuetext", clock(currentTime));
    setText(byId("clock"), `${clock(currentTime)} / ${clock(duration)}`);
  }
}

/** Format seconds as minutes:seconds. */
export function clock(seconds: number): string {
  return `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
}
