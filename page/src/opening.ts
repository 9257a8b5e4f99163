// Opening a photograph, the example, a camera or a video file; and saying why one cannot be opened, or has ended.

import { byId, onClick } from "./dom.ts";
import { listenToDrops } from "./drops.ts";
import { messageOf, type Problems } from "./problems.ts";
import type { Source } from "./source.ts";
import { say } from "./words.ts";

const EXAMPLE = "assets/example.jpg";

export class Opening {
  /** Counts what a person wanted to open: the failure of an earlier wish is of no interest. */
  private wish = 0;

  /** `opened` hears of another source, `emptied` that there is none any more. */
  constructor(
    private readonly source: Source,
    private readonly problems: Problems,
    private readonly opened: () => void,
    private readonly emptied: () => void,
  ) {}

  listen(): void {
    const photoFile = byId<HTMLInputElement>("photo-file");
    const videoFile = byId<HTMLInputElement>("video-file");
    for (const id of ["photo", "choose"]) onClick(id, () => photoFile.click());
    for (const id of ["camera", "start-camera"]) onClick(id, () => this.openCamera(null));
    onClick("video", () => videoFile.click());
    onClick("example", () => this.openExample());
    onClick("stop", () => this.stop());
    onClick("other-camera", async () => this.openCamera(await this.source.otherCamera()));
    for (const input of [photoFile, videoFile]) {
      input.addEventListener("change", () => {
        const [file] = input.files ?? [];
        if (file) void this.openFile(file);
        input.value = "";
      });
    }
    listenToDrops((file) => void this.openFile(file));
    this.source.film.addEventListener("error", () => this.tellBrokenVideo());
  }

  private openFile(file: File): Promise<void> {
    const { name } = file;
    const task = () => (file.type.startsWith("video/") ? this.source.openVideo(file, name) : this.source.openPhoto(file, name));
    return this.open(task, () => () => say("errorFile", { name }));
  }

  private openExample(): Promise<void> {
    const task = async () => {
      const response = await fetch(new URL(EXAMPLE, document.baseURI));
      if (!response.ok) throw new Error(`${EXAMPLE}: ${response.status} ${response.statusText}`);
      await this.source.openPhoto(await response.blob(), "example.jpg");
    };
    const explain = (error: unknown) => () => say("errorExample", { detail: messageOf(error) });
    return this.open(task, explain, () => void this.openExample());
  }

  private async openCamera(deviceId: string | null): Promise<void> {
    const retry = (): void => void this.openCamera(deviceId);
    const onEnd = (): void => {
      this.stop();
      this.problems.tell("source", () => say("errorCameraEnded"), retry);
    };
    const task = () => {
      if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("", "SecurityError");
      return this.source.openCamera(deviceId, onEnd);
    };
    await this.open(task, explainCamera, retry);
    if (this.source.kind === "camera") byId("other-camera").hidden = (await this.source.otherCamera()) === null;
  }

  private stop(): void {
    this.source.close();
    this.emptied();
    byId("photo").focus();
  }

  private async open(
    task: () => Promise<void>,
    explain: (error: unknown) => () => string,
    retry: (() => void) | null = null,
  ): Promise<void> {
    const own = ++this.wish;
    this.problems.solve("source", "reading");
    try {
      await task();
    } catch (error) {
      if (own !== this.wish) return;
      if (this.source.kind === "none") this.emptied();
      this.problems.tell("source", explain(error), retry);
      return;
    }
    this.opened();
  }

  private tellBrokenVideo(): void {
    const { film, kind, name } = this.source;
    if (kind !== "video") return; // while it is opened, `open` tells
    const detail = film.error?.message ?? "";
    this.stop();
    this.problems.tell("source", () => say("errorVideoBroken", { name, detail }));
  }
}

function explainCamera(error: unknown): () => string {
  const name = error instanceof Error ? error.name : "";
  if (name === "NotAllowedError") return () => say("errorCameraDenied");
  if (name === "NotFoundError") return () => say("errorCameraMissing");
  if (name === "NotReadableError") return () => say("errorCameraBusy");
  if (name === "SecurityError") return () => say("errorCameraInsecure");
  return () => say("errorCameraOther", { detail: messageOf(error) });
}
