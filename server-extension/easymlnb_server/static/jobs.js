// @ts-check
// The list of jobs stays current while it is looked at.

import { fetchPage } from "./api.js";
import { byId } from "./dom.js";
import { times } from "./times.js";

const REFRESH_MS = 3000;
const part = byId("jobs");

setInterval(async () => {
  if (document.hidden) return;
  try {
    const current = byId("jobs", await fetchPage(location.href));
    times(current);
    if (current.textContent !== part.textContent) part.replaceChildren(...current.childNodes);
  } catch {
    // The server may be restarting: the page stays as it is, and the next request follows soon.
  }
}, REFRESH_MS);
