// @ts-check
// Makes a model from data in steps. What was entered survives a reload of the page.

import { api, upload } from "./api.js";
import { rejection, slug } from "./datafile.js";
import { byId, make } from "./dom.js";
import { draw, short, spark } from "./drawing.js";
import { showModel } from "./trained.js";

/** @typedef {{name: string, title: string, description: string, accept: string[], max_bytes: number}} Template */
/**
 * @typedef {{name: string, kind: string, missing: number, unique: number, rows: number, examples: string[], min?: any, max?: any,
 *   top?: [string, number][], histogram?: {counts: number[], edges: number[]}}} Column
 */
/** @typedef {{code: string, message: string, column: string, level: string, action: string}} Finding */

/** @type {{model: any, templates: Template[]}} */
const given = JSON.parse(byId("wizard-data").textContent ?? "");
const SAVED = "easymlnb-wizard";
const MAX_ALIKE = 5; // findings of one kind that are shown at once
const KINDS = ["number", "category", "boolean", "date", "text", "ignore"];
const ALGORITHMS = [
  ["compare", "Compare all", "Tries each of them on the same parts of the data, and takes the best."],
  ["linear", "Linear", "Fast and easy to explain; good for few rows."],
  ["forest", "Random forest", "Robust; finds steps and combinations."],
  ["boosting", "Gradient boosting", "Often the most accurate with many rows."],
  ["network", "Neural network", "For some hundred images and more; needs torch in the kernel's environment. It is not among those that are compared."],
  ["baseline", "Baseline", "Learns nothing: what every model must beat."],
];
const QUESTIONS = /** @type {Record<string, string>} */ ({ regression: "How much? (a number)", classification: "Which one? (a class)", forecast: "What comes next?" });
const ANSWERS = /** @type {Record<string, [string, string]>} */ ({
  drop: ["Leave the column out", "Keep it"],
  groups: ["Keep such rows together", "Treat all rows alike"],
  time: ["Test on later rows", "Ignore the time"],
});

const fresh = () => ({
  step: 0, template: "tabular", upload: "", file: "", size: 0, name: "", edit: "",
  options: /** @type {Record<string, any>} */ ({ algorithm: "compare", columns: {}, reading: {} }),
  look: /** @type {any} */ (null), answers: /** @type {Record<string, boolean>} */ ({}),
});
let state = fresh();
let busy = false;

const STEPS = [
  { title: "Data", show: showData, check: () => state.look ? "" : "Choose a file first." },
  { title: "Columns", show: showColumns, check: () => "" },
  { title: "Target", show: showTarget, check: () => state.options.target ? "" : "Choose the column to predict." },
  { title: "Check", show: showCheck, check: checkFindings },
  { title: "Algorithms", show: showAlgorithms, check: () => "" },
  { title: "Review", show: showReview, check: () => state.edit || /^[a-z][a-z0-9_]*$/.test(state.name) ? "" : "Write a name of lowercase letters, digits and _ that begins with a letter." },
];

/** The steps of the chosen template. */
const steps = () => state.template === "images" ? STEPS.filter(({ title }) => !["Columns", "Target"].includes(title)) : STEPS;

function save() {
  try {
    sessionStorage.setItem(SAVED, JSON.stringify(state));
  } catch {
    // The browser may block storage, or a table have too many columns for it: a reload starts again.
  }
}

function restore() {
  try {
    state = { ...fresh(), ...JSON.parse(sessionStorage.getItem(SAVED) ?? "{}") };
  } catch {
    state = fresh();
  }
}

/** @param {string} text */
function problem(text) {
  byId("problem").textContent = text;
}

/**
 * Do something with the page marked as busy; shows what goes wrong.
 * @param {string} label
 * @param {() => Promise<void>} work
 */
async function during(label, work) {
  const button = /** @type {HTMLButtonElement} */ (byId("next"));
  busy = button.disabled = true;
  problem("");
  const note = make("p", { class: "row muted", role: "status" }, make("span", { class: "spinner" }), label);
  byId("step-body").append(note);
  try {
    await work();
  } catch (error) {
    problem(error instanceof Error ? error.message : String(error));
  } finally {
    busy = button.disabled = false;
    note.remove();
  }
}

