// @ts-check
// Keyboard shortcuts, labels for screen readers, drafts and links of a form: see desk.py.

import { save } from "./elements.js";
import { codeOf, permalink } from "./permalinks.js";
import { seeker } from "./seek.js";

/** @import { MessageHandler, View } from "./types" */
/** @import { On, Seeker } from "./seek.js" */

const PAUSE = 400; // ms after the last change before a draft is kept
const FLASH = 1600; // ms that a button shows "Copied"
const WORDS = /^(INPUT|TEXTAREA|SELECT)$/;

/**
 * Call `done` once an element is in the page; returns how to cancel that.
 * @param {HTMLElement} el
 * @param {() => void} done
 */
function whenPlaced(el, done) {
  let frame = 0;
  const look = () => {
    if (el.isConnected) done();
    else frame = requestAnimationFrame(look);
  };
  look();
  return () => cancelAnimationFrame(frame);
}

/** @type {(el: Element, name: string, value: string) => void} */
const set = (el, name, value) => {
  if (el.getAttribute(name) !== value) el.setAttribute(name, value);
};

let count = 0;
/** @param {Element} el */
const idOf = (el) => (el.id ||= `em-${(count += 1)}`);

/**
 * Return the label of a control: its own, or the field's legend.
 * @param {Element} el
 */
function labelOf(el) {
  const box = el.closest(".widget-inline-hbox, .widget-inline-vbox");
  const own = box?.querySelector(":scope > .widget-label");
  if (own?.textContent) return own;
  return el.closest(".em-field")?.querySelector(".em-legend, .widget-label") ?? null;
}

/** @param {Element} field */
function describe(field) {
  const said = [...field.querySelectorAll(":scope > .widget-html .em-help, :scope > .widget-html .em-error")];
  const ids = said.map(idOf).join(" ");
  const wrong = String(field.classList.contains("em-invalid"));
  for (const el of field.querySelectorAll("input, select, textarea, .noUi-handle")) {
    if (el.closest(".em-field") !== field) continue;
    if (ids) set(el, "aria-describedby", ids);
    if (wrong === "true" || el.hasAttribute("aria-invalid")) set(el, "aria-invalid", wrong);
    if (field.classList.contains("em-required") && !el.matches("[type=radio], [type=checkbox]"))
      set(el, "aria-required", "true");
  }
}

/**
 * Add the labels and roles for screen readers that ipywidgets leaves out.
 * @param {HTMLElement} root
 */
function addLabels(root) {
  for (const handle of root.querySelectorAll(".noUi-handle")) {
    const label = labelOf(handle);
    const ends = handle.parentElement?.parentElement?.querySelectorAll(".noUi-handle") ?? [];
    const end = ends.length > 1 ? (handle.classList.contains("noUi-handle-lower") ? "from" : "to") : "";
    if (label) set(handle, "aria-label", `${label.textContent}${end && `, ${end}`}`);
  }
  for (const value of root.querySelectorAll(".widget-readout[contenteditable]")) {
    const label = labelOf(value);
    set(value, "role", "textbox");
    if (label) set(value, "aria-label", `${label.textContent}, value`);
  }
  for (const box of root.querySelectorAll(".widget-radio-box")) group(box, "radiogroup");
  for (const box of root.querySelectorAll(".em-checks, .em-tuple, .em-rows, .em-tags")) group(box, "group");
  for (const bar of root.querySelectorAll(".em-segments")) segments(bar);
  for (const bar of root.querySelectorAll(".em-bar .progress")) {
    set(bar, "role", "progressbar");
    set(bar, "aria-label", "Progress of the call");
    const known = !bar.closest(".em-unknown");
    /** @type {HTMLElement | null} */
    const filled = bar.querySelector(".progress-bar");
    const part = Math.round(parseFloat(filled?.style.width ?? "") || 0);
    if (known) set(bar, "aria-valuenow", String(part));
    else bar.removeAttribute("aria-valuenow");
  }
  /** @type {NodeListOf<HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement>} */
  const unnamed = root.querySelectorAll(
    ".em-field input:not([aria-label]), .em-field select:not([aria-label]), .em-field textarea:not([aria-label]), .em-row > .widget-text input:not([aria-label])"
  );
  for (const input of unnamed) {
    // A color picker has a text field of its own, which is never visible.
    if (input.matches('.em-color .widget-colorpicker input[type="text"]')) continue;
    if (input.labels?.length && [...input.labels].some((one) => one.textContent?.trim())) continue;
    const label = labelOf(input);
    const said = label?.textContent || input.getAttribute("placeholder");
    const words = said && input.type === "color" ? `${said}, color picker` : said;
    if (words) set(input, "aria-label", words);
  }
  /** @type {NodeListOf<HTMLTimeElement>} */
  const times = root.querySelectorAll("time[datetime]");
  for (const time of times) {
    const here = new Date(time.dateTime).toLocaleTimeString();
    if (time.textContent !== here) time.textContent = here;
  }
  for (const button of root.querySelectorAll(".em-remove")) set(button, "aria-label", "Remove this row");
  root.querySelectorAll(".em-field").forEach(describe);
}

