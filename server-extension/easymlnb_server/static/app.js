// An app page's own script: says when the server is lost, and begins anew when its place is.
// What was typed is kept by the form itself.
// Runs before Voila's, and does without it.
(() => {
  const { here, place, xsrf } = document.documentElement.dataset;
  const CHECK_MS = 2000;
  const FOREVER_MS = 3_600_000;
  const REST_MS = 1_800_000;
  const headers = { "X-XSRFToken": xsrf };
  let over = false;

  // Voila leaves on `beforeunload`, which also comes when a link starts a download.
  addEventListener("beforeunload", (event) => event.stopImmediatePropagation(), true);
  addEventListener("pagehide", (event) => {
    if (event.persisted || over) return;
    fetch(`${here}leave/${place}`, { method: "POST", headers, keepalive: true }).catch(() => {});
  });
  addEventListener("pageshow", (event) => {
    // Taken out of the browser's memory by the back button: its place may be gone by now.
    if (event.persisted) check();
  });

  function theme() {
    const chosen = document.documentElement.dataset.theme;
    const dark = chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    document.body.dataset.jpThemeLight = String(!dark);
  }

  function say(text) {
    const notice = document.getElementById("notice");
    notice.hidden = !text;
    notice.textContent = text;
  }

  let touched = Date.now();
  const SIGNS = ["pointerdown", "pointermove", "keydown", "touchstart"];
  for (const sign of SIGNS) addEventListener(sign, () => { touched = Date.now(); }, { passive: true });

  function renew() {
    over = true;
    const again = () => {
      say("The page lost its place on the server and is loaded again, with what you typed.");
      setTimeout(() => location.reload(), 500);
    };
    if (!document.hidden && Date.now() - touched < REST_MS) return again();
    // A page that nobody looks at must not take a place again and again.
    say("This page was put to rest. It goes on, with what you typed, when you touch it.");
    for (const sign of SIGNS) addEventListener(sign, again, { once: true, passive: true });
  }

  let checking = null;
  function check(started = Date.now()) {
    checking ??= ask(started).finally(() => { checking = null; });
    return checking;
  }

  async function ask(started) {
    while (!over && Date.now() - started < FOREVER_MS) {
      try {
        const answer = await fetch(`${here}api/kernels/${place}`, { redirect: "error", headers });
        if (answer.ok) {
          say("");
          return;
        }
        if (answer.status === 404) return renew();
        if (answer.status < 500) {
          over = true;
          say("You are no longer logged in. Load the page again to log in; what you typed is kept.");
          return;
        }
        say("The server is starting. What you typed is kept.");
      } catch {
        say("The connection is lost. What you typed is kept; the page goes on by itself.");
      }
      await new Promise((done) => setTimeout(done, CHECK_MS));
    }
  }

  function watch() {
    const kernel = window.jupyterapp?.widgetManager?.kernel;
    if (!kernel) return;
    kernel.connectionStatusChanged.connect((_, status) => {
      if (status !== "connected") check();
      else say("");
    });
  }

  let ready = false;
  // A slow start may have cost the page its place; and nobody shall look at a wheel for ever.
  const late = setInterval(() => (ready ? clearInterval(late) : check()), 8000);

  function shown() {
    ready = true;
    document.getElementById("loading")?.remove();
    document.documentElement.dataset.ready = "";
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
