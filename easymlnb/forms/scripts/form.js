// @ts-check
// Keyboard shortcuts, actions of buttons, drafts and links of a form: see form_script.py.

import { save } from "./elements.js";
import { addLabels } from "./labels.js";
import { codeOf, permalink } from "./permalinks.js";
import { scroller } from "./scrolling.js";

/** @import { MessageHandler, View } from "./types" */
/** @import { On, Scroller } from "./scrolling.js" */

const PAUSE = 400; // ms after the last change until the draft is stored
const FLASH = 1600; // ms that a button shows "Copied"
const TEXT_FIELDS = /^(INPUT|TEXTAREA|SELECT)$/;

/**
 * Call `done` when an element is in the page; returns a function that cancels this.
 * @param {HTMLElement} el
 * @param {() => void} done
 */
function whenConnected(el, done) {
  let frame = 0;
  const check = () => {
    if (el.isConnected) done();
    else frame = requestAnimationFrame(check);
  };
  check();
  return () => cancelAnimationFrame(frame);
}

/**
 * Return the closest element around an event's target that matches.
 * @param {Event} event
 * @param {string} selector
 * @returns {HTMLElement | null}
 */
const around = (event, selector) => (event.target instanceof Element ? event.target.closest(selector) : null);

/**
 * Move between tabs with the arrow keys; returns whether the key was one of them.
 * @param {KeyboardEvent} event
 */
function moveToTab(event) {
  const tab = around(event, '[role="tab"]');
  const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
  if (!tab?.parentElement || !step) return false;
  /** @type {HTMLElement[]} */
  const tabs = [...tab.parentElement.querySelectorAll('[role="tab"]')].filter((each) => each instanceof HTMLElement);
  const next = tabs[(tabs.indexOf(tab) + step + tabs.length) % tabs.length];
  next.focus();
  next.click();
  return true;
}

/** @param {string} text */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without HTTPS there is no clipboard API.
    const area = Object.assign(document.createElement("textarea"), { value: text });
    area.style.position = "fixed";
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
}

/**
 * Show a message on a button for a moment.
 * @param {HTMLElement} button
 * @param {string} message
 */
function flash(button, message) {
  button.dataset.label ??= button.textContent ?? "";
  button.textContent = message;
  clearTimeout(Number(button.dataset.timer));
  button.dataset.timer = String(setTimeout(() => (button.textContent = button.dataset.label ?? ""), FLASH));
}

/** @type {Record<string, (button: HTMLElement) => void>} */
const BUTTON_ACTIONS = {
  copy(button) {
    const block = button.closest(".em-copied, .em-failure")?.querySelector("pre");
    copy(button.dataset.emValue ?? block?.textContent ?? "").then(() => flash(button, "Copied"));
  },
  picture(button) {
    const image = button.closest(".em-part")?.querySelector("img");
    if (!image) return;
    const link = document.createElement("a");
    link.href = image.src;
    link.download = button.dataset.emValue ?? "";
    link.click();
  },
};

/** sessionStorage, without errors if the browser blocks it. */
const storage = {
  /** @type {(key: string, value: string) => void} */
  set(key, value) {
    try {
      if (value) sessionStorage.setItem(key, value);
      else sessionStorage.removeItem(key);
    } catch {
      // The value is too long, or the browser blocks storage: then it is not stored.
    }
  },
  /** @param {string} key */
  get(key) {
    try {
      return sessionStorage.getItem(key);
    } catch {
      return null;
    }
  },
};

/**
 * Press a button of the form with the keyboard.
 * @param {HTMLElement} form
 * @param {string} selector
 */
function press(form, selector) {
  /** @type {HTMLButtonElement | null} */
  const button = form.querySelector(selector);
  if (!button || button.disabled) return;
  const active = document.activeElement;
  // ipywidgets sends text when the field loses the focus.
  if (active instanceof HTMLElement && form.contains(active) && (TEXT_FIELDS.test(active.tagName) || active.isContentEditable)) {
    active.blur();
    active.focus();
  }
  button.click();
}

/**
 * Prevent a run with text that did not become a tag: the kernel does not have it.
 * @param {HTMLElement} form
 * @param {Event} event
 */
function requireTags(form, event) {
  if (!around(event, ".em-primary")) return;
  /** @type {NodeListOf<HTMLInputElement>} */
  const inputs = form.querySelectorAll(".em-tags input");
  const input = [...inputs].find((each) => each.offsetParent && each.value.trim());
  if (!input) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  input.setCustomValidity("Choose one of the options, or clear this field.");
  input.addEventListener("input", () => input.setCustomValidity(""), { once: true });
  input.reportValidity();
}

