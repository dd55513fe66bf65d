// Who may call a service: the form of its owner. What holds then is the server's word, not this script's.

import { headers } from "./dom.js";

const page = document.documentElement.dataset;
const form = document.getElementById("share-form");
const problem = document.getElementById("share-problem");
const names = form.querySelector(".names");

const chosen = () => new FormData(form).get("who");
const list = (text) => text.split(/[,;\n]/).map((name) => name.trim()).filter(Boolean);

form.addEventListener("change", () => {
  names.hidden = chosen() !== "some";
  problem.textContent = "";
});

async function said(answer) {
  try {
    return (await answer.json()).error.message;
  } catch {
    return `The server answered ${answer.status}. Load the page again; perhaps you are no longer logged in.`;
  }
}

async function send(url, options) {
  problem.textContent = "";
  form.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(url, { redirect: "error", ...options });
    if (answer.ok) return true;
    problem.textContent = await said(answer);
  } catch {
    problem.textContent = "The server cannot be reached. Nothing was changed; try again.";
  } finally {
    form.setAttribute("aria-busy", "false");
  }
  return false;
}

async function show() {
  const answer = await fetch(location.href, { redirect: "error", headers });
  const found = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of ["share-who", "share-link"]) {
    const [now, then] = [document.getElementById(id), found.getElementById(id)];
    now.hidden = then.hidden;
    const [code, next] = [now.querySelector("code"), then.querySelector("code")];
    if (code) code.textContent = next.textContent;
    else now.textContent = then.textContent;
    const [button, label] = [now.querySelector("button"), then.querySelector("button")];
    if (button) button.textContent = label.textContent;
  }
  document.getElementById("public-badge").replaceChildren(...found.getElementById("public-badge").childNodes);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const who = chosen();
  const wanted = { users: [], groups: [], everyone: who === "everyone", public: who === "public" };
  if (who === "some") {
    wanted.users = list(form.users.value);
    wanted.groups = list(form.groups.value);
    if (!wanted.users.length && !wanted.groups.length) {
      problem.textContent = "Name somebody, or choose that only the owner may call it.";
      form.users.focus();
      return;
    }
  }
  const body = JSON.stringify(wanted);
  const json = { ...headers, "Content-Type": "application/json" };
  if (await send(form.action, { method: "PUT", headers: json, body })) await show().catch(() => location.reload());
});

document.getElementById("remove").addEventListener("click", async ({ currentTarget }) => {
  const { name, url } = currentTarget.dataset;
  if (!confirm(`Remove ${name} and all its versions? Whoever calls it then finds nothing.`)) return;
  if (await send(url, { method: "DELETE", headers })) location.assign(page.root);
});
