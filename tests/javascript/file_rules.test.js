import assert from "node:assert/strict";
import { test } from "node:test";

import { admits, rejection, size } from "../../easymlnb/forms/scripts/file_rules.js";

test("sizes have a unit and at most one decimal", () => {
  assert.deepEqual([0, 1023, 1024, 1536, 2 ** 20, 5.25 * 2 ** 30].map(size), ["0 bytes", "1023 bytes", "1 kB", "1.5 kB", "1 MB", "5.3 GB"]);
});

test("a rule is an ending, a media type or a group of media types", () => {
  assert.ok(admits([".tif"], { name: "A.TIF", type: "" }));
  assert.ok(admits(["image/*"], { name: "a", type: "image/png" }));
  assert.ok(admits(["text/csv"], { name: "a.csv", type: "application/vnd.ms-excel" }));
  assert.ok(admits([], { name: "a", type: "" }));
  assert.ok(!admits([".png", "image/jpeg"], { name: "a.pdf", type: "application/pdf" }));
});

const FIELD = { max_bytes: 1024, accept: [".csv"], kind: "table", kinds: "csv" };

for (const [file, problem] of [
  [{ name: "a.csv", type: "", size: 1024 }, ""],
  [{ name: "a.csv", type: "", size: 2048 }, "a.csv is 2 kB; the maximum is 1 kB."],
  [{ name: "a.xlsx", type: "", size: 1 }, "a.xlsx is a spreadsheet, which is not supported. Save it as CSV."],
  [{ name: "a.pdf", type: "", size: 1 }, "a.pdf has an unsupported file type. Supported types: csv."],
]) {
  test(`${file.name} of ${file.size} bytes: "${problem}"`, () => assert.equal(rejection(file, FIELD), problem));
}

test("0 is no limit", () => {
  assert.equal(rejection({ name: "a.csv", type: "", size: 2 ** 40 }, { ...FIELD, max_bytes: 0 }), "");
});
