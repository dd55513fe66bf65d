// A table of any length: only the rows in sight are in the page. See grid.py.

const ROW = 30; // px, as in the stylesheet
const SPARE = 12; // rows above and below what is seen
const SAMPLE = 200; // rows that decide how wide the columns are

async function columnsOf(model) {
  const data = model.get("data");
  if (!data?.byteLength) return [];
  const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const words = (value) => {
  if (value === null || value === undefined) return "";
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  return typeof value === "object" ? JSON.stringify(value) : String(value);
};

function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), undefined, { numeric: true });
}

// Indices in the order of a column; what is empty comes last whichever way.
function sorted(column, down) {
  const order = Array.from(column, (_, at) => at);
  const sign = down ? -1 : 1;
  return order.sort((a, b) => {
    const [x, y] = [column[a], column[b]];
    if (x == null || y == null) return (x == null) - (y == null) || a - b;
    return sign * compare(x, y) || a - b;
  });
}

// A spreadsheet takes text that begins like a formula for one, also behind what it may take for a
// separator. An apostrophe in front makes it text; numbers stay numbers.
const FORMULA = /(^|[;\t\r\n])(\s{0,20})([=+\-@\uff1d\uff0b\uff0d\uff20])/g;
const NUMBER = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;

function harmless(text) {
  return NUMBER.test(text) ? text : text.replace(FORMULA, "$1$2'$3");
}

function csv(names, columns) {
  const cell = (value) => {
    if (typeof value === "number") return String(value);
    const text = harmless(value === null || value === undefined ? "" : typeof value === "object" ? JSON.stringify(value) : String(value));
    return /[",;\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const lines = [names.map(cell).join(",")];
  for (let row = 0; row < (columns[0]?.length ?? 0); row++) lines.push(columns.map((one) => cell(one[row])).join(","));
  return lines.join("\r\n") + "\r\n";
}

function save(name, text) {
  const link = el("a", { download: name });
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

export default {
  async render({ model, el: root }) {
    const names = model.get("columns");
    const title = model.get("title");
    const box = el("div", { class: "em-table em-grid", tabindex: "0", role: "region", "aria-label": title || "Table" });
    const bar = el("div", { class: "em-grid-bar" });
    root.append(box, bar);
    const columns = await columnsOf(model);
    const count = columns[0]?.length ?? 0;
    const numeric = columns.map((one) => typeof one.find((value) => value !== null) === "number");
    let order = null;
    let by = -1;
    let down = false;

    const table = el("table", { "aria-rowcount": String(count + 1) });
    const widths = names.map((name, at) => {
      let longest = name.length + 3;
      for (let row = 0; row < Math.min(SAMPLE, count); row++) longest = Math.max(longest, words(columns[at][row]).length);
      return Math.min(40, Math.max(6, longest)) + 3;
    });
    table.append(el("colgroup", {}, ...widths.map((width) => el("col", { style: `width: ${width}ch` }))));
    table.style.minWidth = `${widths.reduce((a, b) => a + b, 0)}ch`;
    const heads = names.map((name, at) => {
      const button = el("button", { type: "button", class: "em-sort", title: `Sort by ${name}` }, name);
      button.addEventListener("click", () => sort(at));
      const head = el("th", { scope: "col" }, button);
      if (numeric[at]) head.className = "em-num";
      return head;
    });
    table.append(el("thead", {}, el("tr", { "aria-rowindex": "1" }, ...heads)));
    const body = el("tbody");
    table.append(body);
    box.append(table);

    let first = -1;
    let due = 0;
    const draw = (anew) => {
      const from = Math.max(0, Math.floor(box.scrollTop / ROW) - SPARE);
      const shown = Math.ceil((box.clientHeight || 420) / ROW) + 2 * SPARE;
      const to = Math.min(count, from + shown);
      if (!anew && from === first) return;
      first = from;
      const rows = [];
      if (from) rows.push(el("tr", { "aria-hidden": "true", style: `height: ${from * ROW}px` }));
      for (let at = from; at < to; at++) {
        const row = order ? order[at] : at;
        const cells = columns.map((column, c) => {
          const text = words(column[row]);
          const cell = el("td", numeric[c] ? { class: "em-num" } : {}, text);
          if (text.length > 40) cell.title = text;
          return cell;
        });
        rows.push(el("tr", { "aria-rowindex": String(at + 2) }, ...cells));
      }
      if (to < count) rows.push(el("tr", { "aria-hidden": "true", style: `height: ${(count - to) * ROW}px` }));
      body.replaceChildren(...rows);
    };

    const sort = (at) => {
      if (by !== at) [by, down] = [at, false];
      else if (!down) down = true;
      else by = -1;
      order = by < 0 ? null : sorted(columns[by], down);
      heads.forEach((head, n) => {
        if (n === by) head.setAttribute("aria-sort", down ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      box.scrollTop = 0;
      draw(true);
    };

    box.addEventListener("scroll", () => {
      due ||= requestAnimationFrame(() => {
        due = 0;
        draw(false);
      });
    });
    const observer = new ResizeObserver(() => draw(true));
    observer.observe(box);
    draw(true);

    const download = el("button", { type: "button", class: "em-link" }, "Download CSV");
    download.addEventListener("click", () => save(`${title || "table"}.csv`, csv(names, columns)));
    const total = model.get("total");
    const thin = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, "\u2009");
    const said = total > count ? `The first ${thin(count)} of ${thin(total)} rows; a call with Accept: text/csv has them all.` : `${thin(count)} rows`;
    bar.append(el("span", {}, said), download);
    return () => observer.disconnect();
  },
};
