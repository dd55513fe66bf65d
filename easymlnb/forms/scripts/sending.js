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
      let answer = {};
      try {
        answer = JSON.parse(xhr.responseText || "{}");
      } catch {
        // The response is not from our server but from a proxy.
      }
      if (xhr.status < 300) done(answer);
      else if (xhr.status >= 500 || [409, 429].includes(xhr.status)) fail(new Error("server"));
      else fail(new Rejected(answer.error?.message ?? `The server rejected the file (status ${xhr.status}).`));
    };
    signal.addEventListener("abort", () => xhr.abort(), { once: true });
    xhr.send(body);
  });
}

/**
 * Upload a file and return the identifier of the upload.
 * @param {File} file
 * @param {{ url?: string, service?: string, authorization?: string }} to
 * @param {(sent: number | null) => void} progress - called with bytes; null while the network fails
 * @param {AbortSignal} signal
 * @returns {Promise<string>}
 */
export async function send(file, to, progress, signal) {
  /** @type {Record<string, string>} */
  const key = to.authorization ? { Authorization: to.authorization } : { "X-XSRFToken": cookie("_xsrf") ?? "" };
  /**
   * @template Result
   * @param {(attempt: number) => Promise<Result>} act
   */
  const patient = async (act) => {
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
  const where = new URL(to.url ?? "", location.href);
  const made = new URL(where);
  made.searchParams.set("service", to.service ?? "");
  const about = JSON.stringify({ name: file.name, size: file.size, media_type: file.type });
  const { id = "", chunk = 2 ** 22, offset: begun = 0 } = await patient(() =>
    request("POST", made.href, { ...key, "Content-Type": "application/json" }, about, signal)
  );
  const one = `${where.href.replace(/\/$/, "")}/${encodeURIComponent(id)}`;
  signal.addEventListener("abort", () => fetch(one, { method: "DELETE", headers: key }).catch(() => {}), { once: true });
  let offset = begun;
  while (offset < file.size) {
    const answer = await patient(async (attempt) => {
      // After a failure only the server knows how many bytes arrived.
      if (attempt) ({ offset = 0 } = await request("GET", one, key, null, signal));
      if (offset >= file.size) return { offset };
      const piece = file.slice(offset, offset + chunk);
      const headers = { ...key, "Content-Type": "application/octet-stream" };
      return request("PUT", `${one}?offset=${offset}`, headers, piece, signal, (sent) => progress(offset + sent));
    });
    offset = answer.offset ?? offset + chunk;
    progress(offset);
  }
  return id;
}
