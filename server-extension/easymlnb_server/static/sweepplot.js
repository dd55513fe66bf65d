// @ts-check
// Draws the results of a sweep: points over one parameter, or a heat map over two.

/** @typedef {{ item: number, parameters: Record<string, unknown>, state: string, result: unknown, error: { message: string } | null, job: string }} Trial */
/** @typedef {{ parameters: string[], trials: Trial[] }} Sweep */

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 640;
const HEIGHT = 280;
const LEFT = 70;
const BOTTOM = 40;
const TOP = 12;

/**
 * Return a trial's number: the result itself, or a field of it.
 * @param {Trial} trial
 * @param {string} name - empty for the result itself
 * @returns {number | null}
 */
export function number(trial, name) {
  const value = name && trial.result ? /** @type {Record<string, unknown>} */ (trial.result)[name] : name ? null : trial.result;
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

/**
 * Return what can be plotted: "" for the result itself, or the fields that are numbers.
 * @param {Sweep} sweep
 * @returns {string[]}
 */
export function valueNames(sweep) {
  const names = new Set();
  for (const { result } of sweep.trials) {
    if (typeof result === "number") names.add("");
    else if (result && typeof result === "object" && !Array.isArray(result))
      for (const [name, value] of Object.entries(result)) if (typeof value === "number") names.add(name);
  }
  return [...names];
}

/**
 * Return the values of a parameter in their order: numbers by size, others as they come.
 * @param {Sweep} sweep
 * @param {string} name
 * @returns {unknown[]}
 */
function levels(sweep, name) {
  const found = [...new Set(sweep.trials.map((trial) => trial.parameters[name]))];
  return found.every((value) => typeof value === "number") ? found.sort((a, b) => Number(a) - Number(b)) : found;
}

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 * @param {...(Node | string)} children
 */
function draw(tag, attributes, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/** @param {unknown} value */
const text = (value) => (typeof value === "number" ? String(Number(value.toPrecision(4))) : typeof value === "string" ? value : JSON.stringify(value));

/**
 * @param {string} label
 * @param {Node[]} children
 * @param {number} [height]
 */
function figure(label, children, height = HEIGHT) {
  return draw("svg", { viewBox: `0 0 ${WIDTH} ${height}`, width: WIDTH, height, role: "img", "aria-label": label, class: "plot" }, ...children);
}

/**
 * Draw the values over one parameter; null if the sweep has more of them.
 * @param {Sweep} sweep
 * @param {string} measure
 */
export function points(sweep, measure) {
  const varied = sweep.parameters.filter((name) => levels(sweep, name).length > 1);
  const name = varied[0] ?? sweep.parameters[0];
  if (varied.length > 1 || name === undefined) return null;
  const xs = levels(sweep, name);
  const numeric = xs.every((value) => typeof value === "number");
  const found = sweep.trials.map((trial) => ({ x: trial.parameters[name], y: number(trial, measure) })).filter((one) => one.y !== null);
  if (!found.length) return null;
  const ys = found.map((one) => Number(one.y));
  const [low, high] = span(ys);
  const [first, last] = numeric ? span(xs.map(Number)) : [-0.5, xs.length - 0.5];
  /** @param {unknown} x */
  const right = (x) => LEFT + ((WIDTH - LEFT - 20) * ((numeric ? Number(x) : xs.indexOf(x)) - first)) / (last - first);
  /** @param {number} y */
  const down = (y) => TOP + ((HEIGHT - TOP - BOTTOM) * (high - y)) / (high - low);
  const every = Math.ceil(xs.length / 10);
  const line = xs.flatMap((x) => {
    const same = found.filter((one) => one.x === x).map((one) => Number(one.y));
    return same.length ? [`${right(x)},${down(same.reduce((a, b) => a + b) / same.length)}`] : [];
  });
  return figure(`${measure || "result"} over ${name}`, [
    draw("line", { x1: LEFT, x2: WIDTH - 10, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM, stroke: "currentColor", opacity: 0.4 }),
    ...[low, (low + high) / 2, high].map((y) => draw("text", { x: LEFT - 8, y: down(y) + 4, "text-anchor": "end", fill: "currentColor", "font-size": 12 }, text(y))),
    ...xs.filter((_, at) => at % every === 0).map((x) => draw("text", { x: right(x), y: HEIGHT - BOTTOM + 18, "text-anchor": "middle", fill: "currentColor", "font-size": 12 }, text(x))),
    draw("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 4, "text-anchor": "middle", fill: "currentColor", "font-size": 12 }, name),
    draw("polyline", { points: line.join(" "), fill: "none", stroke: "currentColor", opacity: 0.4 }),
    ...found.map((one) => draw("circle", { cx: right(one.x), cy: down(Number(one.y)), r: 4, fill: "currentColor" }, draw("title", {}, `${name} ${text(one.x)}: ${text(one.y)}`))),
  ]);
}

/**
 * Draw the values over two parameters as colored cells; null if the sweep has fewer or more.
 * @param {Sweep} sweep
 * @param {string} measure
 */
export function heat(sweep, measure) {
  const varied = sweep.parameters.filter((name) => levels(sweep, name).length > 1);
  if (varied.length !== 2) return null;
  const [across, down] = varied;
  const [xs, ys] = [levels(sweep, across), levels(sweep, down)];
  const values = sweep.trials.map((trial) => number(trial, measure));
  const known = values.filter((value) => value !== null);
  if (!known.length) return null;
  const [low, high] = span(known);
  const side = Math.min(60, (WIDTH - LEFT - 20) / xs.length);
  const cells = sweep.trials.flatMap((trial, at) => {
    const value = values[at];
    if (value === null) return [];
    const [x, y] = [xs.indexOf(trial.parameters[across]), ys.indexOf(trial.parameters[down])];
    const share = (value - low) / (high - low);
    const hint = draw("title", {}, `${across} ${text(xs[x])}, ${down} ${text(ys[y])}: ${text(value)}`);
    const box = draw("rect", { x: LEFT + x * side, y: TOP + y * 28, width: side - 2, height: 26, class: "heat", opacity: 0.1 + 0.4 * share }, hint);
    return side < 40 ? [box] : [box, draw("text", { x: LEFT + (x + 0.5) * side - 1, y: TOP + y * 28 + 17, "text-anchor": "middle", class: "cell", "font-size": 11, "pointer-events": "none" }, text(value))];
  });
  const height = TOP + 28 * ys.length + BOTTOM;
  return figure(
    `${measure || "result"} over ${across} and ${down}`,
    [
      ...cells,
      ...ys.map((y, at) => draw("text", { x: LEFT - 8, y: TOP + at * 28 + 17, "text-anchor": "end", fill: "currentColor", "font-size": 12 }, text(y))),
      ...xs.map((x, at) => draw("text", { x: LEFT + (at + 0.5) * side, y: TOP + 28 * ys.length + 14, "text-anchor": "middle", fill: "currentColor", "font-size": 12 }, text(x))),
      draw("text", { x: LEFT, y: height - 6, fill: "currentColor", "font-size": 12 }, `${down} down, ${across} across`),
    ],
    height,
  );
}

/**
 * @param {number[]} values
 * @returns {[number, number]}
 */
function span(values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  return low === high ? [low - 0.5, high + 0.5] : [low, high];
}
