// @ts-check
// Comms: one conversation between a widget here and its counterpart in the form kernel.

/** @import { Callbacks, Connection } from "./connection.js" */

/** @typedef {(message: any) => unknown} Listener */

const ignore = () => {};

export class Comm {
  /**
   * @param {Connection} connection
   * @param {string} target
   * @param {string} id
   * @param {(id: string) => void} forget - called when it is closed here
   */
  constructor(connection, target, id, forget) {
    this.comm_id = id;
    this.target_name = target;
    this._connection = connection;
    this._forget = forget;
    /** @type {Listener} */
    this.onMessage = ignore;
    /** @type {Listener} */
    this.onClose = ignore;
  }

  /** @param {Listener} listener */
  on_msg(listener) {
    this.onMessage = listener;
  }

  /** @param {Listener} listener */
  on_close(listener) {
    this.onClose = listener;
  }

  /**
   * @param {object} data
   * @param {Callbacks} [callbacks]
   * @param {object} [metadata]
   * @param {BufferSource[]} [buffers]
   */
  open(data, callbacks, metadata, buffers) {
    const content = { comm_id: this.comm_id, target_name: this.target_name, data };
    return this._connection.send("comm_open", content, callbacks, metadata, buffers);
  }

  /**
   * @param {object} data
   * @param {Callbacks} [callbacks]
   * @param {object} [metadata]
   * @param {BufferSource[]} [buffers]
   */
  send(data, callbacks, metadata, buffers) {
    return this._connection.send("comm_msg", { comm_id: this.comm_id, data }, callbacks, metadata, buffers);
  }

  close(data = {}) {
    this._forget(this.comm_id);
    return this._connection.send("comm_close", { comm_id: this.comm_id, data });
  }
}
