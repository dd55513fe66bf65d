// @ts-check
// The page of schedules.

import { manage } from "./rules.js";

/** @param {FormData} data */
function wanted(data) {
  const text = (/** @type {string} */ name) => String(data.get(name) ?? "").trim();
  let inputs = null;
  try {
    inputs = JSON.parse(text("inputs") || "{}");
  } catch {
    // Not JSON.
  }
  if (typeof inputs !== "object" || inputs === null || Array.isArray(inputs)) throw new Error('The parameters must be a JSON object, such as {"epochs": 20}.');
  return { service: text("service"), cron: text("cron"), zone: text("zone"), overlap: text("overlap"), inputs };
}

manage(["schedules"], wanted, () => undefined);
