// @ts-check
// Adds the labels and roles for screen readers that ipywidgets leaves out.

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
  const field = el.closest(".em-field");
  const near = field?.querySelector(".em-legend, .widget-label");
  if (near?.textContent) return near;
  // The field of one kind of value has no name of its own.
  for (let outer = field?.parentElement?.closest(".em-field"); outer; outer = outer.parentElement?.closest(".em-field")) {
    const legend = outer.querySelector(":scope > .widget-html .em-legend");
    if (legend?.textContent) return legend;
  }
  return null;
}

/** @param {Element} field */
function describe(field) {
  const texts = [...field.querySelectorAll(":scope > .widget-html .em-help, :scope > .widget-html .em-error")];
  const ids = texts.map(idOf).join(" ");
  const invalid = String(field.classList.contains("em-invalid"));
  for (const el of field.querySelectorAll("input, select, textarea, .noUi-handle")) {
    if (el.closest(".em-field") !== field) continue;
    if (ids) set(el, "aria-describedby", ids);
    if (invalid === "true" || el.hasAttribute("aria-invalid")) set(el, "aria-invalid", invalid);
    if (field.classList.contains("em-required") && !el.matches("[type=radio], [type=checkbox]"))
      set(el, "aria-required", "true");
  }
}

/**
 * Label everything in a form.
 * @param {HTMLElement} root
 */
export function addLabels(root) {
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
    const percent = Math.round(parseFloat(filled?.style.width ?? "") || 0);
    if (known) set(bar, "aria-valuenow", String(percent));
    else bar.removeAttribute("aria-valuenow");
  }
  /** @type {NodeListOf<HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement>} */
  const unnamed = root.querySelectorAll(
    ".em-field input:not([aria-label]), .em-field select:not([aria-label]), .em-field textarea:not([aria-label]), .em-row > .widget-text input:not([aria-label])"
  );
  for (const input of unnamed) {
    // A color picker has a text field of its own, which is never visible.
    if (input.matches('.em-color .widget-colorpicker input[type="text"]')) continue;
    if (input.labels?.length && [...input.labels].some((label) => label.textContent?.trim())) continue;
    const name = labelOf(input)?.textContent || input.getAttribute("placeholder");
    const label = name && input.type === "color" ? `${name}, color picker` : name;
    if (label) set(input, "aria-label", label);
  }
  /** @type {NodeListOf<HTMLTimeElement>} */
  const times = root.querySelectorAll("time[datetime]");
  for (const time of times) {
    const local = new Date(time.dateTime).toLocaleTimeString();
    if (time.textContent !== local) time.textContent = local;
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
