// @ts-check
// The catalog: search while typing, and states that stay current. The server does both: this script
// fetches the page again and replaces what differs. The form also works without it.

import { fetchPage } from "./api.js";
import { byId } from "./dom.js";
import { times } from "./times.js";
import { catalogUrl } from "./urls.js";

const PAUSE_MS = 120;
const REFRESH_MS = 5000;
// A forgotten page sends no more requests: on a Hub they would keep an idle server running.
const INACTIVE_MS = 600_000;
const form = /** @type {HTMLFormElement} */ (byId("filters"));
const cards = byId("cards");
const problem = byId("problem");
// As the server sent it, before times are made relative: later pages are compared with this.
let before = cards.innerHTML;
/** @type {AbortController | null} */
let running = null;

const isBusy = () => form.getAttribute("aria-busy") === "true";

/** @param {string} url */
async function load(url) {
  running?.abort();
  running = new AbortController();
  show(await fetchPage(url, running.signal));
}

/** @param {Document} page */
function show(page) {
  const current = byId("cards", page);
  byId("count").textContent = byId("count", page).textContent;
  form.hidden = byId("filters", page).hidden;
  if (current.innerHTML === before) return;
  before = current.innerHTML;
  const focused = document.activeElement?.closest("#cards a")?.getAttribute("href");
  cards.replaceChildren(...current.childNodes);
  times(cards);
  /** @type {HTMLElement | null} */
  const link = focused ? cards.querySelector(`a[href="${CSS.escape(focused)}"]`) : null;
  link?.focus();
}

async function search() {
  const url = catalogUrl(form.action, new FormData(form));
  form.setAttribute("aria-busy", "true");
  try {
    await load(url);
    history.replaceState(null, "", url);
    problem.textContent = "";
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") return; // a newer search has begun
    problem.textContent = error instanceof Error ? error.message : String(error);
  }
  form.setAttribute("aria-busy", "false");
}

let pause = 0;
form.addEventListener("input", (event) => {
  clearTimeout(pause);
  const typing = event.target instanceof HTMLInputElement && event.target.type === "search";
  pause = setTimeout(search, typing ? PAUSE_MS : 0);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(pause);
  search();
});

let lastActivity = Date.now();
for (const event of ["pointermove", "keydown", "scroll", "visibilitychange"]) {
  document.addEventListener(event, () => { lastActivity = Date.now(); }, { passive: true });
}
setInterval(async () => {
  if (isBusy() || document.hidden || Date.now() - lastActivity > INACTIVE_MS) return;
  try {
    await load(location.href);
  } catch {
    // The server may be restarting: the page stays as it is, and the next request follows soon.
  }
}, REFRESH_MS);
