// Loads the model, and predicts what the source shows: a photo once, a camera or video frame by frame.

import { showModel } from "./about.ts";
import type { AlbumPhoto } from "./album.ts";
import { byId, setText } from "./dom.ts";
import { CutDetector } from "./faces/cuts.ts";
import type { Frame } from "./faces/follower.ts";
import { unitsOf, type FacePrediction, type ModelInfo } from "./faces/model.ts";
import { Overview } from "./overview.ts";
import { currentLanguage, percent, t, tCount } from "./i18n.ts";
import { BrowserPredictor, ImageRefusedError, largestDifference, LoadError, predictOnServer } from "./predictor.ts";
import { explainLoadFailure, messageOf, type Problems } from "./problems.ts";
import type { ImagePredictions, Timing } from "./protocol.ts";
import { enlarged, NO_FACE_ROW, photoRows, Recording, type Row } from "./recording.ts";
import { decodePhoto, thumbnailOf, toJpeg, type Source } from "./source.ts";
import { usesServer, type State } from "./state.ts";
import { Tracks, type Track } from "./tracks.ts";
import { clock } from "./transport.ts";
import type { View } from "./view/view.ts";

// If predicting a frame takes longer than this, the predicted frame is shown so that image and prediction agree; below the
// other bound the video itself is shown again.
const SLOW_MS = 150;
const FAST_MS = 90;
const RETRY_MS = 2000;
const SHOW_SPEED_EVERY_MS = 250;

const NOTHING = (): string => "";

interface BegunPrediction {
  frame: Frame;
  result: Promise<ImagePredictions | null>;
}

export class PredictionLoop {
  readonly predictor = new BrowserPredictor();
  /** Called after every attempt to load; `wasOwn` says whether the model in use before was the page's own. */
  onLoad: (wasOwn: boolean) => void = () => undefined;
  private tracks = new Tracks();
  private readonly cuts = new CutDetector();
  /** Number of the current run; a loop that finds another number than its own ends. */
  private run = 0;
  /** What the lines below the result and the switch to the server say. */
  private speed = NOTHING;
  private serverNote = NOTHING;
  /** The photos that `predictAlbum` is at work on. */
  private albumInProgress: AlbumPhoto[] | null = null;

  constructor(
    private readonly state: State,
    private readonly source: Source,
    private readonly view: View,
    private readonly problems: Problems,
  ) {}

  /** Load the model, then predict what is open. */
  async load(): Promise<void> {
    const { state, problems, view } = this;
    problems.clear("model", "prediction");
    state.isLoading = true;
    state.threads = null;
    const wasOwn = state.isOwnModel;
    state.isOwnModel = true;
    byId<HTMLInputElement>("use-server").disabled = false;
    this.run++;
    view.panel.showLoading(0);
    try {
      const onProgress = (fraction: number): void => view.panel.showLoading(fraction);
      ({ threads: state.threads } = await this.predictor.load(onProgress, (info) => (state.info = info)));
    } catch (error) {
      const { failure } = error as LoadError;
      problems.report("model", () => explainLoadFailure(failure), () => void this.load(), state.info !== null);
    }
    state.isLoading = false;
    view.panel.hideLoading();
    this.preparePanel();
    if (state.info) showModel(state.info, state.threads);
    this.onLoad(wasOwn);
    this.restart();
  }

  /** The worker predicts with another model, which the server does not have unless it is the page's own. */
  useModel(info: ModelInfo, isOwn: boolean): void {
    this.state.isOwnModel = isOwn;
    const server = byId<HTMLInputElement>("use-server");
    if (!isOwn && server.checked) {
      server.checked = false;
      server.dispatchEvent(new Event("change"));
    }
    server.disabled = !isOwn;
    this.state.info = info;
    this.state.album.reset();
    this.preparePanel();
    showModel(info, this.state.threads);
    this.open();
  }

  /** Another source has been opened. */
  open(): void {
    this.problems.clear("recording");
    this.tracks = new Tracks();
    this.state.recording = null;
    const { kind, player } = this.source;
    this.state.overview = kind === "video" && Number.isFinite(player.duration) && player.duration > 0 ? new Overview(player.duration) : null;
    this.state.frame = { time: 0, pass: this.source.pass };
    this.restart();
  }

  /** The prediction now comes from the server, or from the browser again. */
  switchPredictor(): void {
    this.problems.clear("prediction");
    this.state.album.reset();
    this.preparePanel();
    this.restart();
  }

  /** Other faces count now: what has been predicted and recorded so far does not go together with what follows. */
  detectAgain(): void {
    this.problems.clear("prediction");
    this.state.album.reset();
    this.open();
  }

