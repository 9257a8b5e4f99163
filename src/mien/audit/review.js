"use strict";
// A decision is "keep", "drop" or "change:<class>", by the face's place among the findings.
const data = JSON.parse(document.getElementById("data").textContent);
const texts = JSON.parse(document.getElementById("texts").textContent);
const byId = (id) => document.getElementById(id);
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const nameOf = (label) => (label ? (data.names[label] ?? label) : texts.nothing);
const storageKey = "mien-audit-" + data.id;
let decisions = {};
let here = 0;
try {
  decisions = JSON.parse(localStorage.getItem(storageKey) || "{}");
} catch {
  // Without storage, as in a private window, decisions last as long as the page.
}

function store() {
  try {
    localStorage.setItem(storageKey, JSON.stringify(decisions));
  } catch {
    // see above
  }
}

function visible() {
  const reason = byId("filter").value;
  const undecided = byId("open").checked;
  return data.findings
    .map((_, index) => index)
    .filter((index) => !reason || data.findings[index].reasons.includes(reason))
    .filter((index) => !undecided || !decisions[index] || index === here);
}

function step(direction) {
  const shown = visible();
  const following = shown.filter((index) => (direction > 0 ? index > here : index < here));
  if (following.length) here = direction > 0 ? following[0] : following[following.length - 1];
  show();
}

function decide(decision) {
  if (!visible().includes(here)) return;
  if (decision === undefined) delete decisions[here];
  else decisions[here] = decision;
  store();
  if (decision === undefined) show();
  else step(1);
}

function setMeter(letter, name, value) {
  byId("name-" + letter).textContent = name ? nameOf(name) : "";
  byId("p-" + letter).style.width = (value === null ? 0 : value * 100) + "%";
  byId("v-" + letter).textContent = value === null ? "" : (value * 100).toFixed(0) + "%";
}

function describe(decision) {
  if (!decision) return "";
  return texts[decision] ?? fill(texts.change, { name: nameOf(decision.slice("change:".length)) });
}

function show() {
  const shown = visible();
  if (shown.length && !shown.includes(here)) here = shown.find((index) => index > here) ?? shown[shown.length - 1];
  byId("face").hidden = !shown.length;
  byId("nothing").hidden = shown.length > 0;
  const n = data.findings.length;
  const decided = Object.keys(decisions).length;
  const changed = Object.values(decisions).filter((one) => one !== "keep").length;
  byId("count").textContent = fill(texts.count, { decided, n, changed });
  byId("done").style.width = n ? (100 * decided) / n + "%" : "0";
  const place = shown.indexOf(here) + 1;
  byId("position").textContent = shown.length ? fill(texts.position, { place, n: shown.length }) : "";
  const inView = new Set(shown);
  for (const [index, button] of [...byId("strip").children].entries()) {
    const kind = (decisions[index] || "").split(":")[0];
    button.className = `${kind} ${index === here ? "here" : ""}`;
    button.hidden = !inView.has(index);
  }
  if (!shown.length) return;
  const face = data.findings[here];
  byId("image").src = face.image;
  byId("image").alt = fill(texts.face, { n: here + 1, label: nameOf(face.labeled) });
  byId("points").innerHTML = (face.points || []).map(([x, y]) => `<circle cx="${x}" cy="${y}" r=".008"/>`).join("");
  byId("labeled").textContent = nameOf(face.labeled);
  byId("suggested").textContent = face.suggested && nameOf(face.suggested);
  byId("arrow").hidden = !face.suggested;
  setMeter("a", face.labeled, face.p_labeled);
  setMeter("b", face.suggested, face.p_suggested);
  byId("reasons").replaceChildren(
    ...face.reasons.map((reason, index) => {
      const item = document.createElement("li");
      item.textContent = face.sentences[index];
      item.title = data.reasons[reason];
      return item;
    }),
  );
  byId("key").textContent = face.key;
  byId("place").textContent = fill(texts.row, { split: face.split, n: face.row });
  byId("accept-text").textContent = fill(texts.accept, { name: face.suggested && nameOf(face.suggested) });
  byId("accept").disabled = !face.suggested;
  byId("decision").textContent = describe(decisions[here]);
  for (const button of byId("classes").children) {
    button.classList.toggle("chosen", decisions[here] === "change:" + button.dataset.class);
    button.disabled = button.dataset.class === face.labeled;
  }
}

function change(name) {
  const face = data.findings[here];
  if (name !== face.labeled) decide("change:" + name);
}

const actions = {
  keep: () => decide("keep"),
  drop: () => decide("drop"),
  clear: () => decide(undefined),
  accept: () => data.findings[here].suggested && change(data.findings[here].suggested),
  next: () => step(1),
  previous: () => step(-1),
};
const keys = { k: "keep", d: "drop", u: "clear", s: "accept", ArrowRight: "next", ArrowLeft: "previous" };
const digits = "1234567890";

function quote(cell) {
  return /[",\r\n]/.test(cell) ? '"' + cell.replaceAll('"', '""') + '"' : cell;
}

function corrections() {
  const lines = [["key", "label", "split", "row", "why"]];
  for (const [index, decision] of Object.entries(decisions)) {
    const face = data.findings[index];
    if (!face || decision === "keep") continue;
    const label = decision === "drop" ? data.drop : decision.slice("change:".length);
    lines.push([face.key, label, face.split, String(face.row), "reviewed: " + face.details.join("; ")]);
  }
  return lines.map((cells) => cells.map(quote).join(",") + "\n").join("");
}

function exportCorrections() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([corrections()], { type: "text/csv;charset=utf-8" }));
  link.download = "corrections.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

for (const button of document.querySelectorAll("[data-act]")) {
  button.addEventListener("click", () => actions[button.dataset.act]());
}
data.classes.forEach((name, index) => {
  const button = document.createElement("button");
  button.dataset.class = name;
  if (index < digits.length) {
    const key = document.createElement("kbd");
    key.textContent = digits[index];
    button.append(key, " ");
  }
  button.append(nameOf(name));
  button.addEventListener("click", () => change(name));
  byId("classes").append(button);
});
const counts = {};
for (const face of data.findings) for (const reason of face.reasons) counts[reason] = (counts[reason] || 0) + 1;
for (const [reason, n] of Object.entries(counts)) byId("filter").append(new Option(`${data.reasons[reason]} (${n})`, reason));
data.findings.forEach((face, index) => {
  const button = document.createElement("button");
  const image = document.createElement("img");
  image.src = face.image;
  image.loading = "lazy";
  image.alt = fill(texts.thumbnail, { n: index + 1 });
  button.append(image);
  button.addEventListener("click", () => {
    here = index;
    show();
  });
  byId("strip").append(button);
});
byId("filter").addEventListener("change", show);
byId("open").addEventListener("change", show);
byId("export").addEventListener("click", exportCorrections);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input")) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (key === "e") exportCorrections();
  else if (keys[key]) actions[keys[key]]();
  else if (digits.includes(key) && data.classes[digits.indexOf(key)]) change(data.classes[digits.indexOf(key)]);
  else return;
  event.preventDefault();
});
show();
