// Finding and creating DOM nodes.

import { versioned } from "./assets.ts";

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const node = document.getElementById(id);
  if (!node) throw new Error(`index.html has no #${id}`);
  return node as T;
}

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  options: { class?: string; text?: string; ariaHidden?: boolean } = {},
  children: Node[] = [],
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  if (options.class) node.className = options.class;
  if (options.text !== undefined) node.textContent = options.text;
  if (options.ariaHidden) node.setAttribute("aria-hidden", "true");
  node.append(...children);
  return node;
}

export function onClick(id: string, handler: () => void | Promise<void>): void {
  byId(id).addEventListener("click", () => void handler());
}

/** Show an icon of assets/icons.svg in front of an element's content. */
export function setIcon(parent: HTMLElement, name: string): void {
  let use = parent.querySelector("use");
  if (!use) {
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("aria-hidden", "true");
    use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    svg.append(use);
    parent.prepend(svg);
  }
  const href = `assets/${versioned("icons.svg")}#${name}`;
  // Browsers load the file again even if the address stays the same.
  if (use.getAttribute("href") !== href) use.setAttribute("href", href);
}

export function setText(node: HTMLElement, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** Let the browser download a file. */
export function download(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