  /** Predict what is open from the beginning. */
  restart(): void {
    const { state, source, view } = this;
    const run = ++this.run;
    this.tracks.clear();
    state.setTracks([]);
    state.hasPrediction = false;
    [this.speed, this.serverNote] = [NOTHING, NOTHING];
    this.renderLines();
    view.renderSource();
    view.render();
    if (state.isLoading) return;
    if (!this.canPredict()) return view.showWaiting({ text: () => t("cannotPredict") });
    void this.predictAlbum();
    if (source.kind === "none") return view.showWaiting({ text: () => t("ready") });
    view.showWaiting({ text: () => t("predicting") });
    if (source.isLive) void this.follow(run);
    else void this.predictPhoto(run);
  }

  /** Show the lines below the result and the switch to the server in the current language. */
  renderLines(): void {
    setText(byId("speed"), this.speed());
    setText(byId("server-note"), this.serverNote());
  }

  /** Predict the photos of the album that have no prediction yet; the one that is shown gets its own in `show`. */
  async predictAlbum(): Promise<void> {
    const { album, isLoading } = this.state;
    const { photos } = album;
    if (isLoading || !this.canPredict() || this.albumInProgress === photos) return;
    this.albumInProgress = photos;
    for (;;) {
      const photo = photos.find(({ file, rows }) => !rows && file !== this.source.file);
      if (!photo) break;
      const result = await this.predictFile(photo.file).catch((error: unknown) => ({ error }));
      if (album.photos !== photos) return;
      if ("error" in result) {
        this.reportFailure(result.error);
        break;
      }
      album.add(photo, result);
      this.view.render();
    }
    this.albumInProgress = null;
  }

  private async predictFile(file: File): Promise<Row[]> {
    const photo = await decodePhoto(file).catch(() => null);
    if (!photo) return [{ ...NO_FACE_ROW, status: "not_an_image" }];
    const { bitmap, scale } = photo;
    const { width, height } = bitmap;
    // The server gets the file.
    if (usesServer()) bitmap.close();
    try {
      const { predictions } = usesServer()
        ? await this.predictPhotoOnServer(file, file.name, { width, height }, scale)
        : await this.predictor.predict(bitmap, null, this.state.minFacePx / scale);
      return photoRows(new Tracks().update(predictions, 0, false), scale);
    } catch (error) {
      if (!(error instanceof ImageRefusedError)) throw error;
      return refusalRows(error);
    }
  }

  /** Predict a photo's file on the server, in pixels of the image that the page shows, which is `scale` times smaller. */
  private async predictPhotoOnServer(file: Blob, name: string, { width, height }: { width: number; height: number }, scale: number): Promise<ImagePredictions> {
    const whole = { width: width * scale, height: height * scale };
    const result = await predictOnServer(file, name, whole, this.state.info!, this.state.minFacePx);
    return { ...result, width, height, predictions: result.predictions.map((prediction) => enlarged(prediction, 1 / scale)) };
  }

  private canPredict(): boolean {
    return this.state.info !== null && (this.predictor.isReady || usesServer());
  }

  private preparePanel(): void {
    if (!this.state.info || !this.canPredict()) return;
    this.view.panel.prepare(this.state.info);
    this.view.unitsPanel.prepare(this.state.info);
  }

  private async predictPhoto(run: number): Promise<void> {
    const { source, predictor } = this;
    const { scale } = source;
    try {
      const local = predictor.isReady ? await predictor.predict(await source.grab(), null, this.state.minFacePx / scale) : null;
      const remote = usesServer() ? await this.predictPhotoOnServer(source.file!, source.name, source.size, scale) : null;
      if (run !== this.run) return;
      if (local && remote) this.serverNote = () => agreementText(local.predictions, remote.predictions);
      const result = (remote ?? local)!;
      this.problems.clear("prediction");
      this.show(result, this.state.frame);
      this.showSpeed(() => t("speedOnce", { ms: Math.round(result.ms.all) }), result.ms, remote !== null);
    } catch (error) {
      if (run !== this.run) return;
      if (error instanceof ImageRefusedError) this.addToAlbum(refusalRows(error));
      this.view.render();
      this.view.showWaiting({ text: () => t("cannotPredict") });
      this.reportFailure(error);
    }
  }

  /** Keep the rows of the photo that is shown, if it is one of several. */
  private addToAlbum(rows: Row[]): void {
    const { state, source } = this;
    const shown = state.album.photos.find(({ file }) => file === source.file);
    if (shown) state.album.add(shown, rows);
  }

