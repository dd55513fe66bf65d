// @ts-check
// Figures of plotly: the smallest bundle that draws one, fetched when the form is usable.

import { loadOptional, prefetchOptional, whenUsable } from "./optional.js";

/** @typedef {Record<string, any>} Trace */
/** @typedef {{ data?: Trace[], layout?: any, config?: any, frames?: { data?: Trace[] }[] }} Figure */

/**
 * Bundles by size, each with the traces that it draws. The last one draws all.
 * @type {[name: string, traces: string[]][]}
 */
const BUNDLES = [
  ["plotly-basic", ["bar", "pie", "scatter"]],
  [
    "plotly-cartesian",
    [
      "bar", "box", "contour", "heatmap", "histogram", "histogram2d", "histogram2dcontour", "image", "pie", "scatter",
      "scatterternary", "violin",
    ],
  ],
  ["plotly", []],
];
const ALL = BUNDLES.length - 1;

/** Points up to which SVG is as fast as WebGL, whose traces only the largest bundle has. */
const FEW_POINTS = 5000;

/** Bytes of a number, by the names that plotly gives to types of arrays. */
const SIZES = /** @type {Record<string, number>} */ ({ i1: 1, u1: 1, c1: 1, i2: 2, u2: 2, i4: 4, u4: 4, f4: 4, f8: 8 });

/**
 * Return the height in pixels of a figure that states none.
 * @param {HTMLElement} host
 */
const usualHeight = (host) => Math.min(450, Math.max(360, host.clientWidth));

/** @type {Map<number, Promise<any>>} */
const libraries = new Map();

/** @param {any} values - a list, or bytes in Base64 with their type */
function count(values) {
  if (Array.isArray(values)) return values.length;
  return values?.bdata ? (values.bdata.length * 3) / 4 / (SIZES[values.dtype] ?? 1) : 0;
}

/**
 * Return traces of which small ones need no WebGL.
 * @param {Trace[]} traces
 */
export function withoutNeedlessWebGL(traces) {
  const lines = traces.filter((trace) => trace.type === "scattergl");
  const points = lines.reduce((sum, { x, y }) => sum + Math.max(count(x), count(y)), 0);
  if (points > FEW_POINTS) return traces;
  return traces.map((trace) => (trace.type === "scattergl" ? { ...trace, type: "scatter" } : trace));
}

/**
 * Return the number of the smallest bundle that draws a figure.
 * @param {Figure} figure
 */
function bundleNumber({ data = [], frames = [] }) {
  const kinds = [...data, ...frames.flatMap((frame) => frame.data ?? [])].map((trace) => trace.type ?? "scatter");
  const fits = BUNDLES.findIndex(([, traces]) => kinds.every((kind) => traces.includes(kind)));
  return fits < 0 ? ALL : fits;
}

/**
 * Return the name of the smallest bundle that draws a figure.
 * @param {Figure} figure
 */
export function bundleFor(figure) {
  return BUNDLES[bundleNumber(figure)][0];
}

/** @param {number} number */
function load(number) {
  const known = libraries.get(number);
  if (known) return known;
  const started = loadOptional(BUNDLES[number][0]).then(() => /** @type {any} */ (window).Plotly);
  libraries.set(number, started);
  started.catch(() => libraries.delete(number)); // the next figure tries again
  return started;
}

/** Fetch the library for the first figure: after the form is usable. It is parsed while a call runs. */
export function expectPlots() {
  const last = lastBundle();
  const number = Math.max(0, BUNDLES.findIndex(([name]) => name === last));
  whenUsable(() => prefetchOptional(BUNDLES[number][0]));
  const parse = () => whenUsable(() => load(number).catch(() => {}));
  addEventListener("click", parse, { once: true, capture: true });
}

const key = () => `easymlnb-plots:${location.pathname}`;

/** Return the bundle that the page needed last time. */
function lastBundle() {
  try {
    return localStorage.getItem(key());
  } catch {
    return null; // the browser blocks storage
  }
}

/** @param {string} name */
function remember(name) {
  try {
    localStorage.setItem(key(), name);
  } catch {
    // The browser blocks storage: the next visit fetches the smallest bundle first.
  }
}

/**
 * Draw a figure, and again when its space changes.
 * @param {HTMLElement} host
 * @param {Figure} figure
 */
export async function drawFigure(host, { data = [], layout = {}, config = {}, frames }) {
  const figure = { data: withoutNeedlessWebGL(data), layout, frames, config: { ...config, responsive: false } };
  host.style.height = `${layout.height || usualHeight(host)}px`;
  const needed = bundleNumber(figure);
  remember(BUNDLES[needed][0]);
  const Plotly = await load(Math.max(needed, ...libraries.keys()));
  if (!host.isConnected) return;
  await Plotly.newPlot(host, figure);
  let width = host.clientWidth;
  new ResizeObserver((_, observer) => {
    if (!host.isConnected) {
      observer.disconnect();
      Plotly.purge(host);
    } else if (host.clientWidth && host.clientWidth !== width) {
      width = host.clientWidth;
      Plotly.Plots.resize(host);
    }
  }).observe(host);
}
