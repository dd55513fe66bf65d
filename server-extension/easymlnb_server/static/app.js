// An app page's own script: keeps what was typed over a lost server, and says when it is lost.
// Runs before Voila's, and does without it.
(() => {
  const { here, place, service, xsrf } = document.documentElement.dataset;
  const store = `easymlnb-values:${service}`;
  const kept = { length: 1_000_000 };
  const CHECK_MS = 2000;
  const FOREVER_MS = 600_000;
  const headers = { "X-XSRFToken": xsrf };
  let ready = false;
  let over = false;
  let timer = 0;

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

  const read = () => {
    try {
      return sessionStorage.getItem(store);
    } catch {
      return null; // Storage may be switched off; then only the page itself keeps it.
    }
  };
  const write = (text) => {
    try {
      if (text === null) sessionStorage.removeItem(store);
      else if (text.length < kept.length) sessionStorage.setItem(store, text);
    } catch {
      // Full or switched off: nothing that a visitor could do about it.
    }
  };

  async function keep() {
    if (!ready || over) return;
    try {
      const answer = await fetch(`${here}values/${place}`);
      if (answer.ok) write(await answer.text());
    } catch {
      check();
    }
  }

  async function restore() {
    const text = read();
    if (!text || !sessionStorage.getItem(`${store}:lost`)) return;
    sessionStorage.removeItem(`${store}:lost`);
    await fetch(`${here}values/${place}`, {
      method: "PUT", body: text, headers: { ...headers, "Content-Type": "application/json" },
    });
  }

  function renew() {
    over = true;
    say("The server was restarted. The page is loaded again with what you typed.");
    try {
      sessionStorage.setItem(`${store}:lost`, "1");
    } catch {
      // It is loaded again without.
    }
    setTimeout(() => location.reload(), 500);
  }

  let checking = null;
  function check(started = Date.now()) {
    checking ??= ask(started).finally(() => { checking = null; });
    return checking;
  }

  async function ask(started) {
    while (!over && Date.now() - started < FOREVER_MS) {
      try {
        const answer = await fetch(`${here}api/kernels/${place}`, { redirect: "error" });
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

  function shown() {
    ready = true;
    document.getElementById("loading")?.remove();
    document.documentElement.dataset.ready = "";
    watch();
    restore().catch(() => {});
    for (const sign of ["input", "change", "click"]) {
      document.getElementById("rendered_cells").addEventListener(sign, () => {
        clearTimeout(timer);
        timer = setTimeout(keep, 800);
      }, true);
    }
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
