// @ts-check
// Scrolls to what the user should see next: the first invalid field, or the result.

/**
 * Adds an event handler that is removed with the form.
 * @typedef {(target: EventTarget, event: string, act: (event: any) => unknown, options?: boolean | AddEventListenerOptions) => void} On
 */
/** @typedef {ReturnType<typeof seeker>} Seeker */

const TYPED = "input:not([type=file]), select, textarea, [contenteditable], .noUi-handle, .em-drop, button";
const QUIET = 120; // ms without a change after which something counts as painted
const PATIENCE = 1500; // ms to wait for that at most
const SLACK = 1 / 3; // of the window: a page may scroll this far without the user, as messages appear

/** @param {Element | null | undefined} el */
const onPage = (el) => el instanceof HTMLElement && el.offsetParent !== null;

/**
 * Resolve when nothing inside an element has changed for a moment.
 * @param {Element} el
 * @returns {Promise<void>}
 */
function painted(el) {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(quiet);
      clearTimeout(late);
      observer.disconnect();
      done();
    };
    let quiet = setTimeout(end, QUIET);
    const late = setTimeout(end, PATIENCE);
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
  for (let one = el; one.parentElement; one = one.parentElement) {
    const stack = one.parentElement;
    if (stack.matches(".widget-stack") && !onPage(one)) {
      const bar = stack.parentElement?.querySelector(":scope > .em-tabs");
      bar?.querySelectorAll("button")[[...stack.children].indexOf(one)]?.click();
    }
    if (one.matches(".jupyter-widget-Accordion-child") && !one.matches(".jupyter-widget-Collapse-open")) {
      /** @type {HTMLElement | null} */
      const header = one.querySelector(".jupyter-widget-Collapse-header");
      header?.click();
    }
  }
}

/**
 * Whether enough of an element is in the window; the lowest `below` pixels are covered.
 * @param {Element | null} el
 * @param {number} below
 */
function inSight(el, below = 0) {
  if (!el || !onPage(el)) return false;
  const { top, bottom, height } = el.getBoundingClientRect();
  const seen = Math.min(bottom, innerHeight - below) - Math.max(top, 0);
  return seen >= Math.min(height, innerHeight / 2) - 1;
}

/**
 * @param {Element} el
 * @param {ScrollLogicalPosition} block
 */
function goTo(el, block) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  el.scrollIntoView({ behavior: calm ? "instant" : "smooth", block });
}

/**
 * Follow one form.
 * @param {HTMLElement} root
 * @param {On} on
 * @param {boolean} app - whether the form has a page of its own
 */
export function seeker(root, on, app) {
  let busy = false; // whether the user did something else since Run was pressed
  /** @type {number | null} */
  let from = null; // where the page was scrolled to then
  /** @type {HTMLElement | null} */
  let button = null;
  /** @returns {HTMLElement | null} */
  const statusBar = () => root.querySelector(".em-inputs .em-status");
  const covered = () => statusBar()?.offsetHeight ?? 0;

  const stirred = () => (busy = true);
  for (const event of ["wheel", "touchmove", "input"]) on(window, event, stirred, { capture: true, passive: true });

  const away = () => {
    button?.remove();
    button = null;
  };

  const begin = () => {
    busy = false;
    from = scrollY;
    away();
  };

  /**
   * Show a button until it is pressed or its target is visible.
   * @type {(words: string, find: () => Element | null, go: () => void) => void}
   */
  const offer = (words, find, go) => {
    away();
    const inner = Object.assign(document.createElement("button"), { type: "button", textContent: words });
    inner.className = "em-arrived-button";
    inner.addEventListener("click", () => {
      away();
      go();
    });
    const shown = Object.assign(document.createElement("div"), { className: "em-arrived" });
    shown.setAttribute("role", "status");
    shown.style.setProperty("--em-above", `${onPage(statusBar()) ? covered() : 0}px`);
    shown.append(inner);
    root.append(shown);
    button = shown;
    const look = () => {
      if (button === shown && !inSight(find())) return;
      if (button === shown) away();
      removeEventListener("scroll", look, true);
    };
    on(window, "scroll", look, { capture: true, passive: true });
  };

  /** @type {(area: Element | null, words: string, find: () => Element | null, go: () => void, shown: (found: Element | null) => boolean) => Promise<void>} */
  const arrive = async (area, words, find, go, shown) => {
    if (area) await painted(area);
    if (shown(find())) return;
    const moved = busy || (from !== null && Math.abs(scrollY - from) > SLACK * innerHeight);
    if (moved) offer(words, find, go);
    else go();
    from = null;
  };

  /** @param {string} words */
  const wrong = (words) => {
    const all = () => [...root.querySelectorAll(".em-invalid")];
    const find = () => all().find(onPage) ?? all()[0] ?? null;
    const go = () => {
      const field = find();
      if (!field) return;
      reveal(field);
      requestAnimationFrame(() => {
        /** @type {NodeListOf<HTMLElement>} */
        const controls = field.querySelectorAll(TYPED);
        [...controls].find((one) => onPage(one) && !one.matches(":disabled"))?.focus({ preventScroll: true });
        if (!inSight(field, covered())) goTo(field, "center");
      });
    };
    return arrive(root, words, find, go, (field) => !field);
  };

  /** @param {string} words */
  const result = async (words) => {
    if (!app) return; // Notebooks are scrolled by the user only.
    const find = () => root.querySelector(".em-outcome .em-failure") ?? root.querySelector(".em-outcome");
    await arrive(find(), words, find, () => lead(find()), inSight);
  };

  /** @param {Element | null} el */
  const lead = (el) => {
    if (!el) return;
    reveal(el);
    requestAnimationFrame(() => inSight(el) || goTo(el, "start"));
  };

  /**
   * Scroll to what the user asked for, such as an earlier run.
   * @param {string} selector
   */
  const show = async (selector) => {
    const area = root.querySelector(selector);
    if (area) await painted(area);
    lead(root.querySelector(selector));
  };

  return { begin, wrong, result, show };
}
