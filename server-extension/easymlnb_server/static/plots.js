// @ts-check
// Draws the figures of plotly that a training saved, with the smallest script that can.

import { headers, make } from "./dom.js";

/** @typedef {{ data?: { type?: string }[], layout?: Record<string, any> }} Figure */

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

/** @param {any} title */
const textOf = (title) => String(title?.text ?? title ?? "").replace(/<[^>]*>/g, "");

/**
 * Return a layout for a column of a page: small margins, the legend below.
 * @param {Record<string, any>} layout
 */
function fitted(layout) {
  const axes = ["xaxis", "yaxis", ...Object.keys(layout).filter((name) => /^[xy]axis\d+$/.test(name))];
  const wide = Object.fromEntries(axes.map((name) => [name, { automargin: true, ...layout[name] }]));
  const legend = { orientation: "h", x: 0, xanchor: "left", y: 0, yanchor: "bottom", yref: "container", ...layout.legend };
  return { ...layout, ...wide, legend, margin: { l: 8, r: 8, t: 16, b: 8 }, autosize: true, width: undefined, height: 320 };
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
    const { title, ...layout } = figure.layout ?? {};
    const caption = host.parentElement?.querySelector("figcaption");
    if (caption) caption.textContent = textOf(title) || caption.textContent;
    host.classList.toggle("themed", !layout.paper_bgcolor && !layout.plot_bgcolor);
    await plotly.newPlot(host, figure.data ?? [], fitted(layout), { responsive: true, displaylogo: false });
  } catch {
    host.append(make("a", { href: url, download: true }, "Download the plot; it cannot be shown here."));
  }
}

for (const host of document.querySelectorAll("[data-plot]")) void draw(/** @type {HTMLElement} */ (host));
