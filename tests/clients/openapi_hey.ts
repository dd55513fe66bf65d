// Calls services with a client that @hey-api/openapi-ts generated.
// Arguments: URL, token, a picture as a data URI.

import {
  callApiAny,
  callApiArray,
  callApiCount,
  callApiNumbers,
  callApiPicture,
  callApiPoints,
  callApiTable,
  listServices,
} from "./hey";
import { client } from "./hey/client.gen";

declare const process: { argv: string[] };
const [baseUrl, token, picture] = process.argv.slice(2) as [string, string, string];

async function main() {
  client.setConfig({ baseUrl, headers: { Authorization: `token ${token}` } });
  const product = await callApiNumbers({ body: { a: 2, b: 3.5, way: "product" } });
  const numbers: number | undefined = product.data;
  // @ts-expect-error The types know what a service takes.
  const wrong = await callApiNumbers({ body: { a: "many" } });
  const point = await callApiPoints({ body: { points: [{ x: 1.5 }, { x: 2, y: 3 }] } });
  const x: number | undefined = point.data?.x;
  const array = await callApiArray({ body: { values: [1, 2] } });
  const any = await callApiAny({ body: { values: [[1, 2], [3, 4]] } });
  const table = await callApiTable({ body: { table: [{ a: 1, b: "x" }, { a: 2, b: "x" }] } });
  const image = await callApiPicture({ body: { image: picture } });
  const count = await callApiCount({ body: { to: 3 }, headers: { Accept: "application/json" } });
  const listed = await listServices({ query: { limit: 50 } });
  console.log(
    JSON.stringify({
      numbers,
      wrong: [wrong.response?.status, wrong.error?.error.code],
      point: { ...point.data, x },
      array: array.data,
      any: any.data,
      table: table.response?.status,
      picture: String(image.data).slice(0, 22),
      count: JSON.stringify(count.data),
      listed: listed.data?.services.length,
    }),
  );
}

void main();
