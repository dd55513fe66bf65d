// @ts-check
// Text from authors and users, as a page needs it.

/**
 * Return the first paragraph of Markdown without its marks.
 * @param {string | null | undefined} text
 * @returns {string}
 */
export function plain(text) {
  const [first] = String(text ?? "").split(/\n\s*\n/);
  return first.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replace(/\*\*|__|^#+ /gm, "").replace(/\*(\S[^*]*)\*/g, "$1").replace(/\s+/g, " ").trim();
}

/**
 * Split text at `code`: every second part, from the second on, is code.
 * @param {string | null | undefined} text
 * @returns {string[]}
 */
export function codeParts(text) {
  return String(text ?? "").split(/`([^`]+)`/);
}

/**
 * Return the names in a list that is separated by commas, semicolons or lines.
 * @param {string} text
 * @returns {string[]}
 */
export function namesIn(text) {
  return text.split(/[,;\n]/).map((name) => name.trim()).filter(Boolean);
}
