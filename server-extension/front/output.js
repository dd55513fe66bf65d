// @ts-check
// The `Output` widget, for the outputs that its `outputs` trait lists.

import { DOMWidgetModel, DOMWidgetView } from "@jupyter-widgets/base";
import { draw } from "./mime.js";

export class OutputModel extends DOMWidgetModel {
  defaults() {
    return {
      ...super.defaults(),
      _model_name: "OutputModel",
      _view_name: "OutputView",
      _model_module: "@jupyter-widgets/output",
      _view_module: "@jupyter-widgets/output",
      msg_id: "",
      outputs: [],
    };
  }
}

export class OutputView extends DOMWidgetView {
  render() {
    super.render();
    this.el.classList.add("jupyter-widgets", "jupyter-widget-output");
    this.listenTo(this.model, "change:outputs", this._draw);
    // A plot measures the space that it has, so it is drawn in the page.
    this.displayed.then(() => this._draw());
  }

  _draw() {
    const hosts = this.model.get("outputs").map((/** @type {any} */ output) => {
      const host = document.createElement("div");
      host.className = "em-output";
      return [host, output];
    });
    this.el.replaceChildren(...hosts.map((/** @type {any[]} */ [host]) => host));
    for (const [host, output] of hosts) draw(host, output);
  }
}
