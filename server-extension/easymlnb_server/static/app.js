// @ts-check
// The script of an app page: shows when the server cannot be reached, reconnects, and reloads the page
// when its session on the server has ended. The form itself keeps the user's input.
// It runs before Voila's scripts and does not need them.
(() => {
  /**
   * @typedef {object} Kernel
   * @property {string} connectionStatus
   * @property {() => Promise<void>} reconnect
   * @property {{ connect(slot: (sender: unknown, status: string) => void): void }} connectionStatusChanged
   */
  const { base, session, xsrf = "" } = document.documentElement.dataset;
  const voila = /** @type {{ jupyterapp?: { widgetManager?: { kernel?: Kernel } }, voila_finish?: () => void, voila_process?: () => void }} */ (window);
  /** @type {(id: string) => HTMLElement | null} */
  const byId = (id) => document.getElementById(id);
  const FIRST_PAUSE_MS = 300;
  const LONGEST_PAUSE_MS = 5000;
  const RESPONSE_MS = 8000;
  const CONNECT_MS = 3000;
  const GIVE_UP_MS = 3_600_000;
  const INACTIVE_MS = 1_800_000;
  const headers = { "X-XSRFToken": xsrf };
  let ended = false;

  // Voila ends its session on `beforeunload`, which also fires when a link starts a download.
  addEventListener("beforeunload", (event) => event.stopImmediatePropagation(), true);
  addEventListener("pagehide", (event) => {
    if (event.persisted) return;
    remember(Boolean(document.querySelector(".em-running")));
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

  function theme() {
    const chosen = document.documentElement.dataset.theme;
    const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.body.dataset.jpThemeLight = String(!dark);
  }

  // A run stops when its page is left. The next page at this address says so, until something is run.
  const stopped = `easymlnb-stopped:${location.pathname}`;
  let lastingNotice = "";

  /** @param {boolean} running */
  function remember(running) {
    try {
      if (running) sessionStorage.setItem(stopped, "1");
      else sessionStorage.removeItem(stopped);
    } catch {
      // The browser blocks storage: then the message is not shown.
    }
  }

  function recall() {
    let stored;
    try {
      stored = sessionStorage.getItem(stopped);
    } catch {
      // As above.
    }
    remember(false);
    if (!stored) return;
    lastingNotice = "The page was reloaded during a run, so the run was stopped. Press Run to start it again.";
    showNotice("");
    addEventListener("click", (event) => {
      if (!(event.target instanceof Element) || !event.target.closest(".em-primary, [data-em-action=again]")) return;
      lastingNotice = "";
      showNotice("");
    });
  }

  /** @param {string} text */
  function showNotice(text) {
    const notice = byId("notice");
    if (!notice) return; // the page is still loading
    const message = text || lastingNotice;
    notice.hidden = !message;
    if (notice.textContent !== message) notice.textContent = message;
  }

  const MAX_REJECTIONS = 5;
  const LOST = "Connection lost. Your input is kept; the page reconnects automatically.";
  /** @type {(ms: number) => Promise<void>} */
  const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

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

  let lastActivity = Date.now();
  const ACTIVITIES = ["pointerdown", "pointermove", "keydown", "touchstart"];
  for (const event of ACTIVITIES) addEventListener(event, () => { lastActivity = Date.now(); }, { passive: true });

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
    checking ??= reconnect(started).finally(() => { checking = null; });
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

  /** @param {number} started */
  async function reconnect(started) {
    let pause = FIRST_PAUSE_MS;
    while (!ended && Date.now() - started < GIVE_UP_MS) {
      try {
        const response = await get(`${base}api/kernels/${session}`);
        if (response.ok) {
          if (await connected()) {
            showNotice("");
            return;
          }
          showNotice("Reconnecting. Your input is kept.");
        } else if (response.status === 404) {
          if (await loads()) {
            renew();
            return;
          }
          showNotice(LOST);
        } else if (response.status < 500) {
          ended = true;
          showNotice("You are no longer logged in. Reload the page to log in; your input is kept.");
          return;
        } else {
          showNotice("The server is not ready. Your input is kept; the page reconnects automatically.");
        }
      } catch {
        showNotice(LOST);
      }
      await sleep(pause);
      pause = Math.min(LONGEST_PAUSE_MS, pause * 1.5);
    }
  }

  const kernel = () => voila.jupyterapp?.widgetManager?.kernel;

  // JupyterLab itself reconnects at growing intervals, and gives up after a while.
  async function connected() {
    const current = kernel();
    if (!current || current.connectionStatus === "connected") return true;
    current.reconnect().catch(() => {});
    for (const end = Date.now() + CONNECT_MS; Date.now() < end; await sleep(50)) {
      if (current.connectionStatus === "connected") return true;
    }
    return false;
  }

  function watch() {
    kernel()?.connectionStatusChanged.connect((_, status) => {
      if (status !== "connected") check();
    });
  }

  let ready = false;
  // A slow start may have ended the session; then the spinner would stay.
  const late = setInterval(() => (ready ? clearInterval(late) : check()), 8000);

  function onShown() {
    ready = true;
    byId("loading")?.remove();
    document.documentElement.dataset.ready = "";
    recall();
    watch();
  }

  addEventListener("DOMContentLoaded", () => {
    theme();
    new MutationObserver(theme).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", theme);
    const cells = byId("rendered_cells");
    const seen = new MutationObserver(() => {
      // Voila appends its shell to the body; it belongs into the page's main part.
      const shell = byId("main");
      if (shell?.parentElement === document.body) document.querySelector("main")?.append(shell);
      if (!cells?.querySelector(".em-form, .em-error")) return;
      seen.disconnect();
      onShown();
    });
    seen.observe(document.body, { childList: true, subtree: true });
  });
  // Voila's front end calls these when it has started.
  voila.voila_finish = () => {};
  voila.voila_process = () => {};
})();
