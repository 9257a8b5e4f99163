// Opens photos, the example, cameras and video files, and reports why one cannot be opened or has ended.

import type { Album } from "./album.ts";
import { versioned } from "./assets.ts";
import { byId, onClick } from "./dom.ts";
import { listenForFiles } from "./file-drop.ts";
import { isModelFile } from "./model-picker.ts";
import { messageOf, type Problems } from "./problems.ts";
import type { Source } from "./source.ts";
import { t } from "./i18n.ts";

const EXAMPLE = "example.jpg";

/** Opens something and returns true, unless another request has come meanwhile. */
type Task = (isStale: () => boolean) => Promise<boolean>;

export class SourcePicker {
  /** Number of the latest request to open something; earlier ones that succeed or fail later are ignored. */
  private request = 0;

  /** `onOpen` is called after a source was opened, `onClose` when there is none anymore, `onAlbum` after choosing files, `onModel` with a model file. */
  constructor(
    private readonly source: Source,
    private readonly album: Album,
    private readonly problems: Problems,
    private readonly onOpen: () => void,
    private readonly onClose: () => void,
    private readonly onAlbum: () => void,
    private readonly onModel: (file: File) => void,
  ) {}

  listen(): void {
    const photoFile = byId<HTMLInputElement>("photo-file");
    const videoFile = byId<HTMLInputElement>("video-file");
    for (const id of ["photo", "choose"]) onClick(id, () => photoFile.click());
    for (const id of ["camera", "start-camera"]) onClick(id, () => this.openCamera(null));
    onClick("video", () => videoFile.click());
    onClick("example", () => this.openExample());
    onClick("stop", () => {
      this.request++;
      this.stop();
    });
    onClick("other-camera", async () => this.openCamera(await this.source.nextCamera()));
    for (const input of [photoFile, videoFile]) {
      input.addEventListener("change", () => {
        this.openFiles([...(input.files ?? [])]);
        input.value = "";
      });
    }
    listenForFiles((files) => this.openFiles(files));
    this.album.listen((file) => void this.openFile(file));
    this.source.player.addEventListener("error", () => this.reportBrokenVideo());
  }

  private openFiles(files: File[]): void {
    const [first] = files;
    if (!first) return;
    if (isModelFile(first)) return this.onModel(first);
    const hasVideo = files.some(({ type }) => type.startsWith("video/"));
    if (files.length > 1 && hasVideo) return this.problems.report("source", () => t("errorManyVideos"));
    this.album.open(files.length > 1 ? files : []);
    // Even if the first photo cannot be opened.
    void this.openFile(first).then(this.onAlbum);
  }

  private openFile(file: File): Promise<void> {
    const { name } = file;
    const { source } = this;
    const task: Task = (isStale) => (file.type.startsWith("video/") ? source.openVideo(file, name, isStale) : source.openPhoto(file, name, isStale));
    return this.open(task, () => () => t("errorFile", { name }));
  }

  private openExample(): Promise<void> {
    this.album.open([]);
    const task: Task = async (isStale) => {
      const response = await fetch(new URL(`assets/${versioned(EXAMPLE)}`, document.baseURI));
      if (!response.ok) throw new Error(`assets/${EXAMPLE}: ${response.status} ${response.statusText}`);
      const isOpen = await this.source.openPhoto(await response.blob(), EXAMPLE, isStale);
      if (isOpen) this.source.isExample = true;
      return isOpen;
    };
    const explain = (error: unknown) => () => t("errorExample", { detail: messageOf(error) });
    return this.open(task, explain, () => void this.openExample());
  }

  private async openCamera(deviceId: string | null): Promise<void> {
    this.album.open([]);
    const retry = (): void => void this.openCamera(deviceId);
    const onEnd = (): void => {
      this.stop();
      this.problems.report("source", () => t("errorCameraEnded"), retry);
    };
    const task: Task = (isStale) => {
      if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("", "SecurityError");
      return this.source.openCamera(deviceId, onEnd, isStale);
    };
    await this.open(task, explainCamera, retry);
    if (this.source.kind === "camera") byId("other-camera").hidden = (await this.source.nextCamera()) === null;
  }

  private stop(): void {
    this.source.close();
    this.onClose();
    byId("photo").focus();
  }

  private async open(
    task: Task,
    explain: (error: unknown) => () => string,
    retry: (() => void) | null = null,
  ): Promise<void> {
    const request = ++this.request;
    const isStale = (): boolean => request !== this.request;
    this.problems.clear("source", "modelFile", "prediction");
    try {
      if (!(await task(isStale))) return;
    } catch (error) {
      if (isStale()) return;
      if (this.source.kind === "none") this.onClose();
      this.problems.report("source", explain(error), retry);
      return;
    }
    this.onOpen();
  }

  private reportBrokenVideo(): void {
    const { player, kind, name } = this.source;
    if (kind !== "video") return; // while a video is being opened, `open` reports
    const detail = player.error?.message ?? "";
    this.stop();
    this.problems.report("source", () => t("errorVideoBroken", { name, detail }));
  }
}

function explainCamera(error: unknown): () => string {
  const name = error instanceof Error ? error.name : "";
  if (name === "NotAllowedError") return () => t("errorCameraDenied");
  if (name === "NotFoundError") return () => t("errorCameraMissing");
  if (name === "NotReadableError") return () => t("errorCameraBusy");
  if (name === "SecurityError") return () => t("errorCameraInsecure");
  return () => t("errorCameraOther", { detail: messageOf(error) });
}
