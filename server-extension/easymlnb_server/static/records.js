// @ts-check
// The pages of recorded calls and of comparisons: delete, show code, start and follow a comparison.

import { attempt, request, send } from "./api.js";
import { byId, page } from "./dom.js";

const problem = byId("problem");

/** @type {NodeListOf<HTMLElement>} */
const removers = document.querySelectorAll("[data-remove]");
for (const button of removers) {
  button.addEventListener("click", async () => {
    const { remove, what, then } = button.dataset;
    if (!remove || !confirm(`Delete ${what}? This cannot be undone.`)) return;
    if (!(await attempt(button, problem, () => request("DELETE", remove)))) return;
    if (then) location.assign(then);
    else location.reload();
  });
}

/** @type {NodeListOf<HTMLDetailsElement>} */
const codes = document.querySelectorAll("details[data-code]");
for (const details of codes) {
  details.addEventListener("toggle", () => {
    const code = details.querySelector("code");
    if (!details.open || !code || code.textContent) return;
    void attempt(details, problem, async () => {
      code.textContent = await (await send("GET", details.dataset.code ?? "")).text();
    });
  });
}

const form = /** @type {HTMLFormElement | null} */ (document.getElementById("compare-form"));
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const data = new FormData(form);
  const versions = [Number(data.get("before")), Number(data.get("after"))];
  void attempt(form, problem, async () => {
    const made = await request("POST", form.action, { versions, on: data.get("on") });
    location.assign(`${page.root}comparisons/${made.id}/page`);
  });
});

const comparison = document.getElementById("comparison");
const waiting = comparison?.dataset.wait;
if (comparison && waiting && (await attempt(comparison, problem, () => request("GET", waiting)))) location.reload();
