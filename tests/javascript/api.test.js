import assert from "node:assert/strict";
import { test } from "node:test";

const root = { dataset: { root: "/easymlnb/", xsrf: "secret" } };
Object.assign(globalThis, { document: { documentElement: root } });
const { api, attempt, request, RequestError } = await import("../../server-extension/easymlnb_server/static/api.js");

/** @param {() => Response | Promise<Response>} answer */
function answering(answer) {
  /** @type {[string, any][]} */
  const sent = [];
  Object.assign(globalThis, { fetch: async (/** @type {string} */ url, /** @type {any} */ options) => {
    sent.push([url, options]);
    return answer();
  } });
  return sent;
}

/** @returns {any} */
function element() {
  const held = new Map();
  return {
    textContent: "before",
    scrolled: false,
    getAttribute: (/** @type {string} */ name) => held.get(name) ?? null,
    setAttribute: (/** @type {string} */ name, /** @type {string} */ value) => held.set(name, value),
    removeAttribute: (/** @type {string} */ name) => held.delete(name),
    scrollIntoView() { this.scrolled = true; },
  };
}

test("JSON and bytes are sent with their types and the header against forgery", async () => {
  const sent = answering(() => Response.json({ id: 7 }));
  assert.deepEqual(await api("POST", "keys", { note: "x" }), { id: 7 });
  await request("POST", "/file", new Blob(["a,b"], { type: "text/csv" }));
  await request("GET", "/plain");
  const [[url, first], [, second], [, third]] = sent;
  assert.equal(url, "/easymlnb/keys");
  assert.deepEqual(first.headers, { "X-XSRFToken": "secret", "Content-Type": "application/json" });
  assert.equal(first.body, '{"note":"x"}');
  assert.equal(second.headers["Content-Type"], "text/csv");
  assert.deepEqual(third.headers, { "X-XSRFToken": "secret" });
  answering(() => new Response(null, { status: 204 }));
  assert.equal(await request("DELETE", "/keys/1"), null);
});

test("what goes wrong is said in a sentence", async () => {
  /** @type {[() => Response, number, RegExp][]} */
  const cases = [
    [() => { throw new TypeError("Failed to fetch"); }, 0, /^The server cannot be reached\. Check your connection/],
    [() => /** @type {any} */ ({ ok: false, status: 0, type: "opaqueredirect" }), 401, /no longer logged in/],
    [() => Response.json({ error: { message: "No such service: 'x'." } }, { status: 404 }), 404, /^No such service: 'x'\.$/],
    [() => new Response("<h1>Bad gateway</h1>", { status: 502 }), 502, /responded with status 502\. Try again/],
    [() => new Response("{oops"), 0, /cannot be reached/],
  ];
  for (const [answer, status, message] of cases) {
    answering(answer);
    await assert.rejects(request("GET", "/x"), (/** @type {any} */ error) => error.status === status && message.test(error.message));
  }
});

test("a double click does one thing, and an error is shown where it can be seen", async () => {
  const [part, problem] = [element(), element()];
  let runs = 0;
  /** @type {(value?: unknown) => void} */
  let finish = () => {};
  const work = () => { runs += 1; return new Promise((done) => { finish = done; }); };
  const first = attempt(part, problem, work);
  assert.equal(await attempt(part, problem, work), false);
  assert.equal(problem.textContent, "");
  finish();
  assert.equal(await first, true);
  assert.equal(runs, 1);
  assert.equal(await attempt(part, problem, async () => { throw new Error("Too many keys."); }), false);
  assert.equal(problem.textContent, "Too many keys.");
  assert.ok(problem.scrolled);
  assert.equal(part.getAttribute("aria-busy"), null);
});

test("temporary errors of requests differ from final ones", () => {
  const temporary = [0, 424, 429, 500, 503].map((status) => new RequestError("", status).isTemporary);
  assert.deepEqual(temporary, [true, true, true, true, true]);
  const final = [400, 401, 404, 422].map((status) => new RequestError("", status).isTemporary);
  assert.deepEqual(final, [false, false, false, false]);
});
