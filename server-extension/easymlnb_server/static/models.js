// @ts-check
// Pages of models: choose the version that services use, trust a version, choose what to compare.

import { attempt, request } from "./api.js";
import { byId } from "./dom.js";

const problem = byId("problem");

/**
 * Send a change, and show the page as it is then.
 * @param {HTMLButtonElement} button
 * @param {string} method
 * @param {string} url
 * @param {unknown} body
 */
async function change(button, method, url, body) {
  if (await attempt(button, problem, () => request(method, url, body))) location.reload();
}

/** @param {HTMLButtonElement} button */
function use(button) {
  const { use: url = "", version = "", now = "" } = button.dataset;
  const instead = now ? ` instead of version ${now}` : "";
  if (!confirm(`Use version ${version} as production${instead}? Running services load it at once.`)) return;
  const expected = now ? Number(now) : null;
  void change(button, "PUT", url, { version: Number(version), if: expected });
}

/** @param {HTMLButtonElement} button */
function trust(button) {
  if (!confirm("Opening this version can run any code in your services. Do you know where its files come from?")) return;
  void change(button, "PATCH", button.dataset.trust ?? "", { trusted: true });
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("button") : null;
  if (!button) return;
  if (button.dataset.use) use(button);
  else if (button.dataset.trust) trust(button);
});

const form = document.getElementById("compare");
if (form instanceof HTMLFormElement) {
  const chosen = () => [.../** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("input:checked"))];
  const submit = /** @type {HTMLButtonElement} */ (form.querySelector("button[type=submit]"));
  const update = () => { submit.disabled = chosen().length < 2; };
  form.addEventListener("change", update);
  addEventListener("pageshow", update); // after the back button, boxes are still checked
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const versions = chosen()
      .map((box) => Number(box.value))
      .sort((first, second) => first - second);
    location.assign(`${form.action}?versions=${versions.join(",")}`);
  });
}