function render() {
  const all = steps();
  state.step = Math.max(0, Math.min(state.step, all.length - 1));
  byId("steps").replaceChildren(...all.map(({ title }, at) => make("li", { "aria-current": at === state.step ? "step" : null, class: at < state.step ? "done" : null }, title)));
  const { title, show } = all[state.step];
  byId("step-title").textContent = title;
  byId("back").hidden = state.step === 0;
  byId("next").textContent = title === "Review" ? "Train" : "Next";
  problem("");
  byId("step-body").replaceChildren(...show());
  save();
}

/** What the server reads as the configuration. */
function options() {
  /** @type {Record<string, any>} */
  const chosen = { ...state.options, columns: { ...state.options.columns } };
  for (const finding of /** @type {Finding[]} */ (state.look?.findings ?? [])) {
    const yes = state.answers[answerKey(finding)] ?? true;
    if (finding.action === "drop" && yes) chosen.columns[finding.column] = "ignore";
    if (finding.action === "groups" && yes) chosen.groups = finding.column;
    if (finding.action === "time") chosen.time = yes ? finding.column : "-";
  }
  return chosen;
}

/** @param {Finding} finding */
const answerKey = (finding) => `${finding.code}:${finding.column}`;

/** The data: an upload, or what the model was trained with. */
const source = () => state.upload ? { data: state.upload } : { model: state.edit };

async function look(withTarget = false) {
  const { target, question, ...rest } = state.options;
  const chosen = withTarget ? { ...rest, target, question, time: state.template === "forecast" ? rest.time ?? "" : "" } : rest;
  const found = await api("POST", "templates/look", { template: state.template, ...source(), ...chosen });
  state.look = found;
  state.options.reading = found.reading;
  state.options.target ||= found.target;
  if (!withTarget) state.options.question ||= found.question;
  save();
}

// Data

function showData() {
  const templates = make("fieldset", { class: "tags row" }, make("legend", { class: "hidden" }, "What should the model do?"),
    ...given.templates.map((one) => make("label", { class: "chip", title: one.description },
      make("input", {
        type: "radio", name: "template", value: one.name, checked: one.name === state.template, disabled: Boolean(state.edit),
        onchange: () => { state = { ...fresh(), template: one.name }; render(); },
      }), one.title)));
  const template = /** @type {Template} */ (given.templates.find(({ name }) => name === state.template));
  const input = make("input", { type: "file", id: "file", accept: template.accept.join(","), "aria-describedby": "file-help" });
  input.addEventListener("change", () => { if (input.files?.length) void send(input.files[0]); });
  const drop = make("div", { class: "field drop" }, make("label", { for: "file" }, state.file ? "Choose another file" : "Choose a file"), input,
    make("p", { class: "help", id: "file-help" }, `${template.description} Files: ${template.accept.join(", ")}, up to ${Math.round(template.max_bytes / 2 ** 20)} MB.`));
  drop.addEventListener("dragover", (event) => event.preventDefault());
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer?.files.length) void send(event.dataTransfer.files[0]);
  });
  const known = state.look ? [make("p", {}, `${state.file}: ${counted()}.`), ...preview()] : [];
  return [templates, drop, make("progress", { id: "sent", max: 1, value: 0, hidden: true, "aria-label": "Sent" }), ...known];
}

/** @param {File} file */
async function send(file) {
  const wrong = rejection(file, /** @type {Template} */ (given.templates.find(({ name }) => name === state.template)));
  if (wrong) {
    problem(wrong);
    return;
  }
  await during("Reading the file. The first time, this takes a few seconds longer.", async () => {
    const bar = /** @type {HTMLProgressElement} */ (byId("sent"));
    bar.hidden = false;
    const id = await upload(file, state.template, (fraction) => { bar.value = fraction; });
    const former = { edit: state.edit, name: state.name, options: state.edit ? state.options : fresh().options };
    state = { ...fresh(), template: state.template, ...former, upload: id, file: file.name, size: file.size };
    await look();
    state.name ||= slug(file.name);
    state.step = 1;
  });
  const why = byId("problem").textContent ?? "";
  render();
  problem(why);
}

