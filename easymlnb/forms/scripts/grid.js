// @ts-check
// A table of any length: only the visible rows are in the page. See tables.py.

import { cellText, csv, sorted } from "./cells.js";
import { h, save } from "./elements.js";

/** @import { Model, View } from "./types" */
/** @typedef {{ columns: string[], data: DataView<ArrayBuffer>, total: number, title: string }} Settings */

const ROW = 30; // px, as in the stylesheet
const SPARE = 12; // rows above and below the visible ones
const SAMPLE = 200; // rows that decide how wide the columns are

/**
 * @param {Model<Settings>} model
 * @returns {Promise<unknown[][]>}
 */
async function columnsOf(model) {
  const data = model.get("data");
  if (!data?.byteLength) return [];
  const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

export default {
  /** @param {View<Settings>} view */
  async render({ model, el: root }) {
    const names = model.get("columns");
    const title = model.get("title");
    const box = h("div", { class: "em-table em-grid", tabindex: "0", role: "region", "aria-label": title || "Table" });
    const bar = h("div", { class: "em-grid-bar" });
    root.append(box, bar);
    const columns = await columnsOf(model);
    const count = columns[0]?.length ?? 0;
    const numeric = columns.map((column) => typeof column.find((value) => value !== null) === "number");
    /** @type {number[] | null} */
    let order = null;
    let by = -1;
    let down = false;

    const table = h("table", { "aria-rowcount": String(count + 1) });
    const widths = names.map((name, at) => {
      let longest = name.length + 3;
      for (let row = 0; row < Math.min(SAMPLE, count); row++) longest = Math.max(longest, cellText(columns[at][row]).length);
      return Math.min(40, Math.max(6, longest)) + 3;
    });
    table.append(h("colgroup", {}, ...widths.map((width) => h("col", { style: `width: ${width}ch` }))));
    table.style.minWidth = `${widths.reduce((a, b) => a + b, 0)}ch`;
    const heads = names.map((name, at) => {
      const button = h("button", { type: "button", class: "em-sort", title: `Sort by ${name}` }, name);
      button.addEventListener("click", () => sort(at));
      const head = h("th", { scope: "col" }, button);
      if (numeric[at]) head.className = "em-num";
      return head;
    });
    table.append(h("thead", {}, h("tr", { "aria-rowindex": "1" }, ...heads)));
    const body = h("tbody");
    table.append(body);
    box.append(table);

    let first = -1;
    let due = 0;
    /** @param {boolean} changed */
    const draw = (changed) => {
      const from = Math.max(0, Math.floor(box.scrollTop / ROW) - SPARE);
      const rowCount = Math.ceil((box.clientHeight || 420) / ROW) + 2 * SPARE;
      const to = Math.min(count, from + rowCount);
      if (!changed && from === first) return;
      first = from;
      const rows = [];
      if (from) rows.push(h("tr", { "aria-hidden": "true", style: `height: ${from * ROW}px` }));
      for (let at = from; at < to; at++) {
        const row = order ? order[at] : at;
        const cells = columns.map((column, c) => {
          const text = cellText(column[row]);
          const cell = h("td", numeric[c] ? { class: "em-num" } : {}, text);
          if (text.length > 40) cell.title = text;
          return cell;
        });
        rows.push(h("tr", { "aria-rowindex": String(at + 2) }, ...cells));
      }
      if (to < count) rows.push(h("tr", { "aria-hidden": "true", style: `height: ${(count - to) * ROW}px` }));
      body.replaceChildren(...rows);
    };

    /** @param {number} at */
    function sort(at) {
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
    }

    box.addEventListener("scroll", () => {
      due ||= requestAnimationFrame(() => {
        due = 0;
        draw(false);
      });
    });
    const observer = new ResizeObserver(() => draw(true));
    observer.observe(box);
    draw(true);

    const download = h("button", { type: "button", class: "em-link" }, "Download CSV");
    download.addEventListener("click", () => save(`${title || "table"}.csv`, "text/csv", csv(names, columns)));
    const total = model.get("total");
    /** @param {number} value */
    const thin = (value) => String(value).replace(/\B(?=(\d{3})+$)/g, "\u2009");
    const note = total > count ? `First ${thin(count)} of ${thin(total)} rows. For all rows, call the service with Accept: text/csv.` : `${thin(count)} rows`;
    bar.append(h("span", {}, note), download);
    return () => observer.disconnect();
  },
};
