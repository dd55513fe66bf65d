// @ts-check
// Widgets of other packages, from the extensions for JupyterLab that bring them. These are loaded when a
// widget of theirs is first needed, and get what they share with this bundle.

import * as base from "@jupyter-widgets/base";
import { version as baseVersion } from "@jupyter-widgets/base/package.json";
import * as controls from "./controls.js";
import { version as controlsVersion } from "@jupyter-widgets/controls/package.json";
import * as coreutils from "@lumino/coreutils";
import { version as coreutilsVersion } from "@lumino/coreutils/package.json";
import * as messaging from "@lumino/messaging";
import { version as messagingVersion } from "@lumino/messaging/package.json";
import * as widgets from "@lumino/widgets";
import { version as widgetsVersion } from "../../node_modules/@lumino/widgets/package.json";

/** @typedef {{ script: string, module: string }} Package - where it is, and the module of its plugins */
/** @typedef {Record<string, any>} Classes */

/** @type {Record<string, Package>} */
let packages = {};
/** @type {Map<string, Promise<Classes>>} */
const loading = new Map();

/** @param {Record<string, Package>} found - by the name of their module */
export function setPackages(found) {
  packages = found;
}

/** @type {(version: string, module: any) => any} */
const shared = (version, module) => ({ [version]: { get: async () => () => module, from: "easymlnb", loaded: 1 } });

const SCOPE = {
  "@jupyter-widgets/base": shared(baseVersion, base),
  "@jupyter-widgets/controls": shared(controlsVersion, controls),
  "@lumino/coreutils": shared(coreutilsVersion, coreutils),
  "@lumino/messaging": shared(messagingVersion, messaging),
  "@lumino/widgets": shared(widgetsVersion, widgets),
};

/**
 * Load a script of a package, and register what it shares.
 * @param {string} name
 */
async function prepare(name) {
  await new Promise((done, failed) => {
    const script = Object.assign(document.createElement("script"), { src: packages[name].script, onload: done, onerror: failed });
    document.head.append(script);
  });
  await containers()[name].init(SCOPE);
}

/** @returns {Record<string, any>} */
const containers = () => ((/** @type {any} */ (window))._JUPYTERLAB ??= {});

/** @type {Promise<unknown> | undefined} */
let prepared;

/**
 * Return the widget classes of a package; rejects if it cannot be loaded.
 * @param {string} name
 */
export function classesOf(name) {
  const known = loading.get(name) ?? load(name);
  loading.set(name, known);
  return known;
}

/**
 * @param {string} name
 * @returns {Promise<Classes>}
 */
async function load(name) {
  const found = packages[name];
  if (!found) return {};
  containers();
  // All of them first: one package may share a module with another.
  await (prepared ??= Promise.allSettled(Object.keys(packages).map(prepare)));
  const module = (await containers()[name].get(found.module))();
  /** @type {any[]} */
  const registered = [];
  const registry = {
    /** @param {{ exports: any }} given */
    registerWidget({ exports }) {
      registered.push(typeof exports === "function" ? exports() : exports);
    },
  };
  for (const plugin of [module.default ?? module].flat()) {
    const needed = plugin.requires ?? [];
    // Plugins that need more of JupyterLab have no widgets.
    if (needed.some((/** @type {unknown} */ token) => token !== base.IJupyterWidgetRegistry)) continue;
    await plugin.activate({}, ...needed.map(() => registry));
  }
  return Object.assign({}, ...(await Promise.all(registered)));
}
