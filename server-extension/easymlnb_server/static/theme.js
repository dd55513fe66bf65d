// Runs before the page is drawn, so that a chosen theme never flashes the other one first.
(() => {
  const key = "easymlnb-theme";
  let chosen = null;
  try {
    chosen = localStorage.getItem(key);
  } catch {
    // Storage may be switched off; the system's theme is used then.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;

  addEventListener("DOMContentLoaded", () => {
    document.querySelector("[data-theme-switch]")?.addEventListener("click", () => {
      const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      const now = document.documentElement.dataset.theme ?? system;
      const next = now === "dark" ? "light" : "dark";
      document.documentElement.dataset.theme = next;
      try {
        // What the system says anyway is not a choice to remember.
        if (next === system) localStorage.removeItem(key);
        else localStorage.setItem(key, next);
      } catch {
        // Then it lasts as long as the page.
      }
    });
  });
})();