const counted = () => `${state.look.rows.toLocaleString("en")} ${state.template === "images" ? "images" : "rows"}`;

function preview() {
  const { columns, rows } = state.look.preview;
  if (!columns.length) return [bars()];
  return [make("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "First rows" }, make("table", {},
    make("thead", {}, make("tr", {}, ...columns.map((/** @type {string} */ name) => make("th", {}, name)))),
    make("tbody", {}, ...rows.map((/** @type {any[]} */ row) => make("tr", {}, ...row.map((cell) => make("td", {}, cell === null ? "" : String(cell))))))))];
}

function bars() {
  const counts = state.look.columns[0]?.top ?? [];
  return /** @type {HTMLElement} */ (draw({ kind: "bars", title: "Images per class", bars: counts }));
}

// Columns

function showColumns() {
  const { reading } = state.look;
  /**
   * @param {string} key
   * @param {string} label
   * @param {[string, string][]} choices
   */
  const choice = (key, label, choices) => {
    const select = make("select", { id: `reading-${key}` }, ...choices.map(([value, text]) => make("option", { value, selected: (reading[key] ?? "") === value }, text)));
    select.addEventListener("change", () => during("Reading the file again", async () => {
      state.options.reading = { ...reading, [key]: select.value };
      state.options.columns = {};
      await look();
    }).then(() => { const why = byId("problem").textContent ?? ""; render(); problem(why); }));
    return make("span", { class: "choice" }, make("label", { for: `reading-${key}` }, label), select);
  };
  const asked = state.look.ambiguous_dates ?? [];
  const dates = (asked.length || reading.dates) ? [choice("dates", asked.length ? `Dates in ${asked.join(", ")}` : "Dates", [["day", "day first (31.12.)"], ["month", "month first (12/31)"]])] : [];
  const how = make("div", { class: "row reading" },
    choice("encoding", "Encoding", unique([reading.encoding, "utf-8", "windows-1252", "utf-16"])),
    choice("separator", "Separator", [[",", "comma"], [";", "semicolon"], ["\t", "tab"]]),
    choice("decimal", "Decimal sign", [[".", "point"], [",", "comma"]]), ...dates);
  const rows = /** @type {Column[]} */ (state.look.columns).map((column) => {
    const kind = state.options.columns[column.name] ?? column.kind;
    const select = make("select", { "aria-label": `Kind of ${column.name}` }, ...KINDS.concat(column.kind === "empty" ? "empty" : []).map((value) => make("option", { value, selected: value === kind }, value)));
    select.addEventListener("change", () => { state.options.columns[column.name] = select.value; save(); });
    const missing = column.missing ? `${Math.ceil((100 * column.missing) / column.rows)} % missing` : "";
    const range = column.min !== undefined ? `${label(column.min)} to ${label(column.max)}` : `${column.unique} values`;
    return make("tr", {}, make("td", {}, make("b", {}, column.name), make("br"), make("span", { class: "muted small" }, [range, missing].filter(Boolean).join(", "))),
      make("td", {}, select), make("td", {}, column.histogram ? /** @type {any} */ (spark(column.histogram.counts)) : make("span", { class: "muted small" }, (column.top ?? []).slice(0, 3).map(([value]) => value).join(", ") || column.examples.join(", "))));
  });
  const table = make("div", { class: "scroll tall", tabindex: 0, role: "region", "aria-label": "Columns" }, make("table", {},
    make("thead", {}, make("tr", {}, make("th", {}, "Column"), make("th", {}, "Kind"), make("th", {}, "Values"))), make("tbody", {}, ...rows)));
  return [how, table, make("details", { class: "errors" }, make("summary", {}, "First rows"), ...preview())];
}

/** @param {any} value */
const label = (value) => typeof value === "number" ? short(value) : String(value).slice(0, 10);

