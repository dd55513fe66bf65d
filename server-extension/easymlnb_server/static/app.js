// An app page's own script: says when the server is lost, and begins anew when its place is.
// What was typed is kept by the form itself.
// Runs before Voila's, and does without it.
(() => {
  const { here, place, xsrf } = document.documentElement.dataset;
  const FIRST_PAUSE_MS = 300;
  const LONGEST_PAUSE_MS = 5000;
  const ANSWER_MS = 8000;
  const CONNECT_MS = 3000;
  const FOREVER_MS = 3_600_000;
  const REST_MS = 1_800_000;
  const headers = { "X-XSRFToken": xsrf };
  let over = false;

  // Voila leaves on `beforeunload`, which also comes when a link starts a download.
  addEventListener("beforeunload", (event) => event.stopImmediatePropagation(), true);
  addEventListener("pagehide", (event) => {
    if (event.persisted) return;
    remember(Boolean(document.querySelector(".em-running")));
    if (over) return;
    fetch(`${here}leave/${place}`, { method: "POST", headers, keepalive: true }).catch(() => {});
  });
  addEventListener("pageshow", (event) => {
    // Taken out of the browser's memory by the back button: its place may be gone by now.
    if (event.persisted) check();
  });
  addEventListener("online", () => check());
  document.addEventListener("visibilitychange", () => document.hidden || check());

  function theme() {
    const chosen = document.documentElement.dataset.theme;
    const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.body.dataset.jpThemeLight = String(!dark);
  }

  // A run ends with its page. The next page in its place says so, until something is run there.
  const stopped = `easymlnb-stopped:${location.pathname}`;
  let lasting = "";

  function remember(running) {
    try {
      if (running) sessionStorage.setItem(stopped, "1");
      else sessionStorage.removeItem(stopped);
    } catch {
      // Storage is refused: then nothing is said.
    }
  }

  function recall() {
    let found = null;
    try {
      found = sessionStorage.getItem(stopped);
    } catch {
      // As above.
    }
    remember(false);
    if (!found) return;
    lasting = "The page was loaded again while a run was under way. The run was stopped; press Run to start it again.";
    say("");
    addEventListener("click", (event) => {
      if (!event.target.closest?.(".em-primary, [data-em-do=again]")) return;
      lasting = "";
      say("");
    });
  }

  function say(text) {
    const notice = document.getElementById("notice");
    const shown = text || lasting;
    notice.hidden = !shown;
    if (notice.textContent !== shown) notice.textContent = shown;
  }

  const REFUSALS = 5;
  const LOST = "The connection is lost. What you typed is kept; the page goes on by itself.";
  const rest = (ms) => new Promise((done) => setTimeout(done, ms));

  // Only an answer with this header is the server's own: proxies and Hubs answer in its place.
  async function get(url, more = {}) {
    const signal = AbortSignal.timeout(ANSWER_MS);
    const answer = await fetch(url, { redirect: "error", headers, signal, ...more });
    if (!answer.headers.has("X-Request-Id")) throw new Error("something else answered");
    return answer;
  }

  let touched = Date.now();
  const SIGNS = ["pointerdown", "pointermove", "keydown", "touchstart"];
  for (const sign of SIGNS) addEventListener(sign, () => { touched = Date.now(); }, { passive: true });

  function renew() {
    over = true;
    if (!document.hidden && Date.now() - touched < REST_MS) {
      say("The page lost its place on the server and is loaded again, with what you typed.");
      setTimeout(() => location.reload(), 500);
      return;
    }
    // A page that nobody looks at must not take a place again and again.
    say("This page was put to rest. It goes on, with what you typed, when you touch it.");
    const again = () => {
      over = false;
      check();
    };
    for (const sign of SIGNS) addEventListener(sign, again, { once: true, passive: true });
  }

  let checking = null;
  function check(started = Date.now()) {
    checking ??= ask(started).finally(() => { checking = null; });
    return checking;
  }

  // A server that is stopping says that the place is gone, and then says nothing any more. One that
  // refuses the page again and again means it: the service was removed, or is no longer shared.
  let refusals = 0;
  async function loads() {
    const answer = await get(location.href, { method: "HEAD" });
    refusals = answer.ok || answer.status >= 500 ? 0 : refusals + 1;
    return answer.ok || refusals >= REFUSALS;
  }

  async function ask(started) {
    let pause = FIRST_PAUSE_MS;
    while (!over && Date.now() - started < FOREVER_MS) {
      try {
        const answer = await get(`${here}api/kernels/${place}`);
        if (answer.ok) {
          if (await connected()) return say("");
          say("Connecting again. What you typed is kept.");
        } else if (answer.status === 404) {
          if (await loads()) return renew();
          say(LOST);
        } else if (answer.status < 500) {
          over = true;
          return say("You are no longer logged in. Load the page again to log in; what you typed is kept.");
        } else {
          say("The server is not ready. What you typed is kept; the page goes on by itself.");
        }
      } catch {
        say(LOST);
      }
      await rest(pause);
      pause = Math.min(LONGEST_PAUSE_MS, pause * 1.5);
    }
  }

  const kernel = () => window.jupyterapp?.widgetManager?.kernel;

  // JupyterLab's own attempts come ever more seldom, and end after a while.
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
  // A slow start may have cost the page its place; and nobody shall look at a wheel for ever.
  const late = setInterval(() => (ready ? clearInterval(late) : check()), 8000);

  function shown() {
    ready = true;
    document.getElementById("loading")?.remove();
    document.documentElement.dataset.ready = "";
    recall();
    watch();
  }

  addEventListener("DOMContentLoaded", () => {
    theme();
    new MutationObserver(theme).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", theme);
    const cells = document.getElementById("rendered_cells");
    const seen = new MutationObserver(() => {
      // Voila puts its shell behind everything else; it belongs into the page's main part.
      const shell = document.getElementById("main");
      if (shell?.parentElement === document.body) document.querySelector("main").append(shell);
      if (!cells.querySelector(".em-form, .em-error")) return;
      seen.disconnect();
      shown();
    });
    seen.observe(document.body, { childList: true, subtree: true });
  });
  // Voila's front end looks for these when it has begun.
  window.voila_finish = () => {};
  window.voila_process = () => {};
})();
