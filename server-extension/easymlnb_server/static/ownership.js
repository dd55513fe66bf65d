// @ts-check
// Owners and maintainers: the card of a service, and the administrators' page of services without an owner.

import { byId, headers, page } from "./dom.js";
import { namesIn } from "./text.js";

const problem = byId("ownership-problem");

/**
 * Send a request and show its error; returns the JSON of the response, or null.
 * @param {string} url
 * @param {string} method
 * @param {unknown} [body]
 * @returns {Promise<Record<string, any> | null>}
 */
async function send(url, method, body) {
  problem.textContent = "";
  const json = { ...headers, "Content-Type": "application/json" };
  const content = body === undefined ? { headers } : { headers: json, body: JSON.stringify(body) };
  try {
    const response = await fetch(url, { method, redirect: "error", ...content });
    const found = response.status === 204 ? {} : await response.json();
    if (response.ok) return found;
    problem.textContent = found.error.message;
  } catch {
    problem.textContent = "The server cannot be reached. Reload the page; you may have been logged out.";
  }
  return null;
}

document.addEventListener("submit", async (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (!form.matches("[data-transfer], [data-maintainers]")) return;
  event.preventDefault();
  const data = new FormData(form);
  if (form.matches("[data-maintainers]")) {
    const [users, groups] = ["users", "groups"].map((name) => namesIn(String(data.get(name))));
    if (await send(form.action, "PUT", { users, groups })) location.reload();
    return;
  }
  const to = String(data.get("to")).trim();
  const question = form.dataset.confirm;
  if (!to || (question && !confirm(question.replace("OWNER", to)))) return;
  const found = await send(form.action, "POST", { to });
  if (!found) return;
  const name = form.dataset.service && found.moved[form.dataset.service];
  if (name) location.assign(`${page.root}services/${name.split("/").map(encodeURIComponent).join("/")}/page`);
  else location.reload();
});

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("button[data-delete]") : null;
  if (!(button instanceof HTMLButtonElement) || !confirm(button.dataset.confirm)) return;
  if (await send(button.dataset.delete ?? "", "DELETE")) location.reload();
});
