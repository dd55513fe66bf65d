// @ts-check
// Scrolls to what the user should see next: the first invalid field, or the result.

/**
 * Adds an event handler that is removed with the form.
 * @typedef {(target: EventTarget, event: string, handler: (event: any) => unknown, options?: boolean | AddEventListenerOptions) => void} On
 */
/** @typedef {ReturnType<typeof scroller>} Scroller */

const CONTROLS = "input:not([type=file]), select, textarea, [contenteditable], .noUi-handle, .em-drop, button";
const QUIET = 120; // ms without a change after which an element counts as complete
const LONGEST_WAIT = 1500; // ms
const SLACK = 1 / 3; // of the window: a page may scroll this far without the user, as messages appear

/** @param {Element | null | undefined} el */
const isVisible = (el) => el instanceof HTMLElement && el.offsetParent !== null;

/**
 * Resolve when nothing inside an element has changed for a moment.
 * @param {Element} el
 * @returns {Promise<void>}
 */
function whenQuiet(el) {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(quiet);
      clearTimeout(late);
      observer.disconnect();
      done();
    };
    let quiet = setTimeout(end, QUIET);
    const late = setTimeout(end, LONGEST_WAIT);
    const observer = new MutationObserver(() => {
      clearTimeout(quiet);
      quiet = setTimeout(end, QUIET);
    });
    observer.observe(el, { childList: true, subtree: true, attributes: true, characterData: true });
  });
}

/**
 * Open the tab or the section that hides an element.
 * @param {Element} el
 */
function reveal(el) {
  for (let inner = el; inner.parentElement; inner = inner.parentElement) {
    const stack = inner.parentElement;
    if (stack.matches(".widget-stack") && !isVisible(inner)) {
      const bar = stack.parentElement?.querySelector(":scope > .em-tabs");
      bar?.querySelectorAll("button")[[...stack.children].indexOf(inner)]?.click();
    }
    if (inner.matches(".jupyter-widget-Accordion-child") && !inner.matches(".jupyter-widget-Collapse-open")) {
      /** @type {HTMLElement | null} */
      const header = inner.querySelector(".jupyter-widget-Collapse-header");
      header?.click();
    }
  }
}

/**
 * Whether enough of an element is in the window; the lowest `below` pixels are covered.
 * @param {Element | null} el
 * @param {number} below
 */
function isInWindow(el, below = 0) {
  if (!el || !isVisible(el)) return false;
  const { top, bottom, height } = el.getBoundingClientRect();
  const visible = Math.min(bottom, innerHeight - below) - Math.max(top, 0);
  return visible >= Math.min(height, innerHeight / 2) - 1;
}

/**
 * @param {Element} el
 * @param {ScrollLogicalPosition} block
 */
function scrollIntoWindow(el, block) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  el.scrollIntoView({ behavior: calm ? "instant" : "smooth", block });
}

/**
 * Follow one form.
 * @param {HTMLElement} root
 * @param {On} on
 * @param {boolean} appPage - whether the form has a page of its own
 */
export function scroller(root, on, appPage) {
  let active = false; // whether the user has scrolled or typed since Run was pressed
  /** @type {number | null} */
  let from = null; // the scroll position at that time
  /** @type {HTMLElement | null} */
  let button = null;
  /** @returns {HTMLElement | null} */
  const statusBar = () => root.querySelector(".em-inputs .em-status");
  const covered = () => statusBar()?.offsetHeight ?? 0;

  const onActivity = () => (active = true);
  for (const event of ["wheel", "touchmove", "input"]) on(window, event, onActivity, { capture: true, passive: true });

  const removeButton = () => {
    button?.remove();
    button = null;
  };

  const begin = () => {
    active = false;
    from = scrollY;
    removeButton();
  };

  /**
   * Show a button until it is pressed or its target is visible.
   * @type {(label: string, find: () => Element | null, go: () => void) => void}
   */
  const offer = (label, find, go) => {
    removeButton();
    const inner = Object.assign(document.createElement("button"), { type: "button", textContent: label });
    inner.className = "em-arrived-button";
    inner.addEventListener("click", () => {
      removeButton();
      go();
    });
    const shown = Object.assign(document.createElement("div"), { className: "em-arrived" });
    shown.setAttribute("role", "status");
    shown.style.setProperty("--em-above", `${isVisible(statusBar()) ? covered() : 0}px`);
    shown.append(inner);
    root.append(shown);
    button = shown;
    const check = () => {
      if (button === shown && !isInWindow(find())) return;
      if (button === shown) removeButton();
      removeEventListener("scroll", check, true);
    };
    on(window, "scroll", check, { capture: true, passive: true });
  };

  /** @type {(area: Element | null, label: string, find: () => Element | null, go: () => void, shown: (found: Element | null) => boolean) => Promise<void>} */
  const goOrOffer = async (area, label, find, go, shown) => {
    if (area) await whenQuiet(area);
    if (shown(find())) return;
    const moved = active || (from !== null && Math.abs(scrollY - from) > SLACK * innerHeight);
    if (moved) offer(label, find, go);
    else go();
    from = null;
  };

  /** @param {string} label */
  const toInvalid = (label) => {
    const all = () => [...root.querySelectorAll(".em-invalid")];
    const find = () => all().find(isVisible) ?? all()[0] ?? null;
    const go = () => {
      const field = find();
      if (!field) return;
      reveal(field);
      requestAnimationFrame(() => {
        /** @type {NodeListOf<HTMLElement>} */
        const controls = field.querySelectorAll(CONTROLS);
        [...controls].find((control) => isVisible(control) && !control.matches(":disabled"))?.focus({ preventScroll: true });
        if (!isInWindow(field, covered())) scrollIntoWindow(field, "center");
      });
    };
    return goOrOffer(root, label, find, go, (field) => !field);
  };

  /** @param {string} label */
  const toResult = async (label) => {
    if (!appPage) return; // Notebooks are scrolled by the user only.
    const find = () => root.querySelector(".em-outcome .em-failure") ?? root.querySelector(".em-outcome");
    await goOrOffer(find(), label, find, () => showTop(find()), isInWindow);
  };

  /** @param {Element | null} el */
  const showTop = (el) => {
    if (!el) return;
    reveal(el);
    requestAnimationFrame(() => isInWindow(el) || scrollIntoWindow(el, "start"));
  };

  /**
   * Scroll to what the user asked for, such as an earlier run.
   * @param {string} selector
   */
  const to = async (selector) => {
    const area = root.querySelector(selector);
    if (area) await whenQuiet(area);
    showTop(root.querySelector(selector));
  };

  return { begin, toInvalid, toResult, to };
}
