// @ts-check
// What scripts need to send requests and to change a page.

import { codeParts } from "./text.js";

/** What the server wrote into the page: `root` is the path of all routes and ends with "/". */
export const page = {
  root: document.documentElement.dataset.root ?? "/",
  xsrf: document.documentElement.dataset.xsrf ?? "",
};

// Every request has this header: on a JupyterHub a cookie alone is not enough, not even to read.
export const headers = { "X-XSRFToken": page.xsrf };

/**
 * Return the element with that id; the page's template has it.
 * @param {string} id
 * @param {Document} [within]
 * @returns {HTMLElement}
 */
export function byId(id, within = document) {
  const element = within.getElementById(id);
  if (!element) throw new Error(`The page has no element '${id}'.`);
  return element;
}

/**
 * Create an element. Text is added as text nodes only, so text of authors is never parsed as markup.
 * Attributes named `on...` are event handlers; null and undefined leave an attribute out.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...(Node | string | null | undefined)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else if (value != null) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/**
 * Return text with `code` as <code> elements.
 * @param {string | null | undefined} text
 * @returns {(Node | string)[]}
 */
export function inline(text) {
  return codeParts(text).map((part, at) => (at % 2 ? make("code", {}, part) : part));
}
