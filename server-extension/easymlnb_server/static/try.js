// @ts-check
// "Try it": a form for one operation, the request, and the response.

import { headers as common, make, page } from "./dom.js";
import { kind, sample } from "./schema.js";
import { operationUrl, queryPairs, queryString } from "./urls.js";

/** @import { Content, Media, Parameter, Route } from "./docs.js" */
/** @import { Resolve, Schema } from "./schema.js" */
/**
 * @typedef {{ headers?: Record<string, string>, body?: BodyInit }} Sent
 * @typedef {{ elements: HTMLElement[], read: () => Sent }} Editor
 */

const STREAMS = ["text/event-stream", "application/jsonl"];
const SHOWN = 200_000; // characters of a response that a page shows without getting slow
/**
 * The response headers that are shown.
 * @type {Record<string, (value: string) => string>}
 */
const HEADERS = {
  "content-type": (value) => value,
  "x-easymlnb-version": (value) => (!value || value === "live" ? value : `version ${value}`),
  "server-timing": (value) => value && `worker ${Number(/dur=([\d.]+)/.exec(value)?.[1] ?? 0).toFixed(1)} ms`,
  "x-request-id": (value) => value && `request ${value}`,
};

/**
 * Return the form for an operation.
 * @param {Route} route
 * @param {Resolve} resolve
 */