  private async follow(run: number): Promise<void> {
    const { source } = this;
    let last = performance.now();
    let shown = -Infinity;
    let interval = 0;
    let begun: BegunPrediction | null = null;
    let isFirst = true;
    while (run === this.run) {
      try {
        const { frame, result: promise } = begun ?? (await this.begin(run, isFirst));
        begun = null;
        const result = await promise;
        if (!result) return;
        this.problems.clear("prediction");
        // The worker goes on while this thread draws.
        if (source.hasFrame) begun = await this.begin(run, false);
        if (run !== this.run) return result.bitmap?.close();
        this.show(result, frame);
        isFirst = false;
        const now = performance.now();
        interval = interval ? interval + 0.1 * (now - last - interval) : now - last;
        last = now;
        // Between the two bounds nothing changes.
        if (result.ms.all > SLOW_MS) source.showPredictedFrames(true);
        else if (result.ms.all < FAST_MS) source.showPredictedFrames(false);
        if (now - shown < SHOW_SPEED_EVERY_MS) continue;
        shown = now;
        const rate = 1000 / interval;
        const values = { rate: rate.toFixed(rate < 9.95 ? 1 : 0), ms: Math.round(result.ms.all) };
        this.showSpeed(() => t("speed", values), result.ms, usesServer());
      } catch (error) {
        if (run !== this.run) return;
        this.view.showWaiting({ text: () => t("cannotPredict") });
        this.reportFailure(error);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  }

  /** Begin predicting the next frame; the result is null if another run has begun meanwhile. */
  private async begin(run: number, isFirst: boolean): Promise<BegunPrediction> {
    const frame = await this.source.nextFrame(isFirst);
    if (run !== this.run) return { frame, result: Promise.resolve(null) };
    const predicted = usesServer()
      ? this.predictFrameOnServer(await this.source.grab())
      : this.predictor.predict(await this.source.grabFrame(), frame, this.state.minFacePx / this.source.scale);
    const result = predicted.then((value) => {
      if (run === this.run) return value;
      value.bitmap?.close();
      return null;
    });
    // A failure is reported where the result is awaited, which a run that has ended does not do.
    result.catch(() => undefined);
    return { frame, result };
  }

  private async predictFrameOnServer(bitmap: ImageBitmap): Promise<ImagePredictions> {
    const { width, height } = bitmap;
    const { info, minFacePx } = this.state;
    try {
      const isCut = this.cuts.isCut(thumbnailOf(bitmap));
      const image = await toJpeg(bitmap);
      const result = await predictOnServer(image, "frame.jpg", { width, height }, info!, minFacePx / this.source.scale);
      return { ...result, isCut, bitmap };
    } catch (error) {
      bitmap.close();
      throw error;
    }
  }

  /** Show and record the prediction for a photo or a frame. */
  private show(result: ImagePredictions, frame: Frame): void {
    const { state, source, tracks } = this;
    state.hasPrediction = true;
    state.imageSize = result;
    if (result.isCut || frame.pass !== state.frame.pass) tracks.clear(); // another shot, or the video was sought or repeats
    state.frame = frame;
    const found = tracks.update(result.predictions, frame.time, source.isLive);
    state.setTracks(found);
    if (source.isLive) this.record(frame, found);
    state.overview?.add(frame, found);
    if (source.isLive) source.keepPredictedFrame(result);
    if (source.isLive) return this.view.renderFrame();
    this.addToAlbum(photoRows(found, source.scale));
    this.view.render();
  }

  /** Record a frame with probabilities as trained: a table is of one prior, that of the moment when it is saved. */
  private record(frame: Frame, tracks: Track[]): void {
    const { state, source } = this;
    const nUnits = unitsOf(state.info!)?.names.length ?? 0;
    const hasLandmarks = state.info!.tasks.includes("landmarks");
    state.recording ??= new Recording(source.name, state.info!.classes.length, nUnits, hasLandmarks);
    state.recording.add(frame, tracks, source.scale);
    const { fullSince, maxRows } = state.recording;
    if (fullSince === null) return;
    const count = maxRows.toLocaleString(currentLanguage());
    this.problems.report("recording", () => t("errorFull", { count, clock: clock(fullSince) }));
  }

  private reportFailure(error: unknown): void {
    const detail = messageOf(error);
    const isRefused = error instanceof ImageRefusedError;
    const key = usesServer() && !isRefused ? "errorServer" : "errorPrediction";
    // A terminated worker has to be loaded again.
    const retry = (): void => (this.canPredict() ? this.restart() : void this.load());
    this.problems.report("prediction", () => t(key, { detail }), isRefused ? null : retry);
  }

  private showSpeed(text: () => string, ms: Timing, isRemote: boolean): void {
    this.speed = () => (isRemote ? `${text()} · ${t("onServer")}` : text());
    this.renderLines();
    byId("speed").title = Object.entries(ms)
      .map(([step, time]) => `${step} ${Math.round(time)} ms`)
      .join(", ");
  }
}

/** The row of a photo that the server does not take. */
function refusalRows({ status, message }: ImageRefusedError): Row[] {
  return [{ ...NO_FACE_ROW, status, detail: message }];
}

function agreementText(local: FacePrediction[], remote: FacePrediction[]): string {
  if (local.length !== remote.length) {
    const [server, browser] = [remote, local].map((predictions) => tCount("nFaces", predictions.length));
    return t("agreementFaces", { server, browser });
  }
  return t("agreement", { value: percent(largestDifference(local, remote), 1) });
}
