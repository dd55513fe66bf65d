// @ts-check
// The form in which an owner says who may call a service.

import { byId, fetchPage, headers, page } from "./dom.js";
import { namesIn } from "./text.js";

const form = /** @type {HTMLFormElement} */ (byId("share-form"));
const problem = byId("share-problem");
/** @type {HTMLElement | null} */
const names = form.querySelector(".names");

const choice = () => new FormData(form).get("who");

form.addEventListener("change", () => {
  if (names) names.hidden = choice() !== "some";
  problem.textContent = "";
});

/**
 * Return the error message of a response.
 * @param {Response} response
 * @returns {Promise<string>}
 */
async function messageOf(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `The server responded with status ${response.status}. Reload the page; you may have been logged out.`;
  }
}

/**
 * Send a request and show its error; returns whether it succeeded.
 * @param {string} url
 * @param {RequestInit} options
 */
async function send(url, options) {
  problem.textContent = "";
  form.setAttribute("aria-busy", "true");
  try {
    const response = await fetch(url, { redirect: "error", ...options });
    if (response.ok) return true;
    problem.textContent = await messageOf(response);
  } catch {
    problem.textContent = "The server cannot be reached. Try again.";
  } finally {
    form.setAttribute("aria-busy", "false");
  }
  return false;
}

/** Show what the server stored. */
async function show() {
  const stored = await fetchPage(location.href);
  for (const id of ["share-who", "share-link"]) {
    const [now, then] = [byId(id), byId(id, stored)];
    now.hidden = then.hidden;
    const [code, next] = [now.querySelector("code"), then.querySelector("code")];
    if (code && next) code.textContent = next.textContent;
    else now.textContent = then.textContent;
    const [button, label] = [now.querySelector("button"), then.querySelector("button")];
    if (button && label) button.textContent = label.textContent;
  }
  byId("public-badge").replaceChildren(...byId("public-badge", stored).childNodes);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const who = choice();
  /** @type {{ users: string[], groups: string[], everyone: boolean, public: boolean }} */
  const wanted = { users: [], groups: [], everyone: who === "everyone", public: who === "public" };
  if (who === "some") {
    wanted.users = namesIn(form.users.value);
    wanted.groups = namesIn(form.groups.value);
    if (!wanted.users.length && !wanted.groups.length) {
      problem.textContent = "Enter at least one person or group.";
      form.users.focus();
      return;
    }
  }
  const body = JSON.stringify(wanted);
  const json = { ...headers, "Content-Type": "application/json" };
  if (await send(form.action, { method: "PUT", headers: json, body })) await show().catch(() => location.reload());
});

const remove = byId("remove");
remove.addEventListener("click", async () => {
  const { name, url } = remove.dataset;
  if (!url || !confirm(`Remove ${name} and all its versions? Later calls will fail with 404.`)) return;
  if (await send(url, { method: "DELETE", headers })) location.assign(page.root);
});
