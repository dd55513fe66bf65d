// @ts-check
// The page's connection to its form kernel: Jupyter's messages over one WebSocket, in the protocol
// `v1.kernel.websocket.jupyter.org`.

export const PROTOCOL = "v1.kernel.websocket.jupyter.org";

const NUMBER = 8; // bytes of an offset
const CHANNEL = "shell";
const MOST_UNSENT = 500; // messages that wait for a connection; the server accepts as many at once
const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * @typedef {object} Message
 * @property {string} kind
 * @property {any} parent
 * @property {any} metadata
 * @property {any} content
 * @property {DataView[]} buffers
 */

/** @typedef {{ iopub?: { status?: (message: { content: unknown }) => void } }} Callbacks */

/** @param {BufferSource} data */
const bytesOf = (data) =>
  ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);

/**
 * Return a message as the protocol writes it: a table of offsets, then the parts.
 * @param {Uint8Array[]} parts
 */
export function pack(parts) {
  const table = NUMBER * (parts.length + 2);
  const packed = new Uint8Array(parts.reduce((size, part) => size + part.length, table));
  const view = new DataView(packed.buffer);
  view.setBigUint64(0, BigInt(parts.length + 1), true);
  let at = table;
  parts.forEach((part, index) => {
    view.setBigUint64(NUMBER * (index + 1), BigInt(at), true);
    packed.set(part, at);
    at += part.length;
  });
  view.setBigUint64(NUMBER * (parts.length + 1), BigInt(at), true);
  return packed;
}

/**
 * Read a message of the server.
 * @param {ArrayBuffer} data
 * @returns {Message}
 */
export function unpack(data) {
  const view = new DataView(data);
  const count = Number(view.getBigUint64(0, true));
  const offsets = Array.from({ length: count }, (_, index) => Number(view.getBigUint64(NUMBER * (index + 1), true)));
  const parts = offsets.slice(0, -1).map((from, index) => [from, offsets[index + 1]]);
  /** @param {number} index */
  const json = (index) => JSON.parse(decoder.decode(new Uint8Array(data, parts[index][0], parts[index][1] - parts[index][0])));
  return {
    kind: json(1).msg_type,
    parent: json(2),
    metadata: json(3),
    content: json(4),
    buffers: parts.slice(5).map(([from, to]) => new DataView(data.slice(from, to))),
  };
}

export class Connection {
  /**
   * @param {string} url
   * @param {WebSocket} socket - opened by the page's head, so that it does not wait for this script
   */
  constructor(url, socket) {
    this.url = url;
    /** @type {(message: Message) => void} */
    this.onMessage = () => {};
    this.onStatus = () => {};
    /** @type {typeof WebSocket} */
    this.WebSocket = WebSocket;
    /** @type {{ id: string, data: Uint8Array<ArrayBuffer> }[]} */
    this._unsent = [];
    /** @type {Map<string, Callbacks>} */
    this._callbacks = new Map(); // of messages that are not processed yet
    this._session = crypto.getRandomValues(new Uint32Array(4)).join("");
    this._count = 0;
    this.socket = socket;
    this._adopt(socket);
  }

  get connected() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  /** Replace a lost connection. What users did meanwhile is sent when the new one is open. */
  reconnect() {
    if (this.connected || this.socket.readyState === WebSocket.CONNECTING) return;
    this._adopt(new this.WebSocket(this.url, [PROTOCOL]));
  }

  /** @param {WebSocket} socket */
  _adopt(socket) {
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      for (const { data } of this._unsent.splice(0)) socket.send(data);
      this.onStatus();
    };
    socket.onmessage = (event) => this._receive(unpack(event.data));
    socket.onclose = () => {
      this._endCallbacks();
      this.onStatus();
    };
    // It may have changed before this script was there.
    if (socket.readyState === WebSocket.CLOSED) queueMicrotask(() => this.onStatus());
  }

  /**
   * Send a message, as soon as there is a connection; returns its ID.
   * @param {string} kind
   * @param {object} content
   * @param {Callbacks} [callbacks]
   * @param {object} [metadata]
   * @param {BufferSource[]} [buffers]
   */
  send(kind, content, callbacks, metadata = {}, buffers = []) {
    const id = `${this._session}_${(this._count += 1)}`;
    if (callbacks?.iopub?.status) this._callbacks.set(id, callbacks);
    const header = { msg_id: id, msg_type: kind, session: this._session, username: "", version: "5.3" };
    const parts = [header, {}, metadata, content].map((part) => encoder.encode(JSON.stringify(part)));
    const data = pack([encoder.encode(CHANNEL), ...parts, ...buffers.map(bytesOf)]);
    if (this.connected) this.socket.send(data);
    else if (this._unsent.length < MOST_UNSENT) this._unsent.push({ id, data });
    return id;
  }

  /** @param {Message} message */
  _receive(message) {
    if (message.kind !== "status") {
      this.onMessage(message);
      return;
    }
    const callbacks = this._callbacks.get(message.parent.msg_id);
    if (!callbacks) return;
    if (message.content.execution_state === "idle") this._callbacks.delete(message.parent.msg_id);
    callbacks.iopub?.status?.({ content: message.content });
  }

  /** Widgets send the next change when the last one was processed: those of a lost connection never are. */
  _endCallbacks() {
    const unsent = new Set(this._unsent.map(({ id }) => id));
    const lost = [...this._callbacks].filter(([id]) => !unsent.has(id));
    for (const [id] of lost) this._callbacks.delete(id);
    for (const [, each] of lost) each.iopub?.status?.({ content: { execution_state: "idle" } });
  }
}
