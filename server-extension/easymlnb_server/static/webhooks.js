// @ts-check
// The page of webhooks and their deliveries.

import { byId } from "./dom.js";
import { manage } from "./rules.js";

/** @param {FormData} data */
function wanted(data) {
  const text = (/** @type {string} */ name) => String(data.get(name) ?? "").trim();
  return { url: text("url"), service: text("service"), events: data.getAll("event") };
}

manage(["webhooks", "deliveries"], wanted, (made) => {
  byId("new-secret").hidden = !made.secret;
  byId("new-secret-text").textContent = made.secret ?? "";
  if (made.secret) byId("new-secret").focus();
});
