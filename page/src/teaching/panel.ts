// The part of the page that teaches: faces are collected under a name, a model is taught on them, used, and saved.

import { byId, download, make, onClick, setText } from "../dom.ts";
import type { ModelInfo } from "../faces/model.ts";
import { className, classNames, percent, t, tCount } from "../i18n.ts";
import type { PredictionLoop } from "../prediction-loop.ts";
import { messageOf } from "../problems.ts";
import { decodePhoto, type Source } from "../source.ts";
import type { State } from "../state.ts";
import { classNamed, refuseNames } from "./class-names.ts";
import { MIN_FOLDS, MIN_SHOTS } from "./cross-validation.ts";
import type { Lesson, Refusal, Shot } from "./lesson.ts";

// A click collects several frames of a camera or video, so that they differ a little.
const FRAMES = 5;
const FRAME_GAP_MS = 350;

export class TeachingPanel {
  private shots: Shot[] = [];
  private isBusy = false;
  private message: () => string = () => "";
  /** The taught model while it predicts, and the one that it was taught from. */
  private taught: { info: ModelInfo; from: ModelInfo; wasOwn: boolean } | null = null;

  /** `onChange` is called when the taught model is in use, or the one before it again. */
  constructor(
    private readonly state: State,
    private readonly source: Source,
    private readonly loop: PredictionLoop,
    private readonly onChange: () => void,
  ) {}

  listen(): void {
    const photos = byId<HTMLInputElement>("teach-file");
    onClick("teach-add", () => this.during(() => this.addNamed((name) => this.addFromSource(name))));
    onClick("teach-photos", () => photos.click());
    photos.addEventListener("change", () => {
      const files = [...(photos.files ?? [])];
      photos.value = "";
      void this.during(() => this.addNamed((name) => this.addPhotos(name, files)));
    });
    onClick("teach-start", () => this.during(() => this.teach()));
    onClick("teach-save", () => this.during(() => this.save()));
    onClick("teach-restore", () => this.during(() => this.restore()));
    byId("teach-name").addEventListener("input", () => this.render());
    byId("teach").addEventListener("toggle", () => this.render());
    this.render();
  }

  render(): void {
    const isReady = this.loop.predictor.isReady && !this.isBusy;
    const isNamed = this.name !== "";
    const isTaught = this.taught !== null && this.taught.info === this.state.info;
    byId<HTMLButtonElement>("teach-add").disabled = !isReady || !isNamed || this.source.kind === "none";
    byId<HTMLButtonElement>("teach-photos").disabled = !isReady || !isNamed;
    byId<HTMLButtonElement>("teach-start").disabled = !isReady || !this.shots.length;
    for (const id of ["teach-save", "teach-restore"]) {
      byId<HTMLButtonElement>(id).hidden = !isTaught;
      byId<HTMLButtonElement>(id).disabled = !isReady;
    }
    const names = [...new Set(this.shots.map(({ label }) => label))];
    byId("teach-classes").replaceChildren(...names.map((name) => this.itemOf(name)));
    setText(byId("teach-result"), this.message());
  }

  /** Another model is in use, by whose features nothing was collected. */
  reset(): void {
    this.shots = [];
    this.taught = null;
    this.message = () => "";
    this.render();
  }

  /** The class that is typed: of the model, also by the name that the page shows for it, or a new one. */
  private get name(): string {
    const { classes = [] } = this.taught?.from ?? this.state.info ?? {};
    return classNamed(byId<HTMLInputElement>("teach-name").value, classes, classNames);
  }

  private itemOf(name: string): HTMLElement {
    const count = this.shots.filter(({ label }) => label === name).length;
    const remove = make("button", { class: "quiet", text: t("teachRemove") });
    remove.type = "button";
    remove.setAttribute("aria-label", t("teachRemoveName", { name: className(name) }));
    remove.disabled = this.isBusy;
    remove.addEventListener("click", () => {
      this.shots = this.shots.filter(({ label }) => label !== name);
      this.render();
    });
    return make("li", { class: "row" }, [make("span", { text: `${className(name)} · ${tCount("nFaces", count)}` }), remove]);
  }

