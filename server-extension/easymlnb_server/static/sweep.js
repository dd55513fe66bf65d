// @ts-check
// The trials of a sweep: a table, and a plot over one or two parameters.

import { byId, headers, make } from "./dom.js";
import { points, heat, valueNames } from "./sweepplot.js";

const REFRESH_MS = 2000;
const part = byId("sweep");
const measure = /** @type {HTMLSelectElement} */ (byId("measure"));

/** @type {import("./sweepplot.js").Sweep} */
let shown = { parameters: [], trials: [] };

/** @param {unknown} value */
const cell = (value) => (value == null ? "" : typeof value === "object" ? JSON.stringify(value) : String(value));

/** @param {unknown} value */
const brief = (value) => (typeof value === "number" ? String(Number(value.toPrecision(6))) : cell(value).slice(0, 200));

function drawTable() {
  const root = (part.dataset.url ?? "").split("/jobs/")[0];
  const head = make("tr", {}, ...["Trial", ...shown.parameters, "State", "Result"].map((name) => make("th", {}, name)));
  const rows = shown.trials.map((trial) =>
    make(
      "tr",
      {},
      make("td", {}, make("a", { href: `${root}/jobs/${trial.job}/page` }, String(trial.item))),
      ...shown.parameters.map((name) => make("td", {}, brief(trial.parameters[name]))),
      make("td", {}, trial.state),
      make("td", {}, trial.error ? trial.error.message : brief(trial.result)),
    ),
  );
  byId("trials").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
}

function drawPlot() {
  const names = valueNames(shown);
  if (names.join("\n") !== [...measure.options].map((option) => option.value).join("\n")) {
    const chosen = measure.value;
    measure.replaceChildren(...names.map((name) => make("option", { value: name, selected: name === chosen }, name || "result")));
  }
  const label = /** @type {HTMLElement} */ (measure.parentElement);
  label.hidden = names.length < 2;
  const plot = names.length ? (heat(shown, measure.value) ?? points(shown, measure.value)) : null;
  byId("plot").replaceChildren(...(plot ? [plot] : []));
}

async function refresh() {
  try {
    const response = await fetch(part.dataset.url ?? "", { headers });
    if (response.ok) {
      shown = await response.json();
      drawTable();
      drawPlot();
    }
  } catch {
    // The server may be restarting; the next request follows soon.
  }
  const done = shown.trials.length && shown.trials.every((trial) => ["succeeded", "failed", "cancelled"].includes(trial.state));
  const active = byId("job").dataset.active && !(done && byId("state").textContent?.trim() !== "running");
  if (active) setTimeout(refresh, REFRESH_MS);
}

measure.addEventListener("change", drawPlot);
refresh();
