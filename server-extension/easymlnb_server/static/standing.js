// While a service starts, its page follows: what is waited for now, until there is something to use.

import { headers } from "./dom.js";

const EVERY_MS = 3000;

const timer = setInterval(async () => {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { redirect: "error", headers });
    const found = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [now, then] = [document.getElementById("standing"), found.getElementById("standing")];
    if (then && now.textContent !== then.textContent) now.replaceChildren(...then.childNodes);
    if (found.querySelector('script[src*="standing.js"]')) return;
    clearInterval(timer);
    for (const chip of ["header .chip"]) {
      document.querySelector(chip)?.replaceWith(found.querySelector(chip) ?? "");
    }
  } catch {
    // The server may be restarting; the next look comes soon.
  }
}, EVERY_MS);