  /** Do one thing at a time; a failure becomes the message. */
  private async during(task: () => Promise<void>): Promise<void> {
    if (this.isBusy) return;
    this.isBusy = true;
    this.message = () => t("teachWorking");
    this.render();
    try {
      await task();
    } catch (error) {
      const detail = messageOf(error);
      this.message = () => t("errorPrediction", { detail });
    }
    this.isBusy = false;
    this.render();
  }

  /** Add faces under the name that is typed, unless a class cannot have it. */
  private async addNamed(add: (name: string) => Promise<void>): Promise<void> {
    const { name } = this;
    const refusal = refuseNames([...this.shots.map(({ label }) => label), name]);
    if (!refusal) return add(name);
    this.message = () => refusalText(refusal, false);
  }

  private async addFromSource(name: string): Promise<void> {
    const { source, state } = this;
    const { kind, pass } = source;
    let count = 0;
    for (let frame = 0; frame < (source.isLive ? FRAMES : 1); frame++) {
      if (frame) await new Promise((resolve) => setTimeout(resolve, FRAME_GAP_MS));
      // After a stop, another source or a jump in a video, the face may be of another class.
      if (kind === "none" || source.kind !== kind || source.pass !== pass) break;
      const box = state.select()?.prediction.box ?? null;
      const bitmap = await source.grab();
      const scale = bitmap.width / state.imageSize.width;
      const scaled = box && (box.map((value) => value * scale) as typeof box);
      count += await this.add(name, bitmap, scaled);
    }
    this.message = () => (count ? tCount("teachAdded", count) : t("noFace"));
  }

  private async addPhotos(name: string, files: File[]): Promise<void> {
    let count = 0;
    for (const file of files) {
      const bitmap = await decodePhoto(file).then((photo) => photo.bitmap).catch(() => null);
      if (bitmap) count += await this.add(name, bitmap, null);
    }
    const missed = files.length - count;
    this.message = () => tCount("teachAdded", count) + (missed ? ` ${t("teachMissed", { count: missed })}` : "");
  }

  private async add(label: string, bitmap: ImageBitmap, box: Shot["probabilities"] | null): Promise<number> {
    const shot = await this.loop.predictor.ask({ kind: "collect", bitmap, box: box as never });
    if (shot) this.shots.push({ label, ...shot });
    return shot ? 1 : 0;
  }

  private async teach(): Promise<void> {
    const keepsClasses = byId<HTMLInputElement>("teach-keep").checked;
    const result = await this.loop.predictor.ask({ kind: "teach", shots: this.shots, keepsClasses });
    if ("reason" in result) {
      this.message = () => refusalText(result, keepsClasses);
      return;
    }
    const { from, wasOwn } = this.taught ?? { from: this.state.info!, wasOwn: this.state.isOwnModel };
    this.taught = { info: result.info, from, wasOwn };
    this.loop.useModel(result.info, false);
    this.onChange();
    this.message = () => t("teachDone", numbersOf(result));
  }

  private async save(): Promise<void> {
    const file = await this.loop.predictor.ask({ kind: "file" });
    download(new Blob([file as Uint8Array<ArrayBuffer>], { type: "application/octet-stream" }), "taught.onnx");
    this.message = () => t("teachSaved");
  }

  private async restore(): Promise<void> {
    const info = await this.loop.predictor.ask({ kind: "restore" });
    const wasOwn = this.taught?.wasOwn ?? true;
    this.taught = null;
    this.loop.useModel(info, wasOwn);
    this.onChange();
    this.message = () => "";
  }
}

function numbersOf({ mean, interval, chance }: Pick<Lesson, "mean" | "interval" | "chance">): Record<string, string> {
  return { value: percent(mean), low: percent(interval[0]), high: percent(interval[1]), chance: percent(chance) };
}

function refusalText(refusal: Refusal, keepsClasses: boolean): string {
  if (refusal.reason === "classes") return t(keepsClasses ? "teachNoNewClass" : "teachOneClass");
  if (refusal.reason === "unsure") return t("teachUnsure");
  if (refusal.reason === "spelling") return t("teachSpelling", { name: refusal.name, other: refusal.other });
  if (refusal.reason === "evidence") return t("teachNoEvidence", numbersOf(refusal));
  const name = refusal.name === "" ? t("teachRest") : className(refusal.name);
  const values = { name, count: refusal.count, least: refusal.reason === "few" ? MIN_SHOTS : MIN_FOLDS };
  return t(refusal.reason === "few" ? "teachFew" : "teachAlike", values);
}
