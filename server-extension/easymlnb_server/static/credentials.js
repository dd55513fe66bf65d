// @ts-check
// The form in which an owner sets a service's credentials. Values are sent and never shown.

import { attempt, fetchPage, request } from "./api.js";
import { byId } from "./dom.js";
import { times } from "./times.js";

const form = /** @type {HTMLFormElement} */ (byId("credentials-form"));
const list = byId("credentials-list");
const problem = byId("credentials-problem");
const name = /** @type {HTMLInputElement} */ (byId("credential-name"));
const value = /** @type {HTMLInputElement} */ (byId("credential-value"));

/**
 * Change a credential, then show what the server stored.
 * @param {string} method
 * @param {string} credential
 * @param {unknown} [body]
 */
async function change(method, credential, body) {
  await request(method, form.action + encodeURIComponent(credential), body);
  const stored = await fetchPage(location.href).catch(() => location.reload());
  if (stored) list.replaceChildren(...byId("credentials-list", stored).childNodes);
  times(list);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void attempt(form, problem, async () => {
    await change("PUT", name.value, { value: value.value });
    form.reset();
  });
});

list.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("button") : null;
  const credential = button?.dataset.remove;
  if (!credential || !confirm(`Remove ${credential}? Calls that use it will fail.`)) return;
  void attempt(form, problem, () => change("DELETE", credential));
});
