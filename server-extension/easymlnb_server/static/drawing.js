// @ts-check
// Draws the plots of models, which the server sends as plain data, as SVG.

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 320;
const HEIGHT = 180;
const LEFT = 46;
const BOTTOM = 22;

/**
 * @typedef {{kind: string, title: string, counts?: any, edges?: number[], x?: number[], y?: number[], labels?: string[],
 *   lines?: [string, number[]][], names?: string[], bars?: [string, number][], left_out?: number}} Plot
 */

/**
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 * @param {...(Node | string)} children
 */
function shape(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.append(...children);
  return element;
}

/** @param {number} value */
export function short(value) {
  if (!Number.isFinite(value)) return "";
  const size = Math.abs(value);
  if (size !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(1);
  return String(Number(value.toPrecision(4)));
}

/**
 * @param {string} title
 * @param {...Node} children
 */
function frame(title, ...children) {
  return shape("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": title }, ...children);
}

/**
 * @param {number[]} xs
 * @param {number[]} ys
 */
function scales(xs, ys) {
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [low, high] = [Math.min(...ys), Math.max(...ys)];
  return {
    x: (/** @type {number} */ v) => LEFT + ((v - left) / (right - left || 1)) * (WIDTH - LEFT - 6),
    y: (/** @type {number} */ v) => HEIGHT - BOTTOM - ((v - low) / (high - low || 1)) * (HEIGHT - BOTTOM - 10),
    axes: [
      shape("path", { class: "axis", d: `M${LEFT} 8V${HEIGHT - BOTTOM}H${WIDTH}` }),
      shape("text", { x: LEFT - 5, y: 16, "text-anchor": "end" }, short(high)),
      shape("text", { x: LEFT - 5, y: HEIGHT - BOTTOM, "text-anchor": "end" }, short(low)),
      shape("text", { x: LEFT, y: HEIGHT - 6 }, short(left)),
      shape("text", { x: WIDTH, y: HEIGHT - 6, "text-anchor": "end" }, short(right)),
    ],
  };
}

/** @param {Plot} plot */
function histogram(plot) {
  const counts = /** @type {number[]} */ (plot.counts ?? []);
  const edges = plot.edges ?? [];
  const { y, axes } = scales(edges, [0, ...counts]);
  const step = (WIDTH - LEFT - 6) / counts.length;
  const drawn = counts.map((count, at) => shape("rect", {
    class: "first", x: LEFT + at * step + 0.5, y: y(count), width: Math.max(1, step - 1), height: HEIGHT - BOTTOM - y(count),
  }, shape("title", {}, `${short(edges[at])} to ${short(edges[at + 1])}: ${count}`)));
  return frame(plot.title, ...axes, ...drawn);
}

/** @param {Plot} plot */
function scatter(plot) {
  const [xs, ys] = [plot.x ?? [], plot.y ?? []];
  const all = [...xs, ...ys];
  const { x, y, axes } = scales(all, all);
  const [low, high] = [Math.min(...all), Math.max(...all)];
  const same = shape("path", { class: "line", d: `M${x(low)} ${y(low)}L${x(high)} ${y(high)}` });
  const dots = xs.map((value, at) => shape("circle", { class: "first", cx: x(value), cy: y(ys[at]), r: 2.5 }));
  return frame(plot.title, ...axes, same, ...dots);
}

/** @param {Plot} plot */
function lines(plot) {
  const series = plot.lines ?? [];
  const longest = Math.max(...series.map(([, values]) => values.length));
  const { x, y, axes } = scales([0, longest - 1], series.flatMap(([, values]) => values));
  const drawn = series.map(([name, values], at) => shape("path", {
    class: `series ${at ? "second" : "first"}`,
    d: values.map((value, step) => `${step ? "L" : "M"}${x(step).toFixed(1)} ${y(value).toFixed(1)}`).join(""),
  }, shape("title", {}, name)));
  return frame(plot.title, ...axes, ...drawn);
}

/** @param {Plot} plot */
function confusion(plot) {
  const names = plot.names ?? [];
  const counts = /** @type {number[][]} */ (plot.counts ?? []);
  const table = document.createElement("table");
  table.className = "confusion";
  const head = table.createTHead().insertRow();
  head.append(Object.assign(document.createElement("th"), { textContent: "true \\ predicted" }));
  for (const name of names) head.append(Object.assign(document.createElement("th"), { textContent: name, className: "num" }));
  const body = table.createTBody();
  counts.forEach((row, at) => {
    const line = body.insertRow();
    line.append(Object.assign(document.createElement("th"), { textContent: names[at] }));
    const total = row.reduce((sum, count) => sum + count, 0) || 1;
    row.forEach((count, to) => {
      const cell = line.insertCell();
      cell.textContent = String(count);
      cell.className = at === to ? "num right" : "num";
      cell.title = `${Math.round((100 * count) / total)} % of ${names[at]}`;
    });
  });
  const scroll = document.createElement("div");
  scroll.className = "scroll";
  scroll.tabIndex = 0;
  scroll.append(table);
  return scroll;
}

/** @param {Plot} plot */
function bars(plot) {
  const pairs = plot.bars ?? [];
  const most = Math.max(...pairs.map(([, value]) => Math.abs(value)), 1e-12);
  const list = document.createElement("ul");
  list.className = "bars plain";
  for (const [name, value] of pairs) {
    const item = document.createElement("li");
    const bar = /** @type {HTMLMeterElement} */ (document.createElement("meter"));
    bar.max = most;
    bar.value = Math.max(0, value);
    bar.setAttribute("aria-label", name);
    const label = document.createElement("span");
    label.textContent = name;
    const number = document.createElement("span");
    number.className = "muted small num";
    number.textContent = short(value);
    item.append(label, bar, number);
    list.append(item);
  }
  return list;
}

/** @type {Record<string, (plot: Plot) => Element>} */
const KINDS = { histogram, scatter, lines, confusion, bars };

/**
 * Return a plot with its title.
 * @param {Plot} plot
 */
export function draw(plot) {
  const figure = document.createElement("figure");
  const caption = document.createElement("figcaption");
  caption.className = "small muted";
  caption.textContent = plot.title;
  const make = KINDS[plot.kind];
  figure.append(caption, ...(make ? [make(plot)] : []));
  return figure;
}

/**
 * Return a tiny histogram for a table of columns.
 * @param {number[]} counts
 */
export function spark(counts) {
  const most = Math.max(...counts, 1);
  const drawn = counts.map((count, at) => shape("rect", {
    class: "first", x: at * 5, y: 24 - (22 * count) / most, width: 4, height: (22 * count) / most,
  }));
  return shape("svg", { class: "plot spark", viewBox: `0 0 ${counts.length * 5} 24`, "aria-hidden": "true" }, ...drawn);
}
