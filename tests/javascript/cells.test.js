import assert from "node:assert/strict";
import { test } from "node:test";

import { cellText, csv, sorted } from "../../easymlnb/forms/scripts/cells.js";

test("values are short on the page", () => {
  assert.deepEqual([null, undefined, 1 / 3, 12345678, true, "a", { b: 1 }].map(cellText), ["", "", "0.333333", "12345678", "true", "a", '{"b":1}']);
});

test("empty cells come last in both directions, and equal cells keep their order", () => {
  const column = [2, null, 10, 1, undefined, 2];
  assert.deepEqual(sorted(column, false), [3, 0, 5, 2, 1, 4]);
  assert.deepEqual(sorted(column, true), [2, 0, 5, 3, 1, 4]);
});

test("numbers in text are sorted as numbers", () => {
  assert.deepEqual(sorted(["run 10", "run 9", "run 1"], false), [2, 1, 0]);
});

test("text that a spreadsheet would run as a formula gets an apostrophe", () => {
  const cells = ["=1+1", " @SUM(A1)", "-1.5", "+49 30", "a;=b", "-", "\uff1dx"];
  const [, ...lines] = csv(["x"], [cells]).trimEnd().split("\r\n");
  assert.deepEqual(lines, ["'=1+1", " '@SUM(A1)", "-1.5", "'+49 30", "\"a;'=b\"", "'-", "'\uff1dx"]);
});

test("cells are quoted where CSV needs it", () => {
  assert.equal(csv(["a,b", "c"], [['say "no"', 1.5], ["two\nlines", null]]), '"a,b",c\r\n"say ""no""","two\nlines"\r\n1.5,\r\n');
  assert.equal(csv(["a"], []), "a\r\n");
});
