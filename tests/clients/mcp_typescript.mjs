// Calls the tools of a server with both official TypeScript clients, and prints what they get.
// Arguments: URL, token, folder for the function that is aborted.

import { existsSync } from "node:fs";

import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { Client as OldClient } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport as OldTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [url, token, folder] = process.argv.slice(2);
const about = { name: "test", version: "1" };
const requestInit = { headers: { Authorization: `Bearer ${token}` } };

async function until(done) {
  for (let turn = 0; turn < 1200 && !done(); turn++) await new Promise((wake) => setTimeout(wake, 50));
}

async function walk(client, transport, call, name) {
  await client.connect(transport);
  const found = { tools: (await client.listTools()).tools.map((tool) => tool.name) };
  found.add = await call({ name: "tools_add", arguments: { a: 40 } });
  found.picture = (await call({ name: "tools_picture", arguments: {} })).content.map((part) => part.type);
  found.failed = await call({ name: "tools_fail", arguments: { how: "told" } });
  const progress = [];
  const options = { onprogress: (one) => progress.push(one.message) };
  found.count = await call({ name: "tools_count", arguments: { to: 3 } }, options);
  found.progress = progress;
  found.unknown = await call({ name: "nosuch", arguments: {} }).catch((error) => error.code);

  const mine = `${folder}/${name}`;
  const controller = new AbortController();
  const napping = call({ name: "tools_nap", arguments: { folder: mine } }, { signal: controller.signal });
  napping.catch(() => {});
  await until(() => existsSync(`${mine}/started`));
  controller.abort();
  await until(() => existsSync(`${mine}/stopped`));
  found.stopped = existsSync(`${mine}/stopped`);
  await client.close();
  return found;
}

const old = new OldClient(about);
const now = new Client(about, { versionNegotiation: { mode: "auto" } });
const plain = new Client(about);
console.log(
  JSON.stringify({
    old: await walk(old, new OldTransport(new URL(url), { requestInit }), (what, options) => old.callTool(what, undefined, options), "old"),
    auto: await walk(now, new StreamableHTTPClientTransport(new URL(url), { requestInit }), (what, options) => now.callTool(what, options), "auto"),
    plain: await walk(plain, new StreamableHTTPClientTransport(new URL(url), { requestInit }), (what, options) => plain.callTool(what, options), "plain"),
  }),
);
