// @ts-check
// A field that takes a file and uploads it: see upload.py.

import { h } from "./elements.js";
import { admits, rejection, size } from "./file_rules.js";
import { look } from "./preview.js";
import { Rejected, send } from "./sending.js";

/** @import { MessageHandler, Model, Preview, Reading, View } from "./types" */
/**
 * @typedef {object} Settings
 * @property {{ url?: string, service?: string, authorization?: string }} to - empty under a cell
 * @property {string} kind
 * @property {string} word
 * @property {string} title
 * @property {string[]} accept
 * @property {string} kinds
 * @property {number} max_bytes - 0 for no limit
 * @property {number} max_pixels
 * @property {Reading} reading
 * @property {boolean} pages
 * @property {boolean} alone - whether the page has no other forms
 */
/**
 * `part`: what is uploaded, 0 to 1, null when nothing is on its way.
 * @typedef {{ name: string, facts: string, problem: string, part: number | null, waiting: boolean, seen: Preview, chosen: boolean }} State
 */
/** @typedef {ReturnType<typeof keep>} Kept */

const PIECE = 2 ** 19; // bytes of one message where the kernel's connection carries the file

/**
 * Set an element's children. Elements that stay are not touched, so that clicks and focus survive
 * progress updates.
 * @param {HTMLElement} place
 * @param {...(HTMLElement | undefined)} nodes
 */
function put(place, ...nodes) {
  const wanted = nodes.filter((one) => one !== undefined);
  const same = wanted.length === place.childNodes.length && wanted.every((one, at) => one === place.childNodes[at]);
  if (!same) place.replaceChildren(...wanted);
}

/**
 * @param {HTMLElement} el
 * @param {(file: File) => void} take
 */
function photograph(el, take) {
  const video = h("video", { autoplay: true, playsinline: true, muted: true });
  const dialog = h("dialog", { class: "em-camera-box", "aria-label": "Camera" }, video);
  /** @type {MediaStream | null} */
  let stream = null;
  const end = () => {
    stream?.getTracks().forEach((track) => track.stop());
    dialog.remove();
  };
  const shoot = () => {
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d")?.drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      dialog.close();
      if (blob) take(new File([blob], "photo.png", { type: "image/png" }));
    }, "image/png");
  };
  const capture = h("button", { type: "button", class: "em-button em-primary-like", onclick: shoot, disabled: true }, "Take photo");
  const cancel = h("button", { type: "button", class: "em-button", onclick: () => dialog.close() }, "Cancel");
  const said = h("p", { role: "status" }, "Waiting for the camera");
  dialog.append(said, h("div", { class: "em-actions-row" }, capture, cancel));
  dialog.addEventListener("close", end);
  el.append(dialog);
  dialog.showModal();
  navigator.mediaDevices
    .getUserMedia({ video: { facingMode: "environment" } })
    .then((found) => {
      stream = found;
      if (!dialog.isConnected) {
        end();
        return;
      }
      video.srcObject = found;
      video.onloadeddata = () => {
        capture.disabled = false;
        said.textContent = "";
        capture.focus();
      };
    })
    .catch(() => (said.textContent = "The camera is not available. Allow camera access in the browser, or choose a file."));
}

/**
 * The model's part, which lives as long as the widget: the chosen file and its upload.
 * @param {Model<Settings>} model
 */
