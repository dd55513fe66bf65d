// @ts-check
// The form in which an owner sets a service's credentials. Values are sent and never shown.

import { byId, fetchPage, headers } from "./dom.js";

const form = /** @type {HTMLFormElement} */ (byId("credentials-form"));
const list = byId("credentials-list");
const problem = byId("credentials-problem");
const name = /** @type {HTMLInputElement} */ (byId("credential-name"));
const value = /** @type {HTMLInputElement} */ (byId("credential-value"));

/**
 * Send a request and show its error; returns whether it succeeded.
 * @param {string} credential
 * @param {RequestInit} options
 */
async function send(credential, options) {
  problem.textContent = "";
  form.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(form.action + encodeURIComponent(credential), { redirect: "error", ...options });
    if (response.ok) return true;
    problem.textContent = await response.json().then(
      (body) => body.error.message,
      () => `The server responded with status ${response.status}. Reload the page; you may have been logged out.`,
    );
  } catch {
    problem.textContent = "The server cannot be reached. Try again.";
  } finally {
    form.setAttribute("aria-busy", "false");
  }
  return false;
}

/** Show what the server stored. */
async function show() {
  const stored = await fetchPage(location.href);
  list.replaceChildren(...byId("credentials-list", stored).childNodes);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const json = { ...headers, "Content-Type": "application/json" };
  const body = JSON.stringify({ value: value.value });
  if (!(await send(name.value, { method: "PUT", headers: json, body }))) return;
  form.reset();
  await show().catch(() => location.reload());
});

list.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("button") : null;
  const credential = button?.dataset.remove;
  if (!credential || !confirm(`Remove ${credential}? Calls that use it will fail.`)) return;
  if (await send(credential, { method: "DELETE", headers })) await show().catch(() => location.reload());
});
