// Where pictures come from: a photograph, a camera or a video file; and how each is shown.

import { byId } from "./dom.ts";

export type Kind = "none" | "photo" | "camera" | "video";

// Above this a photograph is read smaller: a browser's canvas has bounds, and faces have pixels enough.
const MAX_PIXELS = 24_000_000;
const MAX_FILM_SIDE = 1280;
const CAMERA = { width: { ideal: 960 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };

/** A frame of a film. */
export interface Frame {
  /** In seconds: the video's own time, or since the camera's start. */
  time: number;
  /** Counts how often the film was moved, or began anew. */
  pass: number;
}

export class Source {
  readonly still = byId<HTMLCanvasElement>("still");
  readonly film = byId<HTMLVideoElement>("film");
  kind: Kind = "none";
  name = "";
  /** The photograph's file, for the server. */
  file: Blob | null = null;
  isMirrored = false;
  /** Whether the camera looks at the world: then a mirror would confuse. */
  facesAway = false;
  private cameraId = "";
  private address = "";
  pass = 0;
  /** How far a video has come: its first frame is to be read, it waits for that, or it plays as a person wants. */
  private start: "unread" | "waiting" | "done" = "done";
  private startedAt = 0;
  /** The frame that is being read; `still` shows the last one that was. */
  private readonly coming = document.createElement("canvas");

  constructor() {
    this.film.addEventListener("seeking", () => this.pass++);
  }

  get isLive(): boolean {
    return this.kind === "camera" || this.kind === "video";
  }

  get size(): { width: number; height: number } {
    return this.isLive
      ? { width: this.film.videoWidth, height: this.film.videoHeight }
      : { width: this.still.width, height: this.still.height };
  }

  private showsReadFrame = false;

  /** Show the frames that were read instead of the film, where reading is too slow to keep up with it. */
  showReadFrames(isSlow: boolean): void {
    this.showsReadFrame = isSlow;
    this.still.hidden = this.kind === "none" || (this.isLive && !isSlow);
  }

  /** The frame that was grabbed last has been read. */
  keepFrame(): void {
    if (!this.isLive) return;
    resizeCanvas(this.still, this.coming.width, this.coming.height);
    this.still.getContext("2d")!.drawImage(this.coming, 0, 0);
  }

  async openPhoto(file: Blob, name: string): Promise<void> {
    let bitmap = await createImageBitmap(file);
    const pixels = bitmap.width * bitmap.height;
    if (pixels > MAX_PIXELS) {
      const resizeWidth = Math.floor(bitmap.width * Math.sqrt(MAX_PIXELS / pixels));
      bitmap.close();
      bitmap = await createImageBitmap(file, { resizeWidth, resizeQuality: "high" });
    }
    this.close();
    this.still.width = bitmap.width;
    this.still.height = bitmap.height;
    this.still.getContext("2d")!.drawImage(bitmap, 0, 0);
    bitmap.close();
    this.begin("photo", name);
    this.file = file;
  }

  /** Open the camera that faces the person, or the one named. `onEnd` hears when it is pulled out. */
  async openCamera(deviceId: string | null, onEnd: () => void): Promise<void> {
    // A phone gives its cameras to one page at a time.
    if (this.kind === "camera") this.close();
    const which = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { ...CAMERA, ...which } });
    this.close();
    const [track] = stream.getVideoTracks();
    track.addEventListener("ended", onEnd);
    this.cameraId = track.getSettings().deviceId ?? "";
    this.facesAway = track.getSettings().facingMode === "environment";
    this.film.srcObject = stream;
    await this.film.play();
    this.startedAt = performance.now();
    this.begin("camera", "camera");
  }

  /** The camera after the one in use, or null where there is no other. */
  async otherCamera(): Promise<string | null> {
    const devices = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
    const at = devices.findIndex(({ deviceId }) => deviceId === this.cameraId);
    return devices.length > 1 ? devices[(at + 1) % devices.length].deviceId : null;
  }

  async openVideo(file: Blob, name: string): Promise<void> {
    const address = URL.createObjectURL(file);
    this.close();
    this.address = address;
    this.film.src = address;
    this.film.loop = true;
    await this.film.play();
    // It waits at its first frame until that has been read, so that nothing of it is missed.
    this.film.pause();
    if (this.film.seekable.length) {
      const isAtStart = new Promise((resolve) => this.film.addEventListener("seeked", resolve, { once: true }));
      this.film.currentTime = 0;
      await isAtStart;
    }
    this.start = "unread";
    if (!this.film.videoWidth) {
      this.close();
      throw new Error("no picture in it");
    }
    this.begin("video", name);
  }

  close(): void {
    if (this.film.srcObject) for (const track of (this.film.srcObject as MediaStream).getTracks()) track.stop();
    this.film.pause();
    this.film.srcObject = null;
    this.film.removeAttribute("src");
    if (this.address) URL.revokeObjectURL(this.address);
    this.address = "";
    this.start = "done";
    this.file = null;
    this.begin("none", "");
  }

  private begin(kind: Kind, name: string): void {
    this.kind = kind;
    this.name = name;
    this.film.hidden = !this.isLive;
    this.showReadFrames(this.isLive && this.showsReadFrame);
  }

  /** The picture that is to be read now. */
  async grab(): Promise<ImageBitmap> {
    if (!this.isLive) return createImageBitmap(this.still);
    const { width, height } = this.size;
    const scale = Math.min(1, MAX_FILM_SIDE / Math.max(width, height));
    resizeCanvas(this.coming, Math.round(width * scale), Math.round(height * scale));
    this.coming.getContext("2d")!.drawImage(this.film, 0, 0, this.coming.width, this.coming.height);
    return createImageBitmap(this.coming);
  }

  /** Start the film, or go on with it. */
  async play(): Promise<void> {
    try {
      await this.film.play();
    } catch (error) {
      // Paused again, or closed, before it began.
      if (!(error instanceof DOMException && error.name === "AbortError")) throw error;
    }
  }

  /** Wait until the film shows another frame; a video that has just been opened shows its first, and goes on after it. */
  async nextFrame(): Promise<Frame> {
    if (this.start === "unread") {
      this.start = "waiting";
      return { time: this.film.currentTime, pass: this.pass };
    }
    if (this.start === "waiting") await this.play();
    this.start = "done";
    return new Promise((resolve) => {
      const done = (mediaTime: number): void => {
        const time = this.film.srcObject ? (performance.now() - this.startedAt) / 1000 : mediaTime;
        resolve({ time, pass: this.pass });
      };
      // Not every browser has it.
      const { requestVideoFrameCallback } = this.film as Partial<HTMLVideoElement>;
      if (requestVideoFrameCallback) this.film.requestVideoFrameCallback((_, { mediaTime }) => done(mediaTime));
      else requestAnimationFrame(() => done(this.film.currentTime));
    });
  }
}

function resizeCanvas(canvas: HTMLCanvasElement, width: number, height: number): void {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
}

/** A picture as a JPEG file, for the server. The picture is used up. */
export async function asJpeg(bitmap: ImageBitmap): Promise<Blob> {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d")!.drawImage(bitmap, 0, 0);
  bitmap.close();
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
}
