// What all pages do: relative times, tabs, copying; and the catalogue's search.

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60]];
// As the server sent it, before times are made relative: what later answers are compared with.
let cardsBefore = document.getElementById("cards")?.innerHTML;
const words = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

export function relative(time, now = Date.now()) {
  const seconds = (Date.parse(time) - now) / 1000;
  if (Number.isNaN(seconds)) return time;
  for (const [unit, size] of UNITS) {
    if (Math.abs(seconds) >= size) return words.format(Math.round(seconds / size), unit);
  }
  return "just now";
}

function times(scope = document) {
  for (const element of scope.querySelectorAll("time[datetime]")) {
    element.textContent = relative(element.dateTime);
    element.title = new Date(element.dateTime).toLocaleString();
  }
}

function tabs(list) {
  const all = [...list.querySelectorAll("[role=tab]")];
  const choose = (tab) => {
    for (const one of all) {
      const chosen = one === tab;
      one.setAttribute("aria-selected", String(chosen));
      one.tabIndex = chosen ? 0 : -1;
      document.getElementById(one.getAttribute("aria-controls")).hidden = !chosen;
    }
  };
  for (const [at, tab] of all.entries()) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const next = all[(at + step + all.length) % all.length];
      choose(next);
      next.focus();
    });
  }
}

async function copy(button) {
  const text = button.parentElement.querySelector("pre").textContent;
  let said = "Copied";
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https a page may not write the clipboard; selecting is the next best.
    getSelection().selectAllChildren(button.parentElement.querySelector("pre"));
    said = "Selected: press Ctrl + C";
  }
  const label = button.textContent;
  button.textContent = said;
  setTimeout(() => { button.textContent = label; }, 1500);
}

function catalogue(search) {
  const chosen = new Set();
  const filter = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const item of document.querySelectorAll("#cards li")) {
      const tags = JSON.parse(item.dataset.tags);
      const fits = wanted.every((word) => item.dataset.search.includes(word))
        && [...chosen].every((tag) => tags.includes(tag));
      item.hidden = !fits;
      shown += fits;
    }
    const none = document.getElementById("none");
    if (none) none.hidden = shown > 0;
  };
  search.addEventListener("input", filter);
  for (const button of document.querySelectorAll("[data-tag]")) {
    button.addEventListener("click", () => {
      const { tag } = button.dataset;
      const on = !chosen.delete(tag);
      if (on) chosen.add(tag);
      button.setAttribute("aria-pressed", String(on));
      filter();
    });
  }
  document.addEventListener("click", (event) => {
    if (event.target.id !== "clear") return;
    search.value = "";
    chosen.clear();
    for (const button of document.querySelectorAll("[data-tag]")) button.setAttribute("aria-pressed", "false");
    filter();
    search.focus();
  });
  filter();
  keepFresh(filter);
}

// States change while people look; the page is asked again and only what differs is replaced.
const FRESH_MS = 5000;
// A forgotten page asks no more: on a Hub its questions would keep an idle server running.
const PATIENCE_MS = 600_000;

function keepFresh(after) {
  let seen = Date.now();
  for (const sign of ["pointermove", "keydown", "scroll", "visibilitychange"]) {
    document.addEventListener(sign, () => { seen = Date.now(); }, { passive: true });
  }
  setInterval(async () => {
    if (document.hidden || Date.now() - seen > PATIENCE_MS) return;
    let text;
    try {
      const answer = await fetch(location.pathname, { redirect: "error" });
      if (!answer.ok) return;
      text = await answer.text();
    } catch {
      return; // The server may be restarting: what is shown stays, the next try comes soon.
    }
    const page = new DOMParser().parseFromString(text, "text/html");
    const cards = page.getElementById("cards");
    if (cards.innerHTML === cardsBefore) return;
    cardsBefore = cards.innerHTML;
    const focused = document.activeElement?.closest("#cards a")?.getAttribute("href");
    document.getElementById("cards").replaceChildren(...cards.childNodes);
    document.getElementById("count").textContent = page.getElementById("count").textContent;
    document.querySelector(".filters").hidden = page.querySelector(".filters").hidden;
    times();
    after();
    if (focused) document.querySelector(`#cards a[href="${CSS.escape(focused)}"]`)?.focus();
  }, FRESH_MS);
}

times();
setInterval(times, 30000);
for (const list of document.querySelectorAll("[role=tablist]")) tabs(list);
for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button));
const search = document.getElementById("search");
if (search) catalogue(search);
