// Calls services with openapi-fetch and the types that openapi-typescript generated.
// Arguments: URL, token, a picture as a data URI.

import createClient from "openapi-fetch";

import type { paths } from "./schema";

declare const process: { argv: string[] };
const [baseUrl, token, picture] = process.argv.slice(2) as [string, string, string];

async function main() {
  const client = createClient<paths>({ baseUrl, headers: { Authorization: `token ${token}` } });
  const product = await client.POST("/services/api_numbers/call", { body: { a: 2, b: 3.5, way: "product" } });
  // A call may also be answered by an event stream, which is text.
  const numbers: number | string | undefined = product.data;
  // @ts-expect-error The types know what a service takes.
  const wrong = await client.POST("/services/api_numbers/call", { body: { a: "many" } });
  const points = [{ x: 1.5, y: 0 }, { x: 2, y: 3 }];
  const point = await client.POST("/services/api_points/call", { body: { points } });
  const first = typeof point.data === "object" ? point.data : undefined;
  const x: number | undefined = first?.x;
  const array = await client.POST("/services/api_array/call", { body: { values: [1, 2] } });
  const any = await client.POST("/services/api_any/call", { body: { values: [[1, 2], [3, 4]] } });
  const table = await client.POST("/services/api_table/call", { body: { table: "data:text/csv,a,b%0A1,x%0A" } });
  const image = await client.POST("/services/api_picture/call", { body: { image: picture } });
  const count = await client.POST("/services/api_count/call", {
    body: { to: 3 },
    headers: { Accept: "application/json" },
  });
  const listed = await client.GET("/services", { params: { query: { limit: 50 } } });
  console.log(
    JSON.stringify({
      numbers,
      wrong: [wrong.response.status, wrong.error?.error.code],
      point: { ...first, x },
      array: array.data,
      any: any.data,
      table: table.response.status,
      picture: String(image.data).slice(0, 22),
      count: JSON.stringify(count.data),
      listed: listed.data?.services.length,
    }),
  );
}

void main();
