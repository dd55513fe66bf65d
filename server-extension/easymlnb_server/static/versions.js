// @ts-check
// The buttons that promote a version, and roll back.

import { byId, headers } from "./dom.js";

const card = byId("version-card");
const problem = byId("version-problem");

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
 * Send what a button stands for, then show the page as it is now.
 * @param {HTMLButtonElement} button
 */
async function send(button) {
  const { post, delete: remove, body } = button.dataset;
  problem.textContent = "";
  card.setAttribute("aria-busy", "true");
  button.disabled = true;
  try {
    const options = body ? { body, headers: { ...headers, "Content-Type": "application/json" } } : { headers };
    const method = post ? "POST" : "DELETE";
    const response = await fetch(post ?? remove ?? "", { method, redirect: "error", ...options });
    if (response.ok) location.reload();
    else problem.textContent = await messageOf(response);
  } catch {
    problem.textContent = "The server cannot be reached. Try again.";
  } finally {
    card.removeAttribute("aria-busy");
    button.disabled = false;
  }
}

card.addEventListener("click", (event) => {
  const button = /** @type {HTMLElement} */ (event.target).closest("button");
  if (!button || !(button.dataset.post || button.dataset.delete)) return;
  const question = button.dataset.confirm;
  if (!question || confirm(question)) void send(button);
});
