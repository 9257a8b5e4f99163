// Renders a model card's Markdown as DOM nodes: headings, paragraphs, lists, tables, bold and code. Links are reduced to their
// text, since the page links to no other site; unsupported syntax is shown as it is.

import { make } from "./dom.ts";

export function renderMarkdown(text: string): HTMLElement[] {
  const blocks = text.replaceAll("\r\n", "\n").split(/\n{2,}|\n(?=#+ )|(?<=^#+ .*)\n/m);
  return blocks.map((block) => block.trim()).filter(Boolean).map(renderBlock);
}

function renderBlock(block: string): HTMLElement {
  const heading = /^#+ (.*)$/.exec(block);
  if (heading) return make("h3", {}, inline(heading[1]));
  const lines = block.split("\n");
  if (lines.length > 1 && /^\|?[\s:|-]+\|[\s:|-]*$/.test(lines[1])) return renderTable(lines);
  if (/^[-*] /.test(block)) {
    const items = block.split(/\n(?=[-*] )/).map((item) => item.slice(2).replace(/\n\s*/g, " "));
    return make("ul", {}, items.map((item) => make("li", {}, inline(item))));
  }
  return make("p", {}, inline(lines.join(" ")));
}

function renderTable(lines: string[]): HTMLElement {
  const cells = (line: string): string[] => line.replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const row = (line: string, tag: "th" | "td"): HTMLElement =>
    make("tr", {}, cells(line).map((cell) => make(tag, {}, inline(cell))));
  const [head, , ...body] = lines;
  return make("table", {}, [
    make("thead", {}, [row(head, "th")]),
    make("tbody", {}, body.map((line) => row(line, "td"))),
  ]);
}

function inline(text: string): Node[] {
  const parts = text.replace(/!?\[([^\]]*)\]\([^)]*\)/g, "$1").split(/(\*\*[^*]+\*\*|`[^`]+`)/);
  return parts.filter(Boolean).map((part) => {
    if (part.startsWith("**") && part.length > 4) return make("strong", { text: part.slice(2, -2) });
    if (part.startsWith("`") && part.length > 2) return make("code", { text: part.slice(1, -1) });
    return document.createTextNode(part);
  });
}
