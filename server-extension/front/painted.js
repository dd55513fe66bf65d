// @ts-check
// Replaces the painted form by the live one, and repeats what users did before.

/** @import { Manager } from "./manager.js" */

/** @typedef {{ element: Element, pressed: boolean, at: number, value: any }} Act */
/** @typedef {{ id: string, index: number }} Place */

const CONTROLS = "input, select, textarea, button, .slider-container, .widget-readout";

/**
 * Return the controls of one widget, without those of widgets inside.
 * @param {Element} owner
 */
const controlsOf = (owner) =>
  [owner, ...owner.querySelectorAll(CONTROLS)].filter((each) => each.matches(CONTROLS) && each.closest("[data-model]") === owner);

/**
 * Return where a control of the painted form is: its widget, and its number there.
 * @param {Element | null} element
 * @returns {Place | null}
 */
function placeOf(element) {
  /** @type {HTMLElement | null | undefined} */
  const owner = element?.closest("#painted [data-model]");
  if (!element || !owner) return null;
  return { id: owner.dataset.model ?? "", index: controlsOf(owner).indexOf(element) };
}

/**
 * Return a control of the live form.
 * @param {Manager} manager
 * @param {Place | null} place
 * @returns {any}
 */
function controlAt(manager, place) {
  const view = place && manager.viewOf.get(place.id);
  return view ? controlsOf(view.el)[place.index] : undefined;
}

/**
 * Move a slider's nearest handle.
 * @param {any} view
 * @param {number} at
 */
function slide(view, at) {
  const slider = view.$slider.noUiSlider;
  const { min, max } = slider.options.range;
  const wanted = min + at * (max - min);
  const before = [slider.get(true)].flat();
  const nearest = before.reduce((best, value, index) => (Math.abs(value - wanted) < Math.abs(before[best] - wanted) ? index : best), 0);
  slider.setHandle(nearest, wanted, true);
  view.handleSliderChangeEvent([slider.get(true)].flat(), nearest);
}

/**
 * @param {any} control
 * @param {any} value
 */
function enter(control, value) {
  if (control.type === "checkbox" || control.type === "radio") {
    if (control.type === "radio" || control.checked !== value) control.click();
    return;
  }
  if (control.isContentEditable) control.textContent = value;
  else if (control.type === "file") control.files = value;
  else control.value = value;
  for (const event of ["input", "change"]) control.dispatchEvent(new Event(event, { bubbles: true }));
}

/**
 * @param {Manager} manager
 * @param {Act & { place: Place | null }} act
 */
function repeat(manager, { pressed, place, at, value }) {
  const control = controlAt(manager, place);
  if (!place || !control) return;
  const view = manager.viewOf.get(place.id);
  if (!pressed) {
    enter(control, value);
    if (control.isContentEditable) view.handleTextChange?.();
  } else if (control.matches(".slider-container")) slide(view, at);
  else control.click();
}

/**
 * Put the live form in place of the painted one.
 * @param {Manager} manager
 * @param {Element} painted
 * @param {() => void} replace
 * @param {Act[]} acts
 */
export function goLive(manager, painted, replace, acts) {
  const active = document.activeElement;
  const focused = placeOf(painted.contains(active) ? active : null);
  const [start, end] = selection(active);
  const done = acts.map((act) => ({ ...act, place: placeOf(act.element) }));
  const { scrollX, scrollY } = window;
  replace();
  scrollTo(scrollX, scrollY);
  for (const act of done) repeat(manager, act);
  const control = controlAt(manager, focused);
  control?.focus({ preventScroll: true });
  if (start !== null) control?.setSelectionRange?.(start, end);
}

/** @param {any} element */
function selection(element) {
  try {
    return [element?.selectionStart ?? null, element?.selectionEnd ?? null];
  } catch {
    return [null, null]; // the kind of input has none
  }
}
