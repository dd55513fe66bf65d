// "Try it": a form for one operation, the request it makes, and the answer.

import { make } from "./dom.js";
import { kind, sample } from "./schema.js";

const EVENTS = "text/event-stream";
const SHOWN = 200_000; // characters of an answer that a page can show without getting slow
// What is worth telling of an answer's headers, and in which words.
const HEADERS = {
  "content-type": (value) => value,
  "x-easymlnb-version": (value) => (value === "live" ? "live" : `version ${value}`),
  "server-timing": (value) => `worker ${Number(/dur=([\d.]+)/.exec(value)?.[1] ?? 0).toFixed(1)} ms`,
  "x-request-id": (value) => `request ${value}`,
};
const page = document.documentElement.dataset;

export function tryIt(path, method, operation, shared, resolve) {
  const all = [...(shared ?? []), ...(operation.parameters ?? [])];
  const parameters = all.filter((one) => one.in === "path");
  const queries = all.filter((one) => one.in === "query").map((one) => [one, queryInput(one)]);
  const bodies = operation.requestBody?.content ?? {};
  const asks = parameters.map((one) => [one.name, make("input", { type: "text", required: true, id: unique(), spellcheck: "false" })]);
  const body = Object.keys(bodies).length ? bodyForm(bodies, resolve) : null;
  const accepts = Object.keys(operation.responses?.["200"]?.content ?? {});
  const accept = make("select", { id: unique() }, ...accepts.map((one) => make("option", {}, one)));
  const answer = make("div", { class: "answer", "aria-live": "polite" });
  const send = make("button", { type: "submit", class: "primary" }, method === "delete" ? "Remove" : "Send");
  const stop = make("button", { type: "button", disabled: true }, "Stop");
  let running = null;
  stop.addEventListener("click", () => running?.abort());

  const submit = async (event) => {
    event.preventDefault();
    if (running) return;
    const url = page.root + path.slice(1).replace(/{(\w+)}/g, (_, name) =>
      encodeURIComponent(asks.find(([one]) => one === name)[1].value));
    const asked = query(queries);
    if (method === "delete" && !confirm(`Remove ${decodeURIComponent(url)} and all its versions?`)) return;
    const headers = { "X-XSRFToken": page.xsrf };
    if (accept.value) headers.Accept = accept.value;
    running = new AbortController();
    send.disabled = true;
    stop.disabled = false;
    answer.classList.add("waiting");
    const began = performance.now();
    try {
      const sent = body ? body.read() : {};
      const response = await fetch(url + asked, {
        method: method.toUpperCase(), headers: { ...headers, ...sent.headers }, body: sent.body, signal: running.signal,
      });
      await show(answer, response, began);
    } catch (error) {
      const said = error.name === "AbortError" ? "Stopped." : error instanceof SyntaxError
        ? `The body is not JSON: ${error.message}` : "No answer: the server cannot be reached. Is it still running?";
      answer.replaceChildren(make("p", { class: "error" }, said));
    }
    answer.classList.remove("waiting");
    send.disabled = false;
    stop.disabled = true;
    running = null;
  };

  const form = make(
    "form", { class: "try", onsubmit: submit },
    ...asks.map(([name, input]) => field(name, input)),
    ...queries.map(([one, input]) => field(one.name, input, one.description)),
    body?.element,
    accepts.length > 1 ? field("Answer as", accept) : null,
    make("div", { class: "row" }, send, stop),
    answer,
  );
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
    if (event.key === "Escape") running?.abort();
  });
  return form;
}

let count = 0;
function unique() {
  count += 1;
  return `input-${count}`;
}

function field(label, input, help) {
  return make("div", { class: "field" }, make("label", { for: input.id }, label), input,
    help ? make("div", { class: "help" }, help) : null);
}

function queryInput({ schema }) {
  const choices = schema?.enum;
  if (!choices) return make("input", { type: "text", id: unique(), spellcheck: "false" });
  return make("select", { id: unique() }, ...["", ...choices].map((one) => make("option", {}, one)));
}

// What was filled in; of a list, each word is one value.
function query(queries) {
  const told = new URLSearchParams();
  for (const [{ name, schema }, { value }] of queries) {
    const values = schema?.type === "array" ? value.split(/[\s,]+/) : [value];
    for (const one of values) if (one) told.append(name, one);
  }
  const text = told.toString();
  return text && `?${text}`;
}

