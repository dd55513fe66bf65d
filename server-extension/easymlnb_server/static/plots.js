// @ts-check
// Draws the figures of plotly that a training saved, with the smallest script that can.

import { headers, make } from "./dom.js";

/** @typedef {{ data?: { type?: string }[], layout?: Record<string, unknown> }} Figure */

const BASIC = ["bar", "pie", "scatter"];
const CARTESIAN = [...BASIC, "box", "contour", "heatmap", "histogram", "histogram2d", "image", "violin"];

const part = /** @type {HTMLElement | null} */ (document.querySelector("[data-scripts]"));
/** @type {Record<string, string>} */
const scripts = JSON.parse(part?.dataset.scripts ?? "{}");
/** @type {Map<string, Promise<any>>} */
const loaded = new Map();

/**
 * Return the name of the script that draws a figure.
 * @param {Figure} figure
 */
function scriptFor(figure) {
  const kinds = (figure.data ?? []).map((trace) => trace.type ?? "scatter");
  if (kinds.every((kind) => BASIC.includes(kind))) return "plotly-basic";
  return kinds.every((kind) => CARTESIAN.includes(kind)) ? "plotly-cartesian" : "plotly";
}

/**
 * Load a script once, and return plotly.
 * @param {string} src
 * @returns {Promise<any>}
 */
function load(src) {
  const known = loaded.get(src);
  if (known) return known;
  const started = new Promise((resolve, reject) => {
    const script = make("script", { src });
    script.addEventListener("load", () => resolve(/** @type {any} */ (window).Plotly));
    script.addEventListener("error", reject);
    document.head.append(script);
  });
  loaded.set(src, started);
  return started;
}

/** @param {HTMLElement} host */
async function draw(host) {
  const url = host.dataset.plot ?? "";
  try {
    const response = await fetch(url, { headers, redirect: "error" });
    /** @type {Figure} */
    const figure = await response.json();
    const src = scripts[scriptFor(figure)] ?? scripts.plotly;
    if (!src) throw new Error("This server has no script for this plot.");
    const plotly = await load(src);
    const color = getComputedStyle(host).color;
    const layout = { ...figure.layout, paper_bgcolor: "transparent", font: { color }, autosize: true, height: 320 };
    await plotly.newPlot(host, figure.data ?? [], layout, { responsive: true, displaylogo: false });
  } catch {
    host.append(make("a", { href: url, download: true }, "Download the plot; it cannot be shown here."));
  }
}

for (const host of document.querySelectorAll("[data-plot]")) void draw(/** @type {HTMLElement} */ (host));
