import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { Rejected, send } from "../../easymlnb/forms/scripts/sending.js";

const FILE = new File(["0123456789"], "a.txt", { type: "text/plain" });
const TO = { url: "/uploads", service: "a/b" };
const CREATED = [201, { id: "u1", chunk: 4 }];
const realTimeout = globalThis.setTimeout;
let requests;
let answers;

class Request {
  upload = {};
  headers = {};
  open(method, url) {
    Object.assign(this, { method, url });
  }
  setRequestHeader(name, value) {
    this.headers[name] = value;
  }
  abort() {
    this.onabort();
  }
  async send(body) {
    const text = body instanceof Blob ? await body.text() : body;
    requests.push([this.method, new URL(this.url).pathname + new URL(this.url).search, text]);
    const answer = answers.shift();
    if (answer === "hang") return;
    if (answer === "lost") {
      this.onerror();
      return;
    }
    [this.status] = answer;
    this.responseText = typeof answer[1] === "string" ? answer[1] : JSON.stringify(answer[1]);
    this.onload();
  }
}

beforeEach(() => {
  requests = [];
  globalThis.XMLHttpRequest = Request;
  globalThis.location = new URL("https://host/apps/a");
  globalThis.document = { cookie: "x=1; _xsrf=token" };
  globalThis.setTimeout = (act) => realTimeout(act, 0);
});

afterEach(() => {
  globalThis.setTimeout = realTimeout;
});

test("a file is sent in parts", async () => {
  answers = [CREATED, [200, { offset: 4 }], [200, { offset: 8 }], [200, {}]];
  const progress = [];
  assert.equal(await send(FILE, TO, (sent) => progress.push(sent), new AbortController().signal), "u1");
  assert.deepEqual(requests.map(([method, url]) => `${method} ${url}`), [
    "POST /uploads?service=a%2Fb", "PUT /uploads/u1?offset=0", "PUT /uploads/u1?offset=4", "PUT /uploads/u1?offset=8",
  ]);
  assert.deepEqual(requests.slice(1).map(([, , body]) => body), ["0123", "4567", "89"]);
  assert.deepEqual(progress.slice(0, 2), [4, 8]);
});

test("after a failure the server says where to resume", async () => {
  answers = [CREATED, "lost", [200, { offset: 2 }], [200, { offset: 6 }], [503, ""], [200, { offset: 10 }]];
  const progress = [];
  await send(FILE, TO, (sent) => progress.push(sent), new AbortController().signal);
  assert.deepEqual(requests.map(([method]) => method), ["POST", "PUT", "GET", "PUT", "PUT", "GET"]);
  assert.equal(requests[3][1], "/uploads/u1?offset=2");
  assert.deepEqual(progress, [null, 6, null, 10]);
});

test("a rejected file is not sent again", async () => {
  answers = [[413, { error: { message: "The file is too large." } }]];
  await assert.rejects(send(FILE, TO, () => {}, new AbortController().signal), (error) =>
    error instanceof Rejected && error.message === "The file is too large.");
  answers = [[403, "<html>"]];
  await assert.rejects(send(FILE, TO, () => {}, new AbortController().signal), /rejected the file \(status 403\)/);
});

test("after ten attempts the upload fails", async () => {
  answers = Array(10).fill("lost");
  await assert.rejects(send(FILE, TO, () => {}, new AbortController().signal), /network/);
  assert.equal(answers.length, 0);
});

test("a canceled upload is deleted on the server", async () => {
  answers = [CREATED, "hang"];
  const deleted = [];
  globalThis.fetch = async (url, { method }) => deleted.push(`${method} ${url}`);
  const controller = new AbortController();
  const sent = send(FILE, TO, () => {}, controller.signal);
  while (requests.length < 2) await new Promise((done) => setImmediate(done));
  controller.abort();
  await assert.rejects(sent, { name: "AbortError" });
  assert.deepEqual(deleted, ["DELETE https://host/uploads/u1"]);
});
