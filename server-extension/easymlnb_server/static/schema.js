// @ts-check
// Reads JSON Schema: the type of a value as text, and an example.

/**
 * @typedef {object} Schema
 * @property {string} [$ref]
 * @property {string | string[]} [type]
 * @property {string} [format]
 * @property {string} [description]
 * @property {unknown[]} [enum]
 * @property {unknown} [const]
 * @property {unknown} [default]
 * @property {number} [minimum]
 * @property {Schema[]} [anyOf]
 * @property {Schema[]} [oneOf]
 * @property {Schema} [items]
 * @property {Record<string, Schema>} [properties]
 * @property {string[]} [required]
 * @property {{ widget?: string }} [x-easymlnb]
 */
/** @typedef {<Value extends object = Schema>(value: Value | { $ref: string } | undefined) => Value} Resolve */

const DEPTH = 4;
const STEPS = 32;
/** @type {Record<string, string>} */
const NAMES = { string: "text", integer: "whole number", boolean: "true or false", null: "null" };
/** @type {Record<string, unknown>} */
const SAMPLES = { string: "", integer: 0, number: 0, boolean: false, array: [] };
const WIDGETS = ["image", "table", "file", "audio", "array", "timeseries", "webcam"];

/**
 * Return a function that follows the `$ref`s of a document's objects.
 * @param {object} root
 * @returns {Resolve}
 */
export function resolver(root) {
  /** @type {(value: any) => any} */
  return (value) => {
    let resolved = value ?? {};
    for (let steps = 0; steps < STEPS && typeof resolved?.$ref === "string"; steps += 1) {
      const { $ref, ...siblings } = resolved;
      resolved = { ...target(root, $ref), ...siblings };
    }
    return typeof resolved === "object" && resolved !== null ? resolved : {};
  };
}

/**
 * Follow a JSON Pointer.
 * @param {object} root
 * @param {string} ref
 * @returns {object | undefined}
 */
function target(root, ref) {
  const keys = ref.replace(/^#\//, "").split("/").map((key) => key.replaceAll("~1", "/").replaceAll("~0", "~"));
  return keys.reduce((/** @type {any} */ at, key) => at?.[key], root);
}

/**
 * Return the type of a value as text.
 * @param {Schema | undefined} schema
 * @param {Resolve} resolve
 * @param {number} [depth]
 * @returns {string}
 */
export function kind(schema, resolve, depth = 0) {
  const resolved = resolve(schema);
  if (depth > DEPTH) return "…";
  const widget = resolved["x-easymlnb"]?.widget;
  if (widget && WIDGETS.includes(widget)) return widget;
  const union = resolved.anyOf ?? resolved.oneOf;
  if (union) return [...new Set(union.map((each) => kind(each, resolve, depth + 1)))].join(" or ");
  if (resolved.enum) return resolved.enum.map((value) => JSON.stringify(value)).join(" | ");
  if ("const" in resolved) return JSON.stringify(resolved.const);
  if (resolved.format === "binary") return "file";
  if (resolved.type === "array") return resolved.items ? `list of ${kind(resolved.items, resolve, depth + 1)}` : "list";
  const types = [resolved.type ?? "any value"].flat();
  return types.map((type) => NAMES[type] ?? type).join(" or ");
}

/**
 * Return an example of a value, from what the schema says.
 * @param {Schema | undefined} schema
 * @param {Resolve} resolve
 * @param {number} [depth]
 * @returns {unknown}
 */
export function sample(schema, resolve, depth = 0) {
  const resolved = resolve(schema);
  if (depth > DEPTH) return null;
  for (const key of /** @type {const} */ (["default", "const", "minimum"])) if (key in resolved) return resolved[key];
  if (resolved.enum) return resolved.enum[0];
  const union = resolved.anyOf ?? resolved.oneOf;
  if (union) return sample(union[0], resolve, depth + 1);
  const type = [resolved.type].flat()[0];
  if (type !== "object") return SAMPLES[type ?? ""] ?? null;
  const names = resolved.required ?? [];
  return Object.fromEntries(names.map((name) => [name, sample(resolved.properties?.[name], resolve, depth + 1)]));
}
