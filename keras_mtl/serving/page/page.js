// The page: asks the server what its model takes, then puts a person's questions to it.

const NAME = document.documentElement.dataset.model;
const AT = `v1/models/${encodeURIComponent(NAME)}`;
const DEFAULT = "serving_default";
const part = (id) => document.getElementById(id);
// Kept for this tab alone.
let token = sessionStorage.getItem("token") || "";
let model = null, asking = false, again = false;

class Refused extends Error {
  constructor(status, message) { super(message); this.status = status; }
}

/** JSON with the bare NaN and Infinity that servers of models write. */
function parse(text) {
  const numbers = text.replace(/"(?:[^"\\]|\\.)*"|-?Infinity|NaN/g, (found) =>
    found === "NaN" ? '{"\\u0000": 0}' : found === "Infinity" ? "1e999" : found === "-Infinity" ? "-1e999" : found);
  return JSON.parse(numbers, (_, v) => (v && typeof v === "object" && v["\u0000"] === 0 ? NaN : v));
}

function write(value) {
  if (Array.isArray(value)) return `[${value.map(write).join(", ")}]`;
  if (typeof value === "bigint" || typeof value === "number") return String(value);
  if (value && typeof value === "object") {
    return `{${Object.entries(value).map(([key, v]) => `${JSON.stringify(key)}: ${write(v)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}

async function call(where, body) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  if (body !== undefined) headers["content-type"] = "application/json";
  let answer, text;
  try {
    answer = await fetch(AT + where, { method: body === undefined ? "GET" : "POST", headers, body });
    text = await answer.text();
  } catch {
    throw new Refused(0, "The server cannot be reached. Is it still running?");
  }
  let read = null;
  try { read = parse(text); } catch { /* Told below. */ }
  if (!answer.ok || read === null) {
    throw new Refused(answer.status, (read && read.error) || `The server answered ${answer.status} and no JSON.`);
  }
  return read;
}

function trouble(error) {
  const element = error instanceof Unfit ? error.element : null;
  for (const field of document.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  part("trouble").replaceChildren();
  if (!error) return;
  const words = { 0: "", 503: "The model is not ready: ", 504: "That took too long: ", 429: "The server is busy: " };
  const before = error instanceof Refused ? words[error.status] ?? "The server refused that: " : "";
  part("trouble").append(make("p", {}, before + error.message));
  if (element) { element.setAttribute("aria-invalid", "true"); element.focus(); }
}

/** Inputs or outputs of a signature, in the order of their names. */
function specs(tensors) {
  const size = (dim) => (Number(dim.size) < 0 ? null : Number(dim.size));
  const types = { float: "float32", double: "float64", half: "float16" };
  return Object.entries(tensors || {}).sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, told]) => {
    const dtype = told.dtype.replace("DT_", "").toLowerCase(), shape = told.tensor_shape || {};
    return { name, dtype: types[dtype] || dtype, shape: shape.unknown_rank ? null : (shape.dim || []).map(size) };
  });
}

async function start() {
  trouble(null);
  let told, labels;
  try {
    told = await call("/metadata");
    // Only this server knows them; TF Serving's answers stay numbers.
    labels = await call("/labels").catch((error) => { if (error.status === 404) return {}; throw error; });
  } catch (error) {
    part("about").textContent = "";
    part("entrance").hidden = error.status !== 401;
    if (error.status === 401 && !token) part("token").focus();
    else trouble(error);
    return;
  }
  part("entrance").hidden = true;
  const signatures = told.metadata.signature_def.signature_def;
  const name = DEFAULT in signatures ? DEFAULT : Object.keys(signatures).find((one) => !one.startsWith("_"));
  if (!name) { trouble(new Error("This model has no signature that can be called.")); return; }
  const inputs = specs(signatures[name].inputs);
  model = {
    signature: name, labels, fields: new Map(),
    outputs: specs(signatures[name].outputs).map((one) => one.name),
    words: inputs.find((one) => one.dtype === "string" && one.shape && one.shape.length === 2 && one.shape[1] !== 1),
  };
  // In the order of the labels, which is the model's own; sentences, which are wide, come first.
  const order = Object.keys(labels), wide = (task) => labels[task]?.kind === "SequenceTagging";
  model.outputs.sort((a, b) => wide(b) - wide(a) || order.indexOf(a) - order.indexOf(b));
  inputs.forEach((spec, i) => model.fields.set(spec.name, fieldFor(spec, i, inputs.length === 1)));
  part("fields").replaceChildren(...[...model.fields.values()].map((field) => field.node));
  const tasks = model.outputs.length;
  part("about").textContent = `Version ${told.model_spec.version}, ${tasks} ${tasks === 1 ? "task" : "tasks"}: ${model.outputs.join(", ")}`;
  part("entry").hidden = false;
  if (filledByLink(inputs)) await ask();
}

/** Fills in what the page's address carries: ?tokens=play+jazz, or ?text= for the first text. */
function filledByLink(inputs) {
  const link = new URLSearchParams(location.search);
  const text = inputs.find((spec) => spec.dtype === "string");
  if (link.has("text") && text && !model.fields.has("text")) link.set(text.name, link.get("text"));
  const named = [...model.fields].filter(([name]) => link.has(name));
  for (const [name, field] of named) field.fill(link.get(name));
  return named.length > 0;
}

function rememberInAddress() {
  const link = new URLSearchParams();
  for (const [name, field] of model.fields) {
    const text = field.text();
    if (text) link.set(name, text);
  }
  const query = link.toString();
  if (query.length < 2000) history.replaceState(null, "", query ? `?${query}` : location.pathname);
}

async function ask() {
  // While an answer is under way only the last question counts.
  if (asking) { again = true; return; }
  asking = true;
  try {
    trouble(null);
    const inputs = {};
    for (const [name, field] of model.fields) inputs[name] = field.read();
    const body = write({ signature_name: model.signature, inputs });
    rememberInAddress();
    const began = performance.now();
    const { outputs } = await call(":predict", body);
    part("took").textContent = `Answered in ${Math.round(performance.now() - began)} ms`;
    const named = model.outputs.length === 1 ? { [model.outputs[0]]: outputs } : outputs;
    const words = model.words ? inputs[model.words.name][0] : null;
    part("answers").replaceChildren(...model.outputs.map((task) =>
      answerFor(task, model.labels[task] || {}, named[task], words)));
    part("answers").hidden = false;
    showCall(body);
  } catch (error) {
    part("took").textContent = "";
    // An answer to another question must not stand below an error.
    part("answers").hidden = part("call").hidden = true;
    if (error.status === 401) part("entrance").hidden = false;
    trouble(error);
  } finally {
    asking = false;
  }
  if (again) { again = false; await ask(); }
}

function showCall(body) {
  const quoted = `'${body.replaceAll("'", "'\\''")}'`;
  const secret = token ? ' \\\n  -H "Authorization: Bearer $TOKEN"' : "";
  part("curl").textContent = `curl ${new URL(`${AT}:predict`, location.href)}${secret} \\\n  -d ${quoted}`;
  part("copied").textContent = "";
  part("call").hidden = false;
}

part("entry").addEventListener("submit", (event) => { event.preventDefault(); ask(); });
part("entry").addEventListener("drawn", () => ask());
part("entry").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); ask(); }
});
part("entrance").addEventListener("submit", (event) => {
  event.preventDefault();
  token = part("token").value.trim();
  sessionStorage.setItem("token", token);
  start();
});
part("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(part("curl").textContent);
    part("copied").textContent = "Copied";
  } catch {
    part("copied").textContent = "Select the text below and copy it.";
  }
});
start();
