// More in tests/browser/test_table_preview.py, which compares previews with the service itself.
import assert from "node:assert/strict";
import { test } from "node:test";

import { describeLayout, isSpreadsheet, layoutOf, numberOf, textOf } from "../../easymlnb/forms/scripts/csv.js";

const bytes = (text) => new TextEncoder().encode(text);

test("a quoted cell may hold separators, quotes and lines", () => {
  const found = layoutOf('name;note\n"a;b";"say ""no""\ntwice"\n', {}, true);
  assert.deepEqual(found.rows, [["a;b", 'say "no"\ntwice']]);
  assert.equal(found.sign, ";");
});

test("the last line of a partial file is left out", () => {
  assert.deepEqual(layoutOf("a,b\n1,2\n3,", {}, false).rows, [["1", "2"]]);
  assert.deepEqual(layoutOf("a,b\n1,2\n3,", {}, true).rows, [["1", "2"], ["3", ""]]);
});

test("a declared separator and decimal sign are used", () => {
  const found = layoutOf("a,b;c\n1;2\n", { separator: ";", decimal: "," }, true);
  assert.deepEqual([found.names, found.decimal], [["a,b", "c"], ","]);
});

test("a decimal comma needs a number that is not one with thousands", () => {
  assert.equal(layoutOf("a;b\n1,234;x\n", {}, true).decimal, ".");
  assert.equal(layoutOf("a;b\n1,5;x\n", {}, true).decimal, ",");
});

test("rows that do not match the header are reported", () => {
  assert.equal(describeLayout(layoutOf("a,b\n1,2,3\n", {}, true), true), "1 row, 2 columns; the rows do not match the header");
});

test("numbers are read with their decimal sign", () => {
  assert.deepEqual(["1,5", "-2", "inf", "1.5"].map((cell) => numberOf(cell, ",")), [1.5, -2, NaN, NaN]);
  assert.ok(Number.isNaN(numberOf(undefined, ".")));
});

test("files that are not text are reported, other formats are not", () => {
  assert.match(textOf(bytes("PK\x03\x04"), "a.xlsx", true).problem, /^a\.xlsx is a spreadsheet/);
  assert.match(textOf(Uint8Array.of(0x1f, 0x8b, 8), "a.gz", true).problem, /compressed/);
  assert.match(textOf(Uint8Array.of(0x6b, 0xf6), "a.csv", true).problem, /not UTF-8/);
  assert.deepEqual(textOf(bytes("PAR1"), "a", true), {});
  assert.deepEqual(textOf(bytes(' [{"a": 1}]'), "a", true), {});
  assert.equal(textOf(Uint8Array.of(0xff, 0xfe, 0x61, 0), "a", true).text, "a");
  // A partial file may end within a character.
  assert.equal(textOf(Uint8Array.of(0x61, 0xc3), "a", false).text, "a");
  assert.ok(isSpreadsheet("A.XLSX") && !isSpreadsheet("a.csv"));
});
