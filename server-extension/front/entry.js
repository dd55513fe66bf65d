// @ts-check
// The script of an app page: makes the painted form live, and looks after the connection.

import { Widget } from "@lumino/widgets";
import { Connection } from "./connection.js";
import { startFrame } from "./frame.js";
import { keepConnected } from "./lifetime.js";
import { Manager } from "./manager.js";
import { setOptional, setUsable } from "./optional.js";
import { goLive } from "./painted.js";
import { expectPlots } from "./plots.js";

/**
 * @typedef {object} Page
 * @property {{ model_id: string }} view - the outermost widget
 * @property {Record<string, string>} optional
 */

const early = /** @type {any} */ (window).easymlnb;
const root = document.documentElement;

/** @param {string} id */
const read = (id) => JSON.parse(document.getElementById(id)?.textContent ?? "null");

async function start() {
  /** @type {Page} */
  const page = read("page-data");
  // Null if the page was sent before the form was built.
  const state = read("page-state");
  const painted = document.getElementById("painted");
  setOptional(page.optional);
  if ("plotly-basic" in page.optional) expectPlots();
  const connection = new Connection(early.url, early.socket);
  const manager = new Manager(connection);
  connection.onMessage = (message) => manager.handle(message);
  Object.assign(early, { connection, manager });
  const { onLive } = keepConnected(connection, () => manager.refresh());
  if (state) await manager.load(state);
  else await manager.refresh();
  const view = await manager.draw(page.view.model_id);
  if (!painted) return;
  const host = Object.assign(document.createElement("div"), { id: "form" });
  goLive(manager, painted, () => {
    painted.replaceWith(host);
    Widget.attach(view.luminoWidget, host);
  }, early.acts);
  early.keeper.abort();
  root.dataset.ready = "";
  performance.mark("easymlnb-usable");
  setUsable();
  onLive();
}

if ("frame" in root.dataset) startFrame();
else if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
