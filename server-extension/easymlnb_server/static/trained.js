// @ts-check
// A model that was made without code: its training, scores, versions, and its REST service.

import { api } from "./api.js";
import { byId, make, page } from "./dom.js";
import { draw, short } from "./drawing.js";

/** @typedef {{name: string, type: string, kind: string, required: boolean, min?: any, max?: any, choices?: string[], complete?: boolean, example?: any}} Input */

const ENDED = ["succeeded", "failed", "cancelled"];
const COLORS = /** @type {Record<string, string>} */ ({ succeeded: "dot good", failed: "dot bad", cancelled: "dot" });

/** @type {any} */
let model = null;
/** @type {any[]} */
let versions = [];
/** @type {any} */
let signature = null;

const quoted = () => model.name.split("/").map(encodeURIComponent).join("/");
const path = () => `models/${quoted()}`;

/**
 * Show a model, and follow its training.
 * @param {any} about
 * @param {(model: any) => void} edit
 */
export function showModel(about, edit) {
  model = about;
  byId("result").hidden = false;
  byId("edit").addEventListener("click", () => edit(model));
  byId("delete").addEventListener("click", remove);
  byId("expose").addEventListener("click", expose);
  byId("call-it").addEventListener("click", callIt);
  byId("job-cancel").addEventListener("click", cancel);
  byId("predict-form").addEventListener("submit", predict);
  void refresh();
  if (model.job) void follow(model.job);
}

/**
 * @param {string} element
 * @param {() => Promise<void>} work
 */
async function attempt(element, work) {
  byId(element).textContent = "";
  try {
    await work();
  } catch (error) {
    byId(element).textContent = error instanceof Error ? error.message : String(error);
    byId(element).scrollIntoView({ block: "nearest" });
  }
}

async function refresh() {
  await attempt("change-problem", async () => {
    model = await api("GET", `${path()}/template`);
    versions = (await api("GET", `${path()}/versions`)).versions;
    showVersions();
    const current = versions.find(({ version }) => version === model.production);
    if (!current) return;
    signature = current.signature;
    const report = await api("GET", `${path()}/versions/${current.version}/files/report.json`).catch(() => null);
    showScores(current, report);
    showForm();
    showService();
  });
}

// The training

/** @param {string} id */
async function follow(id) {
  const job = await api("GET", `jobs/${id}`).catch(() => null);
  if (!job) return;
  showJob(job);
  if (ENDED.includes(job.state)) return;
  const source = new EventSource(`${page.root}jobs/${id}/events`);
  source.addEventListener("progress", (event) => {
    const { fraction, text } = JSON.parse(event.data);
    /** @type {HTMLProgressElement} */ (byId("job-progress")).value = Math.max(0, fraction);
    byId("job-text").textContent = `${Math.round(100 * Math.max(0, fraction))} % ${text}`;
  });
  source.addEventListener("state", async () => {
    const now = await api("GET", `jobs/${id}`).catch(() => null);
    if (!now) return;
    showJob(now);
    if (ENDED.includes(now.state)) {
      source.close();
      await refresh();
    }
  });
}

/** @param {any} job */
function showJob(job) {
  byId("job").hidden = job.state === "succeeded";
  byId("job-state").textContent = job.state;
  byId("job-dot").className = COLORS[job.state] ?? "dot warn";
  /** @type {HTMLProgressElement} */ (byId("job-progress")).value = job.progress;
  byId("job-text").textContent = job.state === "queued" ? (job.reason || (job.position > 1 ? `${job.position - 1} ahead of it in the queue` : "next in the queue")) : `${Math.round(100 * job.progress)} % ${job.progress_text}`;
  byId("job-problem").textContent = job.error?.message ?? "";
  byId("job-cancel").hidden = ENDED.includes(job.state);
  /** @type {HTMLAnchorElement} */ (byId("job-link")).href = `${page.root}jobs/${job.id}/page`;
}

function cancel() {
  void attempt("job-problem", async () => { await api("POST", `jobs/${model.job}/cancel`, {}); });
}

// Scores

/**
 * @param {any} current
 * @param {any} report
 */
