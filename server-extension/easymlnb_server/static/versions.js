// @ts-check
// The buttons of an owner: promote a version, roll back, remove the service.

import { attempt, request } from "./api.js";
import { byId } from "./dom.js";

const card = byId("version-card");

/**
 * Send what a button stands for, then show the page as it is now.
 * @param {HTMLButtonElement} button
 */
async function press(button) {
  const { post, delete: remove = "", body, then } = button.dataset;
  const wanted = body ? JSON.parse(body) : undefined;
  const done = await attempt(card, byId("version-problem"), () => request(post ? "POST" : "DELETE", post ?? remove, wanted));
  if (!done) return;
  if (then) location.assign(then);
  else location.reload();
}

card.addEventListener("click", (event) => {
  const button = /** @type {HTMLElement} */ (event.target).closest("button");
  if (!button || !(button.dataset.post || button.dataset.delete)) return;
  const question = button.dataset.confirm;
  if (!question || confirm(question)) void press(button);
});
