import assert from "node:assert/strict";
import { test } from "node:test";

import { bundleFor, withoutNeedlessWebGL } from "../../server-extension/front/plots.js";

test("the smallest bundle that knows all traces draws a figure", () => {
  assert.equal(bundleFor({}), "plotly-basic");
  assert.equal(bundleFor({ data: [{}, { type: "bar" }] }), "plotly-basic");
  assert.equal(bundleFor({ data: [{ type: "scatter" }, { type: "box" }] }), "plotly-cartesian");
  assert.equal(bundleFor({ data: [{ type: "heatmap" }, { type: "surface" }] }), "plotly");
  assert.equal(bundleFor({ data: [{ type: "something new" }] }), "plotly");
});

test("traces of later frames count", () => {
  assert.equal(bundleFor({ data: [{}], frames: [{ data: [{ type: "violin" }] }, {}] }), "plotly-cartesian");
});

test("few points are drawn without WebGL, which only the largest bundle has", () => {
  const small = [{ type: "scattergl", x: [1, 2], mode: "lines" }, { type: "bar" }];
  assert.deepEqual(withoutNeedlessWebGL(small), [{ type: "scatter", x: [1, 2], mode: "lines" }, { type: "bar" }]);
  assert.equal(bundleFor({ data: withoutNeedlessWebGL(small) }), "plotly-basic");
  const large = [{ type: "scattergl", y: new Array(5001).fill(0) }];
  assert.deepEqual(withoutNeedlessWebGL(large), large);
  const binary = [{ type: "scattergl", y: { dtype: "f8", bdata: "A".repeat((6000 * 8 * 4) / 3) } }];
  assert.deepEqual(withoutNeedlessWebGL(binary), binary);
  const short = [{ type: "scattergl", y: { dtype: "i2", bdata: "A".repeat((4000 * 2 * 4) / 3) } }];
  assert.equal(withoutNeedlessWebGL(short)[0].type, "scatter");
});
