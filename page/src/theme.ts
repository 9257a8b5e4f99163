// Sets the chosen colours before the page is painted. Loaded by itself in the head.

import { recall } from "./memory.ts";

const chosen = recall("theme");
if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
