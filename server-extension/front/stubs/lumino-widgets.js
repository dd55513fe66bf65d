// The part of `@lumino/widgets` that ipywidgets uses; the package's own bundle cannot be split.
export { Panel } from "../../../node_modules/@lumino/widgets/src/panel.ts";
export { PanelLayout } from "../../../node_modules/@lumino/widgets/src/panellayout.ts";
export { Widget } from "../../../node_modules/@lumino/widgets/src/widget.ts";

/** Only ipywidgets' `Tab` would make one; forms have tabs of their own. */
export class TabBar {}
