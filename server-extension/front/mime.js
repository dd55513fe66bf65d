// @ts-check
// Draws the outputs of `Output` widgets, by their media type.

import { drawFigure } from "./plots.js";

/** @typedef {(host: HTMLElement, data: any) => Promise<void>} Renderer */

/** @type {Record<string, Renderer>} */
export const RENDERERS = { "application/vnd.plotly.v1+json": drawFigure };

/**
 * Draw an output; one of an unknown kind shows its text.
 * @param {HTMLElement} host
 * @param {{ data?: Record<string, any>, text?: string }} output
 */
export async function draw(host, { data = {}, text = "" }) {
  const kind = Object.keys(RENDERERS).find((each) => each in data);
  if (!kind) {
    host.textContent = data["text/plain"] ?? text;
    return;
  }
  try {
    await RENDERERS[kind](host, data[kind]);
  } catch (error) {
    console.error(error);
    host.style.height = "";
    host.textContent = "This part of the result cannot be displayed.";
  }
}
