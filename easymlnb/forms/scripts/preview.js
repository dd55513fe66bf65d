// @ts-check
// Previews of a chosen file, made in the browser: neither kernel nor server opens the file for that.

import { describeLayout, layoutOf, numberOf, textOf } from "./csv.js";
import { h } from "./elements.js";
import { decode, directories, pixels, upright } from "./tiff.js";

/** @import { Preview, PreviewLimits, Reading } from "./types" */
/** @import { Page } from "./tiff.js" */
/** @import { Layout } from "./csv.js" */

const EDGE = 1024; // pixels of the enlarged picture
const THUMB = 144; // pixels of the thumbnail
const HEAD = 256 * 1024; // bytes of a text that are read
const SHOWN_ROWS = 3;
const SHOWN_COLUMNS = 6;

/** @type {(width: number, height: number, most: number) => string} */
const tooMany = (width, height, most) =>
  width * height > most
    ? `The image has ${width} × ${height} pixels; the maximum is ${most / 1e6} million.`
    : "";

/** @param {HTMLCanvasElement} canvas */
function contextOf(canvas) {
  const context = canvas.getContext("2d");
  if (!context) throw new Error("The browser cannot draw.");
  return context;
}

// ---- pictures

/**
 * @param {File} file
 * @param {PreviewLimits} limits
 * @returns {Promise<Preview>}
 */
async function picture(file, limits) {
  const head = new DataView(await file.slice(0, 32).arrayBuffer());
  const magic = head.byteLength > 8 ? head.getUint32(0) : 0;
  if (magic === 0x49492a00 || magic === 0x4d4d002a) return pages(file, limits);
  let depth = "";
  if (magic === 0x89504e47 && head.byteLength > 24) {
    const problem = tooMany(head.getUint32(16), head.getUint32(20), limits.pixels);
    if (problem) return { problem };
    if (head.getUint8(24) === 16) depth = ", 16 bit";
  }
  const bitmap = await createImageBitmap(file);
  const { width, height } = bitmap;
  const large = tooMany(width, height, limits.pixels);
  const canvas = large ? null : scaled(bitmap, EDGE);
  bitmap.close();
  return canvas ? { facts: `${width} × ${height}${depth}`, ...zoomable(canvas) } : { problem: large };
}

/**
 * Draw a picture with at most `edge` pixels on each side.
 * @param {ImageBitmap | HTMLCanvasElement} source
 * @param {number} edge
 */
function scaled(source, edge) {
  const scale = Math.min(1, edge / Math.max(source.width, source.height));
  const width = Math.max(1, Math.round(source.width * scale));
  const height = Math.max(1, Math.round(source.height * scale));
  const canvas = h("canvas", { width, height });
  contextOf(canvas).drawImage(source, 0, 0, width, height);
  return canvas;
}

