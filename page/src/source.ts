// Where images come from (a photo, a camera or a video file) and which element shows them.

import { byId } from "./dom.ts";
import type { Frame } from "./faces/follower.ts";
import { fromRgba, type Image } from "./faces/pixels.ts";
import type { Bitmap, ImagePredictions } from "./protocol.ts";

export type Kind = "none" | "photo" | "camera" | "video";

// Larger photos are downscaled: canvases have size limits, and the faces still have enough pixels.
const MAX_PIXELS = 24_000_000;
const MAX_VIDEO_SIDE = 1280;
const [THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT] = [160, 120];
const CAMERA = { width: { ideal: 960 }, height: { ideal: 720 }, frameRate: { ideal: 60 } };

export class Source {
  readonly still = byId<HTMLCanvasElement>("still");
  readonly player = byId<HTMLVideoElement>("player");
  kind: Kind = "none";
  name = "";
  /** The photo's file, to send to the server. */
  file: Blob | null = null;
  private photoScale = 1;
  /** Whether the photo is the page's own example, whose faces are drawn. */
  isExample = false;
  isMirrored = false;
  /** Whether the camera faces away from the person; mirroring would then confuse. */
  isRearCamera = false;
  private cameraId = "";
  private url = "";
  pass = 0;
  /** The latest frame, until it is predicted. */
  private newest: Frame | null = null;
  /** The frame that the player shows. */
  private shown: Frame | null = null;
  private onFrame = (): void => {};
  /** The start of a video: its first frame is not predicted yet, the video waits for it, or it plays normally. */
  private start: "pending" | "waiting" | "done" = "done";
  private startedAt = 0;
  /** The last frame that has been predicted, until `still` shows it. */
  private predicted: (Pick<ImagePredictions, "width" | "height"> & { bitmap: Bitmap }) | null = null;

  constructor() {
    this.player.addEventListener("seeking", () => {
      this.pass++;
      this.newest = null;
    });
    this.watch();
  }

  get isLive(): boolean {
    return this.kind === "camera" || this.kind === "video";
  }

  get size(): { width: number; height: number } {
    return this.isLive
      ? { width: this.player.videoWidth, height: this.player.videoHeight }
      : { width: this.still.width, height: this.still.height };
  }

  /** How many times the photo or video is larger than the images of it that are predicted. */
  get scale(): number {
    if (!this.isLive) return this.photoScale;
    const { width, height } = this.size;
    return Math.max(1, Math.max(width, height) / MAX_VIDEO_SIDE);
  }

  private showsPredictedFrames = false;

  /** Show the predicted frames instead of the video itself if prediction is too slow to keep up. */
  showPredictedFrames(isSlow: boolean): void {
    this.showsPredictedFrames = isSlow;
    this.still.hidden = this.kind === "none" || (this.isLive && !isSlow);
  }

  /** Take over the frame that has been predicted last. It is drawn when it is needed: copying every frame takes time. */
  keepPredictedFrame({ bitmap, width, height }: ImagePredictions): void {
    this.predicted?.bitmap.close();
    this.predicted = bitmap && { bitmap, width, height };
    if (this.showsPredictedFrames) this.predictedImage();
  }

  /** Return `still` with the photo, or the frame that has been predicted last. */
  predictedImage(): HTMLCanvasElement {
    const { still, predicted } = this;
    if (!predicted) return still;
    const { bitmap, width, height } = predicted;
    if (still.width !== width) still.width = width;
    if (still.height !== height) still.height = height;
    still.getContext("2d")!.drawImage(bitmap, 0, 0);
    bitmap.close();
    this.predicted = null;
    return still;
  }

  /** Open a photo. As by the other methods to open something, nothing is opened, and false returned, if it `isStale` by then. */
  async openPhoto(file: Blob, name: string, isStale: () => boolean): Promise<boolean> {
    const { bitmap, scale } = await decodePhoto(file);
    if (isStale()) {
      bitmap.close();
      return false;
    }
    this.close();
    this.photoScale = scale;
    this.still.width = bitmap.width;
    this.still.height = bitmap.height;
    this.still.getContext("2d")!.drawImage(bitmap, 0, 0);
    bitmap.close();
    this.setKind("photo", name);
    this.file = file;
    return true;
  }

