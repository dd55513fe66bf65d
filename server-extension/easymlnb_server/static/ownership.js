// @ts-check
// Owners and maintainers: the card of a service, and the administrators' page of services without an owner.

import { attempt, request } from "./api.js";
import { byId, page } from "./dom.js";
import { namesIn } from "./text.js";

const problem = byId("ownership-problem");

/**
 * Send a request for a part of the page, and show its error; returns the JSON of the response, or null.
 * @param {HTMLElement} part
 * @param {string} url
 * @param {string} method
 * @param {unknown} [body]
 * @returns {Promise<Record<string, any> | null>}
 */
async function send(part, url, method, body) {
  /** @type {Record<string, any>} */
  let found = {};
  const done = await attempt(part, problem, async () => { found = (await request(method, url, body)) ?? {}; });
  return done ? found : null;
}

document.addEventListener("submit", async (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  if (!form.matches("[data-transfer], [data-maintainers]")) return;
  event.preventDefault();
  const data = new FormData(form);
  if (form.matches("[data-maintainers]")) {
    const [users, groups] = ["users", "groups"].map((name) => namesIn(String(data.get(name))));
    if (await send(form, form.action, "PUT", { users, groups })) location.reload();
    return;
  }
  const to = String(data.get("to")).trim();
  const question = form.dataset.confirm;
  if (!to || (question && !confirm(question.replace("OWNER", to)))) return;
  const found = await send(form, form.action, "POST", { to });
  if (!found) return;
  const name = form.dataset.service && found.moved[form.dataset.service];
  if (name) location.assign(`${page.root}services/${name.split("/").map(encodeURIComponent).join("/")}/page`);
  else location.reload();
});

document.addEventListener("click", async (event) => {
  const button = event.target instanceof Element ? event.target.closest("button[data-delete]") : null;
  if (!(button instanceof HTMLButtonElement) || !confirm(button.dataset.confirm)) return;
  if (await send(button, button.dataset.delete ?? "", "DELETE")) location.reload();
});
