// The page: what a person does, and what is shown for it.

import { showModel } from "./about.ts";
import { agreementText } from "./agreement.ts";
import { listenToAppearance, showAppearance } from "./appearance.ts";
import { Chips } from "./chips.ts";
import { byId, download, setIcon, setText } from "./dom.ts";
import { listenToDrops } from "./drops.ts";
import type { ModelInfo } from "./faces/model.ts";
import type { PictureReadings, Timing } from "./messages.ts";
import { overlayColor, pageColor } from "./palette.ts";
import { Panel } from "./panel.ts";
import { BrowserReader, hasServer, readOnServer } from "./reader.ts";
import { readingsCsv } from "./save.ts";
import { asJpeg, Source, type Kind } from "./source.ts";
import { Transport } from "./transport.ts";
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
const tracks = new Tracks();
const chips = new Chips(choose);
// A frame that takes longer is shown with its reading, so that the two agree; below the other the film itself is.
const SLOW_MS = 150;
const FAST_MS = 90;
const RETRY_MS = 2000;
const STREAM_EVERY_S = 0.1;
const shown = { frames: true, landmarks: true };

let info: ModelInfo | null = null;
let threads = 1;
let faces: Track[] = [];
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
  panel.showLoading(0);
  try {
    const loaded = await reader.load((share) => panel.showLoading(share));
    ({ info, threads } = loaded);
    panel.prepare(info);
    showModel(info, threads);
    if (source.kind === "none") wait(() => say("ready"));
    else begin();
  } catch (error) {
    byId("progress").hidden = true;
    panel.showWaiting("");
    showProblem(() => say("errorModel", { detail: messageOf(error) }));
  }
}

/** Read what has been opened. */
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
  if (!info || source.kind === "none") return;
  wait(() => say("reading"));
  if (source.isLive) void follow(own);
  else void readPhoto(own);
}

async function readPhoto(own: number): Promise<void> {
  try {
    const here = await reader.read(await source.grab(), false);
    let result = here;
    if (usesServer()) {
      result = await readOnServer(source.file!, source.name, source.size, info!.classes);
      if (own === session) setText(byId("server-note"), agreementText(here.readings, result.readings));
    }
    if (own !== session) return;
    take(result);
    setText(byId("speed"), speedText(say("speedOnce", { ms: Math.round(result.ms.all) })));
    byId("speed").title = timingText(result.ms);
  } catch (error) {
    if (own === session) showReadProblem(error);
  }
}

