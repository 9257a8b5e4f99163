// Several photos that were opened together: one is shown, all of them are predicted and saved.

import { byId, onClick, setText } from "./dom.ts";
import { t } from "./i18n.ts";
import { NO_FACE_ROW, type Row } from "./recording.ts";

export interface AlbumPhoto {
  file: File;
  /** Its rows of the table; null until it has been predicted. */
  rows: Row[] | null;
}

export class Album {
  /** Empty unless several photos are open. */
  photos: AlbumPhoto[] = [];
  private index = 0;

  /** `onTurn` shows a photo. */
  listen(onTurn: (file: File) => void): void {
    const turn = (by: number): void => {
      this.index = (this.index + by + this.photos.length) % this.photos.length;
      this.render();
      onTurn(this.photos[this.index].file);
    };
    onClick("previous-photo", () => turn(-1));
    onClick("next-photo", () => turn(1));
  }

  open(files: File[], index = 0): void {
    this.photos = files.map((file) => ({ file, rows: null }));
    this.index = index;
    this.render();
  }

  /** Forget the predictions. */
  reset(): void {
    this.open(this.photos.map(({ file }) => file), this.index);
  }

  add(photo: AlbumPhoto, rows: Row[]): void {
    photo.rows = (rows.length ? rows : [NO_FACE_ROW]).map((row) => ({ ...row, source: photo.file.name }));
    this.render();
  }

  /** No photo has been predicted. */
  get isEmpty(): boolean {
    return this.photos.every(({ rows }) => !rows);
  }

  /** The rows of all photos; one that is not predicted yet has a row that says so. */
  get rows(): Row[] {
    return this.photos.flatMap(({ file, rows }) => rows ?? [{ ...NO_FACE_ROW, source: file.name, status: "incomplete", detail: "not predicted yet" }]);
  }

  render(): void {
    const count = this.photos.length;
    byId("album").hidden = !count;
    if (!count) return;
    setText(byId("album-name"), t("albumPhoto", { number: this.index + 1, count, name: this.photos[this.index].file.name }));
    setText(byId("album-done"), t("albumDone", { done: this.photos.filter(({ rows }) => rows).length, count }));
  }
}
