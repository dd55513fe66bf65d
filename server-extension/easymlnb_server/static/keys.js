// @ts-check
// The page on which users create and revoke API keys.

import { attempt, fetchPage, request } from "./api.js";
import { byId } from "./dom.js";
import { namesIn } from "./text.js";
import { times } from "./times.js";

const form = /** @type {HTMLFormElement} */ (byId("key-form"));
const problem = byId("key-problem");
const list = byId("keys");

/** Show the keys that the server has now. */
async function refresh() {
  const stored = await fetchPage(location.href);
  list.replaceChildren(...byId("keys", stored).childNodes);
  times(list);
}

/** What the form says. */
function wanted() {
  const data = new FormData(form);
  /** @type {Record<string, number>} */
  const limits = {};
  for (const name of ["calls_per_second", "calls_per_day"]) {
    const value = String(data.get(name) ?? "");
    if (value) limits[name] = Number(value);
  }
  return {
    services: namesIn(String(data.get("services"))),
    scopes: data.getAll("scope"),
    expires: String(data.get("expires")) || null,
    note: String(data.get("note")),
    limits,
  };
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void attempt(form, problem, async () => {
    const made = await request("POST", form.action, wanted());
    form.reset();
    byId("new-key-text").textContent = made.key;
    byId("new-key").hidden = false;
    byId("new-key").focus();
    await refresh().catch(() => undefined);
  });
});

list.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("[data-revoke]") : null;
  const url = button?.getAttribute("data-revoke");
  if (!url || !confirm("Revoke this key? Programs that use it get 401 from their next call on.")) return;
  void attempt(list, byId("keys-problem"), async () => {
    await request("DELETE", url);
    await refresh().catch(() => location.reload());
  });
});
