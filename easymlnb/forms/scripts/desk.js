// Keys, names for screen readers, drafts and links: see desk.py.

const PAUSE = 400; // ms after the last change before a draft is kept
const WORDS = /^(INPUT|TEXTAREA|SELECT)$/;

function whenPlaced(el, done) {
  if (el.isConnected) return done();
  const frame = requestAnimationFrame(() => whenPlaced(el, done));
  return () => cancelAnimationFrame(frame);
}

const set = (el, name, value) => {
  if (el.getAttribute(name) !== value) el.setAttribute(name, value);
};

let count = 0;
const idOf = (el) => (el.id ||= `em-${(count += 1)}`);

// The words that stand above a control: its own label, or the field's legend.
function labelOf(el) {
  const box = el.closest(".widget-inline-hbox, .widget-inline-vbox");
  const own = box?.querySelector(":scope > .widget-label");
  if (own?.textContent) return own;
  return el.closest(".em-field")?.querySelector(".em-legend, .widget-label") ?? null;
}

function describe(field) {
  const said = [...field.querySelectorAll(":scope > .widget-html .em-help, :scope > .widget-html .em-error")];
  const ids = said.map(idOf).join(" ");
  const wrong = String(field.classList.contains("em-invalid"));
  for (const el of field.querySelectorAll("input, select, textarea, .noUi-handle")) {
    if (el.closest(".em-field") !== field) continue;
    if (ids) set(el, "aria-describedby", ids);
    if (wrong === "true" || el.hasAttribute("aria-invalid")) set(el, "aria-invalid", wrong);
    if (field.classList.contains("em-required") && !/^(radio|checkbox)$/.test(el.type))
      set(el, "aria-required", "true");
  }
}

// ipywidgets leaves out most of what a screen reader needs.
function name(root) {
  for (const handle of root.querySelectorAll(".noUi-handle")) {
    const label = labelOf(handle);
    const ends = handle.parentElement.parentElement.querySelectorAll(".noUi-handle");
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
    set(bar, "aria-label", "How far the call is");
    const known = !bar.closest(".em-unknown");
    const part = Math.round(parseFloat(bar.querySelector(".progress-bar")?.style.width) || 0);
    if (known) set(bar, "aria-valuenow", String(part));
    else bar.removeAttribute("aria-valuenow");
  }
  for (const input of root.querySelectorAll(
    ".em-field input:not([aria-label]), .em-field select:not([aria-label]), .em-field textarea:not([aria-label]), .em-row > .widget-text input:not([aria-label])"
  )) {
    // A palette has a text field of its own, which is never seen.
    if (input.matches('.em-color .widget-colorpicker input[type="text"]')) continue;
    if (input.labels?.length && [...input.labels].some((one) => one.textContent.trim())) continue;
    const label = labelOf(input);
    const said = label?.textContent || input.placeholder;
    const words = said && input.type === "color" ? `${said}, palette` : said;
    if (words) set(input, "aria-label", words);
  }
  for (const time of root.querySelectorAll("time[datetime]")) {
    const here = new Date(time.dateTime).toLocaleTimeString();
    if (time.textContent !== here) time.textContent = here;
  }
  for (const button of root.querySelectorAll(".em-remove")) set(button, "aria-label", "Remove this row");
  root.querySelectorAll(".em-field").forEach(describe);
}

function group(box, role) {
  const label = labelOf(box);
  set(box, "role", role);
  if (label && !box.contains(label)) set(box, "aria-labelledby", idOf(label));
}

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

// Arrow keys go from tab to tab, as everywhere.
function walk(event) {
  const tab = event.target.closest?.('[role="tab"]');
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!tab || !step) return false;
  const all = [...tab.parentElement.querySelectorAll('[role="tab"]')];
  const next = all[(all.indexOf(tab) + step + all.length) % all.length];
  next.focus();
  next.click();
  return true;
}

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

