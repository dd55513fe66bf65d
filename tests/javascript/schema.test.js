import assert from "node:assert/strict";
import { test } from "node:test";

import { kind, resolver, sample } from "../../server-extension/easymlnb_server/static/schema.js";

const DOCUMENT = {
  components: { schemas: { Point: { type: "object", properties: { x: { type: "number", minimum: 2 } }, required: ["x"] } } },
  paths: { "/a~b": { get: { type: "integer" } } },
  loop: { $ref: "#/loop" },
};
const resolve = resolver(DOCUMENT);

test("references are followed, and siblings of a reference win", () => {
  const found = resolve({ $ref: "#/components/schemas/Point", type: "null" });
  assert.equal(found.type, "null");
  assert.deepEqual(found.required, ["x"]);
});

test("references are JSON Pointers", () => {
  assert.deepEqual(resolve({ $ref: "#/paths/~1a~0b/get" }), { type: "integer" });
});

test("circular and missing references end", () => {
  assert.equal(resolve({ $ref: "#/loop" }).$ref, "#/loop");
  assert.deepEqual(resolve({ $ref: "#/nowhere/at/all" }), {});
  assert.deepEqual(resolve(undefined), {});
});

for (const [schema, words] of [
  [{ type: "integer" }, "whole number"],
  [{ type: ["string", "null"] }, "text or null"],
  [{ anyOf: [{ type: "boolean" }, { type: "boolean" }, { type: "null" }] }, "true or false or null"],
  [{ enum: ["a", 1] }, '"a" | 1'],
  [{ const: null }, "null"],
  [{ type: "string", format: "binary" }, "file"],
  [{ type: "array", items: { type: "array" } }, "list of list"],
  [{ type: "object", "x-easymlnb": { widget: "image" } }, "image"],
  [{ "x-easymlnb": { widget: "slider" }, type: "number" }, "number"],
  [{}, "any value"],
]) {
  test(`${JSON.stringify(schema)} is "${words}"`, () => assert.equal(kind(schema, resolve), words));
}

test("a type that contains itself is cut off", () => {
  const list = resolver({ list: { type: "array", items: { $ref: "#/list" } } });
  assert.match(kind({ $ref: "#/list" }, list), /^(list of )+…$/);
});

for (const [schema, value] of [
  [{ default: 3, minimum: 1 }, 3],
  [{ type: "number", minimum: 1 }, 1],
  [{ enum: ["a", "b"] }, "a"],
  [{ anyOf: [{ type: "boolean" }, { type: "null" }] }, false],
  [{ $ref: "#/components/schemas/Point" }, { x: 2 }],
  [{ type: ["string", "null"] }, ""],
  [{ type: "object", required: ["unknown"] }, { unknown: null }],
]) {
  test(`an example of ${JSON.stringify(schema)}`, () => assert.deepEqual(sample(schema, resolve), value));
}