export default {
  /** @param {View<{ app_page: boolean }>} view */
  render({ model, el }) {
    el.style.display = "none";
    /** @type {(() => void)[]} */
    const undo = [];
    /** @type {HTMLElement | null} */
    let pressed = null; // the button whose action the kernel performs
    /** @type {Scroller | null} */
    let scroll = null;
    const appPage = model.get("app_page");
    const draftKey = `easymlnb:${location.pathname}`;
    const jobsKey = `easymlnb-jobs:${location.pathname}`;
    const runningKey = `easymlnb-running:${location.pathname}`;
    const historyKey = `easymlnb-history:${location.pathname}`;
    /** @param {string} action */
    const send = (action, value = "") => model.send({ action, value });
    /** @type {On} */
    const on = (target, event, handler, options) => {
      target.addEventListener(event, handler, options);
      undo.push(() => target.removeEventListener(event, handler, options));
    };

    /** @type {Record<string, MessageHandler>} */
    const ACTIONS = {
      draft: ({ value }) => storage.set(draftKey, value),
      jobs: ({ value }) => storage.set(jobsKey, value),
      running: ({ value }) => storage.set(runningKey, value),
      history: ({ value }) => storage.set(historyKey, value),
      link: ({ value, message }) => {
        const url = permalink(location.href, value);
        history.replaceState(null, "", url);
        copy(url).then(() => pressed && flash(pressed, message));
      },
      message: ({ value }) => pressed && flash(pressed, value),
      save: ({ name: file, type }, [data]) => save(file, type, data),
      invalid: ({ message }) => scroll?.toInvalid(message),
      result: ({ message }) => scroll?.toResult(message),
      scroll: ({ to }) => scroll?.to(to),
    };
    /** @type {MessageHandler} */
    const onMessage = (content, buffers) => ACTIONS[content.action]?.(content, buffers);
    model.on("msg:custom", onMessage);
    undo.push(() => model.off("msg:custom", onMessage));

    /** @param {HTMLElement} form */
    const watchLabels = (form) => {
      let due = 0;
      const update = () => {
        due ||= requestAnimationFrame(() => {
          due = 0;
          addLabels(form);
        });
      };
      const observer = new MutationObserver(update);
      observer.observe(form, { childList: true, subtree: true, attributes: true, attributeFilter: ["class", "style"] });
      undo.push(() => observer.disconnect());
      update();
    };

    /** @param {HTMLElement} form */
    const handleKeys = (form) => {
      /** @param {KeyboardEvent} event */
      const onKey = (event) => {
        if (!(event.target instanceof Node)) return;
        if (!form.contains(event.target) && !(appPage && event.target === document.body)) return;
        if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) press(form, ".em-primary");
        else if (event.key === "Escape" && form.querySelector(".em-running")) press(form, ".em-stop");
        else if (!moveToTab(event)) return;
        event.preventDefault();
        event.stopPropagation();
      };
      // In the capture phase, before JupyterLab handles the keys.
      on(window, "keydown", onKey, true);
    };

    /** @param {Event} event */
    const onClick = (event) => {
      const button = around(event, "[data-em-action]");
      if (!button) return;
      event.preventDefault();
      pressed = button;
      const action = button.dataset.emAction ?? "";
      if (Object.hasOwn(BUTTON_ACTIONS, action)) BUTTON_ACTIONS[action](button);
      else send(action, button.dataset.emValue ?? "");
    };

    /** @param {HTMLElement} form */
    const restoreVisit = (form) => {
      let timer = 0;
      const onChange = () => {
        clearTimeout(timer);
        timer = setTimeout(() => send("draft"), PAUSE);
      };
      on(form, "change", onChange);
      on(form, "click", onChange);
      send("origin", location.origin);
      const [code, draft, earlier] = [codeOf(location.hash), storage.get(draftKey), storage.get(historyKey)];
      if (code) send("open", code);
      else if (draft) send("restore", draft);
      if (earlier) send("history", earlier);
      const jobs = storage.get(jobsKey);
      if (jobs) send("jobs", jobs);
      const running = storage.get(runningKey);
      if (running) send("resume", running);
    };

    const start = () => {
      /** @type {HTMLElement | null} */
      const form = el.closest(".em-form");
      if (!form) return;
      watchLabels(form);
      handleKeys(form);
      scroll = scroller(form, on, appPage);
      on(form, "click", (event) => requireTags(form, event), true);
      on(form, "click", onClick);
      on(form, "click", (event) => around(event, ".em-primary, [data-em-action=again]") && scroll?.begin(), true);
      if (appPage) restoreVisit(form);
    };
    undo.push(whenConnected(el, start));
    return () => undo.forEach((act) => act());
  },
};