/**
 * @param {string[]} values
 * @returns {[string, string][]}
 */
const unique = (values) => [...new Set(values.filter(Boolean))].map((value) => [value, value]);

// Target

function showTarget() {
  const columns = /** @type {Column[]} */ (state.look.columns);
  const forecast = state.template === "forecast";
  const [only, ...more] = columns.filter(({ name, kind }) => kind === "number" && name !== (state.options.time || state.look.time));
  if (forecast && only && !more.length) state.options.target ||= only.name;
  const none = state.options.target ? [] : [make("option", { value: "", selected: true, disabled: true }, "Choose a column")];
  const target = make("select", { id: "target" }, ...none, ...columns.map(({ name }) => make("option", { value: name, selected: name === state.options.target }, name)));
  const kind = () => columns.find(({ name }) => name === target.value)?.kind;
  target.addEventListener("change", () => {
    state.options.target = target.value;
    state.options.question = forecast ? "forecast" : kind() === "number" ? "regression" : "classification";
    render();
  });
  const body = [make("div", { class: "field" }, make("label", { for: "target" }, forecast ? "Which values should be continued?" : "Which column should be predicted?"), target)];
  if (forecast) {
    const dates = columns.filter((column) => column.kind === "date" || column.name === state.options.time);
    const time = make("select", { id: "time" }, ...(dates.length ? dates : columns).map(({ name }) => make("option", { value: name, selected: name === (state.options.time || state.look.time) }, name)));
    time.addEventListener("change", () => { state.options.time = time.value; save(); });
    const horizon = make("input", { id: "horizon", type: "number", min: 0, max: 1000, value: state.options.horizon ?? 0 });
    horizon.addEventListener("change", () => { state.options.horizon = Number(horizon.value); save(); });
    return [...body, make("div", { class: "field" }, make("label", { for: "time" }, "Column of times"), time),
      make("div", { class: "field" }, make("label", { for: "horizon" }, "Steps ahead"), horizon, make("p", { class: "help" }, "0 chooses one season, such as 24 hours."))];
  }
  const questions = ["regression", "classification"].map((value) => [value, QUESTIONS[value]]);
  return [...body, make("fieldset", { class: "plainset" }, make("legend", {}, "Question"), ...questions.map(([value, text]) => make("label", { class: "radio" },
    make("input", { type: "radio", name: "question", value, checked: value === state.options.question, onchange: () => { state.options.question = value; save(); } }), text)))];
}

// Check

function showCheck() {
  const findings = /** @type {Finding[]} */ (state.look.findings ?? []);
  if (!findings.length) return [make("p", {}, "Nothing unusual was found.")];
  /** @param {Finding} finding */
  const card = (finding) => {
    const answers = ANSWERS[finding.action];
    const key = answerKey(finding);
    const item = make("li", { class: finding.level === "error" ? "card failed" : "card note" }, make("p", {}, finding.message));
    if (answers) {
      item.append(...answers.map((text, at) => make("label", { class: "radio" }, make("input", {
        type: "radio", name: key, checked: (state.answers[key] ?? true) === (at === 0), onchange: () => { state.answers[key] = at === 0; save(); },
      }), text)));
    }
    return item;
  };
  /** @type {Map<string, Finding[]>} */
  const kinds = new Map();
  for (const finding of findings) kinds.set(finding.code, [...(kinds.get(finding.code) ?? []), finding]);
  return [...kinds.values()].flatMap((alike) => {
    const [first, more] = [alike.slice(0, MAX_ALIKE), alike.slice(MAX_ALIKE)];
    const rest = make("details", {}, make("summary", {}, `${more.length.toLocaleString("en")} more like these`), make("ul", { class: "plain findings" }, ...more.map(card)));
    return [make("ul", { class: "plain findings" }, ...first.map(card)), ...(more.length ? [rest] : [])];
  });
}