  /** Open the front camera, or the one given; `onEnd` is called when it is unplugged. */
  async openCamera(deviceId: string | null, onEnd: () => void, isStale: () => boolean): Promise<boolean> {
    // Phones allow only one open camera at a time.
    if (this.kind === "camera") this.close();
    const which = deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: false, video: { ...CAMERA, ...which } });
    if (isStale()) return this.drop(stream);
    this.close();
    const [track] = stream.getVideoTracks();
    track.addEventListener("ended", onEnd);
    this.cameraId = track.getSettings().deviceId ?? "";
    this.isRearCamera = track.getSettings().facingMode === "environment";
    this.player.srcObject = stream;
    await this.player.play();
    if (isStale()) return this.drop(stream);
    this.startedAt = performance.now();
    this.setKind("camera", "camera");
    return true;
  }

  /** Return the id of the camera after the current one, null if there is no other. */
  async nextCamera(): Promise<string | null> {
    const devices = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
    const at = devices.findIndex(({ deviceId }) => deviceId === this.cameraId);
    return devices.length > 1 ? devices[(at + 1) % devices.length].deviceId : null;
  }

  async openVideo(file: Blob, name: string, isStale: () => boolean): Promise<boolean> {
    const url = URL.createObjectURL(file);
    this.close();
    this.url = url;
    this.player.src = url;
    await this.player.play();
    if (isStale()) return this.drop(url);
    // Pause at the first frame until it has been predicted, so that no frame is missed.
    this.player.pause();
    if (this.player.seekable.length) {
      const isAtStart = new Promise((resolve) => this.player.addEventListener("seeked", resolve, { once: true }));
      this.player.currentTime = 0;
      await isAtStart;
      if (isStale()) return this.drop(url);
    }
    this.start = "pending";
    if (!this.player.videoWidth) {
      this.close();
      throw new Error("it has no video track");
    }
    this.setKind("video", name);
    return true;
  }

  /** Let go of a camera or video that is no longer wanted; the player may be in use by another one already. */
  private drop(media: MediaStream | string): false {
    if (typeof media !== "string") stopTracks(media);
    if (media === this.url || media === this.player.srcObject) this.close();
    return false;
  }

  close(): void {
    if (this.player.srcObject) stopTracks(this.player.srcObject as MediaStream);
    this.player.pause();
    this.player.srcObject = null;
    this.player.removeAttribute("src");
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = "";
    this.start = "done";
    this.file = null;
    this.setKind("none", "");
  }

  private setKind(kind: Kind, name: string): void {
    this.kind = kind;
    this.name = name;
    this.pass++;
    this.newest = null;
    this.predicted?.bitmap.close();
    this.predicted = null;
    this.isExample = false;
    this.player.hidden = !this.isLive;
    this.showPredictedFrames(this.isLive && this.showsPredictedFrames);
  }

  /** Return the current image. */
  async grab(): Promise<ImageBitmap> {
    if (!this.isLive) return createImageBitmap(this.still);
    const { scale, size } = this;
    if (scale === 1) return createImageBitmap(this.player);
    return createImageBitmap(this.player, { resizeWidth: Math.round(size.width / scale), resizeHeight: Math.round(size.height / scale) });
  }

  /** Return the current frame of a camera or video to be predicted, without copying it where the browser can. */
  async grabFrame(): Promise<Bitmap> {
    return (this.scale === 1 && frameOf(this.player)) || this.grab();
  }

  /** Start or resume playback. */
  async play(): Promise<void> {
    try {
      await this.player.play();
    } catch (error) {
      // Paused or closed before playback began.
      if (!(error instanceof DOMException && error.name === "AbortError")) throw error;
    }
  }

  /** Whether a camera's next frame has come already. */
  get hasFrame(): boolean {
    return this.kind === "camera" && this.newest !== null;
  }

  /**
   * Wait for the next frame; a newly opened video first shows its first frame, and plays on after it. The first frame that is
   * wanted of a video that stands still is the one that it shows: there may be no other.
   */
  async nextFrame(isFirst: boolean): Promise<Frame> {
    if (this.start === "pending") {
      this.start = "waiting";
      return this.shownFrame;
    }
    if (isFirst && this.standsStill) return this.shownFrame;
    if (this.start === "waiting") await this.play();
    this.start = "done";
    // What a file shows must be the very frame whose time is known; of a camera, the latest frame will do.
    if (this.kind === "video") this.newest = null;
    if (!this.newest) await this.waitForFrame(isFirst);
    const frame = this.newest ?? this.shownFrame;
    this.newest = null;
    return frame;
  }

  private get standsStill(): boolean {
    return this.kind === "video" && (this.player.paused || this.player.ended);
  }

  private get shownFrame(): Frame {
    return this.shown?.pass === this.pass ? this.shown : { time: this.player.currentTime, pass: this.pass };
  }

  private waitForFrame(orPause: boolean): Promise<void> {
    return new Promise((resolve) => {
      this.onFrame = resolve;
      if (orPause) this.player.addEventListener("pause", () => this.standsStill && resolve(), { once: true });
    });
  }

  /** Note every frame as it is shown, so that prediction goes on at once if one came in the meantime. */
  private watch(): void {
    const note = (mediaTime: number): void => {
      const time = this.player.srcObject ? (performance.now() - this.startedAt) / 1000 : mediaTime;
      this.newest = this.shown = { time, pass: this.pass };
      this.onFrame();
      this.watch();
    };
    // Not supported by every browser.
    const { requestVideoFrameCallback } = this.player as Partial<HTMLVideoElement>;
    if (requestVideoFrameCallback) this.player.requestVideoFrameCallback((_, { mediaTime }) => note(mediaTime));
    else requestAnimationFrame(() => note(this.player.currentTime));
  }
}

