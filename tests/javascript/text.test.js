import assert from "node:assert/strict";
import { test } from "node:test";

import { codeParts, namesIn, plain } from "../../server-extension/easymlnb_server/static/text.js";

test("Markdown becomes its first paragraph without marks", () => {
  assert.equal(plain("# A **bold**\n*title* with [a link](https://x.y)\n\nMore."), "A bold title with a link");
  assert.equal(plain("2 * 3 stays"), "2 * 3 stays");
  assert.equal(plain(undefined), "");
});

test("every second part is code", () => {
  assert.deepEqual(codeParts("use `a` or `b`"), ["use ", "a", " or ", "b", ""]);
  assert.deepEqual(codeParts("one ` alone"), ["one ` alone"]);
  assert.deepEqual(codeParts(null), [""]);
});

test("names are separated by commas, semicolons and lines", () => {
  assert.deepEqual(namesIn(" bob, eve;ann\nlast name ,, "), ["bob", "eve", "ann", "last name"]);
  assert.deepEqual(namesIn(" , "), []);
});
