// @ts-check
// Scripts that most pages do not need. They are loaded after the form is usable.

/** @type {Record<string, string>} */
let urls = {};
/** @type {Map<string, Promise<void>>} */
const loading = new Map();
/** @type {(() => void)[]} */
let waiting = [];
let usable = false;

/**
 * Say where optional scripts are.
 * @param {Record<string, string>} found - name -> address
 */
export function setOptional(found) {
  urls = found;
}

/**
 * Load a script once; rejects if this page has none of the name, or if it cannot be fetched.
 * @param {string} name
 * @returns {Promise<void>}
 */
export function loadOptional(name) {
  const known = loading.get(name);
  if (known) return known;
  const started = /** @type {Promise<void>} */ (
    new Promise((done, failed) => {
      if (!urls[name]) {
        failed(new Error(`This page has no script named "${name}".`));
        return;
      }
      const script = Object.assign(document.createElement("script"), { src: urls[name], onload: () => done(), onerror: failed });
      document.head.append(script);
    })
  );
  loading.set(name, started);
  started.catch(() => loading.delete(name)); // the next use tries again
  return started;
}

/**
 * Have the browser fetch a script that will probably be loaded.
 * @param {string} name
 */
export function prefetchOptional(name) {
  if (!urls[name]) return;
  document.head.append(Object.assign(document.createElement("link"), { rel: "prefetch", as: "script", href: urls[name] }));
}

/**
 * Run a task when the form is usable and the browser has time.
 * @param {() => void} task
 */
export function whenUsable(task) {
  if (usable) idle(task);
  else waiting.push(task);
}

/** Start what waits for a usable form. */
export function setUsable() {
  usable = true;
  for (const task of waiting) idle(task);
  waiting = [];
}

/** @param {() => void} task */
function idle(task) {
  if ("requestIdleCallback" in window) requestIdleCallback(task, { timeout: 2000 });
  else setTimeout(task, 200);
}
