// The page: what a person does, and what is shown for it.

import { showModel } from "./about.ts";
import { agreementText } from "./agreement.ts";
import { listenToAppearance, showAppearance } from "./appearance.ts";
import { Chips } from "./chips.ts";
import { byId, download, onClick, setIcon, setText } from "./dom.ts";
import type { ModelInfo } from "./faces/model.ts";
import type { PictureReadings } from "./messages.ts";
import { Opening } from "./opening.ts";
import { overlayColor, pageColor } from "./palette.ts";
import { Panel } from "./panel.ts";
import { explainLoad, messageOf, Problems } from "./problems.ts";
import { BrowserReader, hasServer, LoadError, readOnServer } from "./reader.ts";
import { MAX_ROWS, photoRows, Recording } from "./record.ts";
import { readingsCsv } from "./save.ts";
import { asJpeg, Source, type Frame, type Kind } from "./source.ts";
import { showSpeed } from "./speed.ts";
import { clock, Transport } from "./transport.ts";
import { topClass, Tracks, type Track } from "./tracks.ts";
import { drawFaces, Placement, type DrawnFace } from "./view/overlay.ts";
import { drawPlane } from "./view/plane.ts";
import { drawStream } from "./view/stream.ts";
import { prepareCanvas } from "./view/surface.ts";
import { className, currentLanguage, percent, say, setLanguage, signed, translatePage } from "./words.ts";

const source = new Source();
const reader = new BrowserReader();
const transport = new Transport(source);
const panel = new Panel();
const problems = new Problems();
const chips = new Chips(choose);
// A frame that takes longer is shown with its reading, so that the two agree; below the other the film itself is.
const SLOW_MS = 150;
const FAST_MS = 90;
const RETRY_MS = 2000;
const STREAM_EVERY_MS = 100;
const shown = { frames: true, landmarks: true };

let info: ModelInfo | null = null;
/** Of this browser's reader; null where it does not read. */
let threads: number | null = null;
let isLoading = true;
let tracks = new Tracks();
let faces: Track[] = [];
/** What was read of the film that was opened last; it can be saved until another source is opened. */
let recording: Recording | null = null;
/** The frame in which the faces were seen. */
let seenIn: Frame = { time: 0, pass: 0 };
let chosenId = 0;
let readSize = { width: 1, height: 1 };
let threshold = 0.5;
/** Counts what was opened: a loop that finds another number than its own ends. */
let session = 0;
let rate = 0;
let streamDrawn = 0;
let hasRead = false;
let waitingText: () => string = () => "";

// ---- reading

async function start(): Promise<void> {
  problems.solve("model", "reading");
  isLoading = true;
  threads = null;
  session++;
  panel.showLoading(0);
  try {
    ({ threads } = await reader.load((share) => panel.showLoading(share), (loaded) => (info = loaded)));
  } catch (error) {
    const { failure } = error as LoadError;
    problems.tell("model", () => explainLoad(failure), () => void start());
  }
  isLoading = false;
  panel.hideLoading();
  if (info && canRead()) panel.prepare(info);
  if (info) showModel(info, threads);
  begin();
}

function canRead(): boolean {
  return info !== null && (reader.isReady || usesServer());
}

/** Another source has been opened. */
function opened(): void {
  problems.solve("saving");
  tracks = new Tracks();
  recording = null;
  seenIn = { time: 0, pass: source.pass };
  begin();
}

/** Read what is open. */
function begin(): void {
  const own = ++session;
  tracks.clear();
  faces = [];
  hasRead = false;
  rate = 0;
  setText(byId("speed"), "");
  setText(byId("server-note"), "");
  showSource();
  redraw();
  if (isLoading) return;
  if (!canRead()) return wait(() => say("cannotRead"));
  if (source.kind === "none") return wait(() => say("ready"));
  wait(() => say("reading"));
  if (source.isLive) void follow(own);
  else void readPhoto(own);
}

async function readPhoto(own: number): Promise<void> {
  try {
    const here = reader.isReady ? await reader.read(await source.grab(), false) : null;
    const there = usesServer() ? await readOnServer(source.file!, source.name, source.size, info!.classes) : null;
    if (own !== session) return;
    if (here && there) setText(byId("server-note"), agreementText(here.readings, there.readings));
    const result = (there ?? here)!;
    problems.solve("reading");
    take(result, seenIn);
    showSpeed(say("speedOnce", { ms: Math.round(result.ms.all) }), result.ms, there !== null);
  } catch (error) {
    if (own === session) showReadProblem(error);
  }
}

