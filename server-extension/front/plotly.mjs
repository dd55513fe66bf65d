// Copies plotly's small bundles from npm, packed, to where the server reads them: see scripts/build-front.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";

const HERE = dirname(fileURLToPath(import.meta.url));
const PACKAGES = join(HERE, "../../node_modules");
const TARGET = join(HERE, "../easymlnb_server/apps/voila/plotly");

for (const name of ["basic", "cartesian"]) {
  const folder = join(PACKAGES, `plotly.js-${name}-dist-min`);
  const content = readFileSync(join(folder, `plotly-${name}.min.js`));
  const packed = join(TARGET, `plotly-${name}.js.br`);
  // Packing takes half a minute, and other versions of Node.js may pack differently.
  if (existsSync(packed) && brotliDecompressSync(readFileSync(packed)).equals(content)) continue;
  const params = { [constants.BROTLI_PARAM_SIZE_HINT]: content.length, [constants.BROTLI_PARAM_QUALITY]: 11 };
  writeFileSync(packed, brotliCompressSync(content, { params }));
  writeFileSync(join(TARGET, "LICENSE"), readFileSync(join(folder, "LICENSE")));
}
