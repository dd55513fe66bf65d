// The API page, drawn from openapi.json: contents on the left, one card per operation.

import { headers, inline, make, plain } from "./dom.js";
import { fields, kind, resolver } from "./schema.js";
import { tryIt } from "./try.js";

const { root } = document.documentElement.dataset;
const METHODS = ["get", "post", "put", "patch", "delete"];

function groups(api) {
  const found = new Map(api.tags.map((tag) => [tag.name, { ...tag, operations: [] }]));
  for (const [path, item] of Object.entries(api.paths)) {
    for (const method of METHODS.filter((one) => one in item)) {
      const operation = item[method];
      found.get(operation.tags[0]).operations.push({ path, method, operation, shared: item.parameters });
    }
  }
  return [...found.values()].filter((group) => group.operations.length);
}

function card({ path, method, operation, shared }, api) {
  const resolve = resolver(api);
  const details = make("details", { class: "card operation", id: operation.operationId },
    make("summary", {}, make("span", { class: `method ${method}` }, method.toUpperCase()),
      make("code", { class: "path" }, path), make("span", { class: "muted small" }, operation.summary)));
  // Drawn when it is opened: a page of a hundred services stays light.
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) details.append(contents(path, method, operation, shared, resolve));
  });
  return details;
}

function contents(path, method, operation, shared, resolve) {
  const trial = method === "get" && path === "/link" ? null : tryIt(path, method, operation, shared, resolve);
  return make("div", { class: "inside" },
    operation.description ? make("p", {}, ...inline(plain(operation.description))) : null,
    bodies(operation.requestBody?.content, resolve),
    answers(operation.responses, resolve),
    trial ? make("h3", {}, "Try it") : null, trial);
}

function bodies(content, resolve) {
  if (!content) return null;
  const [first] = Object.values(content);
  return make("section", {}, make("h3", {}, "Body"),
    make("p", { class: "muted small" }, "As ", ...Object.keys(content).flatMap((type, at) => [at ? ", " : "", make("code", {}, type)])),
    fields(first.schema, resolve));
}

function answers(responses, resolve) {
  const all = Object.entries(responses).sort();
  const good = all.filter(([status]) => status < 400).map(([status, one]) => goodRow(status, resolve(one), resolve));
  const bad = all.filter(([status]) => status >= 400).map(([status, one]) => row(status, resolve(one).description));
  return make("section", {}, make("h3", {}, "Answers"), make("table", {}, make("tbody", {}, ...good)),
    bad.length ? make("details", { class: "errors" }, make("summary", {}, "Errors"), make("table", {}, make("tbody", {}, ...bad))) : null);
}

function row(status, description, ...more) {
  return make("tr", {}, make("td", {}, make("b", {}, status)),
    make("td", {}, make("div", { class: "pre-line" }, ...inline(description)), ...more));
}

function goodRow(status, found, resolve) {
  const types = Object.entries(found.content ?? {});
  if (!types.length) return row(status, found.description);
  const [[type, { schema }]] = types;
  const value = type === "application/json" ? `${kind(schema, resolve)}, as ` : "";
  return row(status, found.description,
    make("div", { class: "help" }, value + types.map(([one]) => one).join(", ")), fields(schema, resolve));
}

function draw(api) {
  const all = groups(api);
  const anchor = (group) => `tag-${group.name}`;
  document.getElementById("contents").replaceChildren(
    make("ul", { class: "plain" }, ...all.map((group) => make("li", {}, make("a", { href: `#${anchor(group)}` }, group.name)))),
  );
  const holder = document.getElementById("operations");
  holder.replaceChildren(...all.map((group) => make("section", { id: anchor(group) },
    make("h2", {}, group.name),
    group.description ? make("p", { class: "muted small about" }, ...inline(plain(group.description))) : null,
    ...group.operations.map((one) => card(one, api)))));
  holder.setAttribute("aria-busy", "false");
  follow();
}

// A link to a service's part opens its first operation, the one people came for.
function follow() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  const details = target.matches("details") ? target : target.querySelector("details");
  if (details) details.open = true;
  target.scrollIntoView();
}

async function start() {
  const holder = document.getElementById("operations");
  try {
    const answer = await fetch(`${root}openapi.json`, { headers });
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error?.message);
    draw(found);
  } catch (error) {
    document.getElementById("contents").replaceChildren();
    holder.replaceChildren(make("section", { class: "card failed", role: "alert" },
      make("h2", {}, "The description of the API did not come"),
      make("p", {}, error.message || "The server cannot be reached."),
      make("button", { type: "button", onclick: () => location.reload() }, "Try again")));
    holder.setAttribute("aria-busy", "false");
  }
}

addEventListener("hashchange", follow);
start();
