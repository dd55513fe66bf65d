import assert from "node:assert/strict";
import { test } from "node:test";

import { codeOf, permalink } from "../../easymlnb/forms/scripts/permalinks.js";

test("a link has the values in its fragment and no token", () => {
  assert.equal(permalink("https://hub/apps/a?token=secret&x=1#v=old", "eJw-_0"), "https://hub/apps/a?x=1#v=eJw-_0");
});

test("values come back from a link", () => {
  assert.equal(codeOf(new URL(permalink("http://h/", "eJw-_0")).hash), "eJw-_0");
  assert.equal(codeOf(""), "");
  assert.equal(codeOf("#content"), "");
});