/** @param {HTMLCanvasElement} canvas */
function thumbnail(canvas) {
  const small = scaled(canvas, THUMB);
  small.setAttribute("class", "em-thumb");
  small.setAttribute("aria-hidden", "true");
  return small;
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {HTMLElement[]} more
 */
function zoomable(canvas, more = []) {
  canvas.setAttribute("class", "em-large");
  const below = h("div", { class: "em-enlarged", hidden: true }, ...more, canvas);
  const thumb = h(
    "button",
    {
      type: "button",
      class: "em-thumb-button",
      "aria-label": "Enlarge the image",
      "aria-expanded": "false",
      onclick: () => {
        below.hidden = !below.hidden;
        thumb.setAttribute("aria-expanded", String(!below.hidden));
      },
    },
    thumbnail(canvas)
  );
  return { thumb, below };
}

/**
 * @param {Blob} file
 * @param {PreviewLimits} limits
 * @returns {Promise<Preview>}
 */
async function pages(file, limits) {
  const tiff = await directories(file);
  const first = tiff[0];
  const problem = tooMany(first.width, first.height, limits.pixels);
  if (problem) return { problem };
  const count = tiff.length;
  const facts = [(first.turn > 4 ? [first.height, first.width] : [first.width, first.height]).join(" × ")];
  if (first.bits > 8) facts.push(`${first.bits} bit`);
  if (count > 1) facts.push(`${count} pages${limits.pages ? "" : " (the service reads only the first)"}`);
  const canvas = await drawPage(file, first);
  if (count === 1) return { facts: facts.join(", "), ...zoomable(canvas) };
  let at = 0;
  const pageLabel = h("span", { "aria-live": "polite" }, `Page 1 of ${count}`);
  /** @param {number} step */
  const turn = async (step) => {
    const wanted = (at = (at + step + count) % count);
    pageLabel.textContent = `Page ${at + 1} of ${count}`;
    const other = await drawPage(file, tiff[at]).catch(() => h("canvas", { width: 1, height: 1 }));
    if (wanted !== at) return; // another page was chosen while this one was decoded
    [canvas.width, canvas.height] = [other.width, other.height];
    contextOf(canvas).drawImage(other, 0, 0);
  };
  /** @type {(label: string, sign: string, step: number) => HTMLElement} */
  const button = (label, sign, step) =>
    h("button", { type: "button", class: "em-link", "aria-label": label, onclick: () => turn(step) }, sign);
  const bar = h("div", { class: "em-pages" }, button("Previous page", "‹", -1), pageLabel, button("Next page", "›", 1));
  return { facts: facts.join(", "), ...zoomable(canvas, [bar]) };
}

/**
 * @param {Blob} file
 * @param {Page} it
 */
async function drawPage(file, it) {
  const samples = await decode(file, it, EDGE);
  const canvas = h("canvas", { width: samples.width, height: samples.height });
  contextOf(canvas).putImageData(new ImageData(pixels(samples, it), samples.width, samples.height), 0, 0);
  const turned = upright(it.turn, canvas.width, canvas.height);
  if (!turned) return canvas;
  const out = h("canvas", { width: turned.width, height: turned.height });
  contextOf(out).setTransform(...turned.transform);
  contextOf(out).drawImage(canvas, 0, 0);
  return out;
}

// ---- tables and curves

/**
 * @param {File} file
 * @param {Reading} reading
 * @returns {Promise<Preview & { layout?: Layout }>}
 */
async function table(file, reading) {
  const whole = file.size <= HEAD;
  const bytes = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  const { text, problem } = textOf(bytes, file.name, whole);
  if (problem) return { problem };
  const layout = text === undefined ? null : layoutOf(text, reading, whole);
  return layout ? { layout, facts: describeLayout(layout, whole) } : {};
}

/** @param {string[][]} rows */
function firstRows(rows) {
  /** @param {string} cell */
  const short = (cell) => (cell.length > 40 ? `${cell.slice(0, 39)}…` : cell);
  /** @type {(row: string[], tag: "th" | "td") => HTMLElement} */
  const cells = (row, tag) => {
    const shown = row.slice(0, SHOWN_COLUMNS).map((cell) => h(tag, tag === "th" ? { scope: "col" } : {}, short(cell)));
    return h("tr", {}, ...shown, row.length > SHOWN_COLUMNS ? h("td", {}, "…") : null);
  };
  const body = rows.slice(1, SHOWN_ROWS + 1).map((row) => cells(row, "td"));
  const preview = h("table", {}, h("thead", {}, cells(rows[0], "th")), h("tbody", {}, ...body));
  const shown = h("div", { class: "em-table", tabindex: "0", role: "region", "aria-label": "First rows" }, preview);
  const parts = [];
  if (rows.length - 1 > SHOWN_ROWS) parts.push(`${SHOWN_ROWS} rows`);
  if (rows[0].length > SHOWN_COLUMNS) parts.push(`${SHOWN_COLUMNS} columns`);
  if (!parts.length) return shown;
  return h("div", {}, shown, h("div", { class: "em-help" }, `Preview of the first ${parts.join(" and ")}. The whole file is uploaded.`));
}

/**
 * @param {File} file
 * @param {PreviewLimits} limits
 * @returns {Promise<Preview>}
 */
async function sheet(file, limits) {
  const { layout, ...preview } = await table(file, limits.reading);
  return layout ? { ...preview, below: firstRows([layout.names, ...layout.rows]) } : preview;
}

/**
 * @param {File} file
 * @param {PreviewLimits} limits
 * @returns {Promise<Preview>}
 */
async function series(file, limits) {
  const { layout, ...preview } = await table(file, limits.reading);
  if (!layout) return preview;
  for (let column = 1; column < layout.names.length; column++) {
    const known = layout.rows.map((row) => numberOf(row[column], layout.decimal)).filter(Number.isFinite);
    if (known.length > 1 && known.length > layout.rows.length / 2)
      return { ...preview, below: curve(known, layout.names[column], file.size > HEAD) };
  }
  return { ...preview, below: firstRows([layout.names, ...layout.rows]) };
}

/**
 * @param {number[]} values
 * @param {string} name
 * @param {boolean} begin - whether the values are only the beginning of the file
 */
function curve(values, name, begin) {
  const stride = Math.max(1, Math.floor(values.length / 400));
  const shown = values.filter((_, at) => at % stride === 0);
  const low = shown.reduce((a, b) => Math.min(a, b));
  const high = shown.reduce((a, b) => Math.max(a, b));
  const points = shown
    .map((value, at) => `${((300 * at) / Math.max(1, shown.length - 1)).toFixed(1)},${(46 - (42 * (value - low)) / (high - low || 1)).toFixed(1)}`)
    .join(" ");
  const figure = h("figure", { class: "em-curve" });
  figure.innerHTML =
    '<svg viewBox="0 0 300 50" preserveAspectRatio="none" role="img" aria-label="Curve">' +
    `<polyline points="${points}" vector-effect="non-scaling-stroke"/></svg>`;
  /** @param {number} value */
  const short = (value) => Number(value.toPrecision(6)).toString();
  const part = begin ? " (preview of the beginning; the whole file is uploaded)" : "";
  figure.append(h("figcaption", {}, `${name}, ${short(low)} to ${short(high)}${part}`));
  return figure;
}

/**
 * @param {File} file
 * @returns {Promise<Preview>}
 */
async function player(file) {
  const url = URL.createObjectURL(file);
  return { below: h("audio", { class: "em-audio", controls: true, src: url }) };
}

/** @type {Record<string, (file: File, limits: PreviewLimits) => Promise<Preview>>} */
const PREVIEWS = { image: picture, webcam: picture, table: sheet, timeseries: series, audio: player };

/**
 * Make the preview of a file for a field of that kind.
 * @param {string} kind
 * @param {File} file
 * @param {PreviewLimits} limits
 * @returns {Promise<Preview>}
 */
export async function previewOf(kind, file, limits) {
  try {
    return (await PREVIEWS[kind]?.(file, limits)) ?? {};
  } catch {
    // The file may still be valid; the service checks it and reports what is wrong.
    return { facts: "no preview" };
  }
}
