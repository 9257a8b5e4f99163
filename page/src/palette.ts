// Colors of the classes: those of `mien predict --draw` on images, and darker ones on a light page.

const onDark: Record<string, string> = {
  Neutral: "#bac8d6",
  Happy: "#ffc83d",
  Sad: "#60a5fa",
  Surprise: "#2dd4d6",
  Fear: "#ba8cff",
  Disgust: "#84cc4e",
  Anger: "#ff635c",
  Contempt: "#ff923c",
};
const onLight: Record<string, string> = {
  Neutral: "#7b8a9a",
  Happy: "#e0a100",
  Sad: "#3f7fdc",
  Surprise: "#12a3a8",
  Fear: "#8f63dd",
  Disgust: "#63a031",
  Anger: "#dc4a44",
  Contempt: "#dd7726",
};
const otherOnDark = "#d6bcdc";
const otherOnLight = "#9a7aa3";

export function isDarkPage(): boolean {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

/** The color of a class on the page. */
export function pageColor(name: string): string {
  return isDarkPage() ? overlayColor(name) : (onLight[name] ?? otherOnLight);
}

/** The color of a class on an image, where labels are dark. */
export function overlayColor(name: string): string {
  return onDark[name] ?? otherOnDark;
}