function showScores(current, report) {
  const figures = Object.entries(current.metrics).map(([name, value]) => make("div", {}, make("dt", {}, name.replaceAll("_", " ")), make("dd", {}, short(Number(value)))));
  const parts = [make("div", { class: "row" }, make("h2", { id: "scores-title" }, `Version ${current.version}`), make("span", { class: "chip" }, report?.title ?? current.format)),
    make("p", { class: "muted small" }, `On ${report?.rows?.test ?? "some"} ${signature?.template === "images" ? "images" : "rows"} that no candidate has seen.`), make("dl", { class: "figures" }, ...figures)];
  if (report) {
    const { comparison, notes, plots } = report;
    parts.push(...notes.map((/** @type {string} */ note) => make("p", { class: "small" }, note)), candidates(comparison),
      make("div", { class: "plots" }, .../** @type {any} */ (plots.map(draw))));
  }
  byId("scores").replaceChildren(...parts);
  byId("scores").hidden = false;
}

/** @param {any} comparison */
function candidates(comparison) {
  const rows = comparison.rows.map((/** @type {any} */ one) => make("tr", {}, make("td", {}, one.title || one.name, one.is_best ? make("span", { class: "chip" }, "as good as the best") : null),
    make("td", { class: "num" }, one.problem ? one.problem : short(one.score)), make("td", { class: "num" }, one.sd === null ? "" : short(one.sd)), make("td", { class: "num" }, one.fit_seconds === null ? "" : short(one.fit_seconds))));
  return make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Candidates" }, make("table", {},
    make("thead", {}, make("tr", {}, make("th", {}, "Candidate"), make("th", { class: "num" }, comparison.metric), make("th", { class: "num" }, "sd"), make("th", { class: "num" }, "fit s"))), make("tbody", {}, ...rows)),
  make("p", { class: "muted small" }, comparison.split));
}

// Try it

function showForm() {
  const inputs = /** @type {Input[]} */ (signature?.inputs ?? []);
  const form = byId("predict-form");
  byId("use").hidden = !inputs.length;
  if (signature.question === "forecast") {
    form.replaceChildren(make("p", { class: "muted small" }, `The next ${signature.horizon} steps after the data.`), make("p", {}, make("button", { type: "submit", class: "primary" }, "Predict")));
    return;
  }
  const fields = inputs.map((input, at) => make("div", { class: "field" }, make("label", { for: `in-${at}` }, input.name), field(input, `in-${at}`), hint(input)));
  form.replaceChildren(...fields, make("p", {}, make("button", { type: "submit", class: "primary" }, "Predict")));
}

/**
 * @param {Input} input
 * @param {string} id
 */
function field(input, id) {
  if (input.kind === "image") return make("input", { id, type: "file", accept: "image/*", required: true });
  if (input.kind === "boolean") return make("select", { id }, make("option", { value: "true" }, "yes"), make("option", { value: "false" }, "no"));
  if (input.choices && input.complete) return make("select", { id }, ...input.choices.map((value) => make("option", { value, selected: value === input.example }, value)));
  const value = input.example ?? "";
  return make("input", { id, value, required: input.required, ...(input.kind === "number" ? { type: "number", step: "any" } : {}) });
}

/** @param {Input} input */
function hint(input) {
  const range = input.kind === "number" && input.min !== undefined ? `${short(input.min)} to ${short(input.max)} in the training data` : "";
  return range ? make("p", { class: "help" }, range) : null;
}

/** @returns {Promise<Record<string, unknown>>} */
async function row() {
  /** @type {Record<string, unknown>} */
  const made = {};
  for (const [at, input] of /** @type {Input[]} */ (signature.inputs).entries()) {
    const element = /** @type {HTMLInputElement} */ (document.getElementById(`in-${at}`));
    if (input.kind === "image") made[input.name] = await base64(element.files?.[0]);
    else if (element.value === "") made[input.name] = null;
    else made[input.name] = input.kind === "number" ? Number(element.value) : input.kind === "boolean" ? element.value === "true" : element.value;
  }
  return made;
}