// One way to send a body for each media type that the operation reads.
function bodyForm(bodies, resolve) {
  const ways = Object.keys(bodies);
  const choice = make("select", { id: unique() }, ...ways.map((one) => make("option", {}, one)));
  const holder = make("div");
  // Files are easier to choose than to write as base64.
  const form = resolve(bodies["multipart/form-data"]?.schema);
  const files = Object.values(form.properties ?? {}).some((one) => resolve(one).format === "binary");
  if (files) choice.value = "multipart/form-data";
  let read = () => ({});
  const draw = () => {
    const type = choice.value;
    const editor = type === "application/json" ? jsonEditor : type === "multipart/form-data" ? formEditor : fileEditor;
    const made = editor(bodies[type], type, resolve);
    read = made.read;
    holder.replaceChildren(...made.elements);
  };
  choice.addEventListener("change", draw);
  draw();
  const element = make("div", {}, ways.length > 1 ? field("Body", choice) : null, holder);
  return { element, read: () => read() };
}

function jsonEditor(body, type, resolve) {
  const example = Object.values(body.examples ?? {})[0]?.value ?? sample(body.schema, resolve) ?? {};
  const text = make("textarea", { id: unique(), rows: "6", spellcheck: "false", class: "mono" });
  text.value = JSON.stringify(example, null, 2);
  return {
    elements: [field("JSON", text)],
    read: () => {
      JSON.parse(text.value);
      return { headers: { "Content-Type": type }, body: text.value };
    },
  };
}

function fileEditor(body, type) {
  const input = make("input", { type: "file", id: unique(), required: true, accept: type });
  return { elements: [field("File", input)], read: () => ({ headers: { "Content-Type": type }, body: input.files[0] }) };
}

function formEditor(body, type, resolve) {
  const schema = resolve(body.schema);
  const inputs = Object.entries(schema.properties ?? {}).map(([name, one]) => {
    const found = resolve(one);
    const required = schema.required?.includes(name) ?? false;
    const file = found.format === "binary";
    const input = make("input", {
      type: file ? "file" : "text", id: unique(), required,
      accept: file ? body.encoding?.[name]?.contentType : null,
      placeholder: "default" in found ? JSON.stringify(found.default) : null,
    });
    return [name, input, file, field(name, input, found.description ?? (file ? null : kind(one, resolve)))];
  });
  return {
    elements: inputs.map((one) => one[3]),
    read: () => {
      const form = new FormData();
      for (const [name, input, file] of inputs) {
        if (file && input.files[0]) form.append(name, input.files[0]);
        else if (!file && input.value !== "") form.append(name, input.value);
      }
      return { body: form };
    },
  };
}

async function show(answer, response, began) {
  const facts = make("p", { class: "muted small" });
  const tell = () => {
    const seconds = ((performance.now() - began) / 1000).toFixed(2);
    const told = Object.entries(HEADERS).filter(([name]) => response.headers.get(name));
    const said = told.map(([name, words]) => words(response.headers.get(name)));
    facts.textContent = [`${response.status} ${response.statusText}`.trim(), `${seconds} s`, ...said].join(" · ");
    facts.classList.toggle("error", !response.ok);
  };
  tell();
  const type = (response.headers.get("content-type") ?? "").split(";")[0];
  if (type === EVENTS || type === "application/jsonl") {
    const pre = make("pre", { tabindex: "0" });
    answer.replaceChildren(facts, pre);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (pre.textContent.length < SHOWN) pre.append(part.value);
    }
    tell();
    return;
  }
  const blob = await response.blob();
  tell();
  answer.replaceChildren(facts, ...(await bodyView(blob, type)));
}

async function bodyView(blob, type) {
  if (!blob.size) return [];
  const url = URL.createObjectURL(blob);
  const save = make("a", { href: url, download: "answer", class: "button" }, `Download (${blob.size.toLocaleString()} bytes)`);
  if (type.startsWith("image/") && type !== "image/tiff") return [make("img", { src: url, alt: "The answer as an image" }), save];
  if (type.startsWith("audio/")) return [make("audio", { src: url, controls: true }), save];
  if (!type.startsWith("text/") && !type.includes("json")) return [save];
  let text = await blob.text();
  if (type.includes("json")) {
    try {
      text = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // Then it is shown as it came.
    }
  }
  const pre = make("pre", { tabindex: "0" }, text.slice(0, SHOWN));
  return text.length > SHOWN ? [pre, save] : [pre];
}
