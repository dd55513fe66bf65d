// @ts-check
// Cells of a table: as text on the page, in order, and as CSV.

/**
 * Return the text of a value on the page.
 * @param {unknown} value
 * @returns {string}
 */
export const cellText = (value) => {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
};

/**
 * @param {unknown} value
 * @param {unknown} other
 */
function compare(value, other) {
  if (typeof value === "number" && typeof other === "number") return value - other;
  return String(value).localeCompare(String(other), undefined, { numeric: true });
}

/**
 * Return the row numbers in the order of a column; empty cells come last in both directions.
 * @param {unknown[]} column
 * @param {boolean} down
 * @returns {number[]}
 */
export function sorted(column, down) {
  const order = Array.from(column, (_, at) => at);
  const sign = down ? -1 : 1;
  return order.sort((a, b) => {
    const [x, y] = [column[a], column[b]];
    if (x == null || y == null) return Number(x == null) - Number(y == null) || a - b;
    return sign * compare(x, y) || a - b;
  });
}

// Spreadsheets run text that begins like a formula, also after a separator. A leading apostrophe
// prevents that; numbers stay numbers.
const FORMULA = /(^|[;\t\r\n])(\s{0,20})([=+\-@\uff1d\uff0b\uff0d\uff20])/g;
const NUMERIC = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;

/** @param {string} text */
function harmless(text) {
  return NUMERIC.test(text) ? text : text.replace(FORMULA, "$1$2'$3");
}

/**
 * Return a table as CSV that is safe to open in a spreadsheet.
 * @param {string[]} names
 * @param {unknown[][]} columns
 * @returns {string}
 */
export function csv(names, columns) {
  /** @param {unknown} value */
  const cell = (value) => {
    if (typeof value === "number") return String(value);
    const text = harmless(value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value));
    return /[",;\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [names.map(cell).join(",")];
  for (let row = 0; row < (columns[0]?.length ?? 0); row++) lines.push(columns.map((column) => cell(column[row])).join(","));
  return lines.join("\r\n") + "\r\n";
}
