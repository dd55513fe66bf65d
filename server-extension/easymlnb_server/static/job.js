// @ts-check
// A job's page: follows the job until it has ended. The page can be closed and opened again.

import { attempt, fetchPage, request, send } from "./api.js";
import { byId, page } from "./dom.js";
import { times } from "./times.js";

const REFRESH_MS = 500;
const RETRY_MS = 2000;
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

let end = Number(log.dataset.end);
let isReading = false;
let isBehind = false;

/** @param {string} text @param {number} to */
function addLog(text, to) {
  const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  log.append(text);
  end = to;
  if (atEnd) log.scrollTop = log.scrollHeight;
}

/** Read what was printed while nobody listened. */
async function readLog() {
  isBehind = true;
  if (isReading) return;
  isReading = true;
  while (isBehind) {
    isBehind = false;
    try {
      const response = await send("GET", `${url}/log?from=${end}`);
      addLog(await response.text(), Number(response.headers.get("X-Log-Size")));
    } catch {
      // the server may be restarting; the next connection reads it
    }
  }
  isReading = false;
}

/** @param {MessageEvent} event */
function onLog(event) {
  const { text, end: to } = JSON.parse(event.data);
  const from = to - new TextEncoder().encode(text).length;
  if (to <= end) return;
  if (from === end && !isReading) addLog(text, to);
  else readLog();
}

/** Show the job as it is now; return whether it has not ended. */
async function load() {
  const current = byId("job", await fetchPage(`${url}/page?log=0`));
  part.replaceChildren(...current.childNodes);
  times(part);
  return Boolean(current.dataset.active);
}

let waiting = 0;
function refresh() {
  waiting ||= setTimeout(async () => {
    waiting = 0;
    try {
      await load();
    } catch {
      refresh(); // the server may be restarting
    }
  }, REFRESH_MS);
}

/** Follow again. A server that starts, or a standby, answers 503, with which a browser gives up. */
function followAgain() {
  setTimeout(async () => {
    try {
      if (await load()) follow();
    } catch {
      followAgain();
    }
  }, RETRY_MS);
}

let last = part.dataset.last;

function follow() {
  const source = new EventSource(`${url}/events?after=${last}`);
  source.addEventListener("open", readLog);
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) followAgain();
  });
  source.addEventListener("progress", onProgress);
  source.addEventListener("log", onLog);
  for (const kind of ["state", "metric", "file"]) source.addEventListener(kind, refresh);
  source.addEventListener("state", (event) => {
    last = event.lastEventId;
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