/**
 * @param {Element} box
 * @param {string} role
 */
function group(box, role) {
  const label = labelOf(box);
  set(box, "role", role);
  if (label && !box.contains(label)) set(box, "aria-labelledby", idOf(label));
}

/** @param {Element} bar */
function segments(bar) {
  const tabs = bar.matches(".em-tabs");
  const list = bar.querySelector(":scope > div");
  if (!list) return;
  set(list, "role", tabs ? "tablist" : "group");
  const label = tabs ? null : labelOf(bar);
  if (label && !bar.contains(label)) set(list, "aria-labelledby", idOf(label));
  for (const button of list.querySelectorAll("button")) {
    const on = String(button.classList.contains("mod-active"));
    if (tabs) set(button, "role", "tab");
    set(button, tabs ? "aria-selected" : "aria-pressed", on);
    if (tabs) set(button, "tabindex", on === "true" ? "0" : "-1");
  }
}

/**
 * Return the closest element around an event's target that matches.
 * @param {Event} event
 * @param {string} selector
 * @returns {HTMLElement | null}
 */
const around = (event, selector) => (event.target instanceof Element ? event.target.closest(selector) : null);

/**
 * Move between tabs with the arrow keys; returns whether the key did that.
 * @param {KeyboardEvent} event
 */
