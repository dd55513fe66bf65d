// @ts-check
// Uploads a file to the server in parts, and resumes where it stopped after the network failed.

const RETRIES = [1, 2, 4, 8, 15, 15, 15, 15, 15]; // seconds between attempts when the network fails

/** @param {string} name */
const cookie = (name) => document.cookie.match(`(?:^|; )${name}=([^;]*)`)?.[1];

/** The server rejected the file; another attempt would fail, too. */
export class Rejected extends Error {}

/**
 * Wait; fails as soon as the signal is aborted.
 * @param {number} seconds
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
function pause(seconds, signal) {
  return new Promise((done, fail) => {
    const timer = setTimeout(done, seconds * 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      fail(signal.reason);
    }, { once: true });
  });
}

/**
 * Send one request and return its JSON.
 * @param {string} method
 * @param {string} url
 * @param {Record<string, string>} headers
 * @param {string | Blob | null} body
 * @param {AbortSignal} signal
 * @param {(sent: number) => void} [progress] - called with the bytes of the body that are sent
 * @returns {Promise<{ id?: string, chunk?: number, offset?: number }>}
 */
function request(method, url, headers, body, signal, progress) {
  return new Promise((done, fail) => {
    const xhr = new XMLHttpRequest();
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (event) => progress?.(event.loaded);
    xhr.onerror = () => fail(new Error("network"));
    xhr.onabort = () => fail(signal.reason);
    xhr.onload = () => {
      /** @type {{ id?: string, chunk?: number, offset?: number, error?: { message?: string } }} */
      let content = {};
      try {
        content = JSON.parse(xhr.responseText || "{}");
      } catch {
        // The response is not from our server but from a proxy.
      }
      if (xhr.status < 300) done(content);
      else if (xhr.status >= 500 || [409, 429].includes(xhr.status)) fail(new Error("server"));
      else fail(new Rejected(content.error?.message ?? `The server rejected the file (status ${xhr.status}).`));
    };
    signal.addEventListener("abort", () => xhr.abort(), { once: true });
    xhr.send(body);
  });
}

/**
 * Upload a file and return the identifier of the upload.
 * @param {File} file
 * @param {{ url?: string, service?: string, authorization?: string }} target
 * @param {(sent: number | null) => void} progress - called with bytes; null while the network fails
 * @param {AbortSignal} signal
 * @returns {Promise<string>}
 */
export async function send(file, target, progress, signal) {
  /** @type {Record<string, string>} */
  const credentials = target.authorization ? { Authorization: target.authorization } : { "X-XSRFToken": cookie("_xsrf") ?? "" };
  /**
   * @template Result
   * @param {(attempt: number) => Promise<Result>} act
   */
  const withRetries = async (act) => {
    for (let attempt = 0; ; attempt++) {
      try {
        return await act(attempt);
      } catch (error) {
        if (error instanceof Rejected || signal.aborted || attempt >= RETRIES.length) throw error;
        progress(null);
        await pause(RETRIES[attempt], signal);
      }
    }
  };
  const uploads = new URL(target.url ?? "", location.href);
  const create = new URL(uploads);
  create.searchParams.set("service", target.service ?? "");
  const description = JSON.stringify({ name: file.name, size: file.size, media_type: file.type });
  const { id = "", chunk = 2 ** 22, offset: start = 0 } = await withRetries(() =>
    request("POST", create.href, { ...credentials, "Content-Type": "application/json" }, description, signal)
  );
  const url = `${uploads.href.replace(/\/$/, "")}/${encodeURIComponent(id)}`;
  signal.addEventListener("abort", () => fetch(url, { method: "DELETE", headers: credentials }).catch(() => {}), { once: true });
  let offset = start;
  while (offset < file.size) {
    const stored = await withRetries(async (attempt) => {
      // After a failure only the server knows how many bytes arrived.
      if (attempt) ({ offset = 0 } = await request("GET", url, credentials, null, signal));
      if (offset >= file.size) return { offset };
      const part = file.slice(offset, offset + chunk);
      const headers = { ...credentials, "Content-Type": "application/octet-stream" };
      return request("PUT", `${url}?offset=${offset}`, headers, part, signal, (sent) => progress(offset + sent));
    });
    offset = stored.offset ?? offset + chunk;
    progress(offset);
  }
  return id;
}
