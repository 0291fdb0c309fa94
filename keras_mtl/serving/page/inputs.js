// What a person fills in for each input of a signature, and the one row that it makes.
//
// A field is {node, read, fill, text}: `read()` gives the input's tensor with its axis of rows, or
// throws an Unfit; `fill(text)` and `text()` are for links that carry what was asked.

class Unfit extends Error {
  constructor(message, element) { super(message); this.element = element; }
}

/** An element; what is given as text stays text, whatever is in it. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const MOST_CELLS = 16, MOST_DRAWN = 64, WHOLE = /^(u?int|quint|qint)/;

/** The field of an input. `number` makes ids, `alone` says that the model has no other input. */
function fieldFor(spec, number, alone) {
  const id = `input-${number}`, shape = spec.shape, rest = shape && shape.slice(1);
  if (!shape || !shape.length || shape[0] !== null) return json(spec, id, false);
  const single = !rest.length || (rest.length === 1 && rest[0] === 1);
  if (single) {
    if (spec.dtype === "bool") return truth(spec, id, rest.length);
    return line(spec, id, rest.length, alone);
  }
  if (spec.dtype === "string") return rest.length === 1 ? list(spec, id, rest[0]) : json(spec, id, true);
  const known = rest.every((size) => size !== null);
  const channels = rest.length === 2 ? 1 : rest[2];
  if (known && (rest.length === 2 || rest.length === 3) && [1, 3, 4].includes(channels)) {
    return picture(spec, id, rest, channels);
  }
  if (rest.length === 1 && rest[0] !== null && rest[0] <= MOST_CELLS) return cells(spec, id, rest[0]);
  return rest.length === 1 ? list(spec, id, rest[0]) : json(spec, id, true);
}

/** A number or a text as the tensor takes it. */
function value(text, spec, element) {
  if (spec.dtype === "string") return text;
  const trimmed = text.trim();
  if (spec.dtype === "bool") {
    if (/^(true|false|0|1)$/i.test(trimmed)) return /^(true|1)$/i.test(trimmed);
    throw new Unfit(`${spec.name}: "${trimmed}" is neither true nor false.`, element);
  }
  if (WHOLE.test(spec.dtype)) {
    if (/^[+-]?\d+$/.test(trimmed)) return BigInt(trimmed.replace("+", ""));
    throw new Unfit(`${spec.name} takes a whole number, not "${trimmed}".`, element);
  }
  // What is left out is not known, which such models are told by NaN.
  const read = trimmed === "" ? NaN : Number(trimmed);
  if (trimmed !== "" && Number.isNaN(read) && !/^nan$/i.test(trimmed)) {
    throw new Unfit(`${spec.name} takes a number, not "${trimmed}".`, element);
  }
  return read;
}

function labelled(spec, id, entry, hint, wide) {
  const told = hint ? make("p", { class: "hint", id: `${id}-hint` }, hint) : "";
  if (hint) entry.setAttribute("aria-describedby", `${id}-hint`);
  const label = make("label", { for: id }, spec.name);
  return make("div", { class: wide ? "field wide" : "field" }, label, entry, told);
}

function typed(entry, read, node) {
  return { node, read, fill: (text) => { entry.value = text; }, text: () => entry.value };
}

function line(spec, id, nested, alone) {
  const text = spec.dtype === "string";
  const entry = make("input", { id, type: "text", autocomplete: "off",
    inputmode: text ? null : WHOLE.test(spec.dtype) ? "numeric" : "decimal" });
  const hint = text ? "" : WHOLE.test(spec.dtype) ? "whole number" : "number, or blank if not known";
  const node = labelled(spec, id, entry, hint, alone && text);
  return typed(entry, () => {
    if (alone && text && !entry.value.trim()) throw new Unfit("Type something first.", entry);
    const read = value(entry.value, spec, entry);
    return nested ? [[read]] : [read];
  }, node);
}

function truth(spec, id, nested) {
  const entry = make("input", { id, type: "checkbox" });
  return {
    node: labelled(spec, id, entry, "", false),
    read: () => (nested ? [[entry.checked]] : [entry.checked]),
    fill: (text) => { entry.checked = /^(true|1|on)$/i.test(text); },
    text: () => String(entry.checked),
  };
}

/** Words, or numbers, in one line: as many as one likes, or `size`. */
function list(spec, id, size) {
  const text = spec.dtype === "string";
  const entry = text && size === null
    ? make("input", { id, type: "text", autocomplete: "off" })
    : make("textarea", { id, spellcheck: "false" });
  const what = text ? "words" : WHOLE.test(spec.dtype) ? "whole numbers" : "numbers";
  const many = size === null ? what : `${size} ${what}`;
  const hint = text && size === null ? "A sentence; it is split into words at blanks."
    : `${many}, with blanks between${text ? "" : " (or commas)"}`;
  return typed(entry, () => {
    const parts = entry.value.split(text ? /\s+/ : /[\s,;]+/).filter((part) => part !== "");
    if (!parts.length) throw new Unfit(`${spec.name}: type something first.`, entry);
    if (size !== null && parts.length !== size) {
      throw new Unfit(`${spec.name} takes ${many}, but there ${parts.length === 1 ? "is" : "are"} ${parts.length}.`, entry);
    }
    return [parts.map((part) => value(part, spec, entry))];
  }, labelled(spec, id, entry, hint, true));
}

function cells(spec, id, size) {
  const hint = WHOLE.test(spec.dtype) ? `${size} whole numbers` : `${size} numbers; leave blank what is not known`;
  const entries = Array.from({ length: size }, (_, i) =>
    make("input", { id: `${id}-${i}`, type: "text", inputmode: "decimal", autocomplete: "off",
      "aria-label": `${spec.name}, ${i + 1}` }));
  const node = make("fieldset", { class: "field wide" }, make("legend", {}, spec.name),
    make("p", { class: "hint" }, hint),
    make("div", { class: "cells" }, ...entries.map((entry, i) =>
      make("div", {}, make("label", { for: entry.id }, String(i + 1)), entry))));
  return {
    node,
    read: () => [entries.map((entry) => value(entry.value, spec, entry))],
    fill: (text) => text.split(",").forEach((part, i) => { if (entries[i]) entries[i].value = part; }),
    text: () => entries.map((entry) => entry.value.trim()).join(","),
  };
}

/** Whatever has no field of its own. */
function json(spec, id, rows) {
  const entry = make("textarea", { id, spellcheck: "false" });
  const sizes = spec.shape ? (rows ? spec.shape.slice(1) : spec.shape).map((s) => s ?? "?").join(" × ") : "any";
  const hint = `${rows ? "one row" : "the tensor"} as JSON: ${spec.dtype}, ${sizes || "a single value"}`;
  return typed(entry, () => {
    try {
      const read = parse(entry.value);
      return rows ? [read] : read;
    } catch {
      throw new Unfit(`${spec.name} is no JSON.`, entry);
    }
  }, labelled(spec, id, entry, hint, true));
}
