// @ts-check
// Widgets of an author, in a frame that cannot reach the page: see widget_frame.py.

import { h } from "./elements.js";

/** @import { View } from "./types" */
/** @typedef {{ content: string, root: string, height: string }} Settings */

const MOST_HEIGHT = 4000; // px

/** What the page's server has: its main script, and scripts of widgets by the name of their module. */
function pageFiles() {
  /** @type {HTMLScriptElement | null} */
  const main = document.querySelector('script[src*="/app.js"]');
  const data = JSON.parse(document.getElementById("page-data")?.textContent ?? "{}");
  return { main: main?.src ?? "", packages: data.packages ?? {} };
}

/**
 * The document of a frame: the script and the style sheet of the page, and nothing else of it.
 * @param {string} main
 */
function frameDocument(main) {
  const style = document.querySelector("head style")?.textContent ?? "";
  const light = document.documentElement.dataset.jpThemeLight ?? "true";
  const frame = document.implementation.createHTMLDocument("");
  frame.documentElement.dataset.frame = "";
  frame.documentElement.dataset.jpThemeLight = light;
  frame.head.append(h("style", {}, style), h("script", { src: main }));
  return `<!doctype html>${frame.documentElement.outerHTML}`;
}

export default {
  /** @param {View<Settings>} view */
  render({ model, el }) {
    const { main, packages } = pageFiles();
    const fixed = model.get("height");
    const frame = h("iframe", { class: "em-frame", sandbox: "allow-scripts", title: "Part of the page" });
    frame.srcdoc = frameDocument(main);
    /** @param {MessageEvent} event */
    const listen = ({ source, data }) => {
      if (source !== frame.contentWindow) return;
      if (data?.kind === "ready") {
        const content = JSON.parse(model.get("content"));
        // The frame has no origin that could be named; nothing in the message is secret.
        frame.contentWindow?.postMessage({ kind: "widgets", content, root: model.get("root"), packages }, "*");
      } else if (data?.kind === "size" && !fixed && Number.isFinite(data.height)) {
        el.style.height = `${Math.min(MOST_HEIGHT, Math.max(0, Math.ceil(data.height)))}px`;
      }
    };
    addEventListener("message", listen);
    el.classList.add("em-widget-frame");
    el.append(frame);
    return () => removeEventListener("message", listen);
  },
};
