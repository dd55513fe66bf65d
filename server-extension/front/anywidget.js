// @ts-check
// anywidget's model and view. The scripts of forms are part of this bundle; another anywidget brings
// its script in its state, and it is loaded when the widget is first needed.

import { DOMWidgetModel, DOMWidgetView } from "@jupyter-widgets/base";
import form from "../../easymlnb/forms/scripts/form.js";
import frame from "../../easymlnb/forms/scripts/frame.js";
import grid from "../../easymlnb/forms/scripts/grid.js";
import upload from "../../easymlnb/forms/scripts/upload.js";

/** @type {Record<string, unknown>} */
const BUNDLED = { "easymlnb.form": form, "easymlnb.frame": frame, "easymlnb.grid": grid, "easymlnb.upload": upload };

/** @typedef {() => void} Undo */
/** @typedef {{ initialize?: (context: any) => any, render?: (context: any) => any }} Script */

/** @param {any} model */
async function scriptOf(model) {
  let found = BUNDLED[model.get("_anywidget_id")];
  if (!found) {
    const url = URL.createObjectURL(new Blob([model.get("_esm")], { type: "text/javascript" }));
    try {
      const module = await import(url);
      found = module.default ?? module;
    } finally {
      URL.revokeObjectURL(url);
    }
  }
  return /** @type {Script} */ (typeof found === "function" ? await found() : found);
}

/**
 * Return what a script sees of a model. Its listeners are removed with `undo`.
 * @param {any} model
 * @param {Undo[]} undo
 */
function proxy(model, undo) {
  return {
    get: model.get.bind(model),
    set: model.set.bind(model),
    save_changes: model.save_changes.bind(model),
    send: model.send.bind(model),
    /** @type {(event: string, listener: (...values: any[]) => void) => void} */
    on(event, listener) {
      model.on(event, listener);
      undo.push(() => model.off(event, listener));
    },
    off: model.off.bind(model),
    widget_manager: model.widget_manager,
  };
}

/**
 * Add a widget's own style sheet to the page, once.
 * @param {any} model
 */
function addStyle(model) {
  const css = model.get("_css");
  const id = `style-${model.get("_anywidget_id")}`;
  if (!css || document.getElementById(id)) return;
  document.head.append(Object.assign(document.createElement("style"), { id, textContent: css }));
}

/** @param {Undo[]} undo */
const undoAll = (undo) => undo.splice(0).forEach((act) => act());

export class AnyModel extends DOMWidgetModel {
  /** @param {any[]} values */
  initialize(...values) {
    // @ts-expect-error Backbone passes attributes and options.
    super.initialize(...values);
    /** @type {Undo[]} */
    this._undo = [];
    this.script = this._start();
    this.once("destroy", () => undoAll(this._undo));
  }

  async _start() {
    const script = await scriptOf(this);
    const undo = await script.initialize?.({ model: proxy(this, this._undo) });
    if (undo) this._undo.push(undo);
    return script;
  }
}

export class AnyView extends DOMWidgetView {
  async render() {
    super.render();
    /** @type {Undo[]} */
    this._undo = [];
    addStyle(/** @type {any} */ (this.model));
    const script = await /** @type {any} */ (this.model).script;
    const undo = await script.render?.({ model: proxy(this.model, this._undo), el: this.el });
    if (undo) this._undo.push(undo);
  }

  remove() {
    undoAll(this._undo ?? []);
    return super.remove();
  }
}
