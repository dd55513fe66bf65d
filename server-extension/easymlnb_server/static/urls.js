// @ts-check
// Addresses of requests, made from what a user filled in.

/**
 * Return the query string of pairs, "" for none; empty values are left out.
 * @param {Iterable<[string, string]>} pairs
 * @returns {string}
 */
export function queryString(pairs) {
  const query = new URLSearchParams([...pairs].filter(([, value]) => value)).toString();
  return query && `?${query}`;
}

/**
 * Return the address of the catalog with its filters; the default order is left out.
 * @param {string} action - the form's address
 * @param {Iterable<[string, FormDataEntryValue]>} entries - the form's data
 * @returns {string}
 */
export function catalogUrl(action, entries) {
  const pairs = [...entries].map(([name, value]) => /** @type {[string, string]} */ ([name, String(value)]));
  return action.split("?")[0] + queryString(pairs.filter(([name, value]) => !(name === "sort" && value === "name")));
}

/**
 * Fill in the parameters of a path such as "/services/{name}".
 * @param {string} root - ends with "/"
 * @param {string} path - begins with "/"
 * @param {Map<string, string>} values
 * @returns {string}
 */
export function operationUrl(root, path, values) {
  return root + path.slice(1).replace(/{(\w+)}/g, (_, name) => encodeURIComponent(values.get(name) ?? ""));
}

/**
 * Return the pairs of a query parameter; for a list, each word is one value.
 * @param {{ name: string, schema?: { type?: string | string[] } }} parameter
 * @param {string} text
 * @returns {[string, string][]}
 */
export function queryPairs({ name, schema }, text) {
  const values = schema?.type === "array" ? text.split(/[\s,]+/) : [text];
  return values.map((value) => [name, value]);
}