export function tryIt({ path, method, operation, shared }, resolve) {
  const all = [...(shared ?? []), ...(operation.parameters ?? [])];
  const parameters = all.filter((each) => each.in === "path");
  const queries = all.filter((each) => each.in === "query").map((parameter) => ({ parameter, input: queryInput(parameter) }));
  const bodies = operation.requestBody?.content ?? {};
  const inPath = parameters.map(({ name }) => ({
    name, input: make("input", { type: "text", required: true, id: unique(), spellcheck: "false" }),
  }));
  const body = Object.keys(bodies).length ? bodyForm(bodies, resolve) : null;
  const accepts = Object.keys(operation.responses?.["200"]?.content ?? {});
  const accept = make("select", { id: unique() }, ...accepts.map((type) => make("option", {}, type)));
  const answer = make("div", { class: "answer", "aria-live": "polite" });
  const send = make("button", { type: "submit", class: "primary" }, method === "delete" ? "Delete" : "Send");
  const stop = make("button", { type: "button", disabled: true }, "Stop");
  /** @type {AbortController | null} */
  let running = null;
  stop.addEventListener("click", () => running?.abort());

  /** @param {Event} event */
  const submit = async (event) => {
    event.preventDefault();
    if (running) return;
    const url = operationUrl(page.root, path, new Map(inPath.map(({ name, input }) => [name, input.value])))
      + queryString(queries.flatMap(({ parameter, input }) => queryPairs(parameter, input.value)));
    if (method === "delete" && !confirm(`Delete ${decodeURIComponent(url)}? This cannot be undone.`)) return;
    /** @type {Record<string, string>} */
    const headers = { ...common };
    if (accept.value) headers.Accept = accept.value;
    running = new AbortController();
    send.disabled = true;
    stop.disabled = false;
    answer.classList.add("waiting");
    const began = performance.now();
    try {
      const sent = body ? body.read() : {};
      const response = await fetch(url, {
        method: method.toUpperCase(), headers: { ...headers, ...sent.headers }, body: sent.body, signal: running.signal,
      });
      await show(answer, response, began);
    } catch (error) {
      const message = running.signal.aborted ? "Stopped." : error instanceof SyntaxError
        ? `The body is not valid JSON: ${error.message}` : "The server cannot be reached. Check that it is running.";
      answer.replaceChildren(make("p", { class: "error" }, message));
    }
    answer.classList.remove("waiting");
    send.disabled = false;
    stop.disabled = true;
    running = null;
  };

  const form = make(
    "form", { class: "try", onsubmit: submit },
    ...inPath.map(({ name, input }) => field(name, input)),
    ...queries.map(({ parameter, input }) => field(parameter.name, input, parameter.description)),
    body?.element,
    accepts.length > 1 ? field("Response type", accept) : null,
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

/**
 * @param {string} label
 * @param {HTMLElement} input
 * @param {string | null} [help]
 */
function field(label, input, help) {
  return make("div", { class: "field" }, make("label", { for: input.id }, label), input,
    help ? make("div", { class: "help" }, help) : null);
}

/** @param {Parameter} parameter */
function queryInput({ schema }) {
  const choices = schema?.enum;
  if (!choices) return make("input", { type: "text", id: unique(), spellcheck: "false" });
  return make("select", { id: unique() }, ...["", ...choices].map((choice) => make("option", {}, String(choice))));
}

/**
 * Return the part of the form for the body, with one editor for each media type.
 * @param {Content} bodies
 * @param {Resolve} resolve
 */
function bodyForm(bodies, resolve) {
  const types = Object.keys(bodies);
  const choice = make("select", { id: unique() }, ...types.map((each) => make("option", {}, each)));
  const holder = make("div");
  // Choosing a file is easier than writing it as base64.
  const form = /** @type {Schema} */ (resolve(bodies["multipart/form-data"]?.schema));
  const files = Object.values(form.properties ?? {}).some((property) => resolve(property).format === "binary");
  if (files) choice.value = "multipart/form-data";
  /** @type {() => Sent} */
  let read = () => ({});
  const draw = () => {
    const type = choice.value;
    const editor = type === "application/json" ? jsonEditor : type === "multipart/form-data" ? formEditor : fileEditor;
    const parts = editor(bodies[type], type, resolve);
    read = parts.read;
    holder.replaceChildren(...parts.elements);
  };
  choice.addEventListener("change", draw);
  draw();
  const element = make("div", {}, types.length > 1 ? field("Body type", choice) : null, holder);
  return { element, read: () => read() };
}

/**
 * @param {Media} body
 * @param {string} type
 * @param {Resolve} resolve
 * @returns {Editor}
 */
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

/**
 * @param {Media} _
 * @param {string} type
 * @returns {Editor}
 */
function fileEditor(_, type) {
  const input = make("input", { type: "file", id: unique(), required: true, accept: type });
  return { elements: [field("File", input)], read: () => ({ headers: { "Content-Type": type }, body: input.files?.[0] }) };
}

/**
 * @param {Media} body
 * @param {string} _
 * @param {Resolve} resolve
 * @returns {Editor}
 */
function formEditor(body, _, resolve) {
  const schema = resolve(body.schema);
  const inputs = Object.entries(schema.properties ?? {}).map(([name, propertySchema]) => {
    const property = resolve(propertySchema);
    const required = schema.required?.includes(name) ?? false;
    const file = property.format === "binary";
    const input = make("input", {
      type: file ? "file" : "text", id: unique(), required,
      accept: file ? body.encoding?.[name]?.contentType : null,
      placeholder: "default" in property ? JSON.stringify(property.default) : null,
    });
    return { name, input, file, element: field(name, input, property.description ?? (file ? null : kind(propertySchema, resolve))) };
  });
  return {
    elements: inputs.map((input) => input.element),
    read: () => {
      const form = new FormData();
      for (const { name, input, file } of inputs) {
        const chosen = input.files?.[0];
        if (chosen) form.append(name, chosen);
        else if (!file && input.value !== "") form.append(name, input.value);
      }
      return { body: form };
    },
  };
}

/**
 * Show a response; a stream while it arrives.
 * @param {HTMLElement} answer
 * @param {Response} response
 * @param {number} began - `performance.now()` when the request was sent
 */
async function show(answer, response, began) {
  const facts = make("p", { class: "muted small" });
  const update = () => {
    const seconds = ((performance.now() - began) / 1000).toFixed(2);
    const shown = Object.entries(HEADERS).map(([name, format]) => format(response.headers.get(name) ?? ""));
    facts.textContent = [`${response.status} ${response.statusText}`.trim(), `${seconds} s`, ...shown.filter(Boolean)].join(" · ");
    facts.classList.toggle("error", !response.ok);
  };
  update();
  const type = (response.headers.get("content-type") ?? "").split(";")[0];
  if (STREAMS.includes(type) && response.body) {
    const pre = make("pre", { tabindex: "0" });
    answer.replaceChildren(facts, pre);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let length = 0;
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (length < SHOWN) pre.append(part.value);
      length += part.value.length;
    }
    update();
    return;
  }
  const blob = await response.blob();
  update();
  answer.replaceChildren(facts, ...(await bodyView(blob, type)));
}

/**
 * @param {Blob} blob
 * @param {string} type
 */
async function bodyView(blob, type) {
  if (!blob.size) return [];
  const url = URL.createObjectURL(blob);
  const save = make("a", { href: url, download: "response", class: "button" }, `Download (${blob.size.toLocaleString()} bytes)`);
  if (type.startsWith("image/") && type !== "image/tiff") return [make("img", { src: url, alt: "Response image" }), save];
  if (type.startsWith("audio/")) return [make("audio", { src: url, controls: true }), save];
  if (!type.startsWith("text/") && !type.includes("json")) return [save];
  let text = await blob.text();
  if (type.includes("json")) {
    try {
      text = JSON.stringify(JSON.parse(text), null, 2);
    } catch {
      // Invalid JSON is shown as text.
    }
  }
  const pre = make("pre", { tabindex: "0" }, text.slice(0, SHOWN));
  return text.length > SHOWN ? [pre, save] : [pre];
}
