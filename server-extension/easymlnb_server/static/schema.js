// JSON Schema to read: a value's type in words, and the fields of an object as a list.

import { inline, make } from "./dom.js";

const DEPTH = 4;
const NAMES = { string: "text", integer: "whole number", boolean: "yes or no", null: "null" };

export function resolver(root) {
  return (schema) => {
    let found = schema ?? {};
    for (let steps = 0; steps < 32 && typeof found?.$ref === "string"; steps += 1) {
      const { $ref, ...beside } = found;
      const target = $ref.replace(/^#\//, "").split("/").reduce((at, key) => at?.[key], root);
      found = { ...target, ...beside };
    }
    return typeof found === "object" && found !== null ? found : {};
  };
}

export function kind(schema, resolve, depth = 0) {
  const found = resolve(schema);
  if (depth > DEPTH) return "…";
  const widget = found["x-easymlnb"]?.widget;
  if (["image", "table", "file", "audio", "array", "timeseries", "webcam"].includes(widget)) return widget;
  const union = found.anyOf ?? found.oneOf;
  if (union) return [...new Set(union.map((one) => kind(one, resolve, depth + 1)))].join(" or ");
  if (found.enum) return found.enum.map((one) => JSON.stringify(one)).join(" | ");
  if ("const" in found) return JSON.stringify(found.const);
  if (found.format === "binary") return "file";
  if (found.type === "array") return found.items ? `list of ${kind(found.items, resolve, depth + 1)}` : "list";
  const types = [found.type ?? "any value"].flat();
  return types.map((one) => NAMES[one] ?? one).join(" or ");
}

export function fields(schema, resolve, depth = 0) {
  const found = resolve(schema);
  if (found.type === "array" && found.items) return fields(found.items, resolve, depth);
  const properties = Object.entries(found.properties ?? {});
  if (!properties.length || depth > DEPTH) return null;
  return make("ul", { class: "fields" }, ...properties.map(([name, one]) => {
    const inner = resolve(one);
    const required = found.required?.includes(name);
    return make(
      "li", {},
      make("code", {}, name), " ",
      make("span", { class: "muted" }, kind(one, resolve) + (required ? ", required" : "")),
      "default" in inner ? make("span", { class: "muted" }, ` = ${JSON.stringify(inner.default)}`) : null,
      inner.description ? make("div", { class: "help" }, ...inline(inner.description)) : null,
      fields(one, resolve, depth + 1),
    );
  }));
}

// Values to begin with: the example of the document, else what the schema says.
export function sample(schema, resolve, depth = 0) {
  const found = resolve(schema);
  if (depth > DEPTH) return null;
  for (const key of ["default", "const", "minimum"]) if (key in found) return found[key];
  if (found.enum) return found.enum[0];
  const union = found.anyOf ?? found.oneOf;
  if (union) return sample(union[0], resolve, depth + 1);
  if (found.type === "object") {
    const names = found.required ?? [];
    return Object.fromEntries(names.map((name) => [name, sample(found.properties?.[name], resolve, depth + 1)]));
  }
  return { string: "", integer: 0, number: 0, boolean: false, array: [] }[found.type] ?? null;
}
