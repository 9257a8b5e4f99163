// The page's entry point: creates its parts and connects the controls.

import { showModel } from "./about.ts";
import { listenToTheme } from "./appearance.ts";
import { predictionsCsv } from "./csv.ts";
import { byId, download, onClick, setText } from "./dom.ts";
import { unitsOf } from "./faces/model.ts";
import type { Prior } from "./faces/prior.ts";
import { currentLanguage, percent, setLanguage, t, translatePage } from "./i18n.ts";
import { ModelPicker } from "./model-picker.ts";
import { PredictionLoop } from "./prediction-loop.ts";
import { hasServer } from "./predictor.ts";
import { Problems } from "./problems.ts";
import { photoRows, type Row } from "./recording.ts";
import { showSnippets } from "./snippets.ts";
import { SourcePicker } from "./source-picker.ts";
import { Source } from "./source.ts";
import { State } from "./state.ts";
import { TeachingPanel } from "./teaching/panel.ts";
import { drawFaces, Placement } from "./view/overlay.ts";
import { isPressed, View } from "./view/view.ts";

const state = new State();
const source = new Source();
const problems = new Problems();
const view = new View(state, source);
const loop = new PredictionLoop(state, source, view, problems);
const teaching = new TeachingPanel(state, source, loop, () => models.render());
const models = new ModelPicker(state, loop, problems, () => teaching.reset());

function listenToViewControls(): void {
  const toggle = (id: string, onToggle: (isOn: boolean) => void): void =>
    onClick(id, () => {
      const isOn = !isPressed(id);
      byId(id).setAttribute("aria-pressed", String(isOn));
      onToggle(isOn);
      view.render();
    });
  toggle("show-boxes", (isOn) => (state.layers.boxes = isOn));
  toggle("show-landmarks", (isOn) => (state.layers.landmarks = isOn));
  toggle("show-mirrored", () => view.renderSource());
  byId("overlay").addEventListener("click", ({ offsetX, offsetY }) => view.selectAt(offsetX, offsetY));
  const slider = byId<HTMLInputElement>("threshold");
  slider.addEventListener("input", () => {
    state.threshold = Number(slider.value) / 100;
    setText(byId("threshold-value"), percent(state.threshold));
    view.render();
  });
  const prior = byId<HTMLSelectElement>("prior");
  prior.addEventListener("change", () => {
    state.setPrior(prior.value as Prior);
    view.render();
  });
  const minFace = byId<HTMLInputElement>("min-face");
  minFace.addEventListener("change", () => {
    if (!minFace.reportValidity()) return;
    state.minFacePx = minFace.valueAsNumber;
    loop.detectAgain();
  });
  new ResizeObserver(() => view.render()).observe(byId("stage"));
  source.player.addEventListener("resize", () => view.renderSource());
}

function listenToSaveButtons(): void {
  onClick("save-image", async () => {
    const image = source.predictedImage();
    const { width, height } = image;
    const canvas = new OffscreenCanvas(width, height);
    const ctx = canvas.getContext("2d") as unknown as CanvasRenderingContext2D;
    ctx.drawImage(image, 0, 0);
    const placement = new Placement(state.imageSize, { width, height }, false);
    const unit = Math.max(1, Math.max(width, height) / 900);
    drawFaces(ctx, state.drawnFaces(state.select()), placement, { width, height }, state.layers, unit);
    download(await canvas.convertToBlob({ type: "image/png" }), "mien.png");
  });
  onClick("save-predictions", () => {
    const { recording, faces, album } = state;
    const { classes, quality_rule: rule } = state.info!;
    const units = unitsOf(state.info!)?.names;
    const table = recording
      ? predictionsCsv(underPrior(recording.rows()), recording.source, classes, recording.fullSince, units, null, rule)
      : album.photos.length
        ? predictionsCsv(underPrior(album.rows), source.name, classes, null, units, state.labelSets, rule)
        : predictionsCsv(photoRows(faces, source.scale), source.name, classes, null, units, state.labelSets, rule);
    download(new Blob([table], { type: "text/csv" }), "mien.csv");
  });
}

function* underPrior(rows: Iterable<Row>): Generator<Row> {
  for (const { prediction, ...row } of rows) {
    const probabilities = prediction && state.underPrior(prediction.probabilities);
    yield { ...row, prediction: prediction && { ...prediction, probabilities: probabilities! } };
  }
}

function listenToSettings(): void {
  onClick("language", () => {
    setLanguage(currentLanguage() === "en" ? "zh" : "en");
    translate();
  });
  listenToTheme(() => view.renderTheme());
  byId("use-server").addEventListener("change", () => {
    view.renderPrivacy();
    problems.render();
    loop.switchPredictor();
  });
}

function openSource(): void {
  loop.open();
  teaching.render();
}

function closeSource(): void {
  loop.restart();
  teaching.render();
}

/** Show every text in the current language. */
function translate(): void {
  translatePage();
  byId("language").lang = currentLanguage() === "en" ? "zh-CN" : "en";
  setText(byId("threshold-value"), percent(state.threshold));
  byId("server").title = t("useServerHint");
  view.renderPrivacy();
  view.renderTheme();
  view.transport.render();
  view.renderTimelineTexts();
  state.album.render();
  loop.renderLines();
  if (state.info && !state.isLoading) showModel(state.info, state.threads);
  problems.render();
  teaching.render();
  if (!state.isLoading && !state.faces.length) view.showWaiting(state.waiting);
  view.render();
}

problems.listen();
document.documentElement.dataset.started = "";
new SourcePicker(
  source,
  state.album,
  problems,
  openSource,
  closeSource,
  () => void loop.predictAlbum(),
  (file) => void models.open(file),
).listen();
listenToViewControls();
listenToSaveButtons();
listenToSettings();
teaching.listen();
models.listen();
translate();
loop.onLoad = (wasOwn) => {
  if (!wasOwn) teaching.reset();
  teaching.render();
  models.onLoad();
};
void loop.load();
addEventListener("online", () => problems.retry("model"));
showSnippets(false);
void hasServer().then((isServed) => {
  byId("server").hidden = !isServed;
  showSnippets(isServed);
  problems.render();
});
