// Builds the script and the style sheet of app pages: see scripts/build-front.

import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, "../..");
const TARGET = join(HERE, "../easymlnb_server/apps/voila/share/voila/templates/easymlnb/static");

const options = {
  absWorkingDir: ROOT,
  bundle: true,
  minify: true,
  write: false,
  metafile: true,
  legalComments: "none",
  logLevel: "warning",
  // Stated here, so that the result does not depend on a tsconfig.json.
  tsconfigRaw: { compilerOptions: { target: "es2022", useDefineForClassFields: false } },
  target: ["chrome123", "firefox120", "safari17.5"],
};

const script = await build({
  ...options,
  entryPoints: [join(HERE, "entry.js")],
  format: "iife",
  alias: {
    "@lumino/widgets": join(HERE, "stubs/lumino-widgets.js"),
    jquery: join(HERE, "stubs/jquery.js"),
    "sanitize-html": join(HERE, "stubs/sanitize-html.js"),
  },
});
const style = await build({ ...options, entryPoints: [join(HERE, "widgets.css")] });

/** The files of this repository that went into a result, with package-lock.json for all others. */
const inputs = [script, style]
  .flatMap(({ metafile }) => Object.keys(metafile.inputs))
  .map((path) => relative(ROOT, join(ROOT, path)))
  .filter((path) => !path.startsWith("node_modules"));
const sources = [...new Set([...inputs, "package-lock.json", "server-extension/front/build.mjs"])].sort();
const hash = createHash("sha256");
for (const path of sources) hash.update(`${path}\n`).update(await readFile(join(ROOT, path)));

await writeFile(join(TARGET, "app.js"), script.outputFiles[0].contents);
await writeFile(join(TARGET, "widgets.css"), style.outputFiles[0].contents);
await writeFile(join(TARGET, "sources.txt"), `${hash.digest("hex")}\n${sources.join("\n")}\n`);
if (process.argv.includes("--sizes")) {
  const [{ inputs: found }] = Object.values(script.metafile.outputs);
  const rows = Object.entries(found).sort(([, a], [, b]) => b.bytesInOutput - a.bytesInOutput).slice(0, 40);
  for (const [path, { bytesInOutput }] of rows) console.log(bytesInOutput, path);
}
