// Renders the state: source, overlay, faces, panel, plane and timeline.

import { Chips } from "../chips.ts";
import { byId, setIcon, setText } from "../dom.ts";
import { showThemeButton } from "../appearance.ts";
import { topClass } from "../faces/decision-rule.ts";
import { signed, t } from "../i18n.ts";
import { pageColor } from "../palette.ts";
import { Panel } from "../panel.ts";
import type { Kind, Source } from "../source.ts";
import { usesServer, type State } from "../state.ts";
import type { Moment, Track } from "../tracks.ts";
import { Transport } from "../transport.ts";
import { UnitsPanel } from "../units-panel.ts";
import { prepareCanvas } from "./canvas.ts";
import { drawFaces, Placement } from "./overlay.ts";
import { drawPlane } from "./plane.ts";
import { drawOverview, drawTimeline } from "./timeline.ts";

// Texts and diagrams of a camera or video change this often; boxes and landmarks with every frame.
const DETAILS_EVERY_MS = 100;

export class View {
  readonly panel = new Panel();
  readonly unitsPanel = new UnitsPanel();
  readonly transport: Transport;
  private readonly chips = new Chips((id) => this.select(id));
  private detailsAt = -Infinity;
  private detailsTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly state: State,
    private readonly source: Source,
  ) {
    this.transport = new Transport(source);
  }

  select(id: number): void {
    this.state.selectedId = id;
    this.render();
  }

  /** Select the face at a point of the overlay, if there is one. */
  selectAt(x: number, y: number): void {
    const { clientWidth: width, clientHeight: height } = byId("overlay");
    const placement = new Placement(this.state.imageSize, { width, height }, this.source.isMirrored);
    const hit = this.state.faces.find(({ prediction }) => {
      const [x0, y0, x1, y1] = placement.box(prediction.box);
      return x >= x0 && x <= x1 && y >= y0 && y <= y1;
    });
    if (hit) this.select(hit.id);
  }

  /** Say why there is no prediction. */
  showWaiting(waiting: State["waiting"]): void {
    this.state.waiting = waiting;
    this.panel.showWaiting(waiting.text(), waiting.hint?.());
    this.unitsPanel.show(null);
  }

  /** Render everything that depends on the predictions. */
  render(): void {
    this.renderOverlay();
    this.renderDetails();
  }

  /** Render the prediction for the next frame of a camera or video. */
  renderFrame(): void {
    this.renderOverlay();
    const wait = this.detailsAt + DETAILS_EVERY_MS - performance.now();
    if (wait <= 0) this.renderDetails();
    else this.detailsTimer ??= setTimeout(() => this.renderDetails(), wait);
  }

  private renderOverlay(): void {
    const { state, source } = this;
    const selected = state.select();
    const { ctx, width, height } = prepareCanvas(byId<HTMLCanvasElement>("overlay"));
    const placement = new Placement(state.imageSize, { width, height }, source.isMirrored);
    drawFaces(ctx, state.drawnFaces(selected), placement, { width, height }, state.layers);
  }

  private renderDetails(): void {
    clearTimeout(this.detailsTimer);
    this.detailsTimer = undefined;
    this.detailsAt = performance.now();
    const { state, source } = this;
    const selected = state.select();
    this.chips.render(state.faces, selected, () => source.predictedImage(), (track) => state.labelOf(track));
    byId("save-image").hidden = !state.faces.length;
    const isEmptyPhoto = state.album.photos.length ? state.album.isEmpty : !state.faces.length;
    const isEmpty = source.kind === "photo" ? isEmptyPhoto : (state.recording?.isEmpty ?? true);
    byId("save-predictions").hidden = isEmpty;
    if (!state.info) return;
    if (selected) this.panel.showFace(selected, state.faces, state.threshold, source.isLive);
    else if (state.hasPrediction) {
      const { minFacePx: px } = state;
      this.showWaiting({ text: () => t("noFace"), hint: () => (px ? t("noLargeFaceHint", { px }) : t("noFaceHint")) });
    }
    this.unitsPanel.show(selected);
    this.renderTimeline(selected, state.info.classes);
    if (state.info.tasks.includes("valence_arousal")) this.renderPlane(selected, state.info.classes);
  }

  private renderTimeline(selected: Track | null, classes: string[]): void {
    byId("timeline").hidden = !this.source.isLive;
    if (!this.source.isLive) return;
    const canvas = byId<HTMLCanvasElement>("stream");
    const { overview, frame } = this.state;
    if (!overview) return drawTimeline(canvas, selected?.history ?? [], classes, frame.time);
    const underPrior = (moment: Moment): Moment => ({ ...moment, probabilities: this.state.underPrior(moment.probabilities) });
    const segments = overview.segments(this.state.selectedId).map((moments) => moments.map(underPrior));
    drawOverview(canvas, overview.duration, segments, classes, frame.time);
  }

  private renderPlane(selected: Track | null, classes: string[]): void {
    const color = selected ? pageColor(classes[topClass(selected.prediction.probabilities)]) : "";
    drawPlane(byId<HTMLCanvasElement>("plane"), selected?.history ?? [], color);
    const { valence = null, arousal = null } = selected?.prediction ?? {};
    const isKnown = valence !== null && arousal !== null;
    const values = isKnown ? { valence: signed(valence), arousal: signed(arousal) } : { valence: "–", arousal: "–" };
    setText(byId("affect-text"), t("affectText", values));
  }

  /** Render everything that depends on the source. */
  renderSource(): void {
    const { source } = this;
    const { kind } = source;
    const isOpen = kind !== "none";
    source.isMirrored = kind === "camera" && !source.isRearCamera && isPressed("show-mirrored");
    for (const node of [source.player, source.still]) node.classList.toggle("mirrored", source.isMirrored);
    document.body.classList.toggle("live", source.isLive);
    byId("empty").hidden = isOpen;
    byId("views").hidden = !isOpen;
    byId("show-mirrored").hidden = kind !== "camera" || source.isRearCamera;
    if (kind !== "camera") byId("other-camera").hidden = true;
    byId("stage").classList.toggle("filled", isOpen);
    byId("stage").style.setProperty("--shape", isOpen ? String(source.size.width / source.size.height) : "");
    byId("stop").hidden = !source.isLive;
    this.renderTimelineTexts();
    byId("drawn-note").hidden = !source.isExample;
    for (const name of ["photo", "camera", "video"] as Kind[]) {
      byId(name).setAttribute("aria-pressed", String(name === kind));
    }
    this.transport.render();
  }

  /** The timeline of a video file is that of all of it. */
  renderTimelineTexts(): void {
    const isVideo = this.state.overview !== null;
    setText(byId("timeline-title"), t(isVideo ? "timelineVideo" : "timeline"));
    setText(byId("timeline-text"), t(isVideo ? "timelineVideoText" : "timelineText"));
    byId("stream").setAttribute("aria-label", t(isVideo ? "timelineVideoLabel" : "timelineLabel"));
  }

  renderPrivacy(): void {
    const line = byId("private");
    const isSent = usesServer();
    line.classList.toggle("sent", isSent);
    setIcon(line, isSent ? "cloud" : "lock");
    setText(line.querySelector("span")!, isSent ? t("notPrivate", { host: location.host }) : t("private"));
  }

  renderTheme(): void {
    showThemeButton();
    this.panel.recolor();
    this.unitsPanel.translate();
    this.render();
  }
}

export function isPressed(id: string): boolean {
  return byId(id).getAttribute("aria-pressed") === "true";
}
