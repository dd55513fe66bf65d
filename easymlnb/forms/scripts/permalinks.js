// @ts-check
// Links to an app page with its input filled in. The values are in the fragment, so that they never
// reach a server's log.

const PREFIX = "#v=";

/**
 * Return the address of a page with encoded values; a token in it is left out.
 * @param {string} address
 * @param {string} code
 * @returns {string}
 */
export function permalink(address, code) {
  const url = new URL(address);
  url.hash = `${PREFIX}${code}`;
  url.searchParams.delete("token");
  return url.href;
}

/**
 * Return the encoded values in a fragment, "" if there are none.
 * @param {string} hash
 * @returns {string}
 */
export function codeOf(hash) {
  return hash.startsWith(PREFIX) ? hash.slice(PREFIX.length) : "";
}