function checkFindings() {
  const error = /** @type {Finding[]} */ (state.look?.findings ?? []).find(({ level }) => level === "error");
  if (error) return "No model can be trained like this. Go back and choose another target or file.";
  if (state.template !== "tabular") return "";
  const chosen = options().columns;
  const inputs = /** @type {Column[]} */ (state.look.columns).filter(({ name, kind }) => name !== state.options.target && !["ignore", "empty"].includes(chosen[name] ?? kind));
  return inputs.length ? "" : "Every column but the target is left out. Keep at least one to predict from, or choose another file.";
}

// Algorithms and review

function showAlgorithms() {
  return [make("fieldset", { class: "plainset" }, make("legend", { class: "hidden" }, "Algorithm"), ...ALGORITHMS.filter(([value]) => value !== "network" || state.template === "images").map(([value, title, about]) => make("label", { class: "radio" },
    make("input", { type: "radio", name: "algorithm", value, checked: value === state.options.algorithm, onchange: () => { state.options.algorithm = value; save(); } }),
    make("span", {}, make("b", {}, title), " ", make("span", { class: "muted small" }, about)))))];
}

function showReview() {
  const chosen = options();
  const name = make("input", { id: "name", value: state.name, maxlength: 63, spellcheck: "false", disabled: Boolean(state.edit), "aria-describedby": "name-help" });
  name.addEventListener("input", () => { state.name = name.value; save(); });
  const left = Object.entries(chosen.columns).filter(([, kind]) => kind === "ignore").map(([column]) => column);
  /** @type {[string, string][]} */
  const facts = [["Data", `${state.file || given.model?.data}, ${counted()}`], ["Predicts", chosen.target ?? state.look.target],
    ["Question", QUESTIONS[chosen.question || state.look.question] ?? ""], ["Algorithm", ALGORITHMS.find(([value]) => value === chosen.algorithm)?.[1] ?? ""]];
  if (left.length) facts.push(["Left out", left.join(", ")]);
  if (chosen.groups) facts.push(["Kept together", chosen.groups]);
  if (chosen.time && chosen.time !== "-") facts.push(["Tested on later", chosen.time]);
  return [make("div", { class: "field" }, make("label", { for: "name" }, "Name"), name, make("p", { class: "help", id: "name-help" }, "Lowercase letters, digits and _; programs call the model by it.")),
    make("dl", { class: "facts" }, ...facts.map(([term, text]) => make("div", {}, make("dt", {}, term), make("dd", {}, text))))];
}

async function train() {
  const body = { ...options(), ...(state.upload ? { data: state.upload } : {}) };
  const made = state.edit
    ? await api("PATCH", `models/${state.edit.split("/").map(encodeURIComponent).join("/")}`, body)
    : await api("POST", "models", { ...body, name: state.name, template: state.template });
  sessionStorage.removeItem(SAVED);
  location.assign(made.page);
}

async function next() {
  if (busy) return;
  const { title, check } = steps()[state.step];
  const why = check();
  if (why) {
    problem(why);
    return;
  }
  if (title === "Review") {
    await during("Starting the training", train);
    return;
  }
  const following = steps()[state.step + 1].title;
  let failed = "";
  if (following === "Check" && state.template !== "images") {
    await during("Checking the data", () => look(true));
    failed = byId("problem").textContent ?? "";
  }
  if (!failed) {
    state.step += 1;
    render();
    byId("step").focus();
  }
}

/**
 * Train a model again, with its own choices as a start.
 * @param {any} model
 */
export function edit(model) {
  state = { ...fresh(), template: model.template, edit: model.name, name: model.name, options: { ...fresh().options, ...model.options } };
  byId("result").hidden = true;
  byId("wizard").hidden = false;
  state.file = model.data;
  render();
  if (model.data) {
    void during("Reading the data of the model", () => look()).then(() => {
      const why = byId("problem").textContent ?? "";
      if (!why) state.step = 1;
      render();
      problem(why);
    });
  }
}

byId("next").addEventListener("click", () => void next());
byId("back").addEventListener("click", () => { state.step -= 1; render(); });
if (given.model) {
  showModel(given.model, edit);
} else {
  restore();
  if (state.edit) state = fresh();
  render();
}
