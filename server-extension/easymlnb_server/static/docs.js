// @ts-check
// The API page, drawn from openapi.json: contents on the left, one card per operation.

import { byId, headers, inline, make, page } from "./dom.js";
import { kind, resolver } from "./schema.js";
import { plain } from "./text.js";
import { tryIt } from "./try.js";

/** @import { Resolve, Schema } from "./schema.js" */
/**
 * @typedef {{ schema?: Schema, examples?: Record<string, { value: unknown }>, encoding?: Record<string, { contentType?: string }> }} Media
 * @typedef {Record<string, Media>} Content - by media type
 * @typedef {{ name: string, in: string, description?: string, schema?: Schema }} Parameter
 * @typedef {{ description: string, content?: Content }} Answer
 * @typedef {object} Operation
 * @property {string} operationId
 * @property {string[]} tags
 * @property {string} summary
 * @property {string} [description]
 * @property {Parameter[]} [parameters]
 * @property {{ content: Content }} [requestBody]
 * @property {Record<string, Answer>} responses
 * @typedef {{ path: string, method: string, operation: Operation, shared?: Parameter[] }} Route
 * @typedef {{ name: string, description?: string }} Tag
 * @typedef {{ tags: Tag[], paths: Record<string, Record<string, Operation> & { parameters?: Parameter[] }> }} Api
 */

const METHODS = ["get", "post", "put", "patch", "delete"];
const DEPTH = 4;

/**
 * Return the tags that have operations, with these.
 * @param {Api} api
 */
function groups(api) {
  const byName = new Map(api.tags.map((tag) => [tag.name, { ...tag, routes: /** @type {Route[]} */ ([]) }]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((each) => each in item)) {
      const operation = item[method];
      byName.get(operation.tags[0])?.routes.push({ path, method, operation, shared: item.parameters });
    }
  }
  return [...byName.values()].filter((group) => group.routes.length);
}

/**
 * @param {Route} route
 * @param {Api} api
 */
function card(route, api) {
  const { path, method, operation } = route;
  const details = make("details", { class: "card operation", id: operation.operationId },
    make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()),
      make("code", { class: "path" }, path), make("span", { class: "muted small" }, operation.summary)));
  // Drawn when it is opened, so that a page of a hundred services stays light.
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(contents(route, resolver(api)));
  });
  return details;
}

/**
 * @param {Route} route
 * @param {Resolve} resolve
 */
function contents(route, resolve) {
  const { path, method, operation } = route;
  // `/link` is a WebSocket.
  const trial = method === "get" && path === "/link" ? null : tryIt(route, resolve);
  return make("div", { class: "inside" },
    operation.description ? make("p", {}, ...inline(plain(operation.description))) : null,
    operation.requestBody ? body(operation.requestBody.content, resolve) : null,
    answers(operation.responses, resolve),
    trial ? make("h3", {}, "Try it") : null, trial);
}

/**
 * @param {Content} content
 * @param {Resolve} resolve
 */
function body(content, resolve) {
  const [first] = Object.values(content);
  return make("section", {}, make("h3", {}, "Request body"),
    make("p", { class: "muted small" }, ...Object.keys(content).flatMap((type, at) => [at ? ", " : "", make("code", {}, type)])),
    fields(first?.schema, resolve));
}

/**
 * Draw the properties of an object as a list.
 * @param {Schema | undefined} schema
 * @param {Resolve} resolve
 * @param {number} [depth]
 * @returns {HTMLElement | null}
 */
