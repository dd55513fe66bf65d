// Sent along by every request of a script: on a JupyterHub cookies alone do not even read.
export const headers = { "X-XSRFToken": document.documentElement.dataset.xsrf };

// Making elements. Text goes in as text nodes only, so nothing that an author wrote is ever markup.

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") element.toggleAttribute(name, value);
    else if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}

// `code` in the texts of the document becomes <code>; all else stays as it is.
export function inline(text) {
  return String(text ?? "").split(/`([^`]+)`/).map((part, at) => (at % 2 ? make("code", {}, part) : part));
}

// The first paragraph of an author's Markdown, without its marks.
export function plain(text) {
  const [first] = String(text ?? "").split(/\n\s*\n/);
  return first.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/\*\*|__|^#+ /gm, "").replace(/\*(\S[^*]*)\*/g, "$1").replace(/\s+/g, " ").trim();
}
