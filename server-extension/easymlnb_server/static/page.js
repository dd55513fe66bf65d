// @ts-check
// What all pages need: relative times, tabs, copy buttons.

import { byId } from "./dom.js";
import { times } from "./times.js";

const COPIED = 1500; // ms that a button shows its result
/** @type {WeakMap<Element, string>} */
const labels = new WeakMap(); // of the buttons that show a result

/** @param {Element} list */
function tabs(list) {
  /** @type {NodeListOf<HTMLElement>} */
  const elements = list.querySelectorAll("[role=tab]");
  const all = [...elements];
  /** @param {HTMLElement} tab */
  const choose = (tab) => {
    for (const each of all) {
      const chosen = each === tab;
      each.setAttribute("aria-selected", String(chosen));
      each.tabIndex = chosen ? 0 : -1;
      byId(each.getAttribute("aria-controls") ?? "").hidden = !chosen;
    }
  };
  for (const [at, tab] of all.entries()) {
    tab.addEventListener("click", () => choose(tab));
    tab.addEventListener("keydown", (event) => {
      const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
      if (!step) return;
      const next = all[(at + step + all.length) % all.length];
      choose(next);
      next.focus();
    });
  }
}

/** @param {Element} button */
async function copy(button) {
  const block = button.parentElement?.querySelector("pre");
  if (!block) return;
  let message = "Copied";
  try {
    await navigator.clipboard.writeText(block.textContent ?? "");
  } catch {
    // Without HTTPS a page cannot write to the clipboard: the text is selected instead.
    getSelection()?.selectAllChildren(block);
    message = "Press Ctrl+C to copy";
  }
  const label = labels.get(button) ?? button.textContent ?? "";
  labels.set(button, label);
  button.textContent = message;
  setTimeout(() => {
    button.textContent = label;
    labels.delete(button);
  }, COPIED);
}

times();
setInterval(times, 30_000);
for (const list of document.querySelectorAll("[role=tablist]")) tabs(list);
for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button));