function fields(schema, resolve, depth = 0) {
  const outer = resolve(schema);
  if (outer.type === "array" && outer.items) return depth > DEPTH ? null : fields(outer.items, resolve, depth + 1);
  const properties = Object.entries(outer.properties ?? {});
  if (!properties.length || depth > DEPTH) return null;
  return make("ul", { class: "fields" }, ...properties.map(([name, property]) => {
    const inner = resolve(property);
    const required = outer.required?.includes(name);
    return make(
      "li", {},
      make("code", {}, name), " ",
      make("span", { class: "muted" }, kind(property, resolve) + (required ? ", required" : "")),
      "default" in inner ? make("span", { class: "muted" }, ` = ${JSON.stringify(inner.default)}`) : null,
      inner.description ? make("div", { class: "help" }, ...inline(inner.description)) : null,
      fields(property, resolve, depth + 1),
    );
  }));
}

/**
 * @param {Record<string, Answer>} responses
 * @param {Resolve} resolve
 */
function answers(responses, resolve) {
  const all = Object.entries(responses).sort(([a], [b]) => a.localeCompare(b));
  const isGood = (/** @type {string} */ status) => Number(status) < 400;
  const good = all.filter(([status]) => isGood(status)).map(([status, response]) => goodRow(status, resolve(response), resolve));
  const bad = all.filter(([status]) => !isGood(status)).map(([status, response]) => row(status, resolve(response).description));
  return make("section", {}, make("h3", {}, "Responses"), make("table", {}, make("tbody", {}, ...good)),
    bad.length ? make("details", { class: "errors" }, make("summary", {}, "Errors"), make("table", {}, make("tbody", {}, ...bad))) : null);
}

/**
 * @param {string} status
 * @param {string} description
 * @param {...(Node | null)} more
 */
function row(status, description, ...more) {
  return make("tr", {}, make("td", {}, make("b", {}, status)),
    make("td", {}, make("div", { class: "pre-line" }, ...inline(description)), ...more.filter((node) => node !== null)));
}

/**
 * @param {string} status
 * @param {Answer} response
 * @param {Resolve} resolve
 */
function goodRow(status, response, resolve) {
  const types = Object.entries(response.content ?? {});
  if (!types.length) return row(status, response.description);
  const [[type, { schema }]] = types;
  const value = type === "application/json" ? `${kind(schema, resolve)}, as ` : "";
  return row(status, response.description,
    make("div", { class: "help" }, value + types.map(([name]) => name).join(", ")), fields(schema, resolve));
}

/** @param {Api} api */
function draw(api) {
  const all = groups(api);
  const anchor = (/** @type {Tag} */ group) => `tag-${group.name}`;
  byId("contents").replaceChildren(
    make("ul", { class: "plain" }, ...all.map((group) => make("li", {}, make("a", { href: `#${anchor(group)}` }, group.name)))),
  );
  const holder = byId("operations");
  holder.replaceChildren(...all.map((group) => make("section", { id: anchor(group) },
    make("h2", {}, group.name),
    group.description ? make("p", { class: "muted small about" }, ...inline(plain(group.description))) : null,
    ...group.routes.map((route) => card(route, api)))));
  holder.setAttribute("aria-busy", "false");
  follow();
}

/** Go to the element in the address; a link to a service opens its first operation. */
function follow() {
  const target = document.getElementById(decoded(location.hash.slice(1)));
  if (!target) return;
  const details = target instanceof HTMLDetailsElement ? target : target.querySelector("details");
  if (details) details.open = true;
  target.scrollIntoView();
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a "%" that encodes nothing
  }
}

async function start() {
  const holder = byId("operations");
  try {
    const response = await fetch(`${page.root}openapi.json`, { headers });
    const api = await response.json();
    if (!response.ok) throw new Error(api.error?.message);
    draw(api);
  } catch (error) {
    byId("contents").replaceChildren();
    const why = error instanceof Error ? error.message : "";
    holder.replaceChildren(make("section", { class: "card failed", role: "alert" },
      make("h2", {}, "The API description could not be loaded"),
      make("p", {}, why || "The server cannot be reached."),
      make("button", { type: "button", onclick: () => location.reload() }, "Retry")));
    holder.setAttribute("aria-busy", "false");
  }
}

addEventListener("hashchange", follow);
start();