async function follow(own: number): Promise<void> {
  let last = performance.now();
  while (own === session) {
    await source.nextFrame();
    if (own !== session) return;
    try {
      const bitmap = await source.grab();
      const size = { width: bitmap.width, height: bitmap.height };
      const result = usesServer()
        ? await readOnServer(await asJpeg(bitmap), "frame.jpg", size, info!.classes)
        : await reader.read(bitmap, true);
      if (own !== session) return;
      if (problemText) showProblem(null);
      source.keepFrame();
      take(result);
      const now = performance.now();
      rate = rate ? rate + 0.1 * (1000 / (now - last) - rate) : 1000 / (now - last);
      last = now;
      // Between the two bounds it stays as it is.
      if (result.ms.all > SLOW_MS) source.showReadFrames(true);
      else if (result.ms.all < FAST_MS) source.showReadFrames(false);
      const values = { rate: rate.toFixed(rate < 9.95 ? 1 : 0), ms: Math.round(result.ms.all) };
      setText(byId("speed"), speedText(say("speed", values)));
      byId("speed").title = timingText(result.ms);
    } catch (error) {
      if (own !== session) return;
      showReadProblem(error);
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

function take(result: PictureReadings): void {
  hasRead = true;
  readSize = result;
  faces = tracks.update(result.readings, performance.now() / 1000, source.isLive);
  redraw();
}

function usesServer(): boolean {
  return byId<HTMLInputElement>("use-server").checked;
}

function speedText(text: string): string {
  return usesServer() ? `${text} · ${say("onServer")}` : text;
}

function timingText(ms: Timing): string {
  return Object.entries(ms)
    .map(([part, time]) => `${part} ${Math.round(time)} ms`)
    .join(", ");
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
  byId("saves").hidden = !faces.length;
  if (!info) return;
  if (chosen) panel.showFace(chosen, faces, threshold, source.isLive);
  else if (hasRead) wait(() => say("noFace"), say("noFaceHint"));
  showTime(chosen);
}

function showTime(chosen: Track | null): void {
  const history = chosen?.history ?? [];
  byId("timeline").hidden = !source.isLive;
  const now = performance.now() / 1000;
  if (source.isLive && now - streamDrawn > STREAM_EVERY_S) {
    streamDrawn = now;
    drawStream(byId<HTMLCanvasElement>("stream"), history, info!.classes, now);
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

let problemText: (() => string) | null = null;

function showProblem(text: (() => string) | null): void {
  problemText = text;
  byId("problem").hidden = !text;
  setText(byId("problem"), text ? text() : "");
}

function showReadProblem(error: unknown): void {
  const detail = messageOf(error);
  wait(() => "");
  showProblem(() => say(usesServer() ? "errorServer" : "errorRead", { detail }));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

// ---- opening

async function openFile(file: File | Blob, name: string): Promise<void> {
  showProblem(null);
  try {
    if (file.type.startsWith("video/")) await source.openVideo(file, name);
    else await source.openPhoto(file, name);
    begin();
  } catch {
    if (source.kind === "none") begin();
    showProblem(() => say("errorFile", { name }));
  }
}

async function openCamera(deviceId: string | null = null): Promise<void> {
  showProblem(null);
  if (!navigator.mediaDevices?.getUserMedia) {
    showProblem(() => say("errorCameraInsecure"));
    return;
  }
  try {
    await source.openCamera(deviceId, () => {
      stop();
      showProblem(() => say("errorCameraMissing"));
    });
    begin();
    byId("other-camera").hidden = (await source.otherCamera()) === null;
  } catch (error) {
    if (source.kind === "none") begin();
    const name = error instanceof Error ? error.name : "";
    const detail = messageOf(error);
    if (name === "NotAllowedError") showProblem(() => say("errorCameraDenied"));
    else if (name === "NotFoundError") showProblem(() => say("errorCameraMissing"));
    else showProblem(() => say("errorCameraOther", { detail }));
  }
}

function stop(): void {
  source.close();
  begin();
  if (info) wait(() => say("ready"));
  byId("photo").focus();
}

// ---- what a person does

function onClick(id: string, act: () => void): void {
  byId(id).addEventListener("click", act);
}

function listenToSources(): void {
  const photoFile = byId<HTMLInputElement>("photo-file");
  const videoFile = byId<HTMLInputElement>("video-file");
  for (const id of ["photo", "choose"]) onClick(id, () => photoFile.click());
  for (const id of ["camera", "start-camera"]) onClick(id, () => void openCamera());
  onClick("video", () => videoFile.click());
  onClick("stop", stop);
  onClick("other-camera", async () => openCamera(await source.otherCamera()));
  onClick("example", async () => {
    const response = await fetch(new URL("assets/example.jpg", document.baseURI));
    await openFile(await response.blob(), "example.jpg");
  });
  for (const input of [photoFile, videoFile]) {
    input.addEventListener("change", () => {
      const [file] = input.files ?? [];
      if (file) void openFile(file, file.name);
      input.value = "";
    });
  }
  listenToDrops((file) => void openFile(file, file.name));
}

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
  onClick("save-picture", () => {
    const { width, height } = source.still;
    const canvas = new OffscreenCanvas(width, height);
    const pen = canvas.getContext("2d") as unknown as CanvasRenderingContext2D;
    pen.drawImage(source.still, 0, 0);
    const place = new Placement(readSize, { width, height }, false);
    const unit = Math.max(1, Math.max(width, height) / 900);
    drawFaces(pen, drawnFaces(chosenTrack()), place, { width, height }, shown, unit);
    void canvas.convertToBlob({ type: "image/png" }).then((blob) => download(blob, "mien.png"));
  });
  onClick("save-readings", () => {
    const table = readingsCsv(faces, source.name, info!.classes, source.isLive);
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
    showProblem(null);
    begin();
    if (info && source.kind === "none") wait(() => say("ready"));
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
  if (info) showModel(info, threads);
  if (problemText) showProblem(problemText);
  if (info && !faces.length) panel.showWaiting(waitingText(), hasRead ? say("noFaceHint") : "");
  redraw();
}

listenToSources();
listenToViews();
source.film.addEventListener("resize", showSource);
listenToSaves();
listenToSettings();
translate();
void start();
void hasServer().then((isThere) => {
  byId("server").hidden = !isThere;
  if (isThere) byId<HTMLElement>("server").title = say("useServerHint");
});
