// @ts-check
// A job's page: follows the job until it has ended. The page can be closed and opened again.

import { attempt, fetchPage, request } from "./api.js";
import { byId, page } from "./dom.js";
import { times } from "./times.js";

const REFRESH_MS = 500;
const part = byId("job");
const log = byId("log");
const url = `${page.root}jobs/${part.dataset.id}`;

/** @param {MessageEvent} event */
function onProgress(event) {
  const { fraction, text } = JSON.parse(event.data);
  const bar = /** @type {HTMLProgressElement} */ (byId("progress"));
  if (fraction >= 0) bar.value = fraction;
  byId("progress-text").textContent = `${Math.round(100 * Math.max(fraction, 0))} % ${text}`;
}

/** @param {MessageEvent} event */
function onLog(event) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(JSON.parse(event.data).text);
  if (atEnd) log.scrollTop = log.scrollHeight;
}

let waiting = 0;
function refresh() {
  waiting ||= setTimeout(async () => {
    waiting = 0;
    try {
      const current = byId("job", await fetchPage(`${url}/page?log=0`));
      part.replaceChildren(...current.childNodes);
      times(part);
    } catch {
      refresh(); // the server may be restarting
    }
  }, REFRESH_MS);
}

function follow() {
  const source = new EventSource(`${url}/events?after=${part.dataset.last}`);
  source.addEventListener("progress", onProgress);
  source.addEventListener("log", onLog);
  for (const kind of ["state", "metric", "file"]) source.addEventListener(kind, refresh);
  source.addEventListener("state", (event) => {
    if (["succeeded", "failed", "cancelled"].includes(JSON.parse(event.data).state)) source.close();
  });
}

part.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("button") : null;
  const target = button?.dataset.url ?? (button?.dataset.action && `${url}/${button.dataset.action}`);
  if (!button || !target) return;
  void attempt(part, byId("problem"), async () => {
    const answer = await request("POST", target);
    if (button.dataset.action === "retry") location.assign(`${page.root}jobs/${answer.id}/page`);
    else refresh();
  });
});

log.scrollTop = log.scrollHeight;
if (part.dataset.active) follow();