function save(name, type, data) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([data], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function flash(button, words) {
  const before = button.textContent;
  button.textContent = words;
  setTimeout(() => (button.textContent = before), 1600);
}

const ACTS = {
  copy(button, root) {
    const block = button.closest(".em-copied, .em-failure")?.querySelector("pre");
    copy(button.dataset.emValue ?? block?.textContent ?? "").then(() => flash(button, "Copied"));
  },
  picture(button) {
    const image = button.closest(".em-part").querySelector("img");
    const link = document.createElement("a");
    link.href = image.src;
    link.download = button.dataset.emValue;
    link.click();
  },
};

export default {
  render({ model, el }) {
    el.style.display = "none";
    const undo = [];
    let root = null;
    let told = null; // the button whose action the kernel answers
    const app = model.get("place") === "app";
    const drawer = `easymlnb:${location.pathname}`;
    const shelf = `easymlnb-history:${location.pathname}`;
    const keep = (place, value) => {
      try {
        if (value) sessionStorage.setItem(place, value);
        else sessionStorage.removeItem(place);
      } catch {
        // Too long, or storage is refused: then it is not kept.
      }
    };
    const kept = (place) => {
      try {
        return sessionStorage.getItem(place);
      } catch {
        return null;
      }
    };
    const ask = (what, value = "") => model.send({ do: what, value });
    const on = (target, event, act, options) => {
      target.addEventListener(event, act, options);
      undo.push(() => target.removeEventListener(event, act, options));
    };

    const press = (kind) => {
      const button = root.querySelector(kind);
      if (!button || button.disabled) return;
      const active = root.contains(document.activeElement) ? document.activeElement : null;
      // What is being typed counts, too; ipywidgets sends it when the field is left.
      if (active && (WORDS.test(active.tagName) || active.isContentEditable)) {
        active.blur();
        active.focus();
      }
      button.click();
    };

    const keys = (event) => {
      if (!root.contains(event.target) && !(app && event.target === document.body)) return;
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) press(".em-primary");
      else if (event.key === "Escape" && root.querySelector(".em-running")) press(".em-stop");
      else if (!walk(event)) return;
      event.preventDefault();
      event.stopPropagation();
    };

    // Text that did not become a tag is shown, but the kernel never hears of it: no call without it.
    const untagged = (event) => {
      if (!event.target.closest?.(".em-primary")) return;
      const inputs = [...root.querySelectorAll(".em-tags input")];
      const wrong = inputs.find((one) => one.offsetParent && one.value.trim());
      if (!wrong) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      wrong.setCustomValidity("Pick one of the choices, or clear this.");
      wrong.addEventListener("input", () => wrong.setCustomValidity(""), { once: true });
      wrong.reportValidity();
    };

    const begun = (event) => event.target.closest?.(".em-primary, [data-em-do=again]") && seek.begin();

    const click = (event) => {
      const button = event.target.closest?.("[data-em-do]");
      if (!button || !root.contains(button)) return;
      event.preventDefault();
      told = button;
      const act = button.dataset.emDo;
      if (ACTS[act]) ACTS[act](button, root);
      else ask(act, button.dataset.emValue ?? "");
    };

    let timer = 0;
    const changed = () => {
      clearTimeout(timer);
      timer = setTimeout(() => ask("draft"), PAUSE);
    };

    const TOLD = {
      draft: ({ value }) => keep(drawer, value),
      history: ({ value }) => keep(shelf, value),
      link: ({ value, words }) => {
        const url = new URL(location.href);
        url.hash = `v=${value}`;
        url.searchParams.delete("token");
        history.replaceState(null, "", url);
        copy(url.href).then(() => told && flash(told, words));
      },
      words: ({ value }) => told && flash(told, value),
      save: ({ name, type }, [data]) => save(name, type, data),
    };
    let seek = null;
    TOLD.wrong = ({ words }) => seek?.wrong(words);
    TOLD.arrived = ({ words }) => seek?.result(words);
    TOLD.go = ({ to }) => seek?.show(to);
    const message = (content, buffers) => TOLD[content.tell]?.(content, buffers);
    model.on("msg:custom", message);
    undo.push(() => model.off("msg:custom", message));

    const start = () => {
      root = el.closest(".em-form");
      if (!root) return;
      let due = 0;
      const look = () => {
        due ||= requestAnimationFrame(() => {
          due = 0;
          name(root);
        });
      };
      const observer = new MutationObserver(look);
      observer.observe(root, { childList: true, subtree: true, attributes: true, attributeFilter: ["class", "style"] });
      undo.push(() => observer.disconnect());
      look();
      // First of all, for JupyterLab would take the keys for itself.
      on(window, "keydown", keys, true);
      on(root, "click", untagged, true);
      on(root, "click", click);
      seek = seeker(root, on, app);
      on(root, "click", begun, true);
      if (!app) return;
      on(root, "change", changed);
      on(root, "click", changed);
      ask("origin", location.origin);
      if (location.hash.startsWith("#v=")) ask("open", location.hash.slice(3));
      else if (kept(drawer)) ask("restore", kept(drawer));
      if (kept(shelf)) ask("history", kept(shelf));
    };
    undo.push(whenPlaced(el, start) ?? (() => {}));
    return () => undo.forEach((act) => act());
  },
};