function stopTracks(stream: MediaStream): void {
  for (const track of stream.getTracks()) track.stop();
}

/** Return a video's frame as it is; null where the browser does not give its pixels as RGBA, upright and undistorted. */
function frameOf(player: HTMLVideoElement): VideoFrame | null {
  if (!("VideoFrame" in globalThis)) return null;
  // TypeScript does not know the rotation yet.
  const frame = new VideoFrame(player) as VideoFrame & { rotation?: number; flip?: boolean };
  const { displayWidth: width, displayHeight: height, visibleRect } = frame;
  const isPlain = frame.rotation === 0 && !frame.flip && visibleRect?.width === width && visibleRect.height === height;
  // An opaque texture has no format; a browser that cannot convert the format ignores the wish for another one.
  if (isPlain && frame.format && frame.allocationSize({ format: "RGBA" }) === 4 * width * height) return frame;
  frame.close();
  return null;
}

/** Decode a photo; a very large one is downscaled, and `scale` says how many times larger it is. */
export async function decodePhoto(file: Blob): Promise<{ bitmap: ImageBitmap; scale: number }> {
  const bitmap = await createImageBitmap(file);
  const { width, height } = bitmap;
  if (width * height <= MAX_PIXELS) return { bitmap, scale: 1 };
  const resizeWidth = Math.floor(width * Math.sqrt(MAX_PIXELS / (width * height)));
  bitmap.close();
  return { bitmap: await createImageBitmap(file, { resizeWidth, resizeQuality: "high" }), scale: width / resizeWidth };
}

/** Return the pixels of a frame, downscaled to a few. */
export function thumbnailOf(bitmap: ImageBitmap): Image {
  const [width, height] = [THUMBNAIL_WIDTH, THUMBNAIL_HEIGHT];
  const context = new OffscreenCanvas(width, height).getContext("2d")!;
  context.drawImage(bitmap, 0, 0, width, height);
  return fromRgba(context.getImageData(0, 0, width, height).data, width, height);
}

/** Encode an image as JPEG, to send to the server. */
export async function toJpeg(bitmap: ImageBitmap): Promise<Blob> {
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  canvas.getContext("2d")!.drawImage(bitmap, 0, 0);
  return canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
}
