import assert from "node:assert/strict";
import { test } from "node:test";

import { relative } from "../../server-extension/easymlnb_server/static/times.js";

const NOW = Date.parse("2026-03-04T12:00:00Z");

for (const [time, words] of [
  ["2026-03-04T11:59:30Z", "just now"],
  ["2026-03-04T11:58:00Z", "2 minutes ago"],
  ["2026-03-04T11:00:20Z", "59 minutes ago"],
  ["2026-03-04T09:00:00Z", "3 hours ago"],
  ["2026-03-03T12:00:00Z", "yesterday"],
  ["2026-02-22T12:00:00Z", "10 days ago"],
  ["2026-03-04T14:00:00Z", "in 2 hours"],
  ["2026-06-02T11:59:58Z", "in 90 days"],
  ["2026-03-05T11:59:58Z", "in 24 hours"],
  ["never", "never"],
]) {
  test(`${time} is "${words}"`, () => assert.equal(relative(time, NOW), words));
}
