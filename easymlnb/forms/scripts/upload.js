// @ts-check
// The field that uploads a file: see file_upload.py.

import { takePhoto } from "./camera.js";
import { h } from "./elements.js";
import { admits, rejection, size } from "./file_rules.js";
import { previewOf } from "./preview.js";
import { Rejected, send } from "./sending.js";

/** @import { MessageHandler, Model, Preview, Reading, View } from "./types" */
/**
 * @typedef {object} Settings
 * @property {{ url?: string, service?: string, authorization?: string }} target - empty under a cell
 * @property {string} kind
 * @property {string} noun
 * @property {string} title
 * @property {string[]} accept
 * @property {string} kinds
 * @property {number} max_bytes - 0 for no limit
 * @property {number} max_pixels
 * @property {Reading} reading
 * @property {boolean} pages
 * @property {boolean} app_page
 */
/**
 * The chosen file. `part` is the uploaded part, 0 to 1, null without an upload.
 * @typedef {{ name: string, facts: string, problem: string, part: number | null, waiting: boolean, preview: Preview, chosen: boolean }} State
 */
/** @typedef {ReturnType<typeof createUpload>} Upload */

const CHUNK = 2 ** 19; // bytes of one message on the kernel's connection

/**
 * Set an element's children. Elements that stay are not touched, so that clicks and focus survive
 * progress updates.
 * @param {HTMLElement} parent
 * @param {...(HTMLElement | undefined)} nodes
 */
function setChildren(parent, ...nodes) {
  const wanted = nodes.filter((node) => node !== undefined);
  const same = wanted.length === parent.childNodes.length && wanted.every((node, at) => node === parent.childNodes[at]);
  if (!same) parent.replaceChildren(...wanted);
}

/** @returns {State} */
const emptyState = () => ({ name: "", facts: "", problem: "", part: null, waiting: false, preview: {}, chosen: false });

/** @type {(preview: Preview, fileSize: string) => string} */
const factsOf = (preview, fileSize) => [preview.facts, fileSize].filter(Boolean).join(", ");

/**
 * The chosen file and its upload; they live as long as the widget's model.
 * @param {Model<Settings>} model
 */
