// The page's state, in one place: the prediction loop and the controls write it, the view renders it.

import { Album } from "./album.ts";
import { decide, topClass } from "./faces/decision-rule.ts";
import type { FacePrediction, LabelSets, ModelInfo } from "./faces/model.ts";
import { divideByPrior, type Prior } from "./faces/prior.ts";
import type { Overview } from "./overview.ts";
import { className, percent, reasonName, t } from "./i18n.ts";
import { overlayColor } from "./palette.ts";
import type { Recording } from "./recording.ts";
import type { Frame } from "./faces/follower.ts";
import { mapProbabilities, type Track } from "./tracks.ts";
import type { DrawnFace, Layers } from "./view/overlay.ts";

export class State {
  info: ModelInfo | null = null;
  /** Threads of the runtime; null if the model does not run in the browser. */
  threads: number | null = null;
  isLoading = true;
  /** Whether the model in use is the page's own, which its server has too. */
  isOwnModel = true;
  /** The faces of the latest predicted image, oldest track first, with probabilities for the chosen prior. */
  faces: Track[] = [];
  /** The same with probabilities as trained: the prior comes after the smoothing of a video, as in Python. */
  private tracks: Track[] = [];
  private prior: Prior = "as-trained";
  /** The frame in which the faces are. */
  frame: Frame = { time: 0, pass: 0 };
  /** Size of the predicted image; face coordinates refer to it. */
  imageSize = { width: 1, height: 1 };
  /** Whether the open source has been predicted at least once. */
  hasPrediction = false;
  /** The predictions of the latest camera or video; they can be saved until another source is opened. */
  recording: Recording | null = null;
  /** The timeline of an open video file whose length is known. */
  overview: Overview | null = null;
  readonly album = new Album();
  /** What the panel says while there is no prediction, and a hint below it. */
  waiting: { text: () => string; hint?: () => string } = { text: () => "" };
  /** Below this top-1 probability a prediction is unsure. */
  threshold = 0.5;
  /** Faces whose box's shorter side is less are left out. */
  minFacePx = 0;
  readonly layers: Layers = { boxes: true, landmarks: true };
  selectedId = 0;

  /** Show the faces of an image, whose probabilities are as trained. */
  setTracks(tracks: Track[]): void {
    this.tracks = tracks;
    this.faces = this.prior === "as-trained" ? tracks : mapProbabilities(tracks, (values) => this.underPrior(values));
  }

  setPrior(prior: Prior): void {
    this.prior = prior;
    this.setTracks(this.tracks);
  }

  /** Return probabilities as trained under the chosen prior. */
  underPrior(probabilities: number[]): number[] {
    const fractions = this.info?.class_fractions;
    return fractions ? divideByPrior(probabilities, fractions, this.prior) : probabilities;
  }

  /** The limits of prediction sets, which are for probabilities as trained; null if there are none. */
  get labelSets(): LabelSets | null {
    return this.prior === "as-trained" ? (this.info?.label_sets ?? null) : null;
  }

  /** Return the selected face; if it is not in the image, select the largest one. Null if there are no faces. */
  select(): Track | null {
    const same = this.faces.find(({ id }) => id === this.selectedId);
    if (same) return same;
    const area = ({ prediction: { box } }: Track): number => (box[2] - box[0]) * (box[3] - box[1]);
    const largest = this.faces.reduce<Track | null>(
      (best, track) => (!best || area(track) > area(best) ? track : best),
      null,
    );
    if (largest) this.selectedId = largest.id;
    return largest;
  }

  /** Whether a prediction is unsure: not probable enough, or of a face that is hard to see. */
  isUnsure(prediction: FacePrediction): boolean {
    return decide(prediction, this.info!.classes, this.threshold).reason !== "";
  }

  /** The short label of a face, such as "Happy 97%". */
  labelOf({ prediction }: Track): string {
    const { probabilities, reason } = prediction;
    const top = topClass(probabilities);
    const name = className(this.info!.classes[top]);
    if (reason) return `${t("unsureShort")} · ${reasonName(reason)}`;
    return this.isUnsure(prediction)
      ? `${t("unsureShort")} · ${name}?`
      : `${name} ${percent(probabilities[top])}`;
  }

  drawnFaces(selected: Track | null): DrawnFace[] {
    return this.faces.map((track) => {
      const { box, landmarks, probabilities } = track.prediction;
      const top = topClass(probabilities);
      return {
        box,
        landmarks,
        label: this.labelOf(track),
        color: overlayColor(this.info!.classes[top]),
        isSelected: track === selected,
        isUnsure: this.isUnsure(track.prediction),
      };
    });
  }
}

/** Whether "Use the server instead" is on. */
export function usesServer(): boolean {
  return document.querySelector<HTMLInputElement>("#use-server")!.checked;
}
