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
  const { here, place, xsrf = "" } = document.documentElement.dataset;
  const voila = /** @type {{ jupyterapp?: { widgetManager?: { kernel?: Kernel } }, voila_finish?: () => void, voila_process?: () => void }} */ (window);
  /** @type {(id: string) => HTMLElement | null} */
  const byId = (id) => document.getElementById(id);
  const FIRST_PAUSE_MS = 300;
  const LONGEST_PAUSE_MS = 5000;
  const ANSWER_MS = 8000;
  const CONNECT_MS = 3000;
  const FOREVER_MS = 3_600_000;
  const REST_MS = 1_800_000;
  const headers = { "X-XSRFToken": xsrf };
  let over = false;

  // Voila ends its session on `beforeunload`, which also fires when a link starts a download.
  addEventListener("beforeunload", (event) => event.stopImmediatePropagation(), true);
  addEventListener("pagehide", (event) => {
    if (event.persisted) return;
    remember(Boolean(document.querySelector(".em-running")));
    if (over) return;
    fetch(`${here}leave/${place}`, { method: "POST", headers, keepalive: true }).catch(() => {});
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
  let lasting = "";

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
    let found;
    try {
      found = sessionStorage.getItem(stopped);
    } catch {
      // As above.
    }
    remember(false);
    if (!found) return;
    lasting = "The page was reloaded during a run, so the run was stopped. Press Run to start it again.";
    say("");
    addEventListener("click", (event) => {
      if (!(event.target instanceof Element) || !event.target.closest(".em-primary, [data-em-action=again]")) return;
      lasting = "";
      say("");
    });
  }

  /** @param {string} text */
  function say(text) {
    const notice = byId("notice");
    if (!notice) return; // the page is still loading
    const message = text || lasting;
    notice.hidden = !message;
    if (notice.textContent !== message) notice.textContent = message;
  }

  const REFUSALS = 5;
  const LOST = "Connection lost. Your input is kept; the page reconnects automatically.";
  /** @type {(ms: number) => Promise<void>} */
  const rest = (ms) => new Promise((done) => setTimeout(done, ms));

  /**
   * Fetch from the server. Responses without its header come from proxies and Hubs, and fail.
   * @param {string} url
   * @param {RequestInit} more
   */
  async function get(url, more = {}) {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const answer = await fetch(url, { redirect: "error", headers, signal, ...more });
    if (!answer.headers.has("X-Request-Id")) throw new Error("The response is not from the server.");
    return answer;
  }

  let touched = Date.now();
  const SIGNS = ["pointerdown", "pointermove", "keydown", "touchstart"];
  for (const sign of SIGNS) addEventListener(sign, () => { touched = Date.now(); }, { passive: true });

  function renew() {
    over = true;
    if (!document.hidden && Date.now() - touched < REST_MS) {
      say("The session on the server has ended. The page is reloading; your input is kept.");
      setTimeout(() => location.reload(), 500);
      return;
    }
    // A page that is not used must not start new sessions.
    say("This page was paused after inactivity. Click anywhere to resume; your input is kept.");
    const waiting = new AbortController();
    const resume = () => {
      waiting.abort();
      over = false;
      check();
    };
    for (const sign of SIGNS) addEventListener(sign, resume, { signal: waiting.signal, passive: true });
  }

  /** @type {Promise<void> | null} */
  let checking = null;
  function check(started = Date.now()) {
    checking ??= ask(started).finally(() => { checking = null; });
    return checking;
  }

  // A server that is stopping reports that the session is gone, and then stops responding. One that
  // rejects the page several times is running: the service was removed, or is no longer shared.
  let refusals = 0;
  async function loads() {
    const answer = await get(location.href, { method: "HEAD" });
    refusals = answer.ok || answer.status >= 500 ? 0 : refusals + 1;
    return answer.ok || refusals >= REFUSALS;
  }

  /** @param {number} started */
  async function ask(started) {
    let pause = FIRST_PAUSE_MS;
    while (!over && Date.now() - started < FOREVER_MS) {
      try {
        const answer = await get(`${here}api/kernels/${place}`);
        if (answer.ok) {
          if (await connected()) {
            say("");
            return;
          }
          say("Reconnecting. Your input is kept.");
        } else if (answer.status === 404) {
          if (await loads()) {
            renew();
            return;
          }
          say(LOST);
        } else if (answer.status < 500) {
          over = true;
          say("You are no longer logged in. Reload the page to log in; your input is kept.");
          return;
        } else {
          say("The server is not ready. Your input is kept; the page reconnects automatically.");
        }
      } catch {
        say(LOST);
      }
      await rest(pause);
      pause = Math.min(LONGEST_PAUSE_MS, pause * 1.5);
    }
  }

  const kernel = () => voila.jupyterapp?.widgetManager?.kernel;

  // JupyterLab itself reconnects at growing intervals, and gives up after a while.
  async function connected() {
    const found = kernel();
    if (!found || found.connectionStatus === "connected") return true;
    found.reconnect().catch(() => {});
    for (const end = Date.now() + CONNECT_MS; Date.now() < end; await rest(50)) {
      if (found.connectionStatus === "connected") return true;
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
