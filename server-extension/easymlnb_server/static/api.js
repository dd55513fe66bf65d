// @ts-check
// Requests of the pages: JSON, files in parts, and what to say when one fails.

import { headers, page } from "./dom.js";

const UNREACHABLE = "The server cannot be reached. Check your connection and try again.";
const LOGGED_OUT = "You are no longer logged in. Log in on another tab and try again.";

/** A request that failed. Its message is for people; `status` is 0 when the server was not reached. */
export class RequestError extends Error {
  /**
   * @param {string} message
   * @param {number} status
   */
  constructor(message, status) {
    super(message);
    this.status = status;
  }

  /** Whether the same request may succeed in a moment: the server starts, or a proxy waits for it. */
  get isTemporary() {
    return this.status === 0 || this.status === 424 || this.status === 429 || this.status >= 500;
  }
}

/**
 * Send a request and return its response; throws a `RequestError`.
 * @param {string} method
 * @param {string} url
 * @param {unknown} [body] - bytes, or what becomes JSON
 * @param {AbortSignal} [signal]
 * @returns {Promise<Response>}
 */
export async function send(method, url, body, signal) {
  const bytes = body instanceof Blob;
  const type = bytes ? body.type || "application/octet-stream" : "application/json";
  const content = body === undefined ? {} : { body: bytes ? body : JSON.stringify(body) };
  const all = body === undefined ? headers : { ...headers, "Content-Type": type };
  let response;
  try {
    // A redirect leads to the login.
    response = await fetch(url, { method, redirect: "manual", headers: all, signal, ...content });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new RequestError(UNREACHABLE, 0);
  }
  if (response.ok) return response;
  if (response.type === "opaqueredirect") throw new RequestError(LOGGED_OUT, 401);
  const answer = await response.json().catch(() => null);
  const unclear = `The server responded with status ${response.status}. Try again in a moment.`;
  throw new RequestError(answer?.error?.message ?? unclear, response.status);
}

/**
 * Fetch a page of this server; throws a `RequestError`.
 * @param {string} url
 * @param {AbortSignal} [signal]
 * @returns {Promise<Document>}
 */
export async function fetchPage(url, signal) {
  const response = await send("GET", url, undefined, signal);
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

/**
 * Send a request and return its JSON, or null if it has no content; throws a `RequestError`.
 * @param {string} method
 * @param {string} url
 * @param {unknown} [body]
 * @returns {Promise<any>}
 */
export async function request(method, url, body) {
  const response = await send(method, url, body);
  if (response.status === 204) return null;
  try {
    return await response.json();
  } catch {
    throw new RequestError(UNREACHABLE, 0); // it broke off
  }
}

/**
 * Send a request to one of our routes and return its JSON.
 * @param {string} method
 * @param {string} path - without the root of all routes
 * @param {unknown} [body]
 */
export const api = (method, path, body) => request(method, page.root + path, body);

/**
 * Do something for a part of a page: only one thing at a time, and what goes wrong is shown.
 * Returns whether it succeeded.
 * @param {HTMLElement} part
 * @param {HTMLElement} problem
 * @param {() => Promise<unknown>} work
 */
export async function attempt(part, problem, work) {
  if (part.getAttribute("aria-busy") === "true") return false; // a double click
  part.setAttribute("aria-busy", "true");
  problem.textContent = "";
  try {
    await work();
    return true;
  } catch (error) {
    problem.textContent = error instanceof Error ? error.message : String(error);
    problem.scrollIntoView({ block: "nearest" });
    return false;
  } finally {
    part.removeAttribute("aria-busy");
  }
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
    const part = new Blob([file.slice(offset, offset + chunk)], { type: "application/octet-stream" });
    await send("PUT", `${page.root}uploads/${id}?offset=${offset}`, part);
    onProgress(Math.min(1, (offset + chunk) / file.size));
  }
  return id;
}
