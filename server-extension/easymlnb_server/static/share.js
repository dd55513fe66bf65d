// @ts-check
// The form in which an owner says who may call a service.

import { attempt, fetchPage, request } from "./api.js";
import { byId, page } from "./dom.js";
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

form.addEventListener("submit", (event) => {
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
  void attempt(form, problem, async () => {
    await request("PUT", form.action, wanted);
    await show().catch(() => location.reload());
  });
});

const remove = byId("remove");
remove.addEventListener("click", async () => {
  const { name, url } = remove.dataset;
  if (!url || !confirm(`Remove ${name} and all its versions? Later calls will fail with 404.`)) return;
  if (await attempt(form, problem, () => request("DELETE", url))) location.assign(page.root);
});
