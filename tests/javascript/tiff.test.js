// EASYMLNB_TIFFS is a folder of TIFF files that other programs wrote, and what they hold: see
// tests/contracts/test_javascript.py.
import assert from "node:assert/strict";
import { openAsBlob, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { decode, directories, lzw, packBits, pixels, upright } from "../../easymlnb/forms/scripts/tiff.js";

const folder = process.env.EASYMLNB_TIFFS ?? "";
const files = folder ? JSON.parse(readFileSync(join(folder, "files.json"), "utf-8")) : {};
const unlimited = 10_000;

for (const [name, pages] of Object.entries(files)) {
  test(`${name} is decoded`, async () => {
    const file = await openAsBlob(join(folder, name));
    const found = await directories(file);
    assert.equal(found.length, pages.length);
    for (const [at, page] of found.entries()) {
      const { values } = await decode(file, page, unlimited);
      assert.equal(values.length, pages[at].length);
      // Comparing the arrays would draw the difference of thousands of numbers for minutes.
      assert.equal(values.findIndex((value, n) => value !== pages[at][n]), -1, `page ${at + 1}`);
    }
  });
}

test("TIFF files of other programs were compared", { skip: folder ? false : "EASYMLNB_TIFFS is not set" }, () => {
  assert.ok(Object.keys(files).length > 10);
});

/** An uncompressed TIFF of 8 bit, with other values for some tags. */
function tiff(width, height, values, more = {}) {
  const tags = { 256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: height, 279: values.length, ...more };
  const start = 8 + 2 + Object.keys(tags).length * 12 + 4;
  tags[273] = start;
  const view = new DataView(new ArrayBuffer(start + values.length));
  view.setUint32(0, 0x49492a00);
  view.setUint32(4, 8, true);
  view.setUint16(8, Object.keys(tags).length, true);
  Object.entries(tags).forEach(([tag, value], n) => {
    const at = 10 + n * 12;
    view.setUint16(at, Number(tag), true);
    view.setUint16(at + 2, 4, true);
    view.setUint32(at + 4, 1, true);
    view.setUint32(at + 8, value, true);
  });
  new Uint8Array(view.buffer).set(values, start);
  return new Blob([view]);
}

test("a large page is thinned out", async () => {
  const file = tiff(8, 4, Uint8Array.from({ length: 32 }, (_, at) => at));
  const [page] = await directories(file);
  const found = await decode(file, page, 4);
  assert.deepEqual([found.width, found.height, ...found.values], [4, 2, 0, 2, 4, 6, 16, 18, 20, 22]);
});

for (const [what, tags] of [
  ["strips without rows", { 278: 0 }],
  ["tiles without size", { 322: 0, 323: 0, 324: 0, 325: 0 }],
  ["12 bits", { 258: 12 }],
  ["the predictor of floating-point numbers", { 258: 32, 317: 3, 339: 3 }],
  ["JPEG inside", { 259: 7 }],
  ["a page that is too large", { 256: 100_000, 257: 100_000 }],
]) {
  test(`a file with ${what} is rejected`, async () => {
    const file = tiff(2, 2, Uint8Array.of(1, 2, 3, 4), tags);
    const [page] = await directories(file);
    await assert.rejects(decode(file, page, unlimited), /Not supported/);
  });
}

test("pages that follow each other in a circle are read once", async () => {
  const bytes = new Uint8Array(await tiff(1, 1, Uint8Array.of(7)).arrayBuffer());
  new DataView(bytes.buffer).setUint32(10 + 9 * 12, 8, true);
  assert.equal((await directories(new Blob([bytes]))).length, 1);
});

test("a file that is cut off is rejected", async () => {
  await assert.rejects(directories(tiff(1, 1, Uint8Array.of(7)).slice(0, 40)));
  await assert.rejects(directories(new Blob([Uint8Array.of(0x49, 0x49, 42, 0, 0, 0, 0, 0)])), /no pages/);
});

test("packed data never gives more or fewer bytes than the block holds", () => {
  assert.deepEqual([...packBits(Uint8Array.of(0xfe, 5, 1, 7, 8), 5)], [5, 5, 5, 7, 8]);
  assert.deepEqual([...packBits(Uint8Array.of(0x81, 5), 3)], [5, 5, 5]);
  assert.deepEqual([...packBits(Uint8Array.of(4, 1), 3)], [1, 0, 0]);
  assert.deepEqual([...packBits(Uint8Array.of(0x80, 0, 9), 1)], [9]);
  assert.equal(lzw(Uint8Array.from({ length: 200 }, (_, at) => (at * 73) % 256), 100).length, 100);
  assert.deepEqual([...lzw(Uint8Array.of(), 2)], [0, 0]);
});

test("samples become shades", () => {
  const page = (more) => ({ bits: 8, format: 1, photometric: 1, palette: undefined, ...more });
  const shades = (values, more, bands = 1) =>
    [...pixels({ values: Float32Array.from(values), width: values.length / bands, height: 1, bands }, page(more))];
  assert.deepEqual(shades([0, 200]), [0, 0, 0, 255, 200, 200, 200, 255]);
  assert.deepEqual(shades([0, 200], { photometric: 0 }).slice(4), [55, 55, 55, 255]);
  assert.deepEqual(shades([-1, 1], { bits: 32, format: 3 }), [0, 0, 0, 255, 255, 255, 255, 255]);
  assert.deepEqual(shades([5, 5], { bits: 16 }).slice(0, 4), [0, 0, 0, 255]);
  assert.deepEqual(shades([1, 2, 3], { photometric: 2 }, 3), [1, 2, 3, 255]);
  const palette = [0, 1, 0, 2, 0, 3].map((value) => value * 256);
  assert.deepEqual(shades([1], { photometric: 3, palette }), [1, 2, 3, 255]);
});

test("orientations move every corner into the picture", () => {
  assert.equal(upright(1, 3, 2), null);
  assert.equal(upright(99, 3, 2), null);
  for (let turn = 2; turn <= 8; turn++) {
    const { width, height, transform: [a, b, c, d, e, f] } = upright(turn, 3, 2);
    assert.deepEqual([width, height], turn > 4 ? [2, 3] : [3, 2]);
    const corners = [[0, 0], [3, 0], [0, 2], [3, 2]].map(([x, y]) => `${a * x + c * y + e},${b * x + d * y + f}`);
    assert.deepEqual(corners.sort(), ["0,0", `0,${height}`, `${width},0`, `${width},${height}`].sort());
  }
});
