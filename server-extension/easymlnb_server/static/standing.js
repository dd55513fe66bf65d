// @ts-check
// Updates the page of a service that is starting, until the service can be used.

import { fetchPage } from "./api.js";
import { byId } from "./dom.js";

const EVERY_MS = 3000;
const STATE = "header .chip";

const timer = setInterval(async () => {
  if (document.hidden) return;
  try {
    const latest = await fetchPage(location.href);
    const [now, then] = [byId("standing"), latest.getElementById("standing")];
    if (then && now.textContent !== then.textContent) now.replaceChildren(...then.childNodes);
    if (latest.querySelector('script[src*="standing.js"]')) return;
    clearInterval(timer);
    document.querySelector(STATE)?.replaceWith(latest.querySelector(STATE) ?? "");
  } catch {
    // The server may be restarting; the next request follows soon.
  }
}, EVERY_MS);
