// @ts-check
// The page on which users create and revoke API keys.

import { byId, fetchPage, headers } from "./dom.js";
import { namesIn } from "./text.js";
import { times } from "./times.js";

const form = /** @type {HTMLFormElement} */ (byId("key-form"));
const problem = byId("key-problem");

/**
 * Send a request; returns its JSON, or null after showing its error.
 * @param {string} url
 * @param {RequestInit} options
 * @returns {Promise<Record<string, string> | null>}
 */
async function send(url, options) {
  problem.textContent = "";
  form.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(url, { redirect: "error", ...options });
    if (response.status === 204) return {};
    const body = await response.json();
    if (response.ok) return body;
    problem.textContent = body.error.message;
  } catch {
    problem.textContent = "The server cannot be reached. Reload the page; you may have been logged out.";
  } finally {
    form.setAttribute("aria-busy", "false");
  }
  return null;
}

/** Show the keys that the server has now. */
async function refresh() {
  const stored = await fetchPage(location.href);
  byId("keys").replaceChildren(...byId("keys", stored).childNodes);
  times();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const data = new FormData(form);
  /** @type {Record<string, number>} */
  const limits = {};
  for (const name of ["calls_per_second", "calls_per_day"]) {
    const value = String(data.get(name) ?? "");
    if (value) limits[name] = Number(value);
  }
  const wanted = {
    services: namesIn(String(data.get("services"))),
    scopes: data.getAll("scope"),
    expires: String(data.get("expires")) || null,
    note: String(data.get("note")),
    limits,
  };
  const json = { ...headers, "Content-Type": "application/json" };
  const made = await send(form.action, { method: "POST", headers: json, body: JSON.stringify(wanted) });
  if (!made) return;
  form.reset();
  byId("new-key-text").textContent = made.key;
  byId("new-key").hidden = false;
  byId("new-key").focus();
  await refresh().catch(() => undefined);
});

byId("keys").addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-revoke]") : null;
  const url = button?.getAttribute("data-revoke");
  if (!url || !confirm("Revoke this key? Programs that use it get 401 from their next call on.")) return;
  if (await send(url, { method: "DELETE", headers })) await refresh().catch(() => location.reload());
});
