// @ts-check
// Reads TIFF files: integer and floating-point samples, strips and tiles, uncompressed or packed with
// deflate, LZW or PackBits. It reads only the parts of the file that it needs.

const MAX_BYTES = 256 * 2 ** 20; // of one decoded page
const MAX_PAGES = 2000;
const MAX_TAG_BYTES = 2 ** 22;
/** @type {Record<number, number>} */
const SIZES = { 1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4, 11: 4, 12: 8 };

/**
 * One page, as its tags describe it; `turn` is the orientation, `bits` those of a sample.
 * @typedef {ReturnType<typeof shape>} Page
 */
/** @typedef {{ values: Float32Array, width: number, height: number, bands: number }} Samples */

/**
 * Read the tags of all pages.
 * @param {Blob} file
 * @returns {Promise<Page[]>}
 */
export async function directories(file) {
  const head = new DataView(await file.slice(0, 8).arrayBuffer());
  const little = head.getUint16(0) === 0x4949;
  const pages = [];
  let at = head.getUint32(4, little);
  const seen = new Set();
  while (at && !seen.has(at) && pages.length < MAX_PAGES) {
    seen.add(at);
    const count = new DataView(await file.slice(at, at + 2).arrayBuffer()).getUint16(0, little);
    const block = new DataView(await file.slice(at + 2, at + 6 + count * 12).arrayBuffer());
    pages.push(shape(await tagsOf(file, block, count, little), little));
    at = block.getUint32(count * 12, little);
  }
  if (!pages.length) throw new Error("The file has no pages.");
  return pages;
}

/**
 * @param {Blob} file
 * @param {DataView} block
 * @param {number} count
 * @param {boolean} little
 */
async function tagsOf(file, block, count, little) {
  /** @type {Record<number, number[]>} */
  const tags = {};
  for (let entry = 0; entry < count * 12; entry += 12) {
    const kind = block.getUint16(entry + 2, little);
    const length = block.getUint32(entry + 4, little);
    const bytes = length * (SIZES[kind] ?? 1);
    if (bytes > MAX_TAG_BYTES || ![1, 3, 4].includes(kind)) continue;
    let data = block;
    let from = entry + 8;
    if (bytes > 4) {
      const where = block.getUint32(entry + 8, little);
      data = new DataView(await file.slice(where, where + bytes).arrayBuffer());
      from = 0;
    }
    /** @param {number} at */
    const read = (at) =>
      kind === 1 ? data.getUint8(at) : kind === 3 ? data.getUint16(at, little) : data.getUint32(at, little);
    tags[block.getUint16(entry, little)] = Array.from({ length }, (_, n) => read(from + n * SIZES[kind]));
  }
  return tags;
}

/**
 * @param {Record<number, number[]>} tags
 * @param {boolean} little
 */
function shape(tags, little) {
  /** @type {(tag: number, otherwise: number) => number} */
  const first = (tag, otherwise) => tags[tag]?.[0] ?? otherwise;
  const tiled = 322 in tags;
  const width = first(256, 0);
  const height = first(257, 0);
  return {
    little, width, height, tiled,
    turn: first(274, 1), bits: first(258, 1), samples: first(277, 1), format: first(339, 1),
    palette: /** @type {number[] | undefined} */ (tags[320]),
    compression: first(259, 1), photometric: first(262, 1), predictor: first(317, 1), planar: first(284, 1),
    blockWidth: tiled ? first(322, 0) : width,
    blockHeight: tiled ? first(323, 0) : Math.min(height, first(278, height)),
    offsets: tags[tiled ? 324 : 273] ?? [],
    counts: tags[tiled ? 325 : 279] ?? [],
  };
}

/** @param {Page} it */
function isSupported(it) {
  const depths = it.format === 3 ? [32, 64] : [8, 16, 32];
  // The predictor of floating-point numbers mixes the bytes of a row.
  return depths.includes(it.bits) && it.predictor < 3 && it.blockWidth > 0 && it.blockHeight > 0;
}

/**
 * Decode a page, thinned out to at most `edge` pixels on each side.
 * @param {Blob} file
 * @param {Page} it
 * @param {number} edge
 * @returns {Promise<Samples>}
 */
