// @ts-check
// Runs before an app page is drawn: opens the connection, and keeps what users do with the form until its
// controls are live. The page's main script continues from `window.easymlnb`.
(() => {
  const root = document.documentElement;
  const { base, session } = root.dataset;
  const dark = matchMedia("(prefers-color-scheme: dark)");

  // JupyterLab's attribute, which the styles of forms read. A theme that was chosen takes precedence.
  const theme = () => (root.dataset.jpThemeLight = String(!(root.dataset.theme ? root.dataset.theme === "dark" : dark.matches)));
  theme();
  new MutationObserver(theme).observe(root, { attributeFilter: ["data-theme"] });
  dark.addEventListener("change", theme);

  if (!session) return; // a page that waits
  const url = new URL(`${base}api/kernels/${session}/channels`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url, ["v1.kernel.websocket.jupyter.org"]);

  /**
   * @typedef {object} Act - something that a user did with the painted form
   * @property {Element} element
   * @property {boolean} pressed
   * @property {number} at - where on a slider, from 0 to 1
   * @property {any} value
   */
  /** @type {Act[]} */
  const acts = [];
  const keeper = new AbortController();
  const options = { capture: true, signal: keeper.signal };

  /** @param {EventTarget | null} target */
  const painted = (target) => (target instanceof Element && target.closest("#painted") ? target : null);

  /** @param {Element} element */
  function press(element, at = 0) {
    acts.push({ element, pressed: true, at, value: null });
    if (element.matches(".em-primary")) element.closest(".em-status")?.classList.add("em-running", "em-unknown");
    if (!element.matches(".em-segments button")) return;
    for (const each of element.parentElement?.children ?? []) each.classList.toggle("mod-active", each === element);
  }

  document.addEventListener("click", (event) => {
    const pressed = painted(event.target)?.closest("button, .slider-container");
    if (!pressed) return;
    const { left, width } = pressed.getBoundingClientRect();
    press(pressed, Math.min(1, Math.max(0, (event.clientX - left) / (width || 1))));
    event.preventDefault();
  }, options);

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    const run = document.querySelector("#painted .em-primary");
    if (run) press(run);
  }, options);

  document.addEventListener("input", (event) => {
    const element = /** @type {any} */ (painted(event.target));
    if (!element) return;
    const value = element.isContentEditable ? element.textContent : (element.files ?? (element.matches("[type=checkbox]") ? element.checked : element.value));
    if (acts.at(-1)?.element === element) acts.pop();
    acts.push({ element, pressed: false, at: 0, value });
  }, options);

  Object.assign(window, { easymlnb: { url: url.href, socket, acts, keeper } });
})();
