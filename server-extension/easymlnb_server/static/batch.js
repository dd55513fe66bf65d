// @ts-check
// Runs a service on a table: sends the file, follows its job, and offers the results.

import { attempt, request, RequestError } from "./api.js";
import { byId, make, page } from "./dom.js";

const ENDED = ["succeeded", "failed", "cancelled"];
const RETRY_MS = 1000;

const form = /** @type {HTMLFormElement | null} */ (document.getElementById("batch"));

/**
 * Show the state of a job; returns whether it has ended.
 * @param {any} job
 */
function show(job) {
  const ended = ENDED.includes(job.state);
  const bar = /** @type {HTMLProgressElement} */ (byId("progress"));
  bar.value = job.progress;
  const known = /** @type {Record<string, string>} */ ({ queued: "In the queue.", running: "", cancelled: "Canceled." });
  const state = known[job.state] ?? `${job.state[0].toUpperCase()}${job.state.slice(1)}.`;
  byId("progress-text").textContent = `${state} ${job.state === "queued" ? job.reason : job.progress_text}`.trim();
  byId("cancel").hidden = ended;
  byId("error").textContent = job.state === "failed" ? job.error.message : "";
  if (job.state === "succeeded") {
    const errors = job.files.find((/** @type {any} */ file) => file.label === "errors.csv");
    /** @type {HTMLAnchorElement} */ (byId("result")).href = job.result;
    const link = /** @type {HTMLAnchorElement} */ (byId("errors"));
    link.hidden = !errors;
    if (errors) link.href = errors.url;
    byId("results").hidden = false;
  }
  return ended;
}

/** @param {string} id */
async function follow(id) {
  const url = `${page.root}jobs/${id}`;
  byId("run").hidden = false;
  byId("results").hidden = true;
  /** @type {HTMLAnchorElement} */ (byId("details")).href = `${url}/page`;
  byId("cancel").onclick = () => attempt(byId("run"), byId("error"), () => request("POST", `${url}/cancel`));
  for (let done = false; !done; ) {
    try {
      done = show(await request("GET", url));
      if (done) return;
      await stream(`${url}/events`);
    } catch (error) {
      if (error instanceof RequestError && !error.isTemporary) {
        byId("error").textContent = error.message;
        byId("cancel").hidden = true;
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS)); // the server may be restarting
    }
  }
}

/**
 * Draw the progress of a job until its state changes or the stream ends.
 * @param {string} url
 * @returns {Promise<void>}
 */
function stream(url) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(url);
    source.addEventListener("progress", (event) => {
      const { fraction, text } = JSON.parse(event.data);
      /** @type {HTMLProgressElement} */ (byId("progress")).value = Math.max(0, fraction);
      byId("progress-text").textContent = text;
    });
    source.addEventListener("state", (event) => {
      if (!ENDED.includes(JSON.parse(event.data).state)) return;
      source.close();
      resolve();
    });
    source.onerror = () => {
      source.close();
      reject(new Error("The connection was lost."));
    };
  });
}

if (form) {
  const input = /** @type {HTMLInputElement} */ (byId("table"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const file = input.files?.[0];
    if (!file) return;
    const keep = /** @type {HTMLInputElement} */ (byId("keep")).checked ? "keep" : "refuse";
    const query = new URLSearchParams({ file: file.name, extra_columns: keep });
    void attempt(form, byId("problem"), async () => {
      const job = await request("POST", `${form.dataset.url}?${query}`, file);
      history.replaceState(null, "", `?job=${job.id}`);
      void follow(job.id);
      byId("run").scrollIntoView({ block: "nearest" });
    });
  });
  document.getElementById("template")?.addEventListener("click", (event) => {
    const { text = "", name = "" } = /** @type {HTMLElement} */ (event.currentTarget).dataset;
    const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    make("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), RETRY_MS);
  });
  const job = new URLSearchParams(location.search).get("job");
  if (job) void follow(job);
}
