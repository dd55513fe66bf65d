// @ts-check
// Shows when the server cannot be reached, reconnects, and reloads the page when its session on the
// server has ended. The form itself keeps the user's input.

/** @import { Connection } from "./connection.js" */

const { base, session, xsrf = "" } = document.documentElement.dataset;
const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 5000;
const RESPONSE_MS = 8000;
const CONNECT_MS = 3000;
const GIVE_UP_MS = 3_600_000;
const INACTIVE_MS = 1_800_000;
const LATE_MS = 8000; // after which a page that is not usable asks whether its session exists
const MAX_REJECTIONS = 5;
const LOST = "Connection lost. Your input is kept; the page reconnects automatically.";
const ACTIVITIES = ["pointerdown", "pointermove", "keydown", "touchstart"];
const headers = { "X-XSRFToken": xsrf };

/** @type {(ms: number) => Promise<void>} */
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** @param {string} text */
function showNotice(text) {
  const notice = document.getElementById("notice");
  if (!notice) return;
  notice.hidden = !text;
  if (notice.textContent !== text) notice.textContent = text;
}

/**
 * Fetch from the server. Responses without its header come from proxies and Hubs, and fail.
 * @param {string} url
 * @param {RequestInit} more
 */
async function get(url, more = {}) {
  const signal = AbortSignal.timeout(RESPONSE_MS);
  const response = await fetch(url, { redirect: "error", headers, signal, ...more });
  if (!response.headers.has("X-Request-Id")) throw new Error("The response is not from the server.");
  return response;
}

/**
 * Look after the page's connection from now on. Call `onLive` when the form is live.
 * @param {Connection} connection
 * @param {() => Promise<void>} refresh - fetches the state of the form after a lost connection
 */
export function keepConnected(connection, refresh) {
  let ended = false;
  let live = false;
  let lost = false;
  let lastActivity = Date.now();
  for (const event of ACTIVITIES) addEventListener(event, () => (lastActivity = Date.now()), { passive: true });

  function renew() {
    ended = true;
    if (!document.hidden && Date.now() - lastActivity < INACTIVE_MS) {
      showNotice("The session on the server has ended. The page is reloading; your input is kept.");
      setTimeout(() => location.reload(), 500);
      return;
    }
    // A page that is not used must not start new sessions.
    showNotice("This page was paused after inactivity. Click anywhere to resume; your input is kept.");
    const waiting = new AbortController();
    const resume = () => {
      waiting.abort();
      ended = false;
      check();
    };
    for (const event of ACTIVITIES) addEventListener(event, resume, { signal: waiting.signal, passive: true });
  }

  /** @type {Promise<void> | null} */
  let checking = null;
  function check(started = Date.now()) {
    checking ??= reconnect(started).finally(() => (checking = null));
    return checking;
  }

  // A server that is stopping reports that the session is gone, and then stops responding. One that
  // rejects the page several times is running: the service was removed, or is no longer shared.
  let rejections = 0;
  async function loads() {
    const response = await get(location.href, { method: "HEAD" });
    rejections = response.ok || response.status >= 500 ? 0 : rejections + 1;
    return response.ok || rejections >= MAX_REJECTIONS;
  }

  async function connected() {
    connection.reconnect();
    for (const end = Date.now() + CONNECT_MS; !connection.connected; await sleep(50)) {
      if (Date.now() > end) return false;
    }
    if (lost && live) await refresh();
    lost = false;
    return true;
  }

  /** Ask about the session once; returns whether there is nothing left to do. */
  async function attempt() {
    const response = await get(`${base}api/kernels/${session}`);
    if (response.ok) {
      const done = await connected();
      showNotice(done ? "" : "Reconnecting. Your input is kept.");
      return done;
    }
    if (response.status === 404) {
      if (await loads()) {
        renew();
        return true;
      }
      showNotice(LOST);
      return false;
    }
    if (response.status < 500) {
      ended = true;
      showNotice("You are no longer logged in. Reload the page to log in; your input is kept.");
      return true;
    }
    showNotice("The server is not ready. Your input is kept; the page reconnects automatically.");
    return false;
  }

  /** @param {number} started */
  async function reconnect(started) {
    let pause = FIRST_PAUSE_MS;
    while (!ended && Date.now() - started < GIVE_UP_MS) {
      try {
        if (await attempt()) return;
      } catch {
        showNotice(LOST);
      }
      await sleep(pause);
      pause = Math.min(LONGEST_PAUSE_MS, pause * 1.5);
    }
  }

  connection.onStatus = () => {
    if (connection.connected) return;
    lost = true;
    check();
  };
  // A slow start may have ended the session; then the form would never become live.
  const late = setInterval(() => (live ? clearInterval(late) : check()), LATE_MS);
  addEventListener("pagehide", (event) => {
    if (event.persisted) return;
    if (ended) return;
    fetch(`${base}leave/${session}`, { method: "POST", headers, keepalive: true }).catch(() => {});
  });
  addEventListener("pageshow", (event) => {
    // The back button restored the page from memory: its session may have ended.
    if (event.persisted) check();
  });
  addEventListener("online", () => check());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) check();
  });
  return {
    onLive() {
      live = true;
    },
  };
}
