// @ts-check
// What the pages of schedules and webhooks share: a form that adds one, and buttons with a URL.

import { attempt, fetchPage, request } from "./api.js";
import { byId } from "./dom.js";
import { times } from "./times.js";

/**
 * Show again what the server has now.
 * @param {string[]} parts
 */
async function refresh(parts) {
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
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void attempt(form, byId("problem"), async () => {
      const made = await request("POST", form.action, wanted(new FormData(form)));
      form.reset();
      onMade(made);
      await refresh(parts).catch(() => location.reload());
      if (!made.secret) byId(parts[0]).scrollIntoView({ block: "nearest" });
    });
  });
  document.addEventListener("click", (event) => {
    const button = event.target instanceof Element ? event.target.closest("button[data-url]") : null;
    if (!(button instanceof HTMLButtonElement)) return;
    const { url = "", method = "POST", question } = button.dataset;
    if (question && !confirm(question)) return;
    const part = /** @type {HTMLElement} */ (button.closest("[id]"));
    void attempt(part, byId("list-problem"), async () => {
      const made = await request(method, url);
      if (made?.secret) onMade(made);
      await refresh(parts).catch(() => location.reload());
    });
  });
}