async function follow(own: number): Promise<void> {
  let last = performance.now();
  while (own === session) {
    try {
      const frame = await source.nextFrame();
      if (own !== session) return;
      const bitmap = await source.grab();
      const size = { width: bitmap.width, height: bitmap.height };
      const result = usesServer()
        ? await readOnServer(await asJpeg(bitmap), "frame.jpg", size, info!.classes)
        : await reader.read(bitmap, true);
      if (own !== session) return;
      problems.solve("reading");
      source.keepFrame();
      take(result, frame);
      const now = performance.now();
      rate = rate ? rate + 0.1 * (1000 / (now - last) - rate) : 1000 / (now - last);
      last = now;
      // Between the two bounds it stays as it is.
      if (result.ms.all > SLOW_MS) source.showReadFrames(true);
      else if (result.ms.all < FAST_MS) source.showReadFrames(false);
      const values = { rate: rate.toFixed(rate < 9.95 ? 1 : 0), ms: Math.round(result.ms.all) };
      showSpeed(say("speed", values), result.ms, usesServer());
    } catch (error) {
      if (own !== session) return;
      showReadProblem(error);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

/** Take what was read in a photograph, or in a frame of a film. */
function take(result: PictureReadings, frame: Frame): void {
  hasRead = true;
  readSize = result;
  if (frame.pass !== seenIn.pass) tracks.clear(); // the film was moved, or begins anew
  seenIn = frame;
  faces = tracks.update(result.readings, frame.time, source.isLive);
  if (source.isLive) record(frame);
  redraw();
}

function record(frame: Frame): void {
  recording ??= new Recording(source.name, info!.classes.length);
  recording.add(frame, faces);
  const { fullSince } = recording;
  if (fullSince === null) return;
  const count = MAX_ROWS.toLocaleString(currentLanguage());
  problems.tell("saving", () => say("errorFull", { count, clock: clock(fullSince) }));
}

function usesServer(): boolean {
  return byId<HTMLInputElement>("use-server").checked;
}

// ---- showing

function chosenTrack(): Track | null {
  const same = faces.find(({ id }) => id === chosenId);
  if (same) return same;
  const area = ({ reading: { box } }: Track): number => (box[2] - box[0]) * (box[3] - box[1]);
  const largest = faces.reduce<Track | null>((best, track) => (!best || area(track) > area(best) ? track : best), null);
  if (largest) chosenId = largest.id;
  return largest;
}

function choose(id: number): void {
  chosenId = id;
  redraw();
}

function wait(text: () => string, hint = ""): void {
  waitingText = text;
  panel.showWaiting(text(), hint);
}

/** Show everything as it is now. */
function redraw(): void {
  const chosen = chosenTrack();
  drawOverlay(chosen);
  chips.show(faces, chosen, source.still, source.still.width / readSize.width, shortText);
  byId("save-picture").hidden = !faces.length;
  byId("save-readings").hidden = source.kind === "photo" ? !faces.length : (recording?.isEmpty ?? true);
  if (!info) return;
  if (chosen) panel.showFace(chosen, faces, threshold, source.isLive);
  else if (hasRead) wait(() => say("noFace"), say("noFaceHint"));
  showTime(chosen);
}

function showTime(chosen: Track | null): void {
  const history = chosen?.history ?? [];
  byId("timeline").hidden = !source.isLive;
  const now = performance.now();
  if (source.isLive && now - streamDrawn > STREAM_EVERY_MS) {
    streamDrawn = now;
    drawStream(byId<HTMLCanvasElement>("stream"), history, info!.classes, seenIn.time);
  }
  if (!info!.tasks.includes("valence_arousal")) return;
  const color = chosen ? pageColor(info!.classes[topClass(chosen.reading.probabilities)]) : "";
  drawPlane(byId<HTMLCanvasElement>("plane"), history, color);
  const { valence = null, arousal = null } = chosen?.reading ?? {};
  const isKnown = valence !== null && arousal !== null;
  const values = isKnown ? { valence: signed(valence), arousal: signed(arousal) } : { valence: "–", arousal: "–" };
  setText(byId("affect-text"), say("affectText", values));
}

function shortText(track: Track): string {
  const { probabilities } = track.reading;
  const top = topClass(probabilities);
  const name = className(info!.classes[top]);
  return probabilities[top] < threshold ? `${say("unsureShort")} · ${name}?` : `${name} ${percent(probabilities[top])}`;
}

function drawnFaces(chosen: Track | null): DrawnFace[] {
  return faces.map((track) => {
    const { box, landmarks, probabilities } = track.reading;
    const top = topClass(probabilities);
    return {
      box,
      landmarks,
      label: shortText(track),
      color: overlayColor(info!.classes[top]),
      isChosen: track === chosen,
      isUnsure: probabilities[top] < threshold,
    };
  });
}

function placement(surface: { width: number; height: number }): Placement {
  return new Placement(readSize, surface, source.isMirrored);
}

function drawOverlay(chosen: Track | null): void {
  const { pen, width, height } = prepareCanvas(byId<HTMLCanvasElement>("overlay"));
  drawFaces(pen, drawnFaces(chosen), placement({ width, height }), { width, height }, shown);
}

function showSource(): void {
  const { kind } = source;
  const isOpen = kind !== "none";
  source.isMirrored = kind === "camera" && !source.facesAway && isPressed("show-mirrored");
  for (const node of [source.film, source.still]) node.classList.toggle("mirrored", source.isMirrored);
  byId("empty").hidden = isOpen;
  byId("views").hidden = !isOpen;
  byId("show-mirrored").hidden = kind !== "camera" || source.facesAway;
  if (kind !== "camera") byId("other-camera").hidden = true;
  byId("stage").classList.toggle("filled", isOpen);
  byId("stage").style.setProperty("--shape", isOpen ? String(source.size.width / source.size.height) : "");
  byId("stop").hidden = !source.isLive;
  for (const name of ["photo", "camera", "video"] as Kind[]) byId(name).setAttribute("aria-pressed", String(name === kind));
  transport.show();
}

function isPressed(id: string): boolean {
  return byId(id).getAttribute("aria-pressed") === "true";
}

function showPrivacy(): void {
  const line = byId("private");
  line.classList.toggle("sent", usesServer());
  setIcon(line, usesServer() ? "cloud" : "lock");
  setText(line.querySelector("span")!, usesServer() ? say("notPrivate", { host: location.host }) : say("private"));
}

function showReadProblem(error: unknown): void {
  const detail = messageOf(error);
  const key = usesServer() ? "errorServer" : "errorRead";
  wait(() => say("cannotRead"));
  // A worker that is gone has to be loaded anew.
  problems.tell("reading", () => say(key, { detail }), () => (canRead() ? begin() : void start()));
}

// ---- what a person does

function listenToViews(): void {
  const toggle = (id: string, act: (isOn: boolean) => void): void =>
    onClick(id, () => {
      const isOn = !isPressed(id);
      byId(id).setAttribute("aria-pressed", String(isOn));
      act(isOn);
      redraw();
    });
  toggle("show-frames", (isOn) => (shown.frames = isOn));
  toggle("show-landmarks", (isOn) => (shown.landmarks = isOn));
  toggle("show-mirrored", showSource);
  byId("overlay").addEventListener("click", ({ offsetX, offsetY }) => chooseAt(offsetX, offsetY));
  const slider = byId<HTMLInputElement>("threshold");
  slider.addEventListener("input", () => {
    threshold = Number(slider.value) / 100;
    setText(byId("threshold-value"), percent(threshold));
    redraw();
  });
  new ResizeObserver(() => redraw()).observe(byId("stage"));
}

function chooseAt(x: number, y: number): void {
  const { clientWidth: width, clientHeight: height } = byId("overlay");
  const place = placement({ width, height });
  const hit = faces.find(({ reading }) => {
    const [x0, y0, x1, y1] = place.box(reading.box);
    return x >= x0 && x <= x1 && y >= y0 && y <= y1;
  });
  if (hit) choose(hit.id);
}

function listenToSaves(): void {
  onClick("save-picture", async () => {
    const { width, height } = source.still;
    const canvas = new OffscreenCanvas(width, height);
    const pen = canvas.getContext("2d") as unknown as CanvasRenderingContext2D;
    pen.drawImage(source.still, 0, 0);
    const place = new Placement(readSize, { width, height }, false);
    const unit = Math.max(1, Math.max(width, height) / 900);
    drawFaces(pen, drawnFaces(chosenTrack()), place, { width, height }, shown, unit);
    download(await canvas.convertToBlob({ type: "image/png" }), "mien.png");
  });
  onClick("save-readings", () => {
    const { classes } = info!;
    const table = recording
      ? readingsCsv(recording.rows(), recording.source, classes, recording.fullSince)
      : readingsCsv(photoRows(faces), source.name, classes);
    download(new Blob([table], { type: "text/csv" }), "mien.csv");
  });
}

function listenToSettings(): void {
  onClick("language", () => {
    setLanguage(currentLanguage() === "en" ? "zh" : "en");
    translate();
  });
  listenToAppearance(showTheme);
  byId("use-server").addEventListener("change", () => {
    showPrivacy();
    problems.solve("reading");
    if (info && canRead()) panel.prepare(info);
    begin();
  });
}

function showTheme(): void {
  showAppearance();
  panel.recolor();
  redraw();
}

/** Say everything in the language chosen. */
function translate(): void {
  translatePage();
  byId("language").lang = currentLanguage() === "en" ? "zh-CN" : "en";
  setText(byId("threshold-value"), percent(threshold));
  showPrivacy();
  showTheme();
  transport.show();
  if (info && !isLoading) showModel(info, threads);
  problems.show();
  if (!isLoading && !faces.length) panel.showWaiting(waitingText(), hasRead ? say("noFaceHint") : "");
  redraw();
}

problems.listen();
document.documentElement.dataset.runs = "";
new Opening(source, problems, opened, begin).listen();
listenToViews();
source.film.addEventListener("resize", showSource);
listenToSaves();
listenToSettings();
translate();
void start();
void hasServer().then((isThere) => {
  byId("server").hidden = !isThere;
  if (isThere) byId<HTMLElement>("server").title = say("useServerHint");
  problems.show();
});
