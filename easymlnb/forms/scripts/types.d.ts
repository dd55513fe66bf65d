// What anywidget passes to a script. This file is for the type checker only and is not installed.

export interface Model<State> {
  get<Name extends keyof State>(name: Name): State[Name];
  send(content: object, callbacks?: undefined, buffers?: DataView[]): void;
  on(event: "msg:custom", handler: MessageHandler): void;
  off(event: "msg:custom", handler: MessageHandler): void;
}

/** `content` is JSON from the kernel with the name of an `action`. */
export type MessageHandler = (content: any, buffers: DataView<ArrayBuffer>[]) => void;

export interface View<State> {
  model: Model<State>;
  el: HTMLElement;
}

/** Options of a parameter that reads tables; an empty value is detected. */
export interface Reading {
  separator?: string;
  decimal?: string;
  columns?: Record<string, string>;
}

/** What a preview found. `facts` is a short description, `problem` a reason to reject the file. */
export interface Preview {
  facts?: string;
  problem?: string;
  thumb?: HTMLElement;
  below?: HTMLElement;
}

/** What the service accepts. `pages`: the service reads all pages of a TIFF. */
export interface PreviewLimits {
  pixels: number;
  pages: boolean;
  reading: Reading;
}