function walk(event) {
  const tab = around(event, '[role="tab"]');
  const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
  if (!tab?.parentElement || !step) return false;
  /** @type {HTMLElement[]} */
  const all = [...tab.parentElement.querySelectorAll('[role="tab"]')].filter((one) => one instanceof HTMLElement);
  const next = all[(all.indexOf(tab) + step + all.length) % all.length];
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

/** @type {WeakMap<HTMLElement, { label: string | null, timer: number }>} */
const flashing = new WeakMap();

/**
 * Show a message on a button for a moment.
 * @param {HTMLElement} button
 * @param {string} words
 */
function flash(button, words) {
  const before = flashing.get(button);
  if (before) clearTimeout(before.timer);
  const label = before ? before.label : button.textContent;
  button.textContent = words;
  const timer = setTimeout(() => {
    flashing.delete(button);
    button.textContent = label;
  }, FLASH);
  flashing.set(button, { label, timer });
}

/** @type {Record<string, (button: HTMLElement) => void>} */
const ACTS = {
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

export default {
  /** @param {View<{ place: string }>} view */
  render({ model, el }) {
    el.style.display = "none";
    /** @type {(() => void)[]} */
    const undo = [];
    /** @type {HTMLElement | null} */
    let root = null;
    /** @type {HTMLElement | null} */
    let told = null; // the button whose action the kernel performs
    /** @type {Seeker | null} */
    let seek = null;
    const app = model.get("place") === "app";
    const drawer = `easymlnb:${location.pathname}`;
    const shelf = `easymlnb-history:${location.pathname}`;
    /** @type {(place: string, value: string) => void} */
    const keep = (place, value) => {
      try {
        if (value) sessionStorage.setItem(place, value);
        else sessionStorage.removeItem(place);
      } catch {
        // The value is too long, or the browser blocks storage: then it is not kept.
      }
    };
    /** @param {string} place */
    const kept = (place) => {
      try {
        return sessionStorage.getItem(place);
      } catch {
        return null;
      }
    };
    /** @param {string} what */
    const ask = (what, value = "") => model.send({ do: what, value });
    /** @type {On} */
    const on = (target, event, act, options) => {
      target.addEventListener(event, act, options);
      undo.push(() => target.removeEventListener(event, act, options));
    };

    /** @type {(form: HTMLElement, kind: string) => void} */
    const press = (form, kind) => {
      /** @type {HTMLButtonElement | null} */
      const button = form.querySelector(kind);
      if (!button || button.disabled) return;
      const active = document.activeElement;
      // ipywidgets sends what was typed when the field loses the focus.
      if (active instanceof HTMLElement && form.contains(active) && (WORDS.test(active.tagName) || active.isContentEditable)) {
        active.blur();
        active.focus();
      }
      button.click();
    };

    /** @param {KeyboardEvent} event */
    const keys = (event) => {
      if (!root || !(event.target instanceof Node)) return;
      if (!root.contains(event.target) && !(app && event.target === document.body)) return;
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) press(root, ".em-primary");
      else if (event.key === "Escape" && root.querySelector(".em-running")) press(root, ".em-stop");
      else if (!walk(event)) return;
      event.preventDefault();
      event.stopPropagation();
    };

    // The kernel does not know text that did not become a tag, so a run would silently ignore it.
    /** @param {Event} event */
    const untagged = (event) => {
      if (!root || !around(event, ".em-primary")) return;
      /** @type {NodeListOf<HTMLInputElement>} */
      const inputs = root.querySelectorAll(".em-tags input");
      const wrong = [...inputs].find((one) => one.offsetParent && one.value.trim());
      if (!wrong) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      wrong.setCustomValidity("Choose one of the options, or clear this field.");
      wrong.addEventListener("input", () => wrong.setCustomValidity(""), { once: true });
      wrong.reportValidity();
    };

    /** @param {Event} event */
    const begun = (event) => around(event, ".em-primary, [data-em-do=again]") && seek?.begin();

    /** @param {Event} event */
    const click = (event) => {
      const button = around(event, "[data-em-do]");
      if (!button || !root?.contains(button)) return;
      event.preventDefault();
      told = button;
      const act = button.dataset.emDo ?? "";
      if (Object.hasOwn(ACTS, act)) ACTS[act](button);
      else ask(act, button.dataset.emValue ?? "");
    };

    let timer = 0;
    const changed = () => {
      clearTimeout(timer);
      timer = setTimeout(() => ask("draft"), PAUSE);
    };

    /** @type {Record<string, MessageHandler>} */
    const ACTIONS = {
      draft: ({ value }) => keep(drawer, value),
      history: ({ value }) => keep(shelf, value),
      link: ({ value, words }) => {
        const url = permalink(location.href, value);
        history.replaceState(null, "", url);
        copy(url).then(() => told && flash(told, words));
      },
      words: ({ value }) => told && flash(told, value),
      save: ({ name: file, type }, [data]) => save(file, type, data),
      wrong: ({ words }) => seek?.wrong(words),
      arrived: ({ words }) => seek?.result(words),
      go: ({ to }) => seek?.show(to),
    };
    /** @type {MessageHandler} */
    const message = (content, buffers) => ACTIONS[content.tell]?.(content, buffers);
    model.on("msg:custom", message);
    undo.push(() => model.off("msg:custom", message));

    const start = () => {
      /** @type {HTMLElement | null} */
      const form = el.closest(".em-form");
      if (!form) return;
      root = form;
      let due = 0;
      const look = () => {
        due ||= requestAnimationFrame(() => {
          due = 0;
          addLabels(form);
        });
      };
      const observer = new MutationObserver(look);
      observer.observe(form, { childList: true, subtree: true, attributes: true, attributeFilter: ["class", "style"] });
      undo.push(() => observer.disconnect());
      look();
      // In the capture phase, before JupyterLab handles the keys.
      on(window, "keydown", keys, true);
      on(form, "click", untagged, true);
      on(form, "click", click);
      seek = seeker(form, on, app);
      on(form, "click", begun, true);
      if (!app) return;
      on(form, "change", changed);
      on(form, "click", changed);
      ask("origin", location.origin);
      const [code, draft, earlier] = [codeOf(location.hash), kept(drawer), kept(shelf)];
      if (code) ask("open", code);
      else if (draft) ask("restore", draft);
      if (earlier) ask("history", earlier);
    };
    undo.push(whenPlaced(el, start));
    return () => undo.forEach((act) => act());
  },
};
