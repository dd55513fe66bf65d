// The parts of npm packages that the scripts here use, for the type checker: the packages' own types
// lead to those of JupyterLab.

export class ManagerBase {
  create_view(model: any, options?: any): Promise<any>;
  get_model(id: string): Promise<any>;
  handle_comm_open(comm: any, message: any): Promise<any>;
  new_model(options: any, state: any): Promise<any>;
  _loadFromKernel(): Promise<void>;
}

export class DOMWidgetModel {
  constructor(attributes?: any, options?: any);
  widget_manager: any;
  defaults(): any;
  initialize(attributes: any, options: any): void;
  get(name: string): any;
  once(event: string, handler: () => void): void;
}

export class DOMWidgetView {
  el: HTMLElement;
  model: DOMWidgetModel;
  displayed: Promise<void>;
  listenTo(model: DOMWidgetModel, event: string, handler: () => void): void;
  remove(): this;
  render(): any;
}

export const IJupyterWidgetRegistry: unknown;
export const version: string;

export function put_buffers(state: any, paths: (string | number)[][], buffers: DataView[]): void;

export class Widget {
  static attach(widget: Widget, host: HTMLElement): void;
}
