// @ts-check
// Requests of the pages of models: JSON, and files in parts.

import { headers, page } from "./dom.js";

const JSON_TYPE = { "Content-Type": "application/json" };

/**
 * Send a request and return its JSON; throws an `Error` with the server's sentence.
 * @param {string} method
 * @param {string} path - without the root of all routes
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function api(method, path, body) {
  /** @type {RequestInit} */
  const options = { method, redirect: "error", headers };
  if (body !== undefined) Object.assign(options, { headers: { ...headers, ...JSON_TYPE }, body: JSON.stringify(body) });
  let response;
  try {
    response = await fetch(page.root + path, options);
  } catch {
    throw new Error("The server cannot be reached. Reload the page; you may have been logged out.");
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  throw new Error(answer?.error?.message ?? response.statusText);
}

/**
 * Send a file for a template in parts; returns the id of the upload.
 * @param {File} file
 * @param {string} template
 * @param {(fraction: number) => void} onProgress
 * @returns {Promise<string>}
 */
export async function upload(file, template, onProgress) {
  const about = { name: file.name, size: file.size, media_type: file.type || "application/octet-stream" };
  const { id, chunk } = await api("POST", `uploads?template=${template}`, about);
  for (let offset = 0; offset < file.size; offset += chunk) {
    const part = file.slice(offset, offset + chunk);
    const response = await fetch(`${page.root}uploads/${id}?offset=${offset}`, {
      method: "PUT", redirect: "error", body: part, headers: { ...headers, "Content-Type": "application/octet-stream" },
    });
    if (!response.ok) throw new Error((await response.json()).error.message);
    onProgress(Math.min(1, (offset + chunk) / file.size));
  }
  return id;
}
