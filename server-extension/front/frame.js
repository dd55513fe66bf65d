// @ts-check
// The inside of a frame for an author's widgets: draws them from their state, without a kernel.

import { Widget } from "@lumino/widgets";
import { Manager } from "./manager.js";
import { setPackages } from "./widget_packages.js";

/** Takes the place of the connection to a kernel: what widgets send is dropped. */
const NOBODY = {
  /** @type {(kind: string, content: object, callbacks?: any) => string} */
  send(_kind, _content, callbacks) {
    // Widgets send the next change when the last one was processed.
    queueMicrotask(() => callbacks?.iopub?.status?.({ content: { execution_state: "idle" } }));
    return "";
  },
};

/** @param {any} message */
const post = (message) => parent.postMessage(message, "*");

/** @param {{ content: any, root: string, packages: Record<string, any> }} given */
async function draw({ content, root, packages }) {
  setPackages(packages);
  const manager = new Manager(/** @type {any} */ (NOBODY));
  await manager.load(content);
  const view = await manager.draw(root);
  const host = Object.assign(document.createElement("div"), { id: "widgets" });
  document.body.replaceChildren(host);
  Widget.attach(view.luminoWidget, host);
  new ResizeObserver(() => post({ kind: "size", height: host.getBoundingClientRect().height })).observe(host);
  document.documentElement.dataset.ready = "";
}

export function startFrame() {
  addEventListener("message", ({ source, data }) => {
    if (source !== parent || data?.kind !== "widgets") return;
    draw(data).catch((error) => {
      console.error(error);
      const evaluates = error instanceof EvalError || /unsafe-eval/.test(String(error));
      document.body.textContent = evaluates
        ? "A widget here turns text into code, which this page does not allow."
        : "This part of the page cannot be displayed.";
    });
  });
  post({ kind: "ready" });
}
