// @ts-check
// Which files a field accepts, by size, name and media type. The same rules are in forms/files.py.

import { isSpreadsheet, spreadsheetProblem } from "./csv.js";

const TABLES = ["table", "timeseries"];
/** @type {Record<string, RegExp>} */
const ENDINGS = { "image/tiff": /\.tiff?$/i, "text/csv": /\.csv$/i, "application/x-npy": /\.npy$/i };
/** @type {[string, number][]} */
const UNITS = [["GB", 2 ** 30], ["MB", 2 ** 20], ["kB", 2 ** 10]];

/**
 * Format a number of bytes.
 * @param {number} count
 * @returns {string}
 */
export function size(count) {
  for (const [unit, bytes] of UNITS)
    if (count >= bytes) return `${(count / bytes).toFixed(1).replace(/\.0$/, "")} ${unit}`;
  return `${count} bytes`;
}

/**
 * Whether one entry of an `accept` list (".csv", "image/*", "image/png") matches a file.
 * @param {string} rule
 * @param {string} name
 * @param {string} type
 */
function matches(rule, name, type) {
  if (rule.startsWith(".")) return name.toLowerCase().endsWith(rule.toLowerCase());
  if (rule.endsWith("/*")) return type.startsWith(rule.slice(0, -1));
  return type === rule || (ENDINGS[rule]?.test(name) ?? false);
}

/**
 * Whether an `accept` list matches a file; an empty list matches all.
 * @param {string[]} rules
 * @param {{ name: string, type: string }} file
 */
export function admits(rules, { name, type }) {
  return !rules.length || rules.some((rule) => matches(rule, name, type));
}

/**
 * Return why a field rejects a file, "" if it does not.
 * @param {{ name: string, type: string, size: number }} file
 * @param {{ max_bytes: number, accept: string[], kind: string, kinds: string }} field
 *   `max_bytes` is 0 for no limit; `kinds` is the list of types for messages
 * @returns {string}
 */
export function rejection(file, { max_bytes: most, accept, kind, kinds }) {
  if (most && file.size > most) return `${file.name} is ${size(file.size)}; the maximum is ${size(most)}.`;
  if (admits(accept, file)) return "";
  if (TABLES.includes(kind) && isSpreadsheet(file.name)) return spreadsheetProblem(file.name);
  return `${file.name} has an unsupported file type. Supported types: ${kinds}.`;
}
