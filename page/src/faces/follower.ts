// The faces of a video's frames: the detector sees some of the frames, and in between the model's landmarks carry each face on.

import { cropImage, cropMatrix, similarity, transform, type Box, type CropContract, type Matrix, type Point } from "./crop.ts";
import { anchorsOf, iou, type DetectedFace } from "./detector.ts";
import type { Image } from "./pixels.ts";

// The detector looks again after this many seconds of the video, and not before so many frames: a slow machine predicts few.
const DETECT_EVERY_S = 0.3;
const DETECT_EVERY_FRAMES = 3;
// How a face's patch must correlate with that of the frame before. Neighboring frames of one face do so by more than 0.9; a cut or
// a hand in front of the face leaves less.
const MIN_CORRELATION = 0.8;
const PATCH: CropContract = { method: "aligned", margin: 0, size: 16, resampling: "halve+bilinear", border: "black" };
// A face that moves or grows by more between two frames is looked for; of two that overlap by more, one could take the other's place.
const MIN_IOU = 0.5;
const MAX_OVERLAP = 0.05;

/** A frame of a camera or a video. */
export interface Frame {
  /** In seconds: position in the video, or time since the camera started. */
  time: number;
  /** Increases with every seek and every repetition of the video. */
  pass: number;
}

interface Followed {
  /** As the detector found it, with the landmarks in that frame; later frames are relative to it, so that no drift adds up. */
  detected: DetectedFace;
  landmarks: Point[];
  face: DetectedFace;
  patch: Float32Array;
}

export class Follower {
  private followed: Followed[] = [];
  private canFollow = false;
  private detectedAt = 0;
  private frames = 0;
  private pass = NaN;

  /** Return the faces of a frame if they are where the frame before had them; null if the detector has to look. */
  follow(image: Image, { time, pass }: Frame): DetectedFace[] | null {
    this.frames++;
    const isDue = Math.abs(time - this.detectedAt) >= DETECT_EVERY_S && this.frames >= DETECT_EVERY_FRAMES;
    if (!this.canFollow || isDue || pass !== this.pass) return null;
    const isThere = ({ face, patch }: Followed): boolean => correlation(patchOf(image, face), patch) >= MIN_CORRELATION;
    return this.followed.every(isThere) ? this.followed.map(({ face }) => face) : null;
  }

  /** Keep where the faces of a frame are by their landmarks; `isDetected` says that the detector found them in this frame. */
  keep(image: Image, frame: Frame, faces: DetectedFace[], landmarks: (Point[] | null)[], isDetected: boolean): DetectedFace[] {
    if (isDetected) {
      this.followed = faces.map((face, index) => ({ detected: face, landmarks: landmarks[index] ?? [], face, patch: NO_PATCH }));
      [this.detectedAt, this.pass, this.frames] = [frame.time, frame.pass, 0];
    } else this.followed = this.followed.map((followed, index) => ({ ...followed, face: moved(followed, landmarks[index]) }));
    const found = this.followed.map(({ face }) => face);
    // Without eyes and mouth, or without landmarks, there is nothing to follow; an empty frame is searched every time.
    const isKnown = this.followed.every(({ detected, landmarks: first }) => detected.points !== null && first.length > 0);
    const isSteady = found.every((face, index) => iou(face.box, faces[index].box) >= MIN_IOU);
    const isApart = found.every((face, index) => found.every((other, at) => at <= index || iou(face.box, other.box) <= MAX_OVERLAP));
    this.canFollow = found.length > 0 && isKnown && isSteady && isApart;
    if (this.canFollow) for (const followed of this.followed) followed.patch = patchOf(image, followed.face);
    return found;
  }
}

const NO_PATCH = new Float32Array(0);

/** Return a detected face as its landmarks have moved since. */
function moved({ detected, landmarks: before, face }: Followed, now: Point[] | null): DetectedFace {
  const motion = now && similarity(before, now);
  if (!motion) return face;
  return { ...detected, points: detected.points!.map((point) => transform(motion, point)), box: movedBox(detected.box, motion) };
}

/** Move a box's center and scale its sides: it stays upright. */
function movedBox([x0, y0, x1, y1]: Box, motion: Matrix): Box {
  const [x, y] = transform(motion, [(x0 + x1) / 2, (y0 + y1) / 2]);
  const scale = Math.hypot(motion[0], motion[3]) / 2;
  return [x - (x1 - x0) * scale, y - (y1 - y0) * scale, x + (x1 - x0) * scale, y + (y1 - y0) * scale];
}

/** Return a face in gray, small, with mean 0 and length 1. */
function patchOf(image: Image, face: DetectedFace): Float32Array {
  const { matrix } = cropMatrix(PATCH, image.width, image.height, { anchors: anchorsOf(face), box: face.box });
  const { rgb } = cropImage(image, matrix, PATCH.size);
  const gray = Float32Array.from({ length: PATCH.size ** 2 }, (_, at) => rgb[3 * at] + 2 * rgb[3 * at + 1] + rgb[3 * at + 2]);
  const mean = gray.reduce((sum, value) => sum + value, 0) / gray.length;
  const length = Math.sqrt(gray.reduce((sum, value) => sum + (value - mean) ** 2, 1e-9));
  return gray.map((value) => (value - mean) / length);
}

function correlation(one: Float32Array, other: Float32Array): number {
  return one.reduce((sum, value, at) => sum + value * other[at], 0);
}
