// @ts-check
// What a page shows in place of a widget that it cannot draw.

import { DOMWidgetView } from "@jupyter-widgets/base";

export class MissingWidget extends Error {
  /**
   * @param {string} name
   * @param {string} module
   */
  constructor(name, module) {
    super(`This page has no widget ${name} of ${module}.`);
  }
}

/** Takes the place of ipywidgets' view of errors, which shows visitors a stack trace. */
export class MissingView extends DOMWidgetView {
  render() {
    const error = this.model.get("error");
    console.error(error);
    this.el.classList.add("em-error");
    this.el.textContent = error instanceof MissingWidget ? error.message : "This part of the page cannot be displayed.";
  }
}
