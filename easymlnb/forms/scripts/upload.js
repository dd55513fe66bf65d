// Choosing a file and sending it: see upload.py. Follows preview.js in the same module.

const RETRIES = [1, 2, 4, 8, 15, 15, 15, 15, 15]; // seconds between attempts when the network fails
const PIECE = 2 ** 19; // bytes of one message where the kernel's connection carries the file

const TABLES = ["table", "timeseries"];
const ENDINGS = { "image/tiff": /\.tiff?$/i, "text/csv": /\.csv$/i, "application/x-npy": /\.npy$/i };

function admits(rule, name, type) {
  if (rule.startsWith(".")) return name.toLowerCase().endsWith(rule.toLowerCase());
  if (rule.endsWith("/*")) return type.startsWith(rule.slice(0, -1));
  return type === rule || (ENDINGS[rule]?.test(name) ?? false);
}

const cookie = (name) => document.cookie.match(`(?:^|; )${name}=([^;]*)`)?.[1];
const pause = (seconds) => new Promise((done) => setTimeout(done, seconds * 1000));

class Refused extends Error {}

// One request; progress of its body goes to `told`.
function request(method, url, headers, body, told, signal) {
  return new Promise((done, fail) => {
    const xhr = new XMLHttpRequest();
    xhr.open(method, url);
    for (const [name, value] of Object.entries(headers)) xhr.setRequestHeader(name, value);
    xhr.upload.onprogress = (event) => told?.(event.loaded);
    xhr.onerror = () => fail(new Error("network"));
    xhr.onabort = () => fail(new DOMException("", "AbortError"));
    xhr.onload = () => {
      let answer = {};
      try {
        answer = JSON.parse(xhr.responseText || "{}");
      } catch {
        // An answer of something between us and the server.
      }
      if (xhr.status < 300) done(answer);
      else if (xhr.status >= 500 || [409, 429].includes(xhr.status)) fail(new Error("server"));
      else fail(Object.assign(new Refused(answer.error?.message ?? `The server refused the file (${xhr.status}).`), { status: xhr.status }));
    };
    signal.addEventListener("abort", () => xhr.abort(), { once: true });
    xhr.send(body);
  });
}

// Send a file in pieces, going on where it stopped after the network failed.
async function send(file, to, told, signal) {
  const key = to.authorization ? { Authorization: to.authorization } : { "X-XSRFToken": cookie("_xsrf") ?? "" };
  const patient = async (act) => {
    for (let attempt = 0; ; attempt++) {
      try {
        return await act(attempt);
      } catch (error) {
        if (error instanceof Refused || error.name === "AbortError" || attempt >= RETRIES.length) throw error;
        told(null);
        await pause(RETRIES[attempt]);
        if (signal.aborted) throw new DOMException("", "AbortError");
      }
    }
  };
  const where = new URL(to.url, location.href);
  const made = new URL(where);
  made.searchParams.set("service", to.service);
  const about = JSON.stringify({ name: file.name, size: file.size, media_type: file.type });
  const { id, chunk = 2 ** 22, offset: begun = 0 } = await patient(() =>
    request("POST", made.href, { ...key, "Content-Type": "application/json" }, about, null, signal)
  );
  const one = `${where.href.replace(/\/$/, "")}/${encodeURIComponent(id)}`;
  signal.addEventListener("abort", () => fetch(one, { method: "DELETE", headers: key }).catch(() => {}), { once: true });
  let offset = begun;
  while (offset < file.size) {
    const answer = await patient(async (attempt) => {
      // After a failure only the server knows how much of it arrived.
      if (attempt) ({ offset } = await request("GET", one, key, null, null, signal));
      if (offset >= file.size) return { offset };
      const piece = file.slice(offset, offset + chunk);
      const headers = { ...key, "Content-Type": "application/octet-stream" };
      return request("PUT", `${one}?offset=${offset}`, headers, piece, (sent) => told(offset + sent), signal);
    });
    offset = answer.offset ?? offset + chunk;
    told(offset);
  }
  return id;
}

