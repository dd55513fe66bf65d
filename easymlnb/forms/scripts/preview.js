// What a chosen file looks like, made in the browser of the person who chose it: neither kernel nor
// server opens it for that. Each look returns {facts, thumb, below, problem}, all optional.

const EDGE = 1024; // pixels of the enlarged picture
const HEAD = 256 * 1024; // bytes of a text that are read
const MOST = 256 * 2 ** 20; // bytes of a TIFF's page that are decoded
const SHOWN_ROWS = 5;
const SHOWN_COLUMNS = 6;

function h(tag, attributes = {}, ...children) {
  const el = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) el.setAttribute(key, value === true ? "" : value);
  }
  el.append(...children.filter((one) => one !== undefined && one !== null));
  return el;
}

const size = (count) => {
  for (const [unit, bytes] of [["GB", 2 ** 30], ["MB", 2 ** 20], ["kB", 2 ** 10]])
    if (count >= bytes) return `${(count / bytes).toFixed(1).replace(/\.0$/, "")} ${unit}`;
  return `${count} bytes`;
};

const tooMany = (width, height, most) =>
  width * height > most
    ? `The picture has ${width} × ${height} pixels; at most ${most / 1e6} million are read.`
    : "";

// ---- pictures

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
  const problem = tooMany(width, height, limits.pixels);
  if (problem) return { problem };
  const canvas = h("canvas");
  const scale = Math.min(1, EDGE / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return { facts: `${width} × ${height}${depth}`, ...zoomable(canvas) };
}

function small(canvas) {
  const edge = 144;
  const scale = Math.min(1, edge / Math.max(canvas.width, canvas.height));
  const thumb = h("canvas", { class: "em-thumb", "aria-hidden": "true" });
  thumb.width = Math.max(1, Math.round(canvas.width * scale));
  thumb.height = Math.max(1, Math.round(canvas.height * scale));
  thumb.getContext("2d").drawImage(canvas, 0, 0, thumb.width, thumb.height);
  return thumb;
}

function zoomable(canvas, more = []) {
  canvas.setAttribute("class", "em-large");
  const below = h("div", { class: "em-enlarged", hidden: true }, ...more, canvas);
  const thumb = h(
    "button",
    {
      type: "button",
      class: "em-thumb-button",
      "aria-label": "Enlarge the picture",
      "aria-expanded": "false",
      onclick: () => {
        below.hidden = !below.hidden;
        thumb.setAttribute("aria-expanded", String(!below.hidden));
      },
    },
    small(canvas)
  );
  return { thumb, below };
}

async function pages(file, limits) {
  const tiff = await directories(file);
  const first = tiff[0];
  const problem = tooMany(first.width, first.height, limits.pixels);
  if (problem) return { problem };
  const count = tiff.length;
  const facts = [(first.turn > 4 ? [first.height, first.width] : [first.width, first.height]).join(" × ")];
  if (first.bits > 8) facts.push(`${first.bits} bit`);
  if (count > 1) facts.push(`${count} pages${limits.pages ? "" : ", of which the service reads the first"}`);
  const canvas = await page(file, first);
  if (count === 1) return { facts: facts.join(", "), ...zoomable(canvas) };
  let at = 0;
  const said = h("span", { "aria-live": "polite" }, `Page 1 of ${count}`);
  const turn = async (step) => {
    at = (at + step + count) % count;
    said.textContent = `Page ${at + 1} of ${count}`;
    const other = await page(file, tiff[at]);
    [canvas.width, canvas.height] = [other.width, other.height];
    canvas.getContext("2d").drawImage(other, 0, 0);
  };
  const button = (words, sign, step) =>
    h("button", { type: "button", class: "em-link", "aria-label": words, onclick: () => turn(step) }, sign);
  const bar = h("div", { class: "em-pages" }, button("Previous page", "‹", -1), said, button("Next page", "›", 1));
  return { facts: facts.join(", "), ...zoomable(canvas, [bar]) };
}

const SIZES = { 1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4, 11: 4, 12: 8 };

async function directories(file) {
  const head = new DataView(await file.slice(0, 8).arrayBuffer());
  const little = head.getUint16(0) === 0x4949;
  const found = [];
  let at = head.getUint32(4, little);
  const seen = new Set();
  while (at && !seen.has(at) && found.length < 2000) {
    seen.add(at);
    const count = new DataView(await file.slice(at, at + 2).arrayBuffer()).getUint16(0, little);
    const block = new DataView(await file.slice(at + 2, at + 6 + count * 12).arrayBuffer());
    const tags = {};
    for (let i = 0; i < count; i++) {
      const entry = i * 12;
      const kind = block.getUint16(entry + 2, little);
      const length = block.getUint32(entry + 4, little);
      const bytes = length * (SIZES[kind] ?? 1);
      if (bytes > 2 ** 22) continue;
      let data = block;
      let from = entry + 8;
      if (bytes > 4) {
        const where = block.getUint32(entry + 8, little);
        data = new DataView(await file.slice(where, where + bytes).arrayBuffer());
        from = 0;
      }
      const read = { 1: "getUint8", 3: "getUint16", 4: "getUint32" }[kind];
      if (read)
        tags[block.getUint16(entry, little)] = Array.from({ length }, (_, n) => data[read](from + n * SIZES[kind], little));
    }
    found.push(shape(tags, little));
    at = block.getUint32(count * 12, little);
  }
  if (!found.length) throw new Error("not a TIFF");
  return found;
}