function createUpload(model) {
  const target = model.get("target");
  const state = emptyState();
  /** @type {Set<() => void>} */
  const views = new Set();
  const draw = () => views.forEach((view) => view());
  const limits = { pixels: model.get("max_pixels"), pages: model.get("pages"), reading: model.get("reading") };
  /** @type {AbortController | null} */
  let upload = null; // of the file that is being uploaded
  /** @type {(() => void) | null} */
  let onReceived = null; // called when the kernel has a chunk

  const reset = () => Object.assign(state, emptyState());
  /** @param {string} problem */
  const reject = (problem) => {
    cancel();
    reset();
    state.problem = problem;
    model.send({ action: "rejected", problem });
    draw();
  };

  function cancel() {
    upload?.abort();
    upload = null;
    onReceived = null;
  }

  function remove() {
    cancel();
    reset();
    model.send({ action: "removed" });
    draw();
  }

  /** @param {File} file */
  async function choose(file) {
    cancel();
    const problem = rejection(file, {
      max_bytes: model.get("max_bytes"), accept: model.get("accept"), kind: model.get("kind"), kinds: model.get("kinds"),
    });
    if (problem) {
      reject(problem);
      return;
    }
    const { signal } = (upload = new AbortController());
    reset();
    Object.assign(state, { name: file.name, facts: size(file.size), chosen: true, part: 0 });
    model.send({ action: "uploading", name: file.name });
    draw();
    const preview = await previewOf(model.get("kind"), file, limits);
    if (signal.aborted) return;
    if (preview.problem) {
      reject(preview.problem);
      return;
    }
    Object.assign(state, { preview, facts: factsOf(preview, size(file.size)) });
    draw();
    try {
      await (target.url ? overHttp(file, signal) : overComm(file, signal));
      if (signal.aborted) return;
      Object.assign(state, { part: null, waiting: false });
      upload = null;
      draw();
    } catch (error) {
      if (signal.aborted) return;
      reject(error instanceof Rejected ? error.message : `${file.name} could not be uploaded: the server is not responding. Try again.`);
    }
  }

  /**
   * @param {number | null} sent - bytes; null while the network fails
   * @param {number} whole
   */
  const progress = (sent, whole) => {
    state.waiting = sent === null;
    if (sent !== null) state.part = whole ? sent / whole : 1;
    draw();
  };

  /**
   * @param {File} file
   * @param {AbortSignal} signal
   */
  async function overHttp(file, signal) {
    const name = await send(file, target, (sent) => progress(sent, file.size), signal);
    model.send({ action: "uploaded", upload: name, name: file.name, type: file.type });
  }

  /**
   * @param {File} file
   * @param {AbortSignal} signal
   */
  async function overComm(file, signal) {
    /** @type {Promise<never>} */
    const aborted = new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason), { once: true }));
    aborted.catch(() => {});
    model.send({ action: "begin", name: file.name, type: file.type });
    for (let at = 0; at < file.size && !signal.aborted; at += CHUNK) {
      const data = await file.slice(at, at + CHUNK).arrayBuffer();
      // The kernel confirms each chunk, so that only one is in transit.
      /** @type {Promise<void>} */
      const received = new Promise((done) => (onReceived = done));
      model.send({ action: "chunk" }, undefined, [new DataView(data)]);
      await Promise.race([received, aborted]);
      progress(at + data.byteLength, file.size);
    }
    if (!signal.aborted) model.send({ action: "end" });
  }

  /** @type {Record<string, MessageHandler>} */
  const ACTIONS = {
    received: () => onReceived?.(),
    empty: ({ problem }) => {
      cancel();
      reset();
      state.problem = problem ?? "";
    },
    // A value that was filled in, from an example or an earlier visit.
    show: async ({ name, type, facts }, buffers) => {
      cancel();
      reset();
      Object.assign(state, { name, facts, chosen: true });
      if (!buffers?.length) return;
      const file = new File([buffers[0]], name, { type });
      const preview = await previewOf(model.get("kind"), file, limits);
      if (state.name === name) Object.assign(state, { preview, facts: factsOf(preview, facts) });
    },
  };
  /** @type {MessageHandler} */
  const onMessage = async (content, buffers) => {
    // The reply to "ready" may arrive after a file was chosen.
    if (content.first && (upload || state.chosen)) return;
    await ACTIONS[content.action]?.(content, buffers);
    draw();
  };
  model.on("msg:custom", onMessage);
  model.send({ action: "ready" });
  /** @param {BeforeUnloadEvent} event */
  const onLeave = (event) => {
    if (upload && target.url) event.preventDefault();
  };
  window.addEventListener("beforeunload", onLeave);
  const end = () => {
    cancel();
    model.off("msg:custom", onMessage);
    window.removeEventListener("beforeunload", onLeave);
  };
  return { state, views, choose, remove, end };
}

/**
 * Draw one view of the widget; returns a function that removes it.
 * @param {Model<Settings>} model
 * @param {HTMLElement} el
 * @param {Upload} upload
 */
