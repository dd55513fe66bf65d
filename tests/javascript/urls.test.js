import assert from "node:assert/strict";
import { test } from "node:test";

import { catalogUrl, operationUrl, queryPairs, queryString } from "../../server-extension/easymlnb_server/static/urls.js";

test("empty values and the default order are not in the catalog's address", () => {
  assert.equal(catalogUrl("/root/?q=old", [["q", ""], ["sort", "name"]]), "/root/");
  assert.equal(catalogUrl("/root/", [["q", "a b"], ["tag", "x"], ["tag", "y"], ["sort", "newest"]]), "/root/?q=a+b&tag=x&tag=y&sort=newest");
  assert.equal(catalogUrl("/root/", [["q", "name"]]), "/root/?q=name");
});

test("path parameters are encoded", () => {
  assert.equal(operationUrl("/root/", "/services/{name}/log", new Map([["name", "a/b c"]])), "/root/services/a%2Fb%20c/log");
  assert.equal(operationUrl("/root/", "/services", new Map()), "/root/services");
});

test("a list has one query parameter for each word", () => {
  const list = { name: "tag", schema: { type: "array" } };
  assert.equal(queryString(queryPairs(list, " a, b  c ")), "?tag=a&tag=b&tag=c");
  assert.equal(queryString(queryPairs({ name: "q", schema: { type: "string" } }, "a, b")), "?q=a%2C+b");
  assert.equal(queryString(queryPairs({ name: "q" }, "")), "");
});