function shape(tags, little) {
  const one = (tag, otherwise) => tags[tag]?.[0] ?? otherwise;
  const tiled = 322 in tags;
  const width = one(256, 0);
  const height = one(257, 0);
  return {
    little, width, height, tiled,
    turn: one(274, 1), bits: one(258, 1), samples: one(277, 1), format: one(339, 1), palette: tags[320],
    compression: one(259, 1), photometric: one(262, 1), predictor: one(317, 1), planar: one(284, 1),
    blockWidth: tiled ? one(322) : width,
    blockHeight: tiled ? one(323) : Math.min(height, one(278, height)),
    offsets: tags[tiled ? 324 : 273] ?? [],
    counts: tags[tiled ? 325 : 279] ?? [],
  };
}

// One page, thinned out to EDGE pixels and stretched to 8 bit.
async function page(file, it) {
  const bytes = it.bits / 8;
  const step = Math.max(1, Math.ceil(Math.max(it.width, it.height) / EDGE));
  const width = Math.ceil(it.width / step);
  const height = Math.ceil(it.height / step);
  const planes = it.planar === 2 ? 1 : it.samples;
  if (!(it.format === 3 ? [4, 8] : [1, 2, 4]).includes(bytes) || it.width * it.height * planes * bytes > MOST) throw new Error("not shown");
  const bands = it.photometric === 2 && planes >= 3 ? 3 : 1;
  const values = new Float32Array(width * height * bands);
  const across = Math.ceil(it.width / it.blockWidth);
  const down = Math.ceil(it.height / it.blockHeight);
  const rowBytes = it.blockWidth * planes * bytes;
  for (let block = 0; block < across * down; block++) {
    const left = (block % across) * it.blockWidth;
    const top = Math.floor(block / across) * it.blockHeight;
    const raw = await unpacked(file, it, block, rowBytes * it.blockHeight);
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    const sample = reader(view, it);
    if (it.predictor === 2) undo(view, it, rowBytes, planes, bytes);
    for (let y = Math.ceil(top / step) * step; y < Math.min(it.height, top + it.blockHeight); y += step)
      for (let x = Math.ceil(left / step) * step; x < Math.min(it.width, left + it.blockWidth); x += step)
        for (let band = 0; band < bands; band++) {
          const at = (y - top) * rowBytes + ((x - left) * planes + band) * bytes;
          if (at + bytes <= raw.byteLength)
            values[((y / step) * width + x / step) * bands + band] = sample(at);
        }
  }
  return turned(painted(values, width, height, bands, it), it.turn);
}

// As the camera was held: what the tag's numbers do to x and y.
const TURNS = { 2: [-1, 0, 0, 1], 3: [-1, 0, 0, -1], 4: [1, 0, 0, -1], 5: [0, 1, 1, 0], 6: [0, 1, -1, 0], 7: [0, -1, -1, 0], 8: [0, -1, 1, 0] };

function turned(canvas, how) {
  if (!TURNS[how]) return canvas;
  const out = h("canvas");
  [out.width, out.height] = how > 4 ? [canvas.height, canvas.width] : [canvas.width, canvas.height];
  const [a, b, c, d] = TURNS[how];
  const pen = out.getContext("2d");
  // What is turned to below zero is moved back into the picture.
  pen.setTransform(a, b, c, d, a + c < 0 ? out.width : 0, b + d < 0 ? out.height : 0);
  pen.drawImage(canvas, 0, 0);
  return out;
}

function reader(view, it) {
  const name = `get${{ 2: "Int", 3: "Float" }[it.format] ?? "Uint"}${it.bits}`;
  return (at) => view[name](at, it.little);
}

function undo(view, it, rowBytes, planes, bytes) {
  const [get, put] = [`getUint${it.bits}`, `setUint${it.bits}`];
  for (let row = 0; row + rowBytes <= view.byteLength; row += rowBytes)
    for (let at = row + planes * bytes; at < row + rowBytes; at += bytes)
      view[put](at, view[get](at, it.little) + view[get](at - planes * bytes, it.little), it.little);
}

async function unpacked(file, it, block, length) {
  const from = it.offsets[block];
  const blob = file.slice(from, from + (it.counts[block] ?? length));
  if (it.compression === 1) return new Uint8Array(await blob.arrayBuffer());
  if (it.compression === 8 || it.compression === 32946) {
    const stream = blob.stream().pipeThrough(new DecompressionStream("deflate"));
    return filled(stream, length);
  }
  const packed = new Uint8Array(await blob.arrayBuffer());
  if (it.compression === 32773) return bits(packed, length);
  if (it.compression === 5) return lzw(packed, length);
  throw new Error("not shown");
}