// What stays is left alone: a click or a focus on it would be lost with every part that was sent.
function put(place, ...nodes) {
  const wanted = nodes.filter(Boolean);
  const same = wanted.length === place.childNodes.length && wanted.every((one, at) => one === place.childNodes[at]);
  if (!same) place.replaceChildren(...wanted);
}

function photograph(el, take) {
  const video = h("video", { autoplay: true, playsinline: true, muted: true });
  const dialog = h("dialog", { class: "em-camera-box", "aria-label": "Camera" }, video);
  let stream = null;
  const end = () => {
    stream?.getTracks().forEach((track) => track.stop());
    dialog.remove();
  };
  const shoot = () => {
    const canvas = h("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => {
      dialog.close();
      if (blob) take(new File([blob], "photo.png", { type: "image/png" }));
    }, "image/png");
  };
  const capture = h("button", { type: "button", class: "em-button em-primary-like", onclick: shoot, disabled: true }, "Take the photo");
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
      if (!dialog.isConnected) return end();
      video.srcObject = found;
      video.onloadeddata = () => {
        capture.disabled = false;
        said.textContent = "";
        capture.focus();
      };
    })
    .catch(() => (said.textContent = "The camera cannot be used: allow it in the browser, or choose a file."));
}

// The model's part, which lives as long as the widget: what is chosen, and its way to the server.
function keep(model) {
  const to = model.get("to") ?? {};
  const rules = model.get("accept") ?? [];
  const state = { name: "", facts: "", problem: "", part: null, waiting: false, seen: {}, chosen: false };
  const draws = new Set();
  const draw = () => draws.forEach((one) => one());
  const limits = { pixels: model.get("max_pixels"), pages: model.get("pages"), reading: model.get("reading") ?? {} };
  let going = null; // the AbortController of the file on its way
  let pieces = null; // the file that goes through the kernel's connection

  const reset = () => Object.assign(state, { name: "", facts: "", problem: "", part: null, waiting: false, seen: {}, chosen: false });
  const refuse = (problem) => {
    reset();
    state.problem = problem;
    model.send({ do: "refused", problem });
    draw();
  };

  function cancel() {
    going?.abort();
    going = null;
    pieces = null;
  }

  function remove() {
    cancel();
    reset();
    model.send({ do: "remove" });
    draw();
  }

  async function take(file) {
    cancel();
    const most = model.get("max_bytes");
    if (most && file.size > most) return refuse(`${file.name} has ${size(file.size)}; at most ${size(most)} are read here.`);
    if (rules.length && !rules.some((rule) => admits(rule, file.name, file.type)))
      return refuse(TABLES.includes(model.get("kind")) && SHEETS.test(file.name) ? noSheet(file.name) : `${file.name} is not one of the kinds read here: ${model.get("kinds")}.`);
    const controller = (going = new AbortController());
    reset();
    Object.assign(state, { name: file.name, facts: size(file.size), chosen: true, part: 0 });
    model.send({ do: "sending", name: file.name });
    draw();
    const seen = await look(model.get("kind"), file, limits);
    if (controller.signal.aborted) return;
    if (seen.problem) return cancel(), refuse(seen.problem);
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
      if (error.name === "AbortError" || controller.signal.aborted) return;
      cancel();
      refuse(error instanceof Refused ? error.message : `${file.name} could not be sent: the server does not answer. Please try again.`);
    }
  }

  const told = (sent, whole) => {
    state.waiting = sent === null;
    if (sent !== null) state.part = whole ? sent / whole : 1;
    draw();
  };

  async function overHttp(file, signal) {
    const upload = await send(file, to, (sent) => told(sent, file.size), signal);
    model.send({ do: "sent", upload, name: file.name, type: file.type, size: file.size });
  }

  async function overComm(file, signal) {
    model.send({ do: "begin", name: file.name, type: file.type, size: file.size });
    for (let at = 0; at < file.size && !signal.aborted; at += PIECE) {
      const data = await file.slice(at, at + PIECE).arrayBuffer();
      // The kernel says when it has a piece, so that no more than one is on its way.
      const taken = new Promise((done) => (pieces = done));
      model.send({ do: "piece", at }, undefined, [new DataView(data)]);
      await Promise.race([taken, new Promise((_, fail) => signal.addEventListener("abort", () => fail(new DOMException("", "AbortError"))))]);
      told(at + data.byteLength, file.size);
    }
    if (!signal.aborted) model.send({ do: "end" });
  }

  const TOLD = {
    taken: () => pieces?.(),
    empty: ({ problem }) => {
      cancel();
      reset();
      state.problem = problem ?? "";
    },
    // A value that was filled in: an example, or what was kept of an earlier visit.
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
  const message = async (content, buffers) => {
    // The answer to "ready" may come after somebody has already chosen a file.
    if (content.first && (going || state.chosen)) return;
    await TOLD[content.tell]?.(content, buffers);
    draw();
  };
  model.on("msg:custom", message);
  model.send({ do: "ready" });
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

function show(model, el, { state, draws, take, remove }) {
  const word = model.get("word");
  const article = /^[aeiou]/.test(word) ? "an" : "a";
  const input = h("input", {
    type: "file",
    class: "em-unseen",
    accept: (model.get("accept") ?? []).join(","),
    capture: model.get("kind") === "webcam" && matchMedia("(pointer: coarse)").matches ? "environment" : undefined,
    onchange: () => {
      const file = input.files[0];
      // Or choosing the same file again would go unnoticed.
      input.value = "";
      if (file) take(file);
    },
  });
  const words = h("span");
  const choose = h("label", { class: "em-button em-choose" }, input, words);
  const away = h("button", { type: "button", class: "em-button em-away", onclick: remove }, "Remove");
  const picture = ["image", "webcam"].includes(model.get("kind"));
  const camera = picture && navigator.mediaDevices?.getUserMedia;
  const shoot = camera && h("button", { type: "button", class: "em-button em-shoot", onclick: () => photograph(el, take) }, "Camera");
  const about = h("div", { class: "em-about" });
  const name = h("b");
  const facts = h("div", { class: "em-help" });
  const named = h("div", { class: "em-filename" }, name, facts);
  const bar = h("i");
  const progress = h("div", { class: "em-sending", role: "progressbar", "aria-label": "Sending the file", "aria-valuemin": "0", "aria-valuemax": "100" }, bar);
  const drop = h("div", { class: "em-drop", role: "group", tabindex: "0", "aria-label": `${model.get("title") || word}: choose, drop or paste ${article} ${word}` }, about, choose, shoot || null, away, progress);
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
      const sending = state.part === null ? "" : state.waiting ? " · waiting for the server" : ` · ${part} % sent`;
      name.textContent = state.name;
      facts.textContent = state.facts + sending;
      put(about, state.seen.thumb, named);
    } else {
      const most = model.get("max_bytes");
      const empty = `No ${word} yet${most ? `, up to ${size(most)}` : ""}. Drop or paste it here, too.`;
      about.replaceChildren(state.problem ? h("div", { class: "em-error", role: "alert" }, state.problem) : h("div", { class: "em-help" }, empty));
    }
    put(below, state.seen.below);
  };
  draws.add(draw);
  draw();

  const over = (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    event.stopPropagation();
    drop.classList.toggle("em-over", event.type !== "dragleave" && event.type !== "drop");
    if (event.type === "drop" && event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  };
  for (const event of ["dragenter", "dragover", "dragleave", "drop"]) drop.addEventListener(event, over);

  const paste = (event) => {
    const file = event.clipboardData?.files?.[0];
    if (!file || event.defaultPrevented) return;
    // On a page of its own the first field that takes such a file need not be looked for.
    const here = el.contains(event.target);
    const free = model.get("alone") && !event.target.closest?.(".em-drop") && !state.chosen && el.offsetParent;
    if (!here && !free) return;
    const rules = model.get("accept") ?? [];
    if (!here && rules.length && !rules.some((rule) => admits(rule, file.name, file.type))) return;
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

// A function, so that each widget has what it keeps to itself: all its views share it.
export default () => {
  let kept = null;
  return {
    initialize({ model }) {
      kept = keep(model);
      return () => kept.end();
    },
    render: ({ model, el }) => show(model, el, kept),
  };
};