function show(model, el, { state, views, choose, remove }) {
  const noun = model.get("noun");
  const article = /^[aeiou]/.test(noun) ? "an" : "a";
  const title = model.get("title") || noun;
  const input = h("input", {
    type: "file",
    class: "em-unseen",
    accept: model.get("accept").join(","),
    capture: model.get("kind") === "webcam" && matchMedia("(pointer: coarse)").matches ? "environment" : undefined,
    onchange: () => {
      const file = input.files?.[0];
      // Otherwise choosing the same file again fires no event.
      input.value = "";
      if (file) choose(file);
    },
  });
  const label = h("span");
  const chooseButton = h("label", { class: "em-button em-choose" }, input, label);
  const removeButton = h("button", { type: "button", class: "em-button em-away", onclick: remove }, "Remove");
  // Without HTTPS there is no API for the camera.
  const camera = ["image", "webcam"].includes(model.get("kind")) && "mediaDevices" in navigator;
  const photoButton = !camera ? null : h("button", { type: "button", class: "em-button em-shoot", onclick: () => takePhoto(el, choose) }, "Camera");
  const about = h("div", { class: "em-about" });
  const name = h("b");
  const facts = h("div", { class: "em-help" });
  const named = h("div", { class: "em-filename" }, name, facts);
  const bar = h("i");
  const progress = h("div", { class: "em-sending", role: "progressbar", "aria-label": "Upload progress", "aria-valuemin": "0", "aria-valuemax": "100" }, bar);
  const drop = h("div", { class: "em-drop", role: "group", tabindex: "0", "aria-label": `${title}: choose, drop or paste ${article} ${noun}` }, about, chooseButton, photoButton, removeButton, progress);
  const below = h("div", { class: "em-below" });
  el.replaceChildren(drop, below);
  el.classList.add("em-file", `em-file-${model.get("kind")}`);

  const draw = () => {
    drop.classList.toggle("em-chosen", state.chosen);
    label.textContent = state.chosen ? "Choose another" : "Choose a file";
    input.setAttribute("aria-label", `${title}: ${label.textContent.toLowerCase()}`);
    removeButton.hidden = !state.chosen;
    removeButton.textContent = state.part === null ? "Remove" : "Cancel";
    progress.hidden = state.part === null;
    const percent = Math.round(100 * (state.part ?? 0));
    bar.style.width = `${percent}%`;
    progress.setAttribute("aria-valuenow", String(percent));
    if (state.chosen) {
      const uploading = state.part === null ? "" : state.waiting ? " · waiting for the server" : ` · ${percent}% uploaded`;
      name.textContent = state.name;
      facts.textContent = state.facts + uploading;
      setChildren(about, state.preview.thumb, named);
    } else {
      const most = model.get("max_bytes");
      const empty = `No ${noun} selected. You can also drop or paste ${article} ${noun} here${most ? `, up to ${size(most)}` : ""}.`;
      about.replaceChildren(state.problem ? h("div", { class: "em-error", role: "alert" }, state.problem) : h("div", { class: "em-help" }, empty));
    }
    setChildren(below, state.preview.below);
  };
  views.add(draw);
  draw();

  /** @param {DragEvent} event */
  const onDrag = (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    drop.classList.toggle("em-over", event.type !== "dragleave" && event.type !== "drop");
    if (event.type === "drop" && event.dataTransfer.files[0]) choose(event.dataTransfer.files[0]);
  };
  for (const event of /** @type {const} */ (["dragenter", "dragover", "dragleave", "drop"])) drop.addEventListener(event, onDrag);

  /** @param {ClipboardEvent} event */
  const onPaste = (event) => {
    const file = event.clipboardData?.files[0];
    if (!file || event.defaultPrevented || !(event.target instanceof Element)) return;
    // On an app page a paste anywhere goes to the first empty field that accepts the file.
    const inside = el.contains(event.target);
    const free = model.get("app_page") && !event.target.closest(".em-drop") && !state.chosen && el.offsetParent;
    if (!inside && !free) return;
    if (!inside && !admits(model.get("accept"), file)) return;
    event.preventDefault();
    event.stopPropagation();
    choose(file);
  };
  document.addEventListener("paste", onPaste);
  return () => {
    views.delete(draw);
    document.removeEventListener("paste", onPaste);
  };
}

// A function, so that each widget has its own state, which all its views share.
export default () => {
  /** @type {Upload} */
  let upload;
  return {
    /** @param {{ model: Model<Settings> }} widget */
    initialize({ model }) {
      upload = createUpload(model);
      return () => upload.end();
    },
    /** @param {View<Settings>} view */
    render: ({ model, el }) => show(model, el, upload),
  };
};