// Never more than the block may hold, whatever the file unfolds to.
async function filled(stream, length) {
  const out = new Uint8Array(length);
  const reader = stream.getReader();
  for (let at = 0; at < length; ) {
    const { done, value } = await reader.read();
    if (done) break;
    out.set(value.subarray(0, length - at), at);
    at += value.length;
  }
  reader.cancel().catch(() => {});
  return out;
}

function bits(packed, length) {
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

function lzw(packed, length) {
  const out = new Uint8Array(length);
  const prefix = new Uint16Array(4097);
  const last = new Uint8Array(4097);
  const sizes = new Uint16Array(4097);
  let [width, next, to, before, bit] = [9, 258, 0, -1, 0];
  const write = (code) => {
    const count = code < 256 ? 1 : sizes[code];
    let at = to + count - 1;
    for (let one = code; at >= to; at--) {
      if (at < length) out[at] = one < 256 ? one : last[one];
      one = prefix[one];
    }
    to += count;
    return out[to - count];
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
      // The first byte of what this code stands for ends the new entry.
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

function painted(values, width, height, bands, it) {
  let [low, high] = [0, 255];
  if (it.bits > 8 || it.format === 3) {
    [low, high] = [Infinity, -Infinity];
    for (const value of values) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  const scale = high > low ? 255 / (high - low) : 0;
  const canvas = h("canvas");
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    for (let band = 0; band < 3; band++) {
      const value = values[at * bands + (bands === 3 ? band : 0)];
      let shade = (value - low) * scale;
      if (it.photometric === 0) shade = 255 - shade;
      if (it.photometric === 3 && it.palette) shade = it.palette[band * (it.palette.length / 3) + value] >> 8;
      image.data[at * 4 + band] = shade;
    }
    image.data[at * 4 + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

// ---- tables and curves

async function table(file, reading) {
  const whole = file.size <= HEAD;
  const bytes = new Uint8Array(await file.slice(0, HEAD).arrayBuffer());
  const { text, problem } = textOf(bytes, file.name, whole);
  if (problem) return { problem };
  const found = text === undefined ? null : understood(text, reading, whole);
  return found ? { found, facts: inWords(found, whole) } : {};
}

function firstRows(rows) {
  const short = (cell) => (cell.length > 40 ? `${cell.slice(0, 39)}…` : cell);
  const cells = (row, tag) => {
    const shown = row.slice(0, SHOWN_COLUMNS).map((cell) => h(tag, tag === "th" ? { scope: "col" } : {}, short(cell)));
    return h("tr", {}, ...shown, row.length > SHOWN_COLUMNS ? h("td", {}, "…") : null);
  };
  const body = rows.slice(1, SHOWN_ROWS + 1).map((row) => cells(row, "td"));
  const table = h("table", {}, h("thead", {}, cells(rows[0], "th")), h("tbody", {}, ...body));
  const shown = h("div", { class: "em-table", tabindex: "0", role: "region", "aria-label": "First rows" }, table);
  const parts = [];
  if (rows.length - 1 > SHOWN_ROWS) parts.push(`${SHOWN_ROWS} rows`);
  if (rows[0].length > SHOWN_COLUMNS) parts.push(`${SHOWN_COLUMNS} columns`);
  if (!parts.length) return shown;
  return h("div", {}, shown, h("div", { class: "em-help" }, `Preview of the first ${parts.join(" and ")}; the whole file is sent.`));
}

async function sheet(file, limits) {
  const { found, ...seen } = await table(file, limits.reading);
  return found ? { ...seen, below: firstRows([found.names, ...found.rows]) } : seen;
}

async function series(file, limits) {
  const { found, ...seen } = await table(file, limits.reading);
  if (!found) return seen;
  for (let column = 1; column < found.names.length; column++) {
    const known = found.rows.map((row) => numberOf(row[column], found.decimal)).filter(Number.isFinite);
    if (known.length > 1 && known.length > found.rows.length / 2)
      return { ...seen, below: curve(known, found.names[column], file.size > HEAD) };
  }
  return { ...seen, below: firstRows([found.names, ...found.rows]) };
}

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
  const short = (value) => Number(value.toPrecision(6)).toString();
  const part = begin ? "; preview of the beginning, the whole file is sent" : "";
  figure.append(h("figcaption", {}, `${name}, ${short(low)} to ${short(high)}${part}`));
  return figure;
}

async function player(file) {
  const url = URL.createObjectURL(file);
  return { below: h("audio", { class: "em-audio", controls: true, src: url }) };
}

const LOOKS = { image: picture, webcam: picture, table: sheet, timeseries: series, audio: player };

async function look(kind, file, limits) {
  try {
    return (await LOOKS[kind]?.(file, limits)) ?? {};
  } catch {
    // Whatever is wrong with it, the service looks closer and says it better.
    return { facts: "no preview" };
  }
}
