// Brings into view what a person should see next: the first wrong field, or the result.

const TYPED = "input:not([type=file]), select, textarea, [contenteditable], .noUi-handle, .em-drop, button";
const QUIET = 120; // ms without a change after which something counts as painted
const PATIENCE = 1500; // ms after which that is no longer waited for
const SLACK = 1 / 3; // of the window: so far a page may move by itself, as messages come and go

const onPage = (el) => Boolean(el?.offsetParent);

// Resolve when nothing inside an element has changed for a moment.
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

// Turn to the tab or unfold the section that hides an element.
function reveal(el) {
  for (let one = el; one?.parentElement; one = one.parentElement) {
    const stack = one.parentElement;
    if (stack.matches(".widget-stack") && !onPage(one)) {
      const bar = stack.parentElement.querySelector(":scope > .em-tabs");
      bar?.querySelectorAll("button")[[...stack.children].indexOf(one)]?.click();
    }
    if (one.matches(".jupyter-widget-Accordion-child") && !one.matches(".jupyter-widget-Collapse-open")) {
      one.querySelector(".jupyter-widget-Collapse-header")?.click();
    }
  }
}

// Whether so much of an element is in the window that nobody misses it; `below` px are covered.
function inSight(el, below = 0) {
  if (!onPage(el)) return false;
  const { top, bottom, height } = el.getBoundingClientRect();
  const seen = Math.min(bottom, innerHeight - below) - Math.max(top, 0);
  return seen >= Math.min(height, innerHeight / 2) - 1;
}

function goTo(el, block) {
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  el.scrollIntoView({ behavior: calm ? "instant" : "smooth", block });
}

// One form's part of the page: `come` once something has arrived there.
function seeker(root, on, app) {
  let busy = false; // whether the person did something else since Run was pressed
  let from = null; // where the page was scrolled to then
  let button = null;

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

  // A button that stays in the window until it is pressed or what it leads to is seen.
  const offer = (words, find, go) => {
    away();
    const inner = Object.assign(document.createElement("button"), { type: "button", textContent: words });
    inner.className = "em-arrived-button";
    inner.addEventListener("click", () => {
      away();
      go();
    });
    button = Object.assign(document.createElement("div"), { className: "em-arrived" });
    button.setAttribute("role", "status");
    const bar = root.querySelector(".em-inputs .em-status");
    button.style.setProperty("--em-above", `${onPage(bar) ? bar.offsetHeight : 0}px`);
    button.append(inner);
    root.append(button);
    const look = () => (!button || inSight(find())) && (away(), removeEventListener("scroll", look, true));
    on(window, "scroll", look, { capture: true, passive: true });
  };

  const arrive = async (area, words, find, go, shown) => {
    await painted(area);
    if (shown(find())) return;
    const moved = busy || (from !== null && Math.abs(scrollY - from) > SLACK * innerHeight);
    if (moved) offer(words, find, go);
    else go();
    from = null;
  };

  const wrong = (words) => {
    const all = () => [...root.querySelectorAll(".em-invalid")];
    const find = () => all().find(onPage) ?? all()[0];
    const go = () => {
      const field = find();
      if (!field) return;
      reveal(field);
      const bar = root.querySelector(".em-inputs .em-status")?.offsetHeight ?? 0;
      requestAnimationFrame(() => {
        [...field.querySelectorAll(TYPED)].find((one) => onPage(one) && !one.disabled)?.focus({ preventScroll: true });
        if (!inSight(field, bar)) goTo(field, "center");
      });
    };
    return arrive(root, words, find, go, (field) => !field);
  };

  const result = (words) => {
    if (!app) return undefined; // Notebooks scroll as their owners want.
    const find = () => root.querySelector(".em-outcome .em-failure") ?? root.querySelector(".em-outcome");
    return arrive(find(), words, find, () => lead(find()), inSight);
  };

  const lead = (el) => {
    if (!el) return;
    reveal(el);
    requestAnimationFrame(() => inSight(el) || goTo(el, "start"));
  };

  // What was asked for by name, such as an earlier run: no matter what else the person did.
  const show = async (selector) => {
    const area = root.querySelector(selector);
    if (area) await painted(area);
    lead(root.querySelector(selector));
  };

  return { begin, wrong, result, show };
}

