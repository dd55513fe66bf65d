// @ts-check
// Predicts how a service reads a CSV file, from the file's first bytes. easymlnb/types/delimited.py
// has the same rules and makes the decision; only files that are not text are rejected here.

/** @import { Reading } from "./types" */
/** @typedef {{ sign: string, names: string[], rows: string[][], decimal: string, fitting: boolean }} Layout */

const SIGNS = [",", ";", "\t"];
const ABSENT = new Set(["NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None"]);
/** @param {string} point */
const numbersWith = (point) =>
  new RegExp(`^ *-?(?:(?:(?:0|[1-9][0-9]*)(?:${point}[0-9]*)?|${point}[0-9]+)(?:[eE][+-]?[0-9]+)?|inf) *$`);
/** @type {Record<string, RegExp>} */
const NUMBER = { ".": numbersWith("\\."), ",": numbersWith(",") };
const THOUSANDS = /^[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+$/;
/** @param {string} cell */
const isFraction = (cell) => cell.includes(".") && !THOUSANDS.test(cell.trim().replaceAll(".", ","));

/** @type {(bytes: Uint8Array, ...signs: string[]) => boolean} */
const begins = (bytes, ...signs) => signs.some((sign) => [...sign].every((char, at) => bytes[at] === char.charCodeAt(0)));

/**
 * Decode the first bytes of a file. `problem` says why the service cannot read the file; without
 * `text` and `problem` the file is in another format, such as Arrow.
 * @param {Uint8Array} bytes
 * @param {string} name
 * @param {boolean} whole - whether the bytes are the whole file
 * @returns {{ text?: string, problem?: string }}
 */
export function textOf(bytes, name, whole) {
  if (begins(bytes, "PAR1", "ARROW1", "\xff\xff\xff\xff")) return {};
  if (begins(bytes, "PK\x03\x04", "\xd0\xcf\x11\xe0")) return { problem: spreadsheetProblem(name) };
  if (begins(bytes, "\x1f\x8b", "BZh", "\xfd7zXZ")) return { problem: `${name} is compressed. Decompress it first.` };
  const charset = begins(bytes, "\xff\xfe") ? "utf-16le" : begins(bytes, "\xfe\xff") ? "utf-16be" : "utf-8";
  let text;
  try {
    text = new TextDecoder(charset, { fatal: true }).decode(bytes, { stream: !whole });
  } catch {
    return { problem: `${name} is not UTF-8 text. Save it as UTF-8 (in Excel: "CSV UTF-8").` };
  }
  if (text.includes("\u0000") || /^\s*[[{]/.test(text)) return {};
  return { text };
}

const SHEETS = /\.(?:xlsx?|xlsm|xlsb|ods)$/i;

/** @param {string} name */
export const isSpreadsheet = (name) => SHEETS.test(name);

/** @param {string} name */
export const spreadsheetProblem = (name) =>
  `${isSpreadsheet(name) ? name : "This file"} is a spreadsheet, which is not supported. Save it as CSV.`;

/**
 * Split a text into rows of cells, without blank lines. Only a quote at the start of a cell opens
 * a quoted cell.
 * @param {string} text
 * @param {string} sign
 * @param {boolean} whole
 * @returns {string[][]}
 */
function rowsOf(text, sign, whole) {
  /** @type {string[][]} */
  const rows = [];
  /** @type {string[]} */
  let row = [];
  let [cell, start, quoted] = ["", true, false];
  const endRow = () => {
    row.push(cell);
    if (row.length > 1 || cell.trim() || quoted) rows.push(row);
    row = [];
    [cell, start, quoted] = ["", true, false];
  };
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (char === '"' && start) {
      [start, quoted] = [false, true];
      for (at++; at < text.length; at++) {
        if (text[at] !== '"') cell += text[at];
        else if (text[at + 1] === '"') cell += text[at++];
        else break;
      }
    } else if (char === sign) {
      row.push(cell);
      [cell, start] = ["", true];
    } else if (char === "\n" || char === "\r") {
      if (char === "\r" && text[at + 1] === "\n") at++;
      endRow();
    } else {
      cell += char;
      start = false;
    }
  }
  // The last line may be incomplete.
  if (whole && (row.length || cell)) endRow();
  return rows;
}

/** @param {string[]} row */
const lastFilled = (row) => row.reduce((last, cell, at) => (cell.trim() ? at + 1 : last), 0);

/**
 * Return the number of columns, null if rows do not match the header.
 * @param {string[][]} rows
 */
function columnsOf(rows) {
  const named = Math.max(1, lastFilled(rows[0]));
  const columns = rows.every((row) => lastFilled(row) <= named) ? named : rows[0].length;
  const fit = rows.every((row) => row.length >= columns && (row.length === columns || lastFilled(row) <= columns));
  return fit ? columns : null;
}

/**
 * Return how a text is read, null if it is empty.
 * @param {string} text
 * @param {Reading} reading
 * @param {boolean} whole
 * @returns {Layout | null}
 */
export function layoutOf(text, reading, whole) {
  const [line] = /^(?:"[^"]*"|[^"\r\n]|")*?(?=[\r\n]|$)/.exec(text.replace(/^[\r\n ]+/, "")) ?? [""];
  const head = line.replace(/"[^"]*"/g, "");
  /** @param {string} sign */
  const count = (sign) => head.split(sign).length - 1;
  let signs = reading.separator ? [reading.separator] : SIGNS.filter((sign) => count(sign));
  if (!signs.length) signs = [","];
  signs.sort((a, b) => count(b) - count(a));
  const attempts = signs.map((sign) => ({ sign, rows: rowsOf(text, sign, whole) })).filter((attempt) => attempt.rows.length);
  if (!attempts.length) return null;
  const good = attempts.filter((attempt) => columnsOf(attempt.rows));
  const [best, other] = good.length ? good : attempts.slice(0, 1);
  const doubtful = good.length > 0 && other !== undefined && count(other.sign) === count(best.sign);
  const columns = columnsOf(best.rows) ?? best.rows[0].length;
  const rows = best.rows.slice(1);
  const names = best.rows[0].slice(0, columns).map((name, at) => (name.trim() ? name : `Unnamed: ${at}`));
  const decimal = reading.decimal || decimalOf(names, rows, best.sign, reading.columns ?? {});
  return { sign: best.sign, names, rows, decimal, fitting: good.length > 0 && !doubtful };
}

/**
 * Return the decimal sign of a text without a declared one.
 * @param {string[]} names
 * @param {string[][]} rows
 * @param {string} sign
 * @param {Record<string, string>} kinds
 */
function decimalOf(names, rows, sign, kinds) {
  if (sign === ",") return ".";
  let certain = false;
  for (let at = 0; at < names.length; at++) {
    if (["str", "bool", "datetime"].includes(kinds[names[at]])) continue;
    const known = rows.map((row) => row[at] ?? "").filter((cell) => cell !== "" && !ABSENT.has(cell));
    if (known.some((cell) => cell.includes(",")) && known.every((cell) => NUMBER[","].test(cell)))
      certain ||= known.some((cell) => cell.includes(",") && !THOUSANDS.test(cell.trim()));
    else if (known.every((cell) => NUMBER["."].test(cell)) && known.some(isFraction)) return ".";
  }
  return certain ? "," : ".";
}

/** @type {(cell: string | undefined, decimal: string) => number} */
export const numberOf = (cell, decimal) => (cell && NUMBER[decimal].test(cell) ? Number(cell.replace(decimal, ".")) : NaN);

/**
 * Describe a layout: "3 rows, 2 columns; separator ';', decimal comma".
 * @param {Layout} layout
 * @param {boolean} whole
 * @returns {string}
 */
export function describeLayout(layout, whole) {
  /** @type {(count: number, word: string) => string} */
  const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const size = `${whole ? `${many(layout.rows.length, "row")}, ` : ""}${many(layout.names.length, "column")}`;
  if (!layout.fitting) return `${size}; the rows do not match the header`;
  const broken = new RegExp(`[0-9][${layout.decimal}][0-9]`);
  const fractions = layout.rows.some((row) => row.some((cell) => broken.test(cell) && NUMBER[layout.decimal].test(cell)));
  const parts = [];
  if (layout.names.length > 1) parts.push(`separator ${layout.sign === "\t" ? "tab" : `'${layout.sign}'`}`);
  if (fractions) parts.push(`decimal ${layout.decimal === "," ? "comma" : "point"}`);
  return parts.length ? `${size}; ${parts.join(", ")}` : size;
}