export async function decode(file, it, edge) {
  const bytes = it.bits / 8;
  const step = Math.max(1, Math.ceil(Math.max(it.width, it.height) / edge));
  const width = Math.ceil(it.width / step);
  const height = Math.ceil(it.height / step);
  const planes = it.planar === 2 ? 1 : it.samples;
  if (!isSupported(it) || it.width * it.height * planes * bytes > MAX_BYTES) throw new Error("Not supported.");
  const bands = it.photometric === 2 && planes >= 3 ? 3 : 1;
  const values = new Float32Array(width * height * bands);
  const across = Math.ceil(it.width / it.blockWidth);
  const down = Math.ceil(it.height / it.blockHeight);
  const rowBytes = it.blockWidth * planes * bytes;
  for (let block = 0; block < across * down; block++) {
    const left = (block % across) * it.blockWidth;
    const top = Math.floor(block / across) * it.blockHeight;
    const raw = await unpack(file, it, block, rowBytes * it.blockHeight);
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    const sample = reader(view, it);
    if (it.predictor === 2) undoDifferences(view, it, rowBytes, planes * bytes);
    for (let y = Math.ceil(top / step) * step; y < Math.min(it.height, top + it.blockHeight); y += step)
      for (let x = Math.ceil(left / step) * step; x < Math.min(it.width, left + it.blockWidth); x += step)
        for (let band = 0; band < bands; band++) {
          const at = (y - top) * rowBytes + ((x - left) * planes + band) * bytes;
          if (at + bytes <= raw.byteLength)
            values[((y / step) * width + x / step) * bands + band] = sample(at);
        }
  }
  return { values, width, height, bands };
}

/**
 * @param {DataView} view
 * @param {Page} it
 * @returns {(at: number) => number}
 */
function reader(view, { format, bits, little }) {
  if (format === 3) return bits === 32 ? (at) => view.getFloat32(at, little) : (at) => view.getFloat64(at, little);
  const signed = format === 2;
  if (bits === 8) return signed ? (at) => view.getInt8(at) : (at) => view.getUint8(at);
  if (bits === 16) return signed ? (at) => view.getInt16(at, little) : (at) => view.getUint16(at, little);
  return signed ? (at) => view.getInt32(at, little) : (at) => view.getUint32(at, little);
}

/**
 * Undo predictor 2: each sample is stored as the difference from its left neighbor.
 * @param {DataView} view
 * @param {Page} it
 * @param {number} rowBytes
 * @param {number} pixelBytes
 */
function undoDifferences(view, { bits, little }, rowBytes, pixelBytes) {
  /** @type {(at: number) => void} */
  const add = {
    8: (/** @type {number} */ at) => view.setUint8(at, view.getUint8(at) + view.getUint8(at - pixelBytes)),
    16: (/** @type {number} */ at) =>
      view.setUint16(at, view.getUint16(at, little) + view.getUint16(at - pixelBytes, little), little),
    32: (/** @type {number} */ at) =>
      view.setUint32(at, view.getUint32(at, little) + view.getUint32(at - pixelBytes, little), little),
  }[bits] ?? (() => { throw new Error("Not supported."); });
  for (let row = 0; row + rowBytes <= view.byteLength; row += rowBytes)
    for (let at = row + pixelBytes; at < row + rowBytes; at += bits / 8) add(at);
}

/**
 * @param {Blob} file
 * @param {Page} it
 * @param {number} block
 * @param {number} length
 * @returns {Promise<Uint8Array>}
 */
async function unpack(file, it, block, length) {
  const from = it.offsets[block];
  const blob = file.slice(from, from + (it.counts[block] ?? length));
  if (it.compression === 1) return new Uint8Array(await blob.arrayBuffer());
  if (it.compression === 8 || it.compression === 32946)
    return inflate(blob.stream().pipeThrough(new DecompressionStream("deflate")), length);
  const packed = new Uint8Array(await blob.arrayBuffer());
  if (it.compression === 32773) return packBits(packed, length);
  if (it.compression === 5) return lzw(packed, length);
  throw new Error("Not supported.");
}

/**
 * Read at most `length` bytes, however many the stream has.
 * @param {ReadableStream<Uint8Array>} stream
 * @param {number} length
 */
async function inflate(stream, length) {
  const out = new Uint8Array(length);
  const source = stream.getReader();
  for (let at = 0; at < length; ) {
    const { done, value } = await source.read();
    if (done) break;
    out.set(value.subarray(0, length - at), at);
    at += value.length;
  }
  source.cancel().catch(() => {});
  return out;
}