/** @param {File | undefined} file */
async function base64(file) {
  if (!file) throw new Error("Choose an image above first.");
  const bytes = new Uint8Array(await file.arrayBuffer());
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** @param {Event} event */
function predict(event) {
  event.preventDefault();
  const place = byId("prediction");
  place.classList.add("waiting");
  void attempt("predict-problem", async () => {
    const rows = signature.question === "forecast" ? [] : [await row()];
    const answer = await api("POST", `${path()}/predict`, { data: rows });
    place.replaceChildren(...shown(answer));
  }).finally(() => place.classList.remove("waiting"));
}

/**
 * @param {any} answer
 * @returns {HTMLElement[]}
 */
function shown(answer) {
  const warnings = (answer.warnings ?? []).map((/** @type {any} */ warning) => make("p", { class: "small" }, `Note: ${warning.message}`));
  if (answer.times) {
    const plot = { kind: "lines", title: `Predictions until ${answer.times.at(-1)}`, lines: /** @type {[string, number[]][]} */ ([["predicted", answer.predictions]]) };
    return [/** @type {HTMLElement} */ (draw(plot)), ...warnings];
  }
  const [value] = answer.predictions;
  const target = signature.outputs[0].name;
  const chances = Object.entries(answer.probabilities?.[0] ?? {}).sort((one, other) => other[1] - one[1]).slice(0, 8);
  const plot = chances.length ? [/** @type {HTMLElement} */ (draw({ kind: "bars", title: "Probabilities", bars: /** @type {any} */ (chances) }))] : [];
  return [make("dl", { class: "figures" }, make("div", {}, make("dt", {}, target), make("dd", { id: "predicted" }, typeof value === "number" ? short(value) : String(value)))), ...plot, ...warnings];
}

// The REST service

function showService() {
  byId("share").hidden = false;
  byId("expose").textContent = model.exposed ? "Withdraw" : "Expose";
  byId("expose").classList.toggle("primary", !model.exposed);
  byId("exposed-code").hidden = byId("call-it").hidden = !model.exposed;
  const text = byId("exposed-text");
  text.replaceChildren(model.exposed ? "The model is a service with a page, a form and a REST route: " : "Make the model a service that others can call. You choose on its page who may.");
  if (!model.exposed) return;
  text.append(make("a", { href: `${page.root}services/${quoted()}/page` }, "its page"), ", ", make("a", { href: `${page.root}apps/${quoted()}` }, "its form"), ".");
  byId("snippet").textContent = `curl -X POST ${location.origin}${page.root}${path()}/predict \\\n  -H "Authorization: Bearer <KEY>" -H "Content-Type: application/json" \\\n  -d '${JSON.stringify({ data: examples() })}'`;
}

/** @returns {unknown[]} */
function examples() {
  if (["forecast", "images"].includes(signature.template)) return signature.template === "images" ? [{ image: "<base64>" }] : [];
  return [Object.fromEntries(signature.inputs.map((/** @type {Input} */ input) => [input.name, input.example ?? null]))];
}

function expose() {
  const button = /** @type {HTMLButtonElement} */ (byId("expose"));
  button.disabled = true;
  void attempt("share-problem", async () => {
    model = { ...model, ...(await api("PATCH", path(), { exposed: !model.exposed })) };
    showService();
  }).finally(() => { button.disabled = false; });
}

function callIt() {
  void attempt("share-problem", async () => {
    const rows = signature.template === "images" ? [await row()] : examples();
    const answer = await api("POST", `${path()}/predict`, { data: rows });
    byId("call-answer").replaceChildren(make("pre", { tabindex: 0 }, make("code", {}, JSON.stringify(answer, null, 2).slice(0, 20_000))));
  });
}

// Versions

function showVersions() {
  const place = byId("versions");
  place.hidden = !versions.length;
  const names = Object.keys(versions[0]?.metrics ?? {}).slice(0, 3);
  const rows = versions.map((one) => make("tr", {}, make("td", {}, `v${one.version}`), make("td", {}, one.version === model.production ? make("span", { class: "chip" }, make("span", { class: "dot good", "aria-hidden": "true" }), "predicts") : null),
    ...names.map((name) => make("td", { class: "num" }, name in one.metrics ? short(one.metrics[name]) : "")), make("td", {}, one.version === model.production ? null : make("button", { type: "button", class: "small", onclick: () => use(one.version), "aria-label": `Use version ${one.version}` }, "Use this one"))));
  place.replaceChildren(make("h2", { id: "versions-title" }, "Versions"), make("div", { class: "scroll", tabindex: 0 }, make("table", {},
    make("thead", {}, make("tr", {}, make("th", {}, "Version"), make("th", {}, "State"), ...names.map((name) => make("th", { class: "num" }, name.replaceAll("_", " "))), make("th", {}, make("span", { class: "hidden" }, "Action")))), make("tbody", {}, ...rows))));
}

/** @param {number} version */
function use(version) {
  void attempt("change-problem", async () => {
    await api("PUT", `${path()}/aliases/production`, { version });
    await refresh();
  });
}

function remove() {
  if (!confirm(`Delete the model ${model.name} with all its versions? This cannot be undone.`)) return;
  void attempt("change-problem", async () => {
    await api("DELETE", path());
    location.assign(`${page.root}templates/page`);
  });
}
