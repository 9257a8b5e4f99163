// Files that are dropped on the page or pasted into it.

import { byId } from "./dom.ts";

export function listenForFiles(open: (files: File[]) => void): void {
  const dropHint = byId("drop-hint");
  let depth = 0;
  const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
  const openAll = (files: FileList | undefined): void => open([...(files ?? [])]);
  document.addEventListener("paste", (event) => openAll(event.clipboardData?.files));
  document.addEventListener("dragenter", (event) => {
    if (hasFiles(event)) dropHint.hidden = ++depth < 1;
  });
  document.addEventListener("dragleave", (event) => {
    if (hasFiles(event)) dropHint.hidden = --depth < 1;
  });
  document.addEventListener("dragover", (event) => event.preventDefault());
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    dropHint.hidden = true;
    openAll(event.dataTransfer?.files);
  });
}
