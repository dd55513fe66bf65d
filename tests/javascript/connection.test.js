import assert from "node:assert/strict";
import { test } from "node:test";

import { Connection, pack, unpack } from "../../server-extension/front/connection.js";

// Node.js has it from version 22.
globalThis.WebSocket = { CONNECTING: 0, OPEN: 1, CLOSED: 3 };

const bytes = (value) => new TextEncoder().encode(JSON.stringify(value));

/** A message of the server, as it comes over the socket. */
const message = (kind, content, parent = {}, buffers = []) =>
  pack([new TextEncoder().encode("iopub"), bytes({ msg_type: kind }), bytes(parent), bytes({}), bytes(content), ...buffers]).buffer;

class Socket {
  sent = [];
  readyState = WebSocket.CONNECTING;
  send(data) {
    this.sent.push(unpack(data.buffer));
  }
  open() {
    this.readyState = WebSocket.OPEN;
    this.onopen();
  }
  close() {
    this.readyState = WebSocket.CLOSED;
    this.onclose();
  }
}

/** A connection, and the socket that it opens next. */
function connect() {
  const first = new Socket();
  const connection = new Connection("ws://server", first);
  const next = new Socket();
  connection.WebSocket = function () {
    return next;
  };
  return { connection, first, next };
}

test("a message is what it was before it was packed", () => {
  const read = unpack(message("comm_msg", { text: "\u00e4" }, { msg_id: "1" }, [new Uint8Array([1, 2, 3])]));
  assert.equal(read.kind, "comm_msg");
  assert.deepEqual([read.content, read.parent], [{ text: "\u00e4" }, { msg_id: "1" }]);
  assert.deepEqual([...new Uint8Array(read.buffers[0].buffer)], [1, 2, 3]);
});

test("what is sent before there is a connection is sent in order when there is one", () => {
  const { connection, first } = connect();
  connection.send("comm_msg", { at: 1 });
  connection.send("comm_msg", { at: 2 });
  assert.deepEqual(first.sent, []);
  first.open();
  assert.deepEqual(first.sent.map(({ content }) => content.at), [1, 2]);
});

test("what is sent during a lost connection is sent over the next one", () => {
  const { connection, first, next } = connect();
  first.open();
  first.close();
  connection.send("comm_msg", { at: 1 });
  connection.reconnect();
  next.open();
  assert.deepEqual(next.sent.map(({ content }) => content.at), [1]);
});

test("a widget hears when its message was processed, or lost with its connection", () => {
  const { connection, first } = connect();
  const heard = [];
  const callbacks = { iopub: { status: ({ content }) => heard.push(content.execution_state) } };
  first.open();
  const id = connection.send("comm_msg", {}, callbacks);
  for (const state of ["busy", "idle", "idle"]) first.onmessage({ data: message("status", { execution_state: state }, { msg_id: id }) });
  assert.deepEqual(heard, ["busy", "idle"]);
  connection.send("comm_msg", {}, callbacks);
  first.close();
  assert.deepEqual(heard, ["busy", "idle", "idle"]);
});
