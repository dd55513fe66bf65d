// What all pages do: relative times, tabs, copying.

import { times } from "./times.js";

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

times();
setInterval(times, 30000);
for (const list of document.querySelectorAll("[role=tablist]")) tabs(list);
for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button));
