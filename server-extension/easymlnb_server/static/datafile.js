// @ts-check
// The file with the data of a model: whether it can be read, and what the model is called.

/**
 * Return why a file cannot be the data of a template, or "".
 * @param {File} file
 * @param {{accept: string[], max_bytes: number}} template
 */
export function rejection(file, { accept, max_bytes: most }) {
  if (!accept.some((ending) => file.name.toLowerCase().endsWith(ending))) return `The file '${file.name}' is of another kind. Choose one of: ${accept.join(", ")}.`;
  return file.size > most ? `The file has ${Math.ceil(file.size / 2 ** 20)} MB; at most ${Math.round(most / 2 ** 20)} MB are possible. A sample is usually enough.` : "";
}

/**
 * Return the name of a model from that of its file.
 * @param {string} name
 */
export function slug(name) {
  const plain = name.replace(/\.[^.]*$/, "").toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^[^a-z]+|_+$/g, "");
  return plain.slice(0, 40) || "model";
}
