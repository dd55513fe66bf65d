// @ts-check
// The pages of recorded calls and of comparisons: delete, show code, start and follow a comparison.

import { byId, headers, page } from "./dom.js";

const problem = byId("problem");

/**
 * Send a request and show its error; returns the response if it succeeded.
 * @param {string} url
 * @param {RequestInit} [options]
 * @returns {Promise<Response | null>}
 */
async function send(url, options = {}) {
  problem.textContent = "";
  try {
    const response = await fetch(url, { redirect: "error", ...options, headers: { ...headers, ...options.headers } });
    if (response.ok) return response;
    problem.textContent = (await response.json()).error.message;
  } catch {
    problem.textContent = "The server cannot be reached. Reload the page; you may have been logged out.";
  }
  return null;
}

/** @type {NodeListOf<HTMLElement>} */
const removers = document.querySelectorAll("[data-remove]");
for (const button of removers) {
  button.addEventListener("click", async () => {
    const { remove, what, then } = button.dataset;
    if (!remove || !confirm(`Delete ${what}? This cannot be undone.`)) return;
    if (!(await send(remove, { method: "DELETE" }))) return;
    if (then) location.assign(then);
    else location.reload();
  });
}

/** @type {NodeListOf<HTMLDetailsElement>} */
const codes = document.querySelectorAll("details[data-code]");
for (const details of codes) {
  details.addEventListener("toggle", async () => {
    const code = details.querySelector("code");
    if (!details.open || !code || code.textContent) return;
    const response = await send(details.dataset.code ?? "");
    if (response) code.textContent = await response.text();
  });
}

const form = /** @type {HTMLFormElement | null} */ (document.getElementById("compare-form"));
form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const data = new FormData(form);
  const versions = [Number(data.get("before")), Number(data.get("after"))];
  const body = JSON.stringify({ versions, on: data.get("on") });
  const response = await send(form.action, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  if (response) location.assign(`${page.root}comparisons/${(await response.json()).id}/page`);
});

const waiting = document.getElementById("comparison")?.dataset.wait;
if (waiting) {
  const response = await send(waiting);
  if (response) location.reload();
}
