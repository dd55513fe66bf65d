// What a service will make of a CSV file, told from its beginning by the rules of
// easymlnb/types/delimited.py, which decides. Nothing is refused here but what is no text.

const SIGNS = [",", ";", "\t"];
const ABSENT = new Set(["NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None"]);
const numbersWith = (point) =>
  new RegExp(`^ *-?(?:(?:(?:0|[1-9][0-9]*)(?:${point}[0-9]*)?|${point}[0-9]+)(?:[eE][+-]?[0-9]+)?|inf) *$`);
const NUMBER = { ".": numbersWith("\\."), ",": numbersWith(",") };
const THOUSANDS = /^[+-]?[1-9][0-9]{0,2}(?:,[0-9]{3})+$/;
const isFraction = (cell) => cell.includes(".") && !THOUSANDS.test(cell.trim().replaceAll(".", ","));

const begins = (bytes, ...signs) => signs.some((sign) => [...sign].every((one, at) => bytes[at] === one.charCodeAt(0)));

// The text of the beginning of a file; `problem` where the service would not read it, either.
function textOf(bytes, name, whole) {
  if (begins(bytes, "PAR1", "ARROW1", "\xff\xff\xff\xff")) return {};
  if (begins(bytes, "PK\x03\x04", "\xd0\xcf\x11\xe0")) return { problem: noSheet(name) };
  if (begins(bytes, "\x1f\x8b", "BZh", "\xfd7zXZ")) return { problem: `${name} is compressed; unpack it first.` };
  const charset = begins(bytes, "\xff\xfe") ? "utf-16le" : begins(bytes, "\xfe\xff") ? "utf-16be" : "utf-8";
  let text = "";
  try {
    text = new TextDecoder(charset, { fatal: true }).decode(bytes, { stream: !whole });
  } catch {
    return { problem: `${name} is not UTF-8 text; save it as UTF-8 ("CSV UTF-8" in Excel).` };
  }
  if (text.includes("\u0000") || /^\s*[[{]/.test(text)) return {};
  return { text };
}

const SHEETS = /\.(?:xlsx?|xlsm|xlsb|ods)$/i;
const noSheet = (name) => `${SHEETS.test(name) ? name : "This"} is a spreadsheet; Excel files are not read, save it as CSV.`;

// Rows of cells, without blank lines. A quote counts only at the beginning of a cell.
function rowsOf(text, sign, whole) {
  const rows = [];
  let [row, cell, start, quoted] = [[], "", true, false];
  const endRow = () => {
    row.push(cell);
    if (row.length > 1 || cell.trim() || quoted) rows.push(row);
    [row, cell, start, quoted] = [[], "", true, false];
  };
  for (let at = 0; at < text.length; at++) {
    const one = text[at];
    if (one === '"' && start) {
      [start, quoted] = [false, true];
      for (at++; at < text.length; at++) {
        if (text[at] !== '"') cell += text[at];
        else if (text[at + 1] === '"') cell += text[at++];
        else break;
      }
    } else if (one === sign) {
      row.push(cell);
      [cell, start] = ["", true];
    } else if (one === "\n" || one === "\r") {
      if (one === "\r" && text[at + 1] === "\n") at++;
      endRow();
    } else {
      cell += one;
      start = false;
    }
  }
  // The last line may be cut in its middle.
  if (whole && (row.length || cell)) endRow();
  return rows;
}

const lastFilled = (row) => row.reduce((last, cell, at) => (cell.trim() ? at + 1 : last), 0);

// How many columns rows have; null where they do not fit the first one.
function columnsOf(rows) {
  const named = Math.max(1, lastFilled(rows[0]));
  const columns = rows.every((row) => lastFilled(row) <= named) ? named : rows[0].length;
  const fit = rows.every((row) => row.length >= columns && (row.length === columns || lastFilled(row) <= columns));
  return fit ? columns : null;
}

// How a text is read: {sign, rows, decimal, fitting}; `reading` is what the parameter says.
function understood(text, reading, whole) {
  const head = /^(?:"[^"]*"|[^"\r\n]|")*?(?=[\r\n]|$)/.exec(text.replace(/^[\r\n ]+/, ""))[0].replace(/"[^"]*"/g, "");
  const count = (sign) => head.split(sign).length - 1;
  let signs = reading.separator ? [reading.separator] : SIGNS.filter((sign) => count(sign));
  if (!signs.length) signs = [","];
  signs.sort((a, b) => count(b) - count(a));
  const ways = signs.map((sign) => ({ sign, rows: rowsOf(text, sign, whole) })).filter((way) => way.rows.length);
  if (!ways.length) return null;
  const good = ways.filter((way) => columnsOf(way.rows));
  const [way, other] = good.length ? good : ways.slice(0, 1);
  const doubtful = good.length && other && count(other.sign) === count(way.sign);
  const columns = columnsOf(way.rows) ?? way.rows[0].length;
  const rows = way.rows.slice(1);
  const names = way.rows[0].slice(0, columns).map((name, at) => (name.trim() ? name : `Unnamed: ${at}`));
  const decimal = reading.decimal || decimalOf(names, rows, way.sign, reading.columns ?? {});
  return { sign: way.sign, names, rows, decimal, fitting: good.length > 0 && !doubtful };
}

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

const numberOf = (cell, decimal) => (NUMBER[decimal].test(cell ?? "") ? Number(cell.replace(decimal, ".")) : NaN);

// In words: "3 rows, 2 columns; separator ';', decimal comma".
function inWords(found, whole) {
  const many = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const size = `${whole ? `${many(found.rows.length, "row")}, ` : ""}${many(found.names.length, "column")}`;
  if (!found.fitting) return `${size}; rows and first line do not fit`;
  const broken = new RegExp(`[0-9][${found.decimal}][0-9]`);
  const fractions = found.rows.some((row) => row.some((cell) => broken.test(cell) && NUMBER[found.decimal].test(cell)));
  const parts = [];
  if (found.names.length > 1) parts.push(`separator ${found.sign === "\t" ? "tab" : `'${found.sign}'`}`);
  if (fractions) parts.push(`decimal ${found.decimal === "," ? "comma" : "point"}`);
  return parts.length ? `${size}; ${parts.join(", ")}` : size;
}

