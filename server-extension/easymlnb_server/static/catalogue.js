// The catalogue: searching while one types, and states that stay fresh. The server does both: it is
// asked for the page again, and only what differs is replaced. Without this script the form works, too.

import { headers } from "./dom.js";
import { times } from "./times.js";

const PAUSE_MS = 120;
const FRESH_MS = 5000;
// A forgotten page asks no more: on a Hub its questions would keep an idle server running.
const PATIENCE_MS = 600_000;
const form = document.getElementById("filters");
const cards = document.getElementById("cards");
// As the server sent it, before times are made relative: what later answers are compared with.
let before = cards.innerHTML;
let asking = null;

function wanted() {
  const told = new URLSearchParams(new FormData(form));
  for (const [name, value] of [...told]) if (!value || (name === "sort" && value === "name")) told.delete(name, value);
  const text = told.toString();
  return form.action.split("?")[0] + (text && `?${text}`);
}

async function ask(url) {
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const answer = await fetch(url, { redirect: "error", headers, signal });
  if (!answer.ok) throw new Error(answer.statusText);
  show(new DOMParser().parseFromString(await answer.text(), "text/html"));
}

function show(page) {
  const found = page.getElementById("cards");
  document.getElementById("count").textContent = page.getElementById("count").textContent;
  form.hidden = page.getElementById("filters").hidden;
  if (found.innerHTML === before) return;
  before = found.innerHTML;
  const focused = document.activeElement?.closest("#cards a")?.getAttribute("href");
  cards.replaceChildren(...found.childNodes);
  times(cards);
  if (focused) cards.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

async function search() {
  const url = wanted();
  form.setAttribute("aria-busy", "true");
  try {
    await ask(url);
    history.replaceState(null, "", url);
  } catch (error) {
    if (error.name === "AbortError") return; // a newer search has begun
    location.assign(url); // the browser says best why it does not work
  }
  form.setAttribute("aria-busy", "false");
}

let pause = 0;
form.addEventListener("input", (event) => {
  clearTimeout(pause);
  pause = setTimeout(search, event.target.type === "search" ? PAUSE_MS : 0);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(pause);
  search();
});

let seen = Date.now();
for (const sign of ["pointermove", "keydown", "scroll", "visibilitychange"]) {
  document.addEventListener(sign, () => { seen = Date.now(); }, { passive: true });
}
setInterval(async () => {
  const busy = form.getAttribute("aria-busy") === "true";
  if (busy || document.hidden || Date.now() - seen > PATIENCE_MS) return;
  try {
    await ask(location.href);
  } catch {
    // The server may be restarting: what is shown stays, the next try comes soon.
  }
}, FRESH_MS);
