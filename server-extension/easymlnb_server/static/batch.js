// @ts-check
// Runs a service on a table: sends the file, follows its job, and offers the results.

import { byId, headers, make, page } from "./dom.js";
import { times } from "./times.js";

const ENDED = ["succeeded", "failed", "cancelled"];
const RETRY_MS = 1000;

const form = /** @type {HTMLFormElement | null} */ (document.getElementById("batch"));

/**
 * Return the answer of a request, or throw its error as text for people.
 * @param {string} url
 * @param {RequestInit} [options]
 * @returns {Promise<any>}
 */
async function ask(url, options) {
  const response = await fetch(url, { ...options, headers: { ...headers, ...options?.headers } });
  let answer;
  try {
    answer = await response.json();
  } catch {
    throw new Error(`The server responded with status ${response.status}. Reload the page; you may have been logged out.`);
  }
  if (!response.ok) throw new Error(answer.error.message);
  return answer;
}

/**
 * Show the state of a job; returns whether it has ended.
 * @param {any} job
 */
function show(job) {
  const ended = ENDED.includes(job.state);
  const bar = /** @type {HTMLProgressElement} */ (byId("progress"));
  bar.value = job.progress;
  const waiting = job.state === "queued" ? `In the queue. ${job.reason}` : job.progress_text;
  byId("progress-text").textContent = job.state === "running" ? waiting : `${job.state}. ${waiting}`;
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
  byId("cancel").onclick = () => ask(`${url}/cancel`, { method: "POST" }).catch(say);
  for (let done = false; !done; ) {
    try {
      done = show(await ask(url));
      if (done) return;
      await stream(`${url}/events`);
    } catch {
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

/** @param {unknown} error */
function say(error) {
  byId("problem").textContent = error instanceof Error ? error.message : String(error);
}

if (form) {
  const input = /** @type {HTMLInputElement} */ (byId("table"));
  const button = /** @type {HTMLButtonElement} */ (form.querySelector("button[type=submit]"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const file = input.files?.[0];
    if (!file) return;
    byId("problem").textContent = "";
    button.disabled = true;
    const keep = /** @type {HTMLInputElement} */ (byId("keep")).checked ? "keep" : "refuse";
    const query = new URLSearchParams({ file: file.name, extra_columns: keep });
    try {
      const type = file.type || "application/octet-stream";
      const job = await ask(`${form.dataset.url}?${query}`, { method: "POST", body: file, headers: { "Content-Type": type } });
      history.replaceState(null, "", `?job=${job.id}`);
      follow(job.id);
      byId("run").scrollIntoView({ block: "nearest" });
    } catch (error) {
      say(error instanceof TypeError ? new Error("The server cannot be reached. Try again.") : error);
    } finally {
      button.disabled = false;
    }
  });
  document.getElementById("template")?.addEventListener("click", (event) => {
    const { text = "", name = "" } = /** @type {HTMLElement} */ (event.currentTarget).dataset;
    const url = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    make("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), RETRY_MS);
  });
  const job = new URLSearchParams(location.search).get("job");
  if (job) follow(job);
}
times(document.body);
