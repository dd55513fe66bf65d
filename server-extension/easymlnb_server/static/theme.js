// @ts-check
// Runs before the page is drawn, so that the other theme is never visible first.
(() => {
  const key = "easymlnb-theme";
  let chosen;
  try {
    chosen = localStorage.getItem(key);
  } catch {
    // The browser may block storage; then the system's theme is used.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;

  addEventListener("DOMContentLoaded", () => {
    document.querySelector("[data-theme-switch]")?.addEventListener("click", () => {
      const system = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
      const now = document.documentElement.dataset.theme ?? system;
      const next = now === "dark" ? "light" : "dark";
      document.documentElement.dataset.theme = next;
      try {
        // The system's own theme is not stored, so that later changes of the system apply.
        if (next === system) localStorage.removeItem(key);
        else localStorage.setItem(key, next);
      } catch {
        // Without storage the choice lasts as long as the page.
      }
    });
  });
})();