/**
 * Unpack PackBits to `length` bytes.
 * @param {Uint8Array} packed
 * @param {number} length
 */
export function packBits(packed, length) {
  const out = new Uint8Array(length);
  for (let from = 0, to = 0; from < packed.length && to < length; ) {
    const code = packed[from++];
    if (code < 128) {
      out.set(packed.subarray(from, Math.min(from + code + 1, from + length - to)), to);
      from += code + 1;
      to += code + 1;
    } else if (code > 128) {
      out.fill(packed[from++], to, to + 257 - code);
      to += 257 - code;
    }
  }
  return out;
}

/**
 * Unpack TIFF's variant of LZW (codes grow one early, high bits first) to `length` bytes.
 * @param {Uint8Array} packed
 * @param {number} length
 */
export function lzw(packed, length) {
  const out = new Uint8Array(length);
  const prefix = new Uint16Array(4097);
  const last = new Uint8Array(4097);
  const sizes = new Uint16Array(4097);
  let [width, next, to, before, bit] = [9, 258, 0, -1, 0];
  /** @param {number} code */
  const write = (code) => {
    const count = code < 256 ? 1 : sizes[code];
    let at = to + count - 1;
    for (let entry = code; at >= to; at--) {
      if (at < length) out[at] = entry < 256 ? entry : last[entry];
      entry = prefix[entry];
    }
    to += count;
  };
  while (to < length && bit + width <= packed.length * 8) {
    let code = 0;
    for (let i = 0; i < width; i++, bit++) code = (code << 1) | ((packed[bit >> 3] >> (7 - (bit & 7))) & 1);
    if (code === 257) break;
    if (code === 256) {
      [width, next, before] = [9, 258, -1];
      continue;
    }
    if (before >= 0 && next < 4096) {
      prefix[next] = before;
      sizes[next] = (before < 256 ? 1 : sizes[before]) + 1;
      // The new entry ends with the first byte of this code's text.
      let first = code === next ? before : code;
      while (first >= 256) first = prefix[first];
      last[next] = first;
      next++;
    }
    write(code);
    before = code;
    if (next >= (1 << width) - 1 && width < 12) width++;
  }
  return out;
}

/**
 * Return a page's pixels as RGBA; samples of more than 8 bits are stretched over their range.
 * @param {Samples} samples
 * @param {Page} it
 */
export function pixels({ values, width, height, bands }, it) {
  let [low, high] = [0, 255];
  if (it.bits > 8 || it.format === 3) {
    [low, high] = [Infinity, -Infinity];
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  const scale = high > low ? 255 / (high - low) : 0;
  const data = new Uint8ClampedArray(width * height * 4).fill(255);
  for (let at = 0; at < width * height; at++)
    for (let band = 0; band < 3; band++) {
      const value = values[at * bands + (bands === 3 ? band : 0)];
      let shade = (value - low) * scale;
      if (it.photometric === 0) shade = 255 - shade;
      if (it.photometric === 3 && it.palette) shade = it.palette[band * (it.palette.length / 3) + value] >> 8;
      data[at * 4 + band] = shade;
    }
  return data;
}

// What the orientation tag does to x and y.
/** @type {Record<number, [number, number, number, number]>} */
const TURNS = {
  2: [-1, 0, 0, 1], 3: [-1, 0, 0, -1], 4: [1, 0, 0, -1],
  5: [0, 1, 1, 0], 6: [0, 1, -1, 0], 7: [0, -1, -1, 0], 8: [0, -1, 1, 0],
};

/**
 * Return how a canvas draws a page upright, null if the page already is.
 * @param {number} turn
 * @param {number} width
 * @param {number} height
 * @returns {{ width: number, height: number, transform: [number, number, number, number, number, number] } | null}
 */
export function upright(turn, width, height) {
  if (!(turn in TURNS)) return null;
  const size = turn > 4 ? { width: height, height: width } : { width, height };
  const [a, b, c, d] = TURNS[turn];
  // Negative coordinates are moved back into the picture.
  return { ...size, transform: [a, b, c, d, a + c < 0 ? size.width : 0, b + d < 0 ? size.height : 0] };
}