function keep(model) {
  const to = model.get("to");
  /** @type {State} */
  const state = { name: "", facts: "", problem: "", part: null, waiting: false, seen: {}, chosen: false };
  /** @type {Set<() => void>} */
  const draws = new Set();
  const draw = () => draws.forEach((one) => one());
  const limits = { pixels: model.get("max_pixels"), pages: model.get("pages"), reading: model.get("reading") };
  /** @type {AbortController | null} */
  let going = null; // of the file on its way
  /** @type {(() => void) | null} */
  let onTaken = null; // called when the kernel has a piece

  const reset = () => Object.assign(state, { name: "", facts: "", problem: "", part: null, waiting: false, seen: {}, chosen: false });
  /** @param {string} problem */
  const refuse = (problem) => {
    cancel();
    reset();
    state.problem = problem;
    model.send({ do: "refused", problem });
    draw();
  };

  function cancel() {
    going?.abort();
    going = null;
    onTaken = null;
  }

  function remove() {
    cancel();
    reset();
    model.send({ do: "remove" });
    draw();
  }

  /** @param {File} file */
  async function take(file) {
    cancel();
    const problem = rejection(file, {
      max_bytes: model.get("max_bytes"), accept: model.get("accept"), kind: model.get("kind"), kinds: model.get("kinds"),
    });
    if (problem) {
      refuse(problem);
      return;
    }
    const controller = (going = new AbortController());
    reset();
    Object.assign(state, { name: file.name, facts: size(file.size), chosen: true, part: 0 });
    model.send({ do: "sending", name: file.name });
    draw();
    const seen = await look(model.get("kind"), file, limits);
    if (controller.signal.aborted) return;
    if (seen.problem) {
      refuse(seen.problem);
      return;
    }
    Object.assign(state, { seen, facts: [seen.facts, size(file.size)].filter(Boolean).join(", ") });
    draw();
    try {
      if (to.url) await overHttp(file, controller.signal);
      else await overComm(file, controller.signal);
      if (controller.signal.aborted) return;
      Object.assign(state, { part: null, waiting: false });
      going = null;
      draw();
    } catch (error) {
      if (controller.signal.aborted) return;
      refuse(error instanceof Rejected ? error.message : `${file.name} could not be uploaded: the server is not responding. Try again.`);
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
    const upload = await send(file, to, (sent) => progress(sent, file.size), signal);
    model.send({ do: "sent", upload, name: file.name, type: file.type, size: file.size });
  }

  /**
   * @param {File} file
   * @param {AbortSignal} signal
   */
  async function overComm(file, signal) {
    /** @type {Promise<never>} */
    const aborted = new Promise((_, fail) => signal.addEventListener("abort", () => fail(signal.reason), { once: true }));
    aborted.catch(() => {});
    model.send({ do: "begin", name: file.name, type: file.type, size: file.size });
    for (let at = 0; at < file.size && !signal.aborted; at += PIECE) {
      const data = await file.slice(at, at + PIECE).arrayBuffer();
      // The kernel confirms each piece, so that only one is on its way.
      /** @type {Promise<void>} */
      const taken = new Promise((done) => (onTaken = done));
      model.send({ do: "piece", at }, undefined, [new DataView(data)]);
      await Promise.race([taken, aborted]);
      progress(at + data.byteLength, file.size);
    }
    if (!signal.aborted) model.send({ do: "end" });
  }

  /** @type {Record<string, MessageHandler>} */
  const ACTIONS = {
    taken: () => onTaken?.(),
    empty: ({ problem }) => {
      cancel();
      reset();
      state.problem = problem ?? "";
    },
    // A value that was filled in: an example, or from an earlier visit.
    show: async ({ name, type, facts }, buffers) => {
      cancel();
      reset();
      Object.assign(state, { name, facts, chosen: true });
      if (!buffers?.length) return;
      const file = new File([buffers[0]], name, { type });
      const seen = await look(model.get("kind"), file, limits);
      if (state.name === name) Object.assign(state, { seen, facts: [seen.facts, facts].filter(Boolean).join(", ") });
    },
  };
  /** @type {MessageHandler} */
  const message = async (content, buffers) => {
    // The reply to "ready" may arrive after a file was chosen.
    if (content.first && (going || state.chosen)) return;
    await ACTIONS[content.tell]?.(content, buffers);
    draw();
  };
  model.on("msg:custom", message);
  model.send({ do: "ready" });
  /** @param {BeforeUnloadEvent} event */
  const bye = (event) => {
    if (going && to.url) event.preventDefault();
  };
  window.addEventListener("beforeunload", bye);
  const end = () => {
    cancel();
    model.off("msg:custom", message);
    window.removeEventListener("beforeunload", bye);
  };
  return { state, draws, take, remove, end };
}

/**
 * Draw one view of the widget; returns how to remove it.
 * @param {Model<Settings>} model
 * @param {HTMLElement} el
 * @param {Kept} kept
 */
function show(model, el, { state, draws, take, remove }) {
  const word = model.get("word");
  const article = /^[aeiou]/.test(word) ? "an" : "a";
  const input = h("input", {
    type: "file",
    class: "em-unseen",
    accept: model.get("accept").join(","),
    capture: model.get("kind") === "webcam" && matchMedia("(pointer: coarse)").matches ? "environment" : undefined,
    onchange: () => {
      const file = input.files?.[0];
      // Otherwise choosing the same file again fires no event.
      input.value = "";
      if (file) take(file);
    },
  });
  const words = h("span");
  const choose = h("label", { class: "em-button em-choose" }, input, words);
  const away = h("button", { type: "button", class: "em-button em-away", onclick: remove }, "Remove");
  // Without HTTPS there is no API for the camera.
  const camera = ["image", "webcam"].includes(model.get("kind")) && "mediaDevices" in navigator;
  const shoot = !camera ? null : h("button", { type: "button", class: "em-button em-shoot", onclick: () => photograph(el, take) }, "Camera");
  const about = h("div", { class: "em-about" });
  const name = h("b");
  const facts = h("div", { class: "em-help" });
  const named = h("div", { class: "em-filename" }, name, facts);
  const bar = h("i");
  const progress = h("div", { class: "em-sending", role: "progressbar", "aria-label": "Upload progress", "aria-valuemin": "0", "aria-valuemax": "100" }, bar);
  const drop = h("div", { class: "em-drop", role: "group", tabindex: "0", "aria-label": `${model.get("title") || word}: choose, drop or paste ${article} ${word}` }, about, choose, shoot, away, progress);
  const below = h("div", { class: "em-below" });
  el.replaceChildren(drop, below);
  el.classList.add("em-file");

  const draw = () => {
    drop.classList.toggle("em-chosen", state.chosen);
    words.textContent = state.chosen ? "Choose another" : "Choose a file";
    input.setAttribute("aria-label", `${model.get("title") || word}: ${words.textContent.toLowerCase()}`);
    away.hidden = !state.chosen;
    away.textContent = state.part === null ? "Remove" : "Cancel";
    progress.hidden = state.part === null;
    const part = Math.round(100 * (state.part ?? 0));
    bar.style.width = `${part}%`;
    progress.setAttribute("aria-valuenow", String(part));
    if (state.chosen) {
      const sending = state.part === null ? "" : state.waiting ? " · waiting for the server" : ` · ${part}% uploaded`;
      name.textContent = state.name;
      facts.textContent = state.facts + sending;
      put(about, state.seen.thumb, named);
    } else {
      const most = model.get("max_bytes");
      const empty = `No ${word} selected. You can also drop or paste ${article} ${word} here${most ? `, up to ${size(most)}` : ""}.`;
      about.replaceChildren(state.problem ? h("div", { class: "em-error", role: "alert" }, state.problem) : h("div", { class: "em-help" }, empty));
    }
    put(below, state.seen.below);
  };
  draws.add(draw);
  draw();

  /** @param {DragEvent} event */
  const over = (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    drop.classList.toggle("em-over", event.type !== "dragleave" && event.type !== "drop");
    if (event.type === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  };
  for (const event of /** @type {const} */ (["dragenter", "dragover", "dragleave", "drop"])) drop.addEventListener(event, over);

  /** @param {ClipboardEvent} event */
  const paste = (event) => {
    const file = event.clipboardData?.files[0];
    if (!file || event.defaultPrevented || !(event.target instanceof Element)) return;
    // On an app page a paste anywhere goes to the first empty field that accepts the file.
    const here = el.contains(event.target);
    const free = model.get("alone") && !event.target.closest(".em-drop") && !state.chosen && el.offsetParent;
    if (!here && !free) return;
    if (!here && !admits(model.get("accept"), file)) return;
    event.preventDefault();
    event.stopPropagation();
    take(file);
  };
  document.addEventListener("paste", paste);
  return () => {
    draws.delete(draw);
    document.removeEventListener("paste", paste);
  };
}

// A function, so that each widget has its own state, which all its views share.
export default () => {
  /** @type {Kept} */
  let kept;
  return {
    /** @param {{ model: Model<Settings> }} widget */
    initialize({ model }) {
      kept = keep(model);
      return () => kept.end();
    },
    /** @param {View<Settings>} view */
    render: ({ model, el }) => show(model, el, kept),
  };
};
