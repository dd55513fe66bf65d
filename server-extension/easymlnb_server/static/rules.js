// @ts-check
// What the pages of schedules and webhooks share: a form that adds one, and buttons with a URL.

import { byId, fetchPage, headers } from "./dom.js";
import { times } from "./times.js";

const problem = byId("problem");

/**
 * Send a request; returns its JSON, or null after showing its error.
 * @param {string} url
 * @param {string} method
 * @param {unknown} [body]
 * @returns {Promise<Record<string, string> | null>}
 */
export async function send(url, method, body) {
  problem.textContent = "";
  /** @type {Record<string, string>} */
  const json = body === undefined ? {} : { "Content-Type": "application/json" };
  try {
    const response = await fetch(url, {
      redirect: "error",
      method,
      headers: { ...headers, ...json },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (response.status === 204) return {};
    const answer = await response.json();
    if (response.ok) return answer;
    problem.textContent = answer.error.message;
  } catch {
    problem.textContent = "The server cannot be reached. Reload the page; you may have been logged out.";
  }
  return null;
}

/**
 * Show again what the server has now.
 * @param {string[]} parts
 */
export async function refresh(parts) {
  const stored = await fetchPage(location.href);
  for (const part of parts) byId(part).replaceChildren(...byId(part, stored).childNodes);
  times();
}

/**
 * Follow the form and the buttons of a page.
 * @param {string[]} parts
 * @param {(data: FormData) => unknown} wanted
 * @param {(made: Record<string, string>) => void} onMade
 */
export function manage(parts, wanted, onMade) {
  const form = /** @type {HTMLFormElement} */ (byId("rule-form"));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    let body;
    try {
      body = wanted(new FormData(form));
    } catch (error) {
      problem.textContent = error instanceof Error ? error.message : String(error);
      return;
    }
    const made = await send(form.action, "POST", body);
    if (!made) return;
    form.reset();
    onMade(made);
    await refresh(parts).catch(() => location.reload());
  });
  document.addEventListener("click", async (event) => {
    const button = event.target instanceof Element ? event.target.closest("button[data-url]") : null;
    if (!(button instanceof HTMLButtonElement)) return;
    const { url = "", method = "POST", question } = button.dataset;
    if (question && !confirm(question)) return;
    button.disabled = true;
    const made = await send(url, method);
    if (made?.secret) onMade(made);
    if (made) await refresh(parts).catch(() => location.reload());
    else button.disabled = false;
  });
  times();
}
