// @ts-check
// Keeps a click on a button that comes before the page's modules have run, and repeats it once they
// have. Without this, the click would do nothing, or a form would be sent without its script.
(() => {
  /** @type {HTMLButtonElement | null} */
  let pressed = null;

  /** @param {MouseEvent} event */
  const keep = (event) => {
    const button = /** @type {Element} */ (event.target).closest("button");
    // Those in <noscript> are not in the page here.
    if (!button) return;
    event.preventDefault();
    event.stopPropagation();
    pressed = button;
  };

  document.addEventListener("click", keep, true);
  // Modules run before this event; so do the listeners that they and theme.js add.
  addEventListener("DOMContentLoaded", () => {
    document.removeEventListener("click", keep, true);
    pressed?.click();
  });
})();
