// @ts-check
// The widget manager: ipywidgets' own, over the page's connection and with the widgets of this bundle.

import * as base from "@jupyter-widgets/base";
import { ManagerBase } from "@jupyter-widgets/base-manager";
import * as anywidget from "./anywidget.js";
import { Comm } from "./comm.js";
import * as controls from "./controls.js";
import { MissingView, MissingWidget } from "./missing.js";
import * as output from "./output.js";
import { classesOf } from "./widget_packages.js";

/** @import { Connection, Message } from "./connection.js" */

/** @type {Record<string, Record<string, any>>} */
const MODULES = {
  "@jupyter-widgets/base": { ...base, ErrorWidgetView: MissingView },
  "@jupyter-widgets/controls": controls,
  "@jupyter-widgets/output": output,
  anywidget,
};

const WIDGET = "jupyter.widget";

export class Manager extends ManagerBase {
  /** @param {Connection} connection */
  constructor(connection) {
    super();
    this.connection = connection;
    /** @type {Map<string, Comm>} */
    this._comms = new Map();
    /** @type {Map<string, any>} */
    this.viewOf = new Map();
    this._pending = 0;
    this._onDrawn = () => {};
  }

  /**
   * Return a class of a module in this bundle, or of another package.
   * @param {string} name
   * @param {string} module
   * @returns {Promise<any>}
   */
  async loadClass(name, module) {
    const found = MODULES[module]?.[name] ?? (await classesOf(module))[name];
    if (!found) throw new MissingWidget(name, module);
    return found;
  }

  /**
   * Create the models of the state that came with the page.
   * @param {{ states: Record<string, any>, buffer_paths: [string, ...(string | number)[]][], buffers: string[] }} page
   */
  async load({ states, buffer_paths: paths, buffers }) {
    paths.forEach(([id, ...path], at) => {
      const bytes = Uint8Array.from(atob(buffers[at]), (character) => character.charCodeAt(0));
      base.put_buffers(states[id].state, [path], [new DataView(bytes.buffer)]);
    });
    // All are known before the first one is read: a widget names others.
    const models = Object.entries(states).map(([id, { state, ...options }]) =>
      this.new_model({ ...options, model_id: id, comm: this._comm(WIDGET, id) }, state)
    );
    await Promise.all(models);
  }

  /** Fetch the state of all widgets: after a connection was lost, or if it did not come with the page. */
  async refresh() {
    await this._loadFromKernel();
  }

  /**
   * @param {string} target
   * @param {string} id
   */
  _comm(target, id) {
    const comm = new Comm(this.connection, target, id, () => this._comms.delete(id));
    this._comms.set(id, comm);
    return comm;
  }

  /**
   * @param {string} target
   * @param {string} id
   * @param {any} [data]
   * @param {any} [metadata]
   * @returns {Promise<any>}
   */
  async _create_comm(target, id, data, metadata) {
    const comm = this._comm(target, id);
    // The kernel opened those of widgets.
    if (target !== WIDGET) comm.open(data ?? {}, undefined, metadata);
    return comm;
  }

  /** @returns {Promise<{}>} */
  async _get_comm_info() {
    return {};
  }

  /** @param {Message} message */
  handle({ kind, parent, metadata, content, buffers }) {
    const message = /** @type {any} */ ({ content, metadata, buffers, parent_header: parent, header: { msg_type: kind } });
    const id = content.comm_id;
    if (kind === "comm_open" && content.target_name === WIDGET) this.handle_comm_open(/** @type {any} */ (this._comm(WIDGET, id)), message);
    else if (kind === "comm_msg") this._comms.get(id)?.onMessage(message);
    else if (kind === "comm_close") {
      const comm = this._comms.get(id);
      this._comms.delete(id);
      comm?.onClose(message);
    }
  }

  /**
   * @param {any} model
   * @param {any} options
   * @returns {Promise<any>}
   */
  create_view(model, options = {}) {
    this._pending += 1;
    const made = super.create_view(model, options);
    const end = () => {
      // The view is placed in its parent before this; children are counted before their parent ends.
      this._pending -= 1;
      if (!this._pending) this._onDrawn();
    };
    made.then((/** @type {any} */ view) => {
      view.el.dataset.model = model.model_id;
      this.viewOf.set(model.model_id, view);
      view.once("remove", () => this.viewOf.delete(model.model_id));
      // Placed by the callbacks that were added before the next task.
      setTimeout(end);
    }, end);
    return made;
  }

  /**
   * Draw a widget and all that is in it; returns its view, which is in no page yet.
   * @param {string} id
   */
  async draw(id) {
    const drawn = new Promise((done) => (this._onDrawn = () => done(undefined)));
    const view = await this.create_view(await this.get_model(id));
    await drawn;
    this._onDrawn = () => {};
    return view;
  }
}
